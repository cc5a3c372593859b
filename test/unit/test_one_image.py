"""What one image adds to what is remembered: guesses at its scale, never called measured, gone with parallax."""

import cv2
import numpy as np
import pytest
from tiny_models import blue_is_log_depth, red_is_parallax

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Prediction
from ros_depthnet.core.fusion import DepthMap
from ros_depthnet.core.measurer import Origin
from ros_depthnet.core.one_image import LEAST_DEVIATION, filled, unchanged
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.core.reasons import Drop
from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.model import load_model
from ros_depthnet.engines.single_view import load_single_view
from ros_depthnet.flight.session import Session

CAMERA = Camera(96, 72, 80.0, 80.0, 47.5, 35.5)
SIZE = CAMERA.height, CAMERA.width
RNG = np.random.default_rng(0)
WALL = cv2.resize(RNG.integers(0, 256, (18, 48, 3), np.uint8), (192, 72), interpolation=cv2.INTER_CUBIC)


def view(x, image=None, seconds=0.0):
    """Return a frame from x metres along a wall 8 m away, where 10 pixels are a metre."""
    shown = WALL[:, 48 + round(10 * x) : 144 + round(10 * x)] if image is None else image
    return Frame(round(seconds * 1e9), np.ascontiguousarray(shown), CAMERA, motion.pose(np.eye(3), (x, 0, 0)))


def wall(depth=8.0):
    return np.full(SIZE, depth, np.float32)


@pytest.mark.parametrize('x', [0, 2])
def test_a_wall_is_unchanged_where_it_was_in_view_also_darker(x):
    darker = (view(x).image * 0.7).astype(np.uint8)
    for image in (None, darker):
        same = unchanged(view(x, image), wall(), view(0))
        assert same[:, : 96 - 10 * x].mean() > 0.95 and not same[:, 97 - 10 * x :].any()


def test_what_has_come_is_no_longer_the_wall_and_nothing_else_is_in_doubt():
    image = view(0).image.copy()
    image[20:50, 30:60] = image[20:50, 30:60][::-1, ::-1]
    same = unchanged(view(0, image), wall(), view(0))
    assert same[24:46, 34:56].mean() < 0.2
    same[14:56, 24:66] = True
    assert same.mean() > 0.99


def test_at_a_wrong_depth_nothing_looks_the_same():
    assert unchanged(view(2), wall(5.0), view(0)).mean() < 0.4


def scene():
    """Return a depth that falls from 20 m at the top to 4 m, with a box at 5 m, (H, W) float32."""
    depth = np.repeat(np.geomspace(20, 4, SIZE[0])[:, None], SIZE[1], 1)
    depth[30:60, 60:80] = 5
    return depth.astype(np.float32)


def known_left(depth, columns=48):
    return DepthMap.fresh(depth, np.full(SIZE, 0.05, np.float32)).where(np.arange(SIZE[1]) < columns)


def guess_of(depth, deviation=0.3):
    return Prediction(depth.astype(np.float32), np.full(SIZE, deviation, np.float32))


@pytest.mark.parametrize('stretch', [0.8, 1.25])
def test_a_guess_that_is_stretched_and_scaled_becomes_metres(stretch):
    truth = scene()
    result = filled(known_left(truth), guess_of(0.1 * truth ** (1 / stretch)))
    error = np.abs(np.log(result.depth_hw / truth))
    assert error[:, 48:].mean() < 0.05
    np.testing.assert_array_equal(result.depth_hw[:, :48], truth[:, :48])


def test_what_was_never_measured_says_so_and_is_unsure():
    result = filled(known_left(scene()), guess_of(scene()))
    assert np.isposinf(result.age_hw[:, 48:]).all() and (result.age_hw[:, :48] == 0).all()
    assert (result.deviation_hw[:, 48:] >= LEAST_DEVIATION).all()
    assert (result.deviation_hw[:, :48] == np.float32(0.05)).all()


def test_a_fifth_of_what_is_known_may_be_wrong():
    truth = scene()
    remembered = np.where(RNG.random(SIZE) < 0.2, 5 * truth, truth)
    result = filled(known_left(remembered), guess_of(3 * truth))
    assert np.abs(np.log(result.depth_hw / truth))[:, 48:].mean() < 0.1


def test_a_guess_is_corrected_most_near_what_is_known():
    truth = scene()
    bent = truth * np.linspace(1, 1.6, SIZE[1], dtype=np.float32)  # what it errs by has no line
    error = np.log(filled(known_left(truth), guess_of(bent)).depth_hw / truth)[:30, 48:].mean(0)
    assert abs(error[0]) < 0.1 < abs(error[-1])


@pytest.mark.parametrize('deviation', [0.05, 0.6])
def test_without_metres_there_is_no_guess(deviation):
    sure = DepthMap.fresh(scene(), np.full(SIZE, deviation, np.float32))
    known = sure.where(np.arange(SIZE[1]) < (32 if deviation < 0.1 else 96))
    result = filled(known, guess_of(scene()))
    np.testing.assert_array_equal(result.depth_hw, known.depth_hw)


# Along a flight.

FLYING = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    return load_model(red_is_parallax(folder)), load_single_view(blue_is_log_depth(folder))


SURE = np.where(np.arange(64) < 44, 4, 250)  # on the left


def frame(seconds, x=0.0, blue=100, green=SURE, yaw=0.0):
    """Return a frame whose red is a parallax of 12 pixels, green the deviation in percent, and blue the guess."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 12, green, blue
    image[:24, :, 2] = blue // 2
    rotation = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    return Frame(round(seconds * 1e9), image, FLYING, motion.pose(rotation, [x, 0, 0]))


def measured(models, **options):
    """Return a session that has measured a wall at 2.5 m, but for its right end, and the estimate."""
    usual = {'initial_depth': 2.5, 'target_parallax': 8, 'buffer_age': 1.05, 'min_parallax': 2.0}
    usual |= {'alignment_rounds': 0, 'check_odometry': False, 'find_mask': False}
    session = Session(models[0], EstimatorOptions(**{**usual, **options}), single_view=models[1])
    session.add(frame(0))
    return session, session.add(frame(1, 0.5))


def test_without_a_model_what_looks_the_same_is_remembered_and_nothing_is_guessed(models):
    session, first = measured((models[0], None), remember_unchanged=True, memory_age=2.0)
    last = hover(session, 20)[-1]
    assert set(np.unique(last.origin_hw)) == {Origin.UNKNOWN, Origin.REMEMBERED}
    assert (last.origin_hw[:, 4:40] == Origin.REMEMBERED).mean() > 0.95
    assert first.deviation_hw[24, 20] < last.deviation_hw[24, 20] < 4 * first.deviation_hw[24, 20]


def hover(session, seconds):
    return [session.add(frame(t, 0.5)) for t in np.arange(1.5, 1 + seconds, 0.5)]


def test_hovering_goes_on_from_one_image_and_nothing_is_called_measured(models):
    session, first = measured(models)
    assert set(np.unique(first.origin_hw)) == {Origin.UNKNOWN, Origin.MEASURED}
    last = hover(session, 20)[-1]
    assert last.carried is Drop.BASELINE_TOO_SHORT
    assert (last.origin_hw[:, 4:40] == Origin.REMEMBERED).mean() > 0.95
    assert (last.origin_hw[:, 48:] == Origin.ONE_IMAGE).all()
    np.testing.assert_allclose(last.depth_hw[:, 4:40], 2.5, rtol=0.01)
    relative = (last.deviation_hw / last.depth_hw)[:, 48:]
    assert (relative >= LEAST_DEVIATION).all()


def test_what_looks_different_is_remembered_no_longer_than_without(models):
    session, _ = measured(models, memory_age=2.0)
    hover(session, 4)
    someone = np.where(np.arange(64) < 20, 200, SURE)
    changed = [session.add(frame(t, 0.5, green=someone)) for t in (5.5, 6.0)]
    assert (changed[-1].origin_hw[:, 4:12] != Origin.REMEMBERED).all()
    assert (changed[-1].origin_hw[:, 30:40] == Origin.REMEMBERED).mean() > 0.9


def test_a_drone_that_turns_goes_on_from_guess_to_guess_and_knows_them_again(models):
    session, _ = measured(models)
    yaws = [*np.arange(0, 1.21, 0.1), *np.arange(1.1, 0.55, -0.1)]
    turning = [session.add(frame(1.5 + 0.5 * n, 0.5, yaw=yaw)) for n, yaw in enumerate(yaws)]
    for result in turning:
        assert not (result.origin_hw == Origin.MEASURED).any()
        assert np.isfinite(result.depth_hw).mean() > 0.9
    there, back = (turning[yaws.index(yaw)] for yaw in (yaws[7], yaws[-2]))
    assert there.T_world_cam == pytest.approx(back.T_world_cam)
    known = np.isfinite(there.depth_hw) & np.isfinite(back.depth_hw)
    assert np.abs(np.log(back.depth_hw / there.depth_hw))[known].mean() < 0.05


def test_guesses_are_gone_the_moment_parallax_is_back(models):
    session, _ = measured(models)
    hover(session, 8)
    session.add(frame(9, 0.6))
    result = session.add(frame(9.5, 1.1))
    assert result.carried is None
    assert not (result.origin_hw == Origin.ONE_IMAGE).any()


def test_a_covered_lens_guesses_nothing(models):
    session, _ = measured(models)
    black = Frame(2_000_000_000, np.zeros((48, 64, 3), np.uint8), FLYING, motion.pose(np.eye(3), (0.5, 0, 0)))
    assert not (session.add(black).origin_hw == Origin.ONE_IMAGE).any()


def test_before_anything_was_measured_nothing_is_guessed(models):
    session = Session(models[0], EstimatorOptions(check_odometry=False), single_view=models[1])
    assert {session.add(frame(t)) for t in (0, 1, 2)} == {Drop.FIRST_FRAME, Drop.BASELINE_TOO_SHORT}


def test_each_kind_of_model_is_refused_where_the_other_belongs(tmp_path):
    with pytest.raises(ModelError, match='gives no depth'):
        load_model(blue_is_log_depth(tmp_path))
    with pytest.raises(ModelError, match='and a singleview is wanted'):
        load_single_view(red_is_parallax(tmp_path))
