"""Scores against arithmetic done by hand or by plain loops."""

import math

import numpy as np
import pytest

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.measurer import Estimate
from ros_depthnet.evaluation.metrics import DepthAndDeviation, PixelErrors, Scores, average, flicker, resample


def errors(depth, truth, deviation=None, max_depth=100.0, scored=None):
    depth, truth = np.atleast_2d(np.float32(depth)), np.atleast_2d(np.float32(truth))
    deviation = None if deviation is None else np.atleast_2d(np.float32(deviation))
    scored = np.ones(truth.shape, bool) if scored is None else np.atleast_2d(scored)
    return PixelErrors.of(DepthAndDeviation(depth, deviation), truth, scored, max_depth)


def test_the_means_are_those_of_the_definitions():
    d, z = [2.0, 5.0, 9.0, 4.0], [2.5, 4.0, 9.2, 8.0]
    scores = errors(d, z).scores()
    pairs = list(zip(d, z, strict=True))
    assert scores.abs_rel == pytest.approx(sum(abs(a - b) / b for a, b in pairs) / 4)
    assert scores.rmse == pytest.approx(math.sqrt(sum((a - b) ** 2 for a, b in pairs) / 4))
    assert scores.mae_log == pytest.approx(sum(abs(math.log(a) - math.log(b)) for a, b in pairs) / 4)
    assert scores.coverage == 1


def test_delta_counts_ratios_below_its_threshold_either_way():
    scores = errors([1.02, 1.04, 1 / 1.04, 1.06, 1.24, 1 / 1.24, 1.26, 1 / 1.02], [1.0] * 8).scores()
    assert scores.delta_103 == pytest.approx(2 / 8)
    assert scores.delta_105 == pytest.approx(4 / 8)
    assert scores.delta_125 == pytest.approx(7 / 8)


def test_no_estimate_is_wrong_in_delta_and_left_out_of_means():
    scores = errors([np.nan, 2.0, 3.0, np.nan], [2.0, 2.0, 4.0, 4.0]).scores()
    assert scores.coverage == 0.5
    assert scores.delta_125 == 0.25
    assert scores.abs_rel == pytest.approx(0.125)


def test_beyond_range_is_the_largest_depth_of_the_set():
    scores = errors([np.inf, 80.0], [40.0, 40.0], max_depth=50.0).scores()
    assert scores.coverage == 1
    assert scores.abs_rel == pytest.approx(0.25)


@pytest.mark.parametrize('nothing', [-np.inf, 0.0, -3.0])
def test_too_close_and_impossible_depth_is_no_estimate(nothing):
    assert errors([nothing, 4.0], [4.0, 4.0]).scores().coverage == 0.5


def test_only_scored_pixels_count():
    scores = errors([1.0, 50.0], [1.0, 2.0], scored=[True, False]).scores()
    assert scores.abs_rel == 0


def test_ause_is_zero_when_doubt_grows_with_the_error():
    truth, depth = np.full(50, 4.0), 4 + np.linspace(0, 2, 50)
    doubt = (depth - truth) / truth * depth + 0.01
    assert errors(depth, truth, doubt).scores().ause == pytest.approx(0, abs=1e-6)


def test_ause_is_the_area_between_two_sparsification_curves():
    rng = np.random.default_rng(3)
    truth = rng.uniform(2, 9, 40).astype(np.float32)
    depth = (truth * rng.uniform(0.7, 1.4, 40)).astype(np.float32)
    deviation = rng.uniform(0.1, 1, 40).astype(np.float32)
    relative, doubt = abs(depth - truth) / truth, deviation / depth

    def curve(removed_first):
        order = np.argsort(-removed_first)
        return [relative[order[taken:]].mean() for taken in range(40)]

    area = np.mean(np.array(curve(doubt)) - curve(relative))
    assert errors(depth, truth, deviation).scores().ause == pytest.approx(area, rel=1e-5)


def test_without_a_deviation_there_is_no_ause():
    assert math.isnan(errors([2.0], [2.0]).scores().ause)


def test_trust_says_what_leaving_out_by_deviation_is_worth():
    # Deviations of 10, 30, 10 and 50 percent; the second and the third are off by more than a quarter.
    depth, truth = [2.0, 6.0, 3.0, 5.0, np.nan], [2.0, 4.0, 4.0, 5.0, 4.0]
    trust = errors(depth, truth, [0.2, 1.8, 0.3, 2.5, np.nan]).trust()
    assert trust.wrong == pytest.approx(2 / 4)
    assert trust.trusted == pytest.approx(2 / 5)
    assert trust.trusted_wrong == pytest.approx(1 / 2)
    assert trust.deviation == pytest.approx(0.25)


def test_pairs_weigh_the_same_whatever_their_number_of_pixels():
    few, many = errors([2.0], [1.0]).scores(), errors([1.0] * 9, [1.0] * 9).scores()
    assert average([few, many]).abs_rel == pytest.approx(0.5)


def test_a_pair_without_any_estimate_lowers_delta_but_not_the_means():
    nothing, right = errors([np.nan], [1.0]).scores(), errors([1.1], [1.0]).scores()
    mean = average([nothing, right])
    assert (mean.delta_125, mean.coverage) == (0.5, 0.5)
    assert mean.abs_rel == pytest.approx(0.1)


def test_scores_have_the_names_of_the_published_table():
    assert list(Scores.__dataclass_fields__) == [
        'abs_rel',
        'rmse',
        'mae_log',
        'delta_103',
        'delta_105',
        'delta_125',
        'coverage',
        'ause',
        'within',
    ]


def test_resampling_keeps_a_plane_a_plane():
    def plane(camera):
        return 1 / (0.2 + camera.rays_hw3() @ np.float32([0.05, -0.08, 0]))

    small = Camera(32, 24, 30.0, 28.0, 15.0, 12.0)
    large = small.resized(80, 60)
    resampled = resample(DepthAndDeviation(plane(small)), 80, 60).depth_hw
    np.testing.assert_allclose(resampled[3:-3, 3:-3], plane(large)[3:-3, 3:-3], rtol=1e-3)


def test_resampling_neither_spreads_nor_fills_the_unknown():
    depth = np.full((4, 4), 3.0, np.float32)
    depth[:, :2] = np.nan
    resampled = resample(DepthAndDeviation(depth), 8, 8).depth_hw
    assert np.isnan(resampled[:, :4]).all()
    assert (resampled[:, 4:] == 3).all()


def test_resampling_keeps_beyond_range_beyond_range():
    depth = np.full((4, 4), np.inf, np.float32)
    assert np.isposinf(resample(DepthAndDeviation(depth), 7, 9).depth_hw).all()


def test_resampling_brings_the_deviation_along():
    resampled = resample(DepthAndDeviation(np.ones((2, 2)), np.full((2, 2), 0.25)), 5, 5)
    assert (resampled.deviation_hw == 0.25).all()


def seen(depth_hw, forward):
    """Return an estimate of a camera that has flown forwards by so many metres."""
    T_world_cam = np.eye(4)
    T_world_cam[2, 3] = forward
    depth_hw = np.float32(np.broadcast_to(depth_hw, (48, 64)))
    return Estimate(
        0,
        depth_hw,
        depth_hw / 10,
        np.zeros_like(depth_hw),
        np.zeros((48, 64, 3), np.uint8),
        Camera(64, 48, 60, 60, 31.5, 23.5),
        T_world_cam,
        (),
        {},
        0,
    )


def test_flicker_is_nothing_where_a_wall_stays_where_it_is():
    assert flicker(seen(3.0, 0), seen(2.5, 0.5)) == pytest.approx(0, abs=1e-6)


def test_flicker_is_by_how_much_points_move_between_two_maps():
    assert flicker(seen(3.0, 0), seen(2.6, 0.5)) == pytest.approx(math.log(3.1 / 3.0), rel=1e-4)


def test_flicker_leaves_out_what_one_map_does_not_know_and_what_was_hidden_counts_as_a_quarter():
    half = np.full((48, 64), 2.5)
    half[:24] = np.nan
    assert flicker(seen(3.0, 0), seen(half, 0.5)) == pytest.approx(0, abs=1e-6)
    half[:24] = 9.5
    assert flicker(seen(3.0, 0), seen(half, 0.5)) == pytest.approx(math.log(1.25) / 2, rel=1e-4)
    assert math.isnan(flicker(seen(np.nan, 0), seen(2.5, 0.5)))
