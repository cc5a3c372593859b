import cv2
import numpy as np
import pytest

from ros_depthnet.core.camera import Camera

CAMERA = Camera(width=64, height=48, fx=50.0, fy=52.0, cx=30.0, cy=25.0)


def test_projection_is_that_of_opencv():
    points = np.random.default_rng(0).uniform([-2, -2, 1], [2, 2, 9], (50, 3))
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), CAMERA.K, None)
    np.testing.assert_allclose(CAMERA.project(points), expected[:, 0], atol=1e-9)


def test_points_behind_the_camera_have_no_pixel():
    assert np.isnan(CAMERA.project(np.array([[1.0, 1.0, -1.0], [1.0, 1.0, 0.0]]))).all()


def test_back_projected_points_project_to_their_pixels():
    depth = np.random.default_rng(0).uniform(1, 9, (48, 64)).astype(np.float32)
    points = CAMERA.back_project(depth)
    v, u = np.mgrid[:48, :64]
    np.testing.assert_allclose(CAMERA.project(points), np.stack([u, v], -1), atol=1e-4)
    np.testing.assert_array_equal(points[..., 2], depth)
    assert points.dtype == np.float32


@pytest.mark.parametrize('unknown', [np.nan, np.inf, -np.inf])
def test_unknown_depth_gives_no_point(unknown):
    depth = np.full((48, 64), 2.0, np.float32)
    depth[3, 4] = unknown
    points = CAMERA.back_project(depth)
    assert np.isnan(points[3, 4]).all()
    assert np.isnan(points).sum() == 3


def test_depth_of_another_size_is_refused():
    with pytest.raises(ValueError, match='does not fit'):
        CAMERA.back_project(np.ones((24, 32), np.float32))


def test_a_resized_camera_sees_the_same_point_at_the_same_place_of_the_picture():
    # cv2.resize is the judge: the blob's centre of mass must move as the projection does.
    point = np.array([0.1, -0.05, 1.0])
    u, v = CAMERA.project(point)
    y, x = np.mgrid[:48, :64]
    blob = np.exp(-((x - u) ** 2 + (y - v) ** 2) / 30).astype(np.float32)
    small = cv2.resize(blob, (32, 12), interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[:12, :32]
    centre = [(small * x).sum() / small.sum(), (small * y).sum() / small.sum()]
    np.testing.assert_allclose(CAMERA.resized(32, 12).project(point), centre, atol=0.02)


def test_rays_are_shared_and_cannot_be_spoilt():
    assert CAMERA.rays_hw3() is Camera(64, 48, 50.0, 52.0, 30.0, 25.0).rays_hw3()
    with pytest.raises(ValueError):
        CAMERA.rays_hw3()[0, 0, 0] = 1


@pytest.mark.parametrize(
    'values', [(0, 48, 1.0, 1.0, 0.0, 0.0), (64, 48, 0.0, 1.0, 0.0, 0.0), (64, 48, 1.0, np.nan, 0.0, 0.0)]
)
def test_an_impossible_camera_is_refused(values):
    with pytest.raises(ValueError, match='empty|not calibrated'):
        Camera(*values)
