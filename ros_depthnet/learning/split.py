"""Score any model on rendered flights by the protocol of Pinard 2017a."""

from __future__ import annotations

import cv2
import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.estimator import Estimator, EstimatorOptions
from ros_depthnet.core.frames import Frame
from ros_depthnet.engines.model import Model
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.depth_task import FARTHEST, NEAREST, NOMINAL_FRAMES
from ros_depthnet.learning.still_box.sequences import Sequence

_QUARTER = 4


def split_scores(model: Model, flights: RenderedFlights, size: tuple[int, int]) -> dict[str, float]:
    """
    Score a model on pairs three frames apart, one of each flight, at an image size (width, height).

    `mean_l1`: metres at a quarter of the size, truth and estimate clipped to 100 m; `constant_mean_l1`: what
    the best constant depth would have. The model sees images of that size, enlarged if its input is larger.
    """
    estimator = Estimator(
        model, EstimatorOptions(min_range=NEAREST, max_range=FARTHEST, max_relative_deviation=np.inf)
    )
    quarter = size[0] // _QUARTER, size[1] // _QUARTER
    found, truths = [], []
    for number in range(len(flights)):
        flight = flights[number]
        reference, source = (_frame(flight, index).resized(*size) for index in (NOMINAL_FRAMES, 0))
        depth_hw = estimator.estimate(reference, [source]).depth_hw
        found.append(_shrunk(depth_hw, quarter))
        truths.append(_shrunk(flight.depth[NOMINAL_FRAMES].astype(np.float32), quarter))
    found, truths = np.stack(found), np.stack(truths)
    return {
        'mean_l1': round(float(np.abs(found - truths).mean()), 4),
        'constant_mean_l1': round(float(np.abs(truths - np.median(truths)).mean()), 4),
    }


def _frame(flight: Sequence, index: int) -> Frame:
    height, width = flight.depth.shape[1:]
    T_world_cam = np.eye(4)
    T_world_cam[:3, 3] = flight.positions[index]
    camera = Camera(width, height, *flight.intrinsics)
    return Frame(index, np.ascontiguousarray(flight.images[index]), camera, T_world_cam)


def _shrunk(depth_hw: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(np.clip(depth_hw, NEAREST, FARTHEST), size, interpolation=cv2.INTER_AREA)
