"""Score any model on rendered flights the way it is used, and calibrate its deviation there."""

from __future__ import annotations

import dataclasses

import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.estimator import Estimator, EstimatorOptions
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.motion import pose
from ros_depthnet.engines.model import Model
from ros_depthnet.evaluation.metrics import DepthAndDeviation, PixelErrors, average
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.depth_task import FARTHEST, NEAREST
from ros_depthnet.learning.still_box.sequences import Sequence

_WANTED = 1 / 24
_ONE_DEVIATION = 0.6827
_ROUNDS = 3


def held_out_scores(model: Model, flights: RenderedFlights) -> dict[str, float]:
    """
    Score one pair of each flight: its first frame, and that later one which suits the scene best.

    That is the one whose median parallax is nearest to a 24th of the image's width. All pixels nearer than
    100 m count: `mean_l1` (metres), and `mae_log`, `delta_125`, `within`, `ause` as `evaluate` has them.
    """
    errors = _errors(model, flights)
    scores = average(each.scores() for each in errors)
    found = {'mean_l1': float(np.mean([np.nanmean(np.abs(each.depth - each.truth)) for each in errors]))}
    found |= {name: getattr(scores, name) for name in ('mae_log', 'delta_125', 'within', 'ause')}
    return {name: round(value, 4) for name, value in found.items()}


def calibrated_scale(model: Model, flights: RenderedFlights) -> float:
    """
    Return the `deviation_scale` with which 68 % of errors on the pairs of `held_out_scores` are within it.

    Part of the deviation is geometry's, not the model's, so it takes a few rounds.
    """
    scale = model.card.deviation_scale
    for _ in range(_ROUNDS):
        model.card = dataclasses.replace(model.card, deviation_scale=scale)
        errors = PixelErrors.joined(_errors(model, flights))
        scale *= float(np.nanquantile(np.abs(errors.depth - errors.truth) / errors.deviation, _ONE_DEVIATION))
    return round(scale, 3)


def _errors(model: Model, flights: RenderedFlights) -> list[PixelErrors]:
    options = EstimatorOptions(min_range=NEAREST / 10, max_range=FARTHEST, max_relative_deviation=np.inf)
    estimator = Estimator(model, options)
    return [_errors_of(estimator, flights[number]) for number in range(len(flights))]


def _errors_of(estimator: Estimator, flight: Sequence) -> PixelErrors:
    truth = flight.depth[0].astype(np.float32)
    height, width = truth.shape
    camera = Camera(width, height, *flight.intrinsics)
    frames = [
        Frame(number, np.ascontiguousarray(image), camera, pose(np.eye(3), position))
        for number, (image, position) in enumerate(zip(flight.images, flight.positions))
    ]
    moved = np.linalg.norm(flight.positions[1:] - flight.positions[0], axis=1)
    parallax = camera.fx * moved / np.median(truth[truth < FARTHEST])
    source = 1 + int(np.abs(np.log(parallax / (_WANTED * width))).argmin())
    estimate = estimator.estimate(frames[0], [frames[source]])
    scored = truth < FARTHEST
    return PixelErrors.of(
        DepthAndDeviation(estimate.depth_hw, estimate.deviation_hw), truth, scored, FARTHEST
    )
