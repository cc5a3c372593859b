"""The classical methods on a plane whose depth is known exactly, and on the published reference values."""

import dataclasses

import cv2
import numpy as np
import plane_world as world
import pytest

from ros_depthnet.evaluation import methods
from ros_depthnet.evaluation.evaluate import evaluate, load_sets
from ros_depthnet.evaluation.methods import NotApplicable

HERE = world.pose([0, 0, 0], world.turn(0.02, -0.03, 0.01))
SIDEWAYS = world.pose([0.4, 0.05, 0.01])
UP = world.pose([0.03, -0.4, 0.02])
FORWARD = world.pose([0.1, 0.02, -0.8], world.turn(-0.01, 0.02, 0.03))
BACKWARD = world.pose([0.2, -0.1, 0.7])


def relative_errors(method, source):
    """Return |d - z| / z off the borders, where the other image ends."""
    estimate = method(world.frame(HERE), world.frame(source, 0.1)).depth_hw
    truth = world.depth(HERE)
    return (abs(estimate - truth) / truth)[15:-15, 25:-25]


@pytest.mark.parametrize('source', [SIDEWAYS, UP, FORWARD, BACKWARD])
def test_dis_triangulates_the_plane(source):
    assert np.median(relative_errors(methods.dis, source)) < 0.03


@pytest.mark.parametrize('source', [SIDEWAYS, UP, FORWARD, BACKWARD])
def test_sweep_finds_the_plane(source):
    assert np.median(relative_errors(methods.sweep, source)) < 0.03


@pytest.mark.parametrize('source', [SIDEWAYS, UP, FORWARD, BACKWARD])
def test_epipolar_flow_finds_the_plane_where_there_is_contrast(source):
    errors = relative_errors(methods.epipolar, source)
    assert np.nanmedian(errors) < 0.03
    assert np.isfinite(errors).mean() > 0.5


def test_epipolar_flow_says_nothing_of_what_is_plain_along_the_motion():
    def striped(T, seconds):
        frame = world.frame(T, seconds)
        rows = np.broadcast_to(frame.image[:, 80:81], frame.image.shape)  # alike all along x
        return dataclasses.replace(frame, image=np.ascontiguousarray(rows))

    along_x = world.pose([0.4, 0, 0])
    estimate = methods.epipolar(striped(world.pose([0, 0, 0]), 0), striped(along_x, 0.1))
    assert np.isnan(estimate.depth_hw).all()


@pytest.mark.parametrize('source', [SIDEWAYS, UP, world.pose([-0.4, 0.02, 0])])
def test_sgbm_matches_a_pair_moved_in_any_sideways_direction(source):
    errors = relative_errors(methods.sgbm, source)
    assert np.nanmedian(errors) < 0.03
    assert np.isfinite(errors).mean() > 0.8


def test_sgbm_says_that_it_cannot_use_forward_motion():
    with pytest.raises(NotApplicable, match='sideways'):
        methods.sgbm(world.frame(HERE), world.frame(FORWARD))


@pytest.mark.parametrize('method', list(methods.CLASSICAL.values()))
def test_without_motion_there_is_no_depth(method):
    with pytest.raises(NotApplicable, match='did not move'):
        method(world.frame(HERE), world.frame(HERE))


def test_constant_is_the_median():
    estimate = methods.constant(np.array([1.0, 2.0, 7.0]))(world.frame(HERE), world.frame(UP))
    assert (estimate.depth_hw == 2).all()
    assert estimate.depth_hw.shape == (120, 160)


@pytest.mark.parametrize('displacement', [(0.4, -0.1, 0.05), (0.1, 0.2, -0.7)])
def test_depth_noise_is_what_a_wrong_match_does_to_depth(displacement):
    displacement, camera, depth, slip = np.array(displacement), world.CAMERA, 5.0, 1e-4
    noise = methods.depth_noise(np.full((120, 160), depth), camera, [displacement], slip)
    for u, v in ((10, 20), (80, 60), (150, 100)):
        ray = np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1])

        def seen(z, ray=ray):
            return camera.project(ray * z + displacement)

        pixels_per_metre = np.linalg.norm(seen(depth + 1e-3) - seen(depth - 1e-3)) / 2e-3
        # The formula is for a source as far away as the reference; this one is farther by t_z.
        farther = (depth + displacement[2]) / depth
        assert noise[v, u] * farther**2 == pytest.approx(slip / pixels_per_metre, rel=1e-3)


def test_depth_noise_grows_with_the_square_of_depth_and_has_no_bound_at_the_focus_of_expansion():
    camera, forward = world.CAMERA, [np.array([0, 0, 1.0])]
    near, far = (methods.depth_noise(np.full((120, 160), z), camera, forward, 0.1) for z in (2.0, 6.0))
    assert far[10, 10] / near[10, 10] == pytest.approx(9)
    assert np.isinf(near[int(camera.cy), int(camera.cx)])


def test_two_displacements_say_more_than_one():
    depth = np.full((120, 160), 4.0)
    one = methods.depth_noise(depth, world.CAMERA, [np.array([0.3, 0, 0])], 0.1)
    two = methods.depth_noise(depth, world.CAMERA, [np.array([0.3, 0, 0])] * 2, 0.1)
    np.testing.assert_allclose(two, one / np.sqrt(2))


REFERENCE = {  # abs_rel, mae_log, delta_125, delta_105
    ('hololens_walk', 'constant'): (0.246, 0.244, 0.572, 0.142),
    ('tartanair_dark', 'constant'): (0.260, 0.259, 0.488, 0.134),
    ('tartanair_garden', 'constant'): (0.439, 0.522, 0.324, 0.117),
    ('hololens_walk', 'dis'): (0.155, 0.123, 0.851, 0.580),
    ('tartanair_dark', 'dis'): (0.064, 0.047, 0.975, 0.785),
    ('tartanair_garden', 'dis'): (0.405, 0.279, 0.640, 0.465),
}
# OpenCV 5 samples images at exact positions, also within its DIS; OpenCV 4 rounds them to 1/32 pixel.
DIS_TOLERANCE = 0.0005 if cv2.__version__.startswith('5') else 0.007


@pytest.mark.parametrize('name', ['hololens_walk', 'tartanair_dark', 'tartanair_garden'])
def test_the_judge_reproduces_the_reference_values(samples, name):
    results = evaluate(load_sets([samples / name]), ['constant', 'dis'], ['pairs'], lambda text: None)
    for result in results:
        scores = result.row.scores
        measured = (scores.abs_rel, scores.mae_log, scores.delta_125, scores.delta_105)
        tolerance = 0.0005 if result.method == 'constant' else DIS_TOLERANCE
        assert measured == pytest.approx(REFERENCE[name, result.method], abs=tolerance), result.method
