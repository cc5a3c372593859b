"""Points from depth, against pinhole arithmetic written out pixel by pixel."""

import numpy as np
import pytest

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.cloud import CloudOptions, make_cloud, trusted_depth
from ros_depthnet.core.motion import pose

CAMERA = Camera(7, 5, 6.0, 5.0, 2.5, 2.0)
DEPTH = np.random.default_rng(0).uniform(1, 9, (5, 7)).astype(np.float32)
TURN = pose([[0, -1, 0], [1, 0, 0], [0, 0, 1]], [10, 20, 30])  # a quarter turn about z
EVERY_PIXEL = {'stride': 1, 'max_distance': 100.0}


def expected_points(pixels):
    points = []
    for v, u in pixels:
        z = DEPTH[v, u]
        x, y = (u - 2.5) / 6 * z, (v - 2) / 5 * z
        points.append([-y + 10, x + 20, z + 30])
    return np.array(points)


@pytest.mark.parametrize('stride', [1, 2, 3])
def test_points_are_the_strided_pixels_in_the_wanted_frame(stride):
    pixels = [(v, u) for v in range(0, 5, stride) for u in range(0, 7, stride)]
    rgb = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    cloud = make_cloud(DEPTH, None, rgb, CAMERA, TURN, CloudOptions(stride, max_distance=100.0))
    np.testing.assert_allclose(cloud.points, expected_points(pixels), rtol=1e-5)
    np.testing.assert_array_equal(cloud.rgb, [rgb[pixel] for pixel in pixels])


def test_only_finite_near_and_certain_depth_gives_points():
    depth_hw, deviation_hw = DEPTH.copy(), np.full((5, 7), 0.1, np.float32)
    depth_hw[0, :5] = np.nan, np.inf, -np.inf, 0, 99
    deviation_hw[1, :3] = np.nan, np.inf, DEPTH[1, 2] * 0.21
    cloud = make_cloud(
        depth_hw, deviation_hw, None, CAMERA, np.eye(4), CloudOptions(1, max_distance=50.0, max_relative_deviation=0.2)
    )
    assert len(cloud.points) == 35 - 5 - 3
    assert np.isfinite(cloud.points).all()


def test_an_organised_cloud_has_nan_where_there_is_no_point():
    depth_hw = DEPTH.copy()
    depth_hw[2, 4] = np.inf
    points = make_cloud(depth_hw, None, None, CAMERA, TURN, CloudOptions(2, organised=True)).points
    assert points.shape == (3, 4, 3)
    assert np.argwhere(np.isnan(points).any(-1)).tolist() == [[1, 2]]


def test_a_voxel_gives_the_mean_of_its_points():
    size, rgb = 2.0, np.random.default_rng(2).integers(0, 256, (5, 7, 3), np.uint8)
    every = make_cloud(DEPTH, None, rgb, CAMERA, TURN, CloudOptions(**EVERY_PIXEL))
    thin = make_cloud(DEPTH, None, rgb, CAMERA, TURN, CloudOptions(**EVERY_PIXEL, voxel_size=size))
    cells = {}
    for point, colour in zip(every.points.astype(float), every.rgb.astype(float)):
        cells.setdefault(tuple(np.floor(point / size).astype(int)), []).append(np.append(point, colour))
    means = np.array(sorted(np.mean(members, axis=0).tolist() for members in cells.values()))
    order = np.lexsort(thin.points.T[::-1])
    np.testing.assert_allclose(thin.points[order], means[:, :3], rtol=1e-5)
    np.testing.assert_allclose(thin.rgb[order], means[:, 3:], atol=0.5)


@pytest.mark.parametrize('axes', [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_a_wall_has_a_point_in_each_of_its_cubes_along_whatever_axes_it_stands(axes):
    camera, wall = Camera(30, 20, 10, 10, 14.5, 9.5), np.full((20, 30), 5.05, np.float32)
    turned = pose(np.eye(3)[list(axes)], (0, 0, 0))
    every, thin = (
        make_cloud(wall, None, None, camera, turned, CloudOptions(**EVERY_PIXEL, voxel_size=size)).points
        for size in (0.0, 1.0)
    )
    assert len(thin) == len({tuple(cube) for cube in np.floor(every).astype(int)})


@pytest.mark.parametrize('voxel_size', [0.0, 1.0])
def test_nothing_known_gives_an_empty_cloud(voxel_size):
    nothing = np.full((5, 7), np.nan, np.float32)
    cloud = make_cloud(
        nothing, None, np.zeros((5, 7, 3), np.uint8), CAMERA, TURN, CloudOptions(1, voxel_size=voxel_size)
    )
    assert cloud.points.shape == cloud.rgb.shape == (0, 3)


def test_an_organised_cloud_cannot_be_thinned():
    with pytest.raises(ValueError, match='voxel_size'):
        CloudOptions(organised=True, voxel_size=0.1)


def test_trusted_depth_keeps_what_is_known_to_be_near_or_far():
    depth = np.array([2, 2, 2, np.inf, -np.inf, np.nan], np.float32)
    deviation = np.array([0.1, 1, np.nan, np.nan, np.nan, np.nan], np.float32)
    expected = [2, np.nan, np.nan, np.inf, -np.inf, np.nan]
    np.testing.assert_array_equal(trusted_depth(depth, deviation, 0.2), expected)
