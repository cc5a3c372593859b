"""Score any model on rendered flights the way it is used, and calibrate its deviation there."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.measurer import Measurer
from ros_depthnet.core.motion import pose
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.engines.single_view import SingleViewModel
from ros_depthnet.evaluation.metrics import DepthAndDeviation, PixelErrors, average
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.depth_task import FARTHEST
from ros_depthnet.learning.networks.depthnet import NEAREST
from ros_depthnet.learning.still_box.options import SensorOptions
from ros_depthnet.learning.still_box.sensor import Sensor
from ros_depthnet.learning.still_box.sequences import Sequence

_WANTED = 1 / 24
_ONE_DEVIATION = 0.6827
_ROUNDS = 2
_CAMERA = SensorOptions(noise=0.02, blur=0.5, exposure=0.1, vignetting=0.2)
_RATE = 10.0
_ROTATION_NOISE = np.radians(0.1)
_DIRECTION_NOISE = 0.03


def held_out_scores(model: Model, flights: RenderedFlights, spoilt: bool = False) -> dict[str, float]:
    """
    Score one pair of each flight: its first frame, and that later one which suits the scene best.

    That is the one whose median parallax is nearest to a 24th of the image's width. All pixels nearer than
    100 m count: `mean_l1` (metres), and `mae_log`, `delta_125`, `within`, `ause` as `evaluate` has them.
    `spoilt`: as a camera and odometry see it: noise of 2 %, half a pixel of blur, exposure that drifts by
    10 %, corners a fifth darker, a relative rotation off by 0.1 degrees, a displacement off by 3 %.
    """
    errors = _errors(model, flights, spoilt)
    scores = average(each.scores() for each in errors)
    found = {'mean_l1': float(np.mean([np.nanmean(np.abs(each.depth - each.truth)) for each in errors]))}
    found |= {name: getattr(scores, name) for name in ('mae_log', 'delta_125', 'within', 'ause')}
    return {name: round(value, 4) for name, value in found.items()}


def calibrated_scale(model: Model, flights: RenderedFlights) -> float:
    """
    Return the `deviation_scale` with which 68 % of errors on the spoilt pairs are within it.

    Part of the deviation is geometry's, not the model's, so it takes two rounds.
    """
    scale = model.card.deviation_scale
    for _ in range(_ROUNDS):
        model.card = dataclasses.replace(model.card, deviation_scale=scale)
        errors = PixelErrors.joined(_errors(model, flights, spoilt=True))
        scale *= float(np.nanquantile(np.abs(errors.depth - errors.truth) / errors.deviation, _ONE_DEVIATION))
    return round(scale, 3)


def _errors(model: Model, flights: RenderedFlights, spoilt: bool) -> list[PixelErrors]:
    options = EstimatorOptions(min_range=NEAREST / 10, max_range=FARTHEST, max_relative_deviation=np.inf)
    estimator, found = Measurer(model, options), []
    for number in range(len(flights)):
        flight = flights[number]
        truth = flight.depth[0].astype(np.float32)
        reference, source = _pair(flight, number if spoilt else None)
        estimate = estimator.estimate(reference, [source])
        depth = DepthAndDeviation(estimate.depth_hw, estimate.deviation_hw)
        found.append(PixelErrors.of(depth, truth, truth < FARTHEST, FARTHEST))
    return found


def _pair(flight: Sequence, seed: int | None) -> tuple[Frame, Frame]:
    """Return the reference of a flight and its source, spoilt if there is a seed."""
    truth = flight.depth[0].astype(np.float32)
    height, width = truth.shape
    camera = Camera(width, height, *flight.intrinsics)
    moved = np.linalg.norm(flight.positions[1:] - flight.positions[0], axis=1)
    parallax = camera.fx * moved / np.median(truth[truth < FARTHEST])
    chosen = 1 + int(np.abs(np.log(parallax / (_WANTED * width))).argmin())
    images = flight.images[[0, chosen]]
    turn: np.ndarray = np.zeros(3)
    displacement = flight.positions[chosen] - flight.positions[0]
    if seed is not None:
        sensor, rng = Sensor(_CAMERA, _RATE, seed), np.random.default_rng(seed)
        images = np.stack([sensor.take(image.astype(np.float32) / 255) for image in images])
        turn = rng.normal(0, _ROTATION_NOISE / np.sqrt(3), 3)
        displacement = displacement + rng.normal(0, _DIRECTION_NOISE / np.sqrt(3), 3) * moved[chosen - 1]
    poses = np.eye(4), pose(cv2.Rodrigues(turn)[0], displacement)
    reference, source = (
        Frame(number, np.ascontiguousarray(image), camera, T_world_cam)
        for number, (image, T_world_cam) in enumerate(zip(images, poses))
    )
    return reference, source


def single_view_scores(model: SingleViewModel, flights: RenderedFlights) -> dict[str, float]:
    """Score the first frame of each flight, spoilt, its depth moved to the median of the truth."""
    scores = average(each.scores() for each in _single_view_errors(model, flights))
    return {name: round(getattr(scores, name), 4) for name in ('mae_log', 'delta_125', 'within', 'ause')}


def single_view_scale(model: SingleViewModel, flights: RenderedFlights) -> float:
    """Return the `deviation_scale` with which 68 % of these errors are within it."""
    errors = PixelErrors.joined(_single_view_errors(model, flights))
    found = np.nanquantile(np.abs(errors.depth - errors.truth) / errors.deviation, _ONE_DEVIATION)
    return round(model.card.deviation_scale * float(found), 3)


def _single_view_errors(model: SingleViewModel, flights: RenderedFlights) -> list[PixelErrors]:
    found = []
    for number in range(len(flights)):
        flight = flights[number]
        truth = flight.depth[0].astype(np.float32)
        near = truth < FARTHEST
        if near.any():
            image = Sensor(_CAMERA, _RATE, number).take(flight.images[0].astype(np.float32) / 255)
            guess = model.predict(image)
            depth = guess.depth_hw * np.median(truth[near] / guess.depth_hw[near])
            found.append(PixelErrors.of(DepthAndDeviation(depth, depth * guess.deviation_hw), truth, near, FARTHEST))
    return found
