"""Models on rendered flights as they are used, with models whose answer is known."""

import numpy as np
import pytest

pytest.importorskip('torch', reason='the learning room needs the `train` extra')

import tiny_models  # noqa: E402

from ros_depthnet.engines.model import load_model  # noqa: E402
from ros_depthnet.learning.held_out import calibrated_scale, held_out_scores  # noqa: E402
from ros_depthnet.learning.still_box.sequences import Sequence  # noqa: E402


def flight(metres, deviation_percent=10):
    """Seven frames 0.1 m apart, of which a model of width 64 says: parallax is 10 pixels; and how surely."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0], image[..., 1] = 10, deviation_percent
    depth = np.full((7, 64, 64), metres, np.float16)
    positions = np.outer(np.arange(7), (0.1, 0, 0))
    return Sequence(np.stack([image] * 7), depth, np.array([32, 32, 31.5, 31.5]), positions)


@pytest.mark.parametrize('metres, moved', [(1.2, 0.1), (2.4, 0.2), (4.8, 0.4)])
def test_the_source_is_the_frame_that_suits_the_scene(tmp_path, metres, moved):
    model = load_model(tiny_models.red_is_parallax(tmp_path), input_width=64)
    estimate = 32 * moved / 10
    assert held_out_scores(model, [flight(metres)])['mean_l1'] == pytest.approx(metres - estimate, abs=0.01)


def test_the_sky_is_not_scored(tmp_path):
    model = load_model(tiny_models.red_is_parallax(tmp_path), input_width=64)
    half_sky = flight(2.4)
    half_sky.depth[:, :32] = np.inf
    assert held_out_scores(model, [half_sky])['mean_l1'] == pytest.approx(2.4 - 0.64, abs=0.01)


def test_spoilt_flights_are_the_same_each_time_and_other_than_clean_ones(tmp_path):
    model = load_model(tiny_models.red_is_parallax(tmp_path), input_width=64)
    flights = [flight(2.4), flight(4.8)]
    spoilt = held_out_scores(model, flights, spoilt=True)
    assert spoilt == held_out_scores(model, flights, spoilt=True)
    assert spoilt['mae_log'] != held_out_scores(model, flights)['mae_log']


def test_calibrated_two_thirds_of_errors_are_within_the_deviation(tmp_path):
    flights = [flight(0.32 * (1 + percent / 100), 20) for percent in range(1, 101)]
    model = load_model(tiny_models.red_is_parallax(tmp_path, deviation_scale=0.1), input_width=64)
    assert held_out_scores(model, flights, spoilt=True)['within'] < 0.2
    scale = calibrated_scale(model, flights)
    recalibrated = load_model(tiny_models.red_is_parallax(tmp_path, deviation_scale=scale), input_width=64)
    assert held_out_scores(recalibrated, flights, spoilt=True)['within'] == pytest.approx(0.68, abs=0.03)
