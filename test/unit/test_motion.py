import cv2
import numpy as np
import pytest

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.motion import InvalidPose, NoPose, PoseBuffer, TimeJump

CAMERA = Camera(width=96, height=64, fx=80.0, fy=80.0, cx=47.5, cy=31.5)
SECOND = 1_000_000_000


def quaternion_about(axis, angle):
    axis = np.asarray(axis, float) / np.linalg.norm(axis)
    return np.append(axis * np.sin(angle / 2), np.cos(angle / 2))


def turned(axis, angle, xyz=(0, 0, 0)):
    return motion.from_quaternion(xyz, quaternion_about(axis, angle))


def rotated(quat, vector):
    """Rotate by q v q*, with quaternion products written out."""

    def product(a, b):
        (ax, ay, az, aw), (bx, by, bz, bw) = a, b
        return np.array(
            [
                aw * bx + ax * bw + ay * bz - az * by,
                aw * by - ax * bz + ay * bw + az * bx,
                aw * bz + ax * by - ay * bx + az * bw,
                aw * bw - ax * bx - ay * by - az * bz,
            ]
        )

    return product(product(quat, np.append(vector, 0)), quat * [-1, -1, -1, 1])[:3]


def test_a_quaternion_rotates_and_its_position_shifts():
    quat = quaternion_about([1, -2, 3], 0.7)
    T = motion.from_quaternion([4, 5, 6], 3 * quat)  # any norm
    np.testing.assert_allclose(T @ [1, 2, 3, 1], [*(rotated(quat, [1, 2, 3]) + [4, 5, 6]), 1], atol=1e-12)


@pytest.mark.parametrize('angle', [0, 1e-9, 0.3, 2, np.pi - 1e-9, np.pi])
@pytest.mark.parametrize('axis', [[1, 0, 0], [0, -1, 0], [1, -2, 3]])
def test_pose_and_quaternion_are_inverse_to_each_other(axis, angle):
    T = turned(axis, angle)
    quat = motion.quaternion(T)
    np.testing.assert_allclose(motion.from_quaternion([0, 0, 0], quat), T, atol=1e-12)
    assert np.isclose(np.linalg.norm(quat), 1)
    assert quat[3] >= 0


@pytest.mark.parametrize('angle', [0, 1e-8, 0.1, 3, np.pi])
def test_rotation_angle(angle):
    assert motion.rotation_angle(turned([3, -1, 2], angle)) == pytest.approx(angle, abs=1e-12)


def test_inverse():
    T = turned([1, 2, 3], 0.8, [4, 5, 6])
    np.testing.assert_allclose(motion.inverse(T), np.linalg.inv(T), atol=1e-12)


@pytest.mark.parametrize('fraction', [0, 0.25, 0.9, 1])
def test_interpolation_is_slerp_and_linear(fraction):
    a, b = quaternion_about([1, 2, 3], 0.4), quaternion_about([-1, 1, 0.5], 1.9)
    angle = np.arccos(a @ b)
    slerp = (np.sin((1 - fraction) * angle) * a + np.sin(fraction * angle) * b) / np.sin(angle)
    T_a, T_b = motion.from_quaternion([0, 0, 0], a), motion.from_quaternion([4, -8, 2], b)
    T = motion.interpolate(T_a, T_b, fraction)
    np.testing.assert_allclose(T, motion.from_quaternion(fraction * np.array([4, -8, 2]), slerp), atol=1e-9)


@pytest.mark.parametrize(
    'xyz, quat',
    [
        ([0, np.nan, 0], [0, 0, 0, 1]),
        ([0, 0, 0], [0, 0, 0, 0]),
        ([0, 0, 0], [0, np.nan, 0, 1]),
        ([np.inf, 0, 0], [0, 0, 0, 1]),
    ],
)
def test_a_pose_without_meaning_is_refused(xyz, quat):
    with pytest.raises(InvalidPose):
        motion.from_quaternion(xyz, quat)


def moving_buffer(**options):
    """Hold poses each 0.1 s from 10 s to 11 s, flying along x at 1 m/s."""
    poses = PoseBuffer(**options)
    for tenth in range(11):
        poses.add(10 * SECOND + tenth * SECOND // 10, motion.pose(np.eye(3), [tenth / 10, 0, 0]))
    return poses


def test_poses_are_interpolated_not_the_nearest():
    assert moving_buffer().at(10 * SECOND + 537_000_000)[0, 3] == pytest.approx(0.537)


def test_a_pose_at_its_very_stamp_is_exact():
    poses = moving_buffer()
    assert [poses.at(stamp)[0, 3] for stamp in (10 * SECOND, 11 * SECOND)] == [0, 1]


@pytest.mark.parametrize('stamp, reason', [(9.9, 'before the buffer'), (11.01, 'not yet')])
def test_outside_the_buffer_there_is_no_pose(stamp, reason):
    with pytest.raises(NoPose) as caught:
        moving_buffer().at(int(stamp * SECOND))
    assert caught.value.reason == reason


def test_an_empty_buffer_has_no_pose_yet():
    with pytest.raises(NoPose, match='not yet'):
        PoseBuffer().at(0)


def test_nothing_is_interpolated_over_a_gap():
    poses = moving_buffer(max_gap=0.25)
    poses.add(int(11.8 * SECOND), np.eye(4))
    with pytest.raises(NoPose, match='gap of 0.8 s'):
        poses.at(int(11.4 * SECOND))


def test_old_poses_are_let_go():
    poses = moving_buffer(duration=0.5)
    with pytest.raises(NoPose, match='before the buffer'):
        poses.at(int(10.45 * SECOND))
    assert poses.at(int(10.55 * SECOND))[0, 3] == pytest.approx(0.55)


def test_time_running_backwards_is_named_and_the_buffer_kept():
    poses = moving_buffer()
    with pytest.raises(TimeJump, match='ran back by 1.000 s'):
        poses.add(10 * SECOND, np.eye(4))
    assert poses.newest_ns == 11 * SECOND


def test_a_cleared_buffer_starts_at_any_time():
    poses = moving_buffer()
    poses.clear()
    assert poses.newest_ns is None
    poses.add(SECOND, np.eye(4))
    assert poses.newest_ns == SECOND


@pytest.mark.parametrize(
    'spoil',
    [lambda T: T * np.nan, lambda T: np.diag([1.0, 1, -1, 1]), lambda T: T[:3], lambda T: np.diag([0.0, 0, 0, 1])],
)
def test_no_pose_but_rigid_ones_is_buffered(spoil):
    poses = moving_buffer()
    with pytest.raises(InvalidPose):
        poses.add(12 * SECOND, spoil(np.eye(4)))
    assert poses.newest_ns == 11 * SECOND


def picture(camera, R_world_cam):
    """Render a smooth world infinitely far away: brightness is a function of the direction in the world."""
    v, u = np.mgrid[: camera.height, : camera.width]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1)
    x, y, z = np.moveaxis(rays / np.linalg.norm(rays, axis=-1, keepdims=True) @ R_world_cam.T, -1, 0)
    waves = np.stack([np.sin(9 * x + 5 * y), np.cos(11 * y), np.sin(8 * z)], -1)
    return (127 + 100 * waves).round().astype(np.uint8)


def test_without_translation_the_stabilised_source_is_the_reference():
    T_world_ref, T_world_src = turned([1, 2, 3], 0.5), turned([1, 2, 3], 0.5) @ turned([1, -2, 1.5], 0.12)
    reference, source = picture(CAMERA, T_world_ref[:3, :3]), picture(CAMERA, T_world_src[:3, :3])
    result = motion.stabilise(source, CAMERA, motion.inverse(T_world_src) @ T_world_ref)
    difference = np.abs(result.image.astype(int) - reference)[result.valid_hw]
    assert difference.max() <= 6
    assert difference.mean() < 0.7
    assert np.abs(source.astype(int) - reference).mean() > 5  # it did have to turn


def test_a_point_lies_at_itself_plus_displacement_in_the_stabilised_source():
    T_src_ref = turned([0.4, 1, -0.3], 0.15, [0.3, -0.2, 0.25])
    point_ref = np.array([0.2, 0.1, 3.0])
    u, v = CAMERA.project((T_src_ref @ [*point_ref, 1])[:3])
    y, x = np.mgrid[:64, :96]
    spot = np.exp(-((x - u) ** 2 + (y - v) ** 2) / 8) * 255
    result = motion.stabilise(np.repeat(spot[..., None], 3, 2).astype(np.uint8), CAMERA, T_src_ref)
    weight = result.image[..., 0].astype(float)
    centre = [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()]
    np.testing.assert_allclose(centre, CAMERA.project(point_ref + result.displacement), atol=0.1)


def test_valid_is_what_the_source_saw_though_it_be_black():
    T_src_ref = turned([0, 1, 0], 0.3)  # the source looks elsewhere
    result = motion.stabilise(np.zeros((64, 96, 3), np.uint8), CAMERA, T_src_ref)
    v, u = np.mgrid[:64, :96]
    points_src = np.stack([(u - 47.5) / 80, (v - 31.5) / 80, np.ones_like(u)], -1) @ T_src_ref[:3, :3].T
    pixels = points_src[..., :2] / points_src[..., 2:] * 80 + [47.5, 31.5]
    inside = ((pixels > -0.5) & (pixels < [95.5, 63.5])).all(-1)
    assert 0.3 < inside.mean() < 0.9
    assert (result.valid_hw == inside).mean() > 0.999


def test_what_lies_behind_the_source_is_not_valid():
    result = motion.stabilise(np.full((64, 96, 3), 9, np.uint8), CAMERA, turned([0, 1, 0], np.pi))
    assert not result.valid_hw.any()


def test_a_projection_says_where_a_source_shows_a_pixel_of_some_depth():
    camera = Camera(40, 30, 50.0, 61.0, 18.5, 13.5)
    T_src_ref = motion.pose(cv2.Rodrigues(np.array([0.05, -0.08, 0.11]))[0], (0.3, -0.2, 0.4))
    depth = np.random.default_rng(0).uniform(2, 9, (30, 40))
    points_src = camera.back_project(depth) @ T_src_ref[:3, :3].T + T_src_ref[:3, 3]
    row, column = np.indices(depth.shape)
    seen = np.stack([column, row, np.ones_like(depth), 1 / depth], -1) @ motion.projection(camera, T_src_ref).T
    np.testing.assert_allclose(seen[..., :2] / seen[..., 2:], camera.project(points_src), atol=1e-3)
    np.testing.assert_allclose(seen[..., 2], points_src[..., 2] / depth, rtol=1e-5)


def test_parallax_vanishes_at_the_focus_of_expansion():
    displacement = np.array([0.1, -0.05, 0.5])
    u, v = motion.foe(CAMERA, displacement)
    point = np.array([(u - 47.5) / 80, (v - 31.5) / 80, 1]) * 7
    np.testing.assert_allclose(CAMERA.project(point + displacement), [u, v], atol=1e-9)


def test_sideways_motion_has_its_focus_of_expansion_at_infinity():
    u, v = motion.foe(CAMERA, np.array([-0.2, 0, 0]))
    assert u == -np.inf
    assert v == CAMERA.cy


def test_a_track_is_interpolated_at_many_times_at_once_as_at_one():
    rng = np.random.default_rng(3)
    stamps_ns = np.cumsum(rng.integers(1, 9, 8)) * 10_000_000
    poses = {
        int(stamp_ns): motion.pose(cv2.Rodrigues(rng.normal(size=3))[0], rng.normal(size=3)) for stamp_ns in stamps_ns
    }
    asked_ns = rng.integers(stamps_ns[0] + 1, stamps_ns[-1], 50)
    buffer = motion.PoseBuffer(max_gap=1.0)
    for stamp_ns, T in poses.items():
        buffer.add(stamp_ns, T)
    found = motion.Track(poses).at(asked_ns)
    np.testing.assert_allclose(found, [buffer.at(int(stamp_ns)) for stamp_ns in asked_ns], atol=1e-9)
    assert np.isnan(motion.Track(poses).at(stamps_ns[[0, -1]] + (-1, 1))).all()
