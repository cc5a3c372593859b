"""Score any model on rendered flights by the protocol of Pinard 2017a."""

from __future__ import annotations

import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Views
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.depth_task import FARTHEST, NOMINAL_FRAMES
from ros_depthnet.learning.networks.depthnet import NEAREST
from ros_depthnet.learning.still_box.sequences import Sequence

_QUARTER = 4


def split_scores(model: Model, flights: RenderedFlights, size: tuple[int, int]) -> dict[str, float]:
    """
    Score a model on pairs three frames apart, one of each flight, at an image size (width, height).

    `mean_l1`: metres at a quarter of the size, truth and estimate clipped to 100 m; `constant_mean_l1`: what
    the best constant depth would have. The model sees images of that size, enlarged if its input is larger.
    """
    quarter = size[0] // _QUARTER, size[1] // _QUARTER
    rows = []
    for number in range(len(flights)):
        flight = flights[number]
        depth_hw = model.predict([_views(flight, size, model)])[0].depth_hw
        rows.append([_shrunk(each, quarter) for each in (depth_hw, flight.depth[NOMINAL_FRAMES].astype(np.float32))])
    found, truths = (np.stack(each) for each in zip(*rows, strict=True))
    return {
        'mean_l1': round(float(np.abs(found - truths).mean()), 4),
        'constant_mean_l1': round(float(np.abs(truths - np.median(truths)).mean()), 4),
    }


def _views(flight: Sequence, size: tuple[int, int], model: Model) -> Views:
    """Return what a model sees of a pair taken at an image size; nothing turns, so all of it is valid."""
    height, width = flight.depth.shape[1:]
    camera = Camera(width, height, *flight.intrinsics)
    reference, source = (
        Frame(0, np.ascontiguousarray(flight.images[index]), camera, np.eye(4))
        .resized(*size)
        .resized(*model.input_size(camera))
        for index in (NOMINAL_FRAMES, 0)
    )
    way = flight.positions[NOMINAL_FRAMES] - flight.positions[0]
    return Views(reference, (source,), motion.pose(np.eye(3), way)[None])


def _shrunk(depth_hw: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(np.clip(depth_hw, NEAREST, FARTHEST), size, interpolation=cv2.INTER_AREA)
