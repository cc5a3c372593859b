import numpy as np
import pytest

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.obstacles import ObstacleOptions, cluster_obstacles, sector_distances

RNG = np.random.default_rng(0)
UP = (0, 0, 1)
HERE = (0, 0, 0)
T_LEVEL_CAM = motion.pose([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], HERE)  # a camera that looks ahead
CAMERA = Camera(256, 192, 128.0, 128.0, 127.5, 95.5)  # 90 degrees wide


def block(centre, size, count=400):
    half = np.array(size) / 2
    corners = np.array([-half, half])
    return (np.concatenate([RNG.uniform(-half, half, (count - 2, 3)), corners]) + centre).astype(np.float32)


def boxes(points, **options):
    return cluster_obstacles(points, HERE, UP, ObstacleOptions(**options))


def connected_by_flooding(cells):
    """Group cells that touch, the slow and obvious way."""
    left, groups = {tuple(cell) for cell in cells}, set()
    while left:
        front = [left.pop()]
        group = set(front)
        while front:
            x, y, z = front.pop()
            near = {(x + i, y + j, z + k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)} & left
            left -= near
            group |= near
            front += near
        groups.add(frozenset(group))
    return groups


def test_each_block_gets_its_box_nearest_first():
    far, near = block([8, 2, 0], [1, 0.6, 0.8]), block([4, -1, 0.2], [0.5, 1, 1])
    found = boxes(np.concatenate([far, near]))
    assert [box.points for box in found] == [400, 400]
    np.testing.assert_allclose([box.centre for box in found], [[4, -1, 0.2], [8, 2, 0]], atol=1e-5)
    np.testing.assert_allclose([box.size for box in found], [[0.5, 1, 1], [1, 0.6, 0.8]], atol=1e-5)
    assert found[0].distance == pytest.approx(np.linalg.norm(near, axis=1).min())


@pytest.mark.parametrize('seed', range(5))
def test_clusters_are_the_connected_groups_of_voxels(seed):
    cells = np.unique(np.random.default_rng(seed).integers(0, 12, (330, 3)), axis=0)
    found = boxes(
        (cells + 0.5).astype(np.float32),
        voxel_size=1,
        min_points=1,
        max_size=1000,
        max_boxes=1000,
        max_distance=100,
        min_height=-100,
        max_height=100,
    )
    groups = connected_by_flooding(cells)
    assert len(groups) > 3
    assert sorted(box.points for box in found) == sorted(len(group) for group in groups)
    expected = {(len(group), tuple(np.ptp(np.array(list(group)), axis=0))) for group in groups}
    assert {(box.points, tuple(box.size.astype(int))) for box in found} == expected


def test_specks_are_no_obstacles():
    assert boxes(block([4, 0, 0], [0.3, 0.3, 0.3], count=29), min_points=30) == []


def test_what_is_far_or_above_or_below_is_not_in_the_way():
    points = np.concatenate([block(centre, [1, 1, 1]) for centre in ([20, 0, 0], [4, 0, 3], [4, 0, -3])])
    assert boxes(points, max_distance=15, min_height=-1, max_height=1) == []


def test_distance_and_height_are_the_drones_own():
    points = block([104, 50, 33], [1, 1, 1])
    found = cluster_obstacles(points, np.array([100.0, 50.0, 33.0]), UP, ObstacleOptions())
    assert len(found) == 1
    assert found[0].distance == pytest.approx(np.linalg.norm(points - [100, 50, 33], axis=1).min(), rel=1e-5)


def test_in_the_optical_frame_up_is_minus_y():
    points = np.concatenate([block([0, 0, 4], [1, 1, 1]), block([0, 4, 4], [1, 1, 1])])
    found = cluster_obstacles(points, HERE, (0, -1, 0), ObstacleOptions())
    np.testing.assert_allclose([box.centre for box in found], [[0, 0, 4]], atol=1e-5)


def test_a_long_wall_is_cut_into_pieces():
    wall = block([5, 0, 0], [0.1, 11, 1.5], count=4000)
    found = boxes(wall, max_size=4)
    assert len(found) == 3
    assert max(box.size.max() for box in found) <= 4.4
    assert sum(box.points for box in found) == 4000


def test_the_number_of_boxes_is_bounded_and_the_nearest_stay():
    points = np.concatenate([block([2 + 2 * i, 0, 0], [0.3, 0.3, 0.3], 50) for i in range(6)])
    assert [round(float(box.centre[0])) for box in boxes(points, max_boxes=3)] == [2, 4, 6]


@pytest.mark.parametrize('points', [np.zeros((0, 3), np.float32), np.full((50, 3), np.nan, np.float32)])
def test_without_points_there_are_no_boxes(points):
    assert boxes(points) == []


def distances(depth, **options):
    return sector_distances(depth, CAMERA, T_LEVEL_CAM, ObstacleOptions(**options))


def empty():
    return np.full((192, 256), np.inf, np.float32)


def test_free_all_round_is_infinite():
    assert np.isposinf(distances(empty())).all()


def test_nothing_seen_is_nan():
    assert np.isnan(distances(np.full((192, 256), np.nan, np.float32))).all()


def test_directions_outside_the_image_are_nan():
    result = distances(empty(), sectors=72, sector_angle=2 * np.pi)  # 5 degrees each, from behind to behind
    assert np.flatnonzero(np.isposinf(result)).tolist() == list(range(36 - 9, 36 + 9))
    assert np.isnan(result).sum() == 72 - 18


def test_a_post_is_in_its_sector_at_its_distance():
    # 5 m ahead in depth, 20 degrees to the left: sectors run from right to left, 5 degrees each.
    depth, column = empty(), round(127.5 - 128 * np.tan(np.radians(21.5)))
    depth[:, column - 2 : column + 3] = 5
    result = distances(depth)
    assert np.flatnonzero(np.isfinite(result)).tolist() == [(45 + 20) // 5]
    assert result[13] == pytest.approx(5 / np.cos(np.radians(21.5)), rel=0.02)


def test_a_few_wild_pixels_do_not_count():
    depth = empty()
    depth[96, 107:114] = 0.5
    assert np.isposinf(distances(depth, nearest_rank=8)).all()
    depth[96, 114] = 0.5  # the eighth
    assert np.isfinite(distances(depth, nearest_rank=8)).any()


def test_the_ground_below_the_band_is_free():
    rows = (np.arange(192) - 95.5) / 128
    ground = np.where(rows > 0.02, 2 / np.maximum(rows, 0.02), np.inf).astype(np.float32)  # 2 m below
    depth = np.repeat(ground[:, None], 256, 1)
    assert np.isposinf(distances(depth, min_height=-1)).all()
    assert np.isfinite(distances(depth, min_height=-3)).all()


def test_a_mostly_unknown_sector_is_not_called_free():
    depth = np.full((192, 256), np.nan, np.float32)
    depth[:80] = np.inf
    assert np.isnan(distances(depth, min_free_share=0.5)).all()
    depth[:110] = np.inf
    assert np.isposinf(distances(depth, min_free_share=0.5)).all()


def test_an_obstacle_counts_however_little_else_is_known():
    depth = np.full((192, 256), np.nan, np.float32)
    depth[90:100, 125:131] = 3
    assert np.nanmin(distances(depth)) == pytest.approx(3, rel=0.01)


def test_too_close_to_measure_is_minus_infinity():
    depth = empty()
    depth[80:120, 120:136] = -np.inf
    assert np.isneginf(distances(depth)[8:10]).all()


def test_distance_is_from_the_drone_not_the_camera():
    depth = np.full((192, 256), 5, np.float32)
    T_level_cam = T_LEVEL_CAM.copy()
    T_level_cam[0, 3] = 0.4
    result = sector_distances(depth, CAMERA, T_level_cam, ObstacleOptions(sectors=19))
    assert result[9] == pytest.approx(5.4, rel=0.001)


@pytest.mark.parametrize('options', [{'voxel_size': 0}, {'sectors': 0}, {'min_height': 1, 'max_height': 1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError):
        ObstacleOptions(**options)


def test_a_sector_of_which_the_picture_shows_a_part_is_not_called_free_but_what_is_seen_in_it_counts():
    # The picture is 90 degrees wide, the 13 sectors 10 degrees each: the outer two at either side stick out of it.
    wide = {'sectors': 13, 'sector_angle': np.radians(130)}
    assert np.flatnonzero(np.isposinf(distances(empty(), **wide))).tolist() == list(range(2, 11))
    depth = empty()
    depth[:, :12] = 5  # at the left edge, in sector 10 and what is seen of 11
    assert np.isfinite(distances(depth, **wide)[10:12]).any()


def leaning(down, side=0.0):
    """Return T_LEVEL_CAM of a camera pitched down, then rolled, degrees."""
    down, side = np.radians([down, side])
    about_x = [[1, 0, 0], [0, np.cos(down), np.sin(down)], [0, -np.sin(down), np.cos(down)]]
    about_z = [[np.cos(side), -np.sin(side), 0], [np.sin(side), np.cos(side), 0], [0, 0, 1]]
    leaned = T_LEVEL_CAM.copy()
    leaned[:3, :3] = T_LEVEL_CAM[:3, :3] @ about_x @ about_z
    return leaned


def test_a_camera_that_sees_only_the_ground_calls_nothing_free():
    # Half of the picture's height is 36.9 degrees: so far down the horizon is just in view, then no more.
    def free(down, **lean):
        return np.isposinf(sector_distances(empty(), CAMERA, leaning(down, **lean), ObstacleOptions())).sum()

    assert free(0) == 18 and free(36) > 0
    assert free(38) == 0 and free(90) == 0
    assert free(-38) == 0


def test_what_leaves_the_picture_because_it_leans_to_the_side_is_not_called_free():
    result = sector_distances(empty(), CAMERA, leaning(0, side=60), ObstacleOptions())
    across = np.degrees(np.arctan(95.5 / 128 / np.sin(np.radians(60))))  # where the horizon leaves the picture
    assert np.isposinf(result).sum() == 2 * int(across // 5)


def test_what_is_beyond_the_range_is_free_as_far_as_all_of_it_is_in_view():
    wall = np.full((192, 256), 30, np.float32)
    wide = ObstacleOptions(sectors=13, sector_angle=np.radians(130))
    result = sector_distances(wall, CAMERA, T_LEVEL_CAM, wide, 25.0)
    assert np.flatnonzero(np.isposinf(result)).tolist() == list(range(2, 11))
    assert not np.isfinite(result).any()
