"""Pictures and files that people look at, read back by other means than those that made them."""

import struct

import cv2
import numpy as np
import pytest

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.obstacles import Box
from ros_depthnet.evaluation import pictures
from ros_depthnet.evaluation.cloud_map import CloudMap, cloud_picture, write_ply
from ros_depthnet.evaluation.flight_report import flight_strip, write_flight_report, write_video
from ros_depthnet.evaluation.moments import Moments
from ros_depthnet.evaluation.pictures import UNKNOWN, Column, Range, depth_picture, error_picture, strip

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)


def colour(depth, near=1.0, far=20.0):
    return depth_picture(np.array([[depth]], np.float32), near, far)[0, 0].astype(int)


def test_near_is_red_and_far_is_blue():
    red, _, blue = colour(1.0)
    assert red > 100 > blue
    red, _, blue = colour(20.0)
    assert blue > 100 > red


def test_colours_go_by_inverse_depth():
    halfway = 2 / (1 / 1.0 + 1 / 20.0)
    turbo = cv2.applyColorMap(np.array([[128]], np.uint8), cv2.COLORMAP_TURBO)[0, 0, ::-1].astype(int)
    assert abs(colour(halfway) - turbo).max() <= 6


def test_unknown_is_dark_grey_and_like_no_depth():
    assert tuple(colour(np.nan)) == UNKNOWN
    shades = [colour(depth) for depth in 1 / np.linspace(1 / 0.5, 1 / 100, 200)]
    assert min(abs(shade - UNKNOWN).max() for shade in shades) > 40


def test_out_of_range_takes_the_colour_of_its_end():
    assert (colour(np.inf) == colour(20.0)).all()
    assert (colour(-np.inf) == colour(1.0)).all()


def test_the_range_leaves_out_wild_pixels():
    depth = np.append(np.linspace(2, 10, 1000), [0.01, 900, np.nan, np.inf, -np.inf])
    scale = Range.of([depth])
    assert 1.9 < scale.near < 2.5 and 9 < scale.far < 11


def test_nothing_known_still_has_a_range():
    scale = Range.of([np.full((4, 4), np.nan)])
    assert 0 < scale.near < scale.far


def test_error_is_red_too_far_blue_too_near_white_where_right():
    truth = np.full((1, 4), 2.0)
    red, blue, white, grey = error_picture(np.array([[4.0, 1.0, 2.0, np.nan]]), truth)[0].astype(int)
    assert red[0] > 150 > red[2]
    assert blue[2] > 150 > blue[0]
    assert white.min() > 220
    assert tuple(grey) == UNKNOWN


def test_deviation_is_dark_where_sure():
    picture = pictures.deviation_picture(np.array([[0.02, 2.0, np.nan]]), np.array([[4.0, 4.0, np.nan]]))
    assert picture[0, 0].sum() < 120 < picture[0, 1].sum()
    assert tuple(picture[0, 2]) == UNKNOWN


def test_an_obstacle_is_drawn_where_its_corners_are_seen():
    camera = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
    T_world_cam = np.eye(4)
    T_world_cam[:3, 3] = [10, -4, 2]
    box = Box(np.array([10.5, -4, 6.0]), np.array([1.0, 1.0, 0.5]), 3.75, 50)
    drawn = pictures.obstacle_picture(np.zeros((480, 640, 3), np.uint8), camera, T_world_cam, [box]).any(-1)
    # The near face is 3.75 m ahead, from 0 to 1 m right of the axis and half a metre up and down.
    left, right = 319.5, 319.5 + 500 * 1 / 3.75
    top, bottom = 239.5 - 500 * 0.5 / 3.75, 239.5 + 500 * 0.5 / 3.75
    rows, columns = np.nonzero(drawn)
    np.testing.assert_allclose(
        [columns.min(), columns.max(), rows.min(), rows.max()], [left, right, top, bottom], atol=3
    )
    assert drawn[round(top), round(left) : round(right)].all()


def test_an_obstacle_behind_the_camera_is_not_drawn():
    image = np.zeros((48, 64, 3), np.uint8)
    box = Box(np.array([0, 0, -5.0]), np.ones(3), 4.5, 50)
    assert not pictures.obstacle_picture(image, CAMERA, np.eye(4), [box]).any()


def test_a_strip_holds_its_pictures_unchanged():
    rng = np.random.default_rng(0)
    shown = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(4)]
    sheet = strip(
        [Column('left', shown[:2]), Column('right', shown[2:], np.zeros((28, 64, 3), np.uint8))], ['first', 'second']
    )
    for picture in shown:
        match = cv2.matchTemplate(sheet, picture, cv2.TM_SQDIFF)
        assert match.min() < 0.5  # grey levels squared: float32 rounds in the transform


def read_ply(path):
    """Read a binary little-endian PLY by its own header, vertex by vertex."""
    header, _, body = path.read_bytes().partition(b'end_header\n')
    lines = header.decode('ascii').split('\n')
    assert lines[:2] == ['ply', 'format binary_little_endian 1.0']
    count = int(next(line for line in lines if line.startswith('element vertex')).split()[-1])
    codes = {'float': 'f', 'uchar': 'B'}
    properties = [line.split()[1:] for line in lines if line.startswith('property')]
    layout = '<' + ''.join(codes[kind] for kind, _ in properties)
    assert len(body) == count * struct.calcsize(layout)
    names = [name for _, name in properties]
    return [dict(zip(names, values, strict=True)) for values in struct.iter_unpack(layout, body)]


def test_a_ply_holds_points_and_colours(tmp_path):
    points = np.float32([[1, 2, 3], [-4.5, 0, 1e-3]])
    rgb = np.uint8([[255, 0, 7], [1, 2, 3]])
    write_ply(tmp_path / 'cloud.ply', points, rgb)
    first, second = read_ply(tmp_path / 'cloud.ply')
    assert (first['x'], first['y'], first['z']) == (1, 2, 3)
    assert (first['red'], first['green'], first['blue']) == (255, 0, 7)
    assert second['x'] == -4.5 and second['z'] == pytest.approx(1e-3)


def test_a_ply_may_be_empty(tmp_path):
    write_ply(tmp_path / 'cloud.ply', np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8))
    assert read_ply(tmp_path / 'cloud.ply') == []


def test_a_cloud_map_has_one_point_for_each_cube():
    cloud = CloudMap(0.5)
    cloud.add(np.float32([[0.1, 0.1, 0.1], [-0.1, 0.1, 0.1], [np.nan, 0, 0]]), np.full((3, 3), 10, np.uint8))
    cloud.add(np.float32([[0.3, 0.1, 0.1]]), np.full((1, 3), 30, np.uint8))
    points, rgb = cloud.points()
    order = np.argsort(points[:, 0])
    np.testing.assert_allclose(points[order], [[-0.1, 0.1, 0.1], [0.2, 0.1, 0.1]], atol=1e-6)
    assert rgb[order].tolist() == [[10] * 3, [20] * 3]


def test_points_seen_in_one_of_many_clouds_are_left_out():
    cloud = CloudMap(0.5)
    for i in range(30):
        cloud.add(np.float32([[1, 1, 1], [10 + i, 0, 0]]), np.zeros((2, 3), np.uint8))
    points, _ = cloud.points()
    np.testing.assert_allclose(points, [[1, 1, 1]], atol=1e-6)


def test_an_empty_cloud_map_has_no_points():
    points, rgb = CloudMap().points()
    assert points.shape == rgb.shape == (0, 3)


def test_near_points_hide_far_ones_in_the_clouds_picture():
    ahead = np.float32([[0, 0, z] for z in (4, 8)])
    picture = cloud_picture(ahead, np.uint8([[255, 0, 0], [0, 255, 0]]), np.eye(4))
    assert (picture == (255, 0, 0)).all(-1).any()


@pytest.fixture
def moments(tmp_path):
    """Return ten moments of a flight at 5 Hz over depth that grows."""
    moments = Moments(tmp_path / 'moments')
    for i in range(10):
        stamp = i * 200_000_000
        moments.add_image(stamp, np.full((48, 64, 3), 20 * i, np.uint8))
        moments.add_camera(stamp, CAMERA)
        moments.add_depth(stamp, np.full((24, 32), 2.0 + i, np.float32))
        moments.add_deviation(stamp, np.full((24, 32), 0.1, np.float32))
        moments.add_pose(stamp, np.eye(4))
    moments.add_image(99_000_000_000, np.zeros((48, 64, 3), np.uint8))  # has no depth, so is no moment
    return moments


def test_moments_are_those_with_all_parts(moments):
    assert len(moments) == 10
    assert moments[3].depth_hw[0, 0] == 5
    assert abs(moments[3].image.astype(int) - 60).max() < 4


def test_a_video_can_be_played(moments, tmp_path):
    path = write_video(tmp_path / 'depth', moments, Range(2, 12))
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(5, abs=0.1)
    frames = []
    while True:
        more, image = video.read()
        if not more:
            break
        frames.append(image)
    assert len(frames) == 10
    middle = frames[0].shape[1] * 3 // 4
    assert abs(frames[0][100, middle].astype(int) - frames[-1][100, middle]).max() > 60


def test_a_strip_of_a_flight_shows_several_moments(moments):
    sheet = flight_strip(moments, Range(2, 12))
    assert sheet.shape[0] > 5 * 240 and sheet.shape[1] > 4 * 320


def test_a_report_shows_what_lies_beside_it(moments, tmp_path):
    cloud = CloudMap()
    cloud.add(np.float32([[0, 0, 3]]), np.zeros((1, 3), np.uint8))
    page = write_flight_report(
        tmp_path / 'out', 'A <flight>', moments, cloud, {'frames': '10'}, {'commit': 'abc', 'depth_hz': 5}
    )
    text = page.read_text()
    assert 'A &lt;flight&gt;' in text and 'http' not in text
    for name in ('strip.png', 'depth.webm', 'cloud.png', 'cloud.ply'):
        assert f'"{name}"' in text
        assert (tmp_path / 'out' / name).stat().st_size > 0


def test_a_flight_without_depth_has_a_report_that_says_so(tmp_path):
    summary = {'commit': 'abc', 'dropped': {'busy': 3}, 'abs_rel': None}
    text = write_flight_report(
        tmp_path / 'out', 'Nothing', Moments(tmp_path / 'none'), CloudMap(), {}, summary
    ).read_text()
    assert 'no depth' in text
    assert '<td>dropped/busy</td><td>3</td>' in text and '<td>abs_rel</td><td>unknown</td>' in text
