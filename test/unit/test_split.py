"""The published protocol, on models whose answer is known."""

import numpy as np
import pytest

pytest.importorskip('torch', reason='the learning room needs the `train` extra')

import tiny_models  # noqa: E402

from ros_depthnet.engines.model import load_model  # noqa: E402
from ros_depthnet.learning.split import split_scores  # noqa: E402
from ros_depthnet.learning.still_box.sequences import Sequence  # noqa: E402


def flight(metres):
    """Seven frames 0.1 m apart whose red says that parallax is 10 pixels at a width of 64."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 10
    depth = np.full((7, 64, 64), metres, np.float16)
    positions = np.outer(np.arange(7), (0.1, 0, 0))
    return Sequence(np.stack([image] * 7), depth, np.array([32, 32, 31.5, 31.5]), positions)


def test_the_mean_error_is_in_metres_for_frames_three_apart(tmp_path):
    model = load_model(tiny_models.red_is_parallax(tmp_path), input_width=64)
    estimate = 32 * 0.3 / 10
    scores = split_scores(model, [flight(estimate + 2), flight(estimate + 4)], (64, 64))
    assert scores['mean_l1'] == pytest.approx(3, abs=0.01)
    assert scores['constant_mean_l1'] == pytest.approx(1, abs=0.01)


def test_what_is_beyond_a_hundred_metres_is_as_far_as_it_gets(tmp_path):
    model = load_model(tiny_models.red_is_parallax(tmp_path), input_width=64)
    scores = split_scores(model, [flight(np.inf)], (64, 64))
    assert scores['mean_l1'] == pytest.approx(100 - 0.96, abs=0.01)
