"""What a model makes of flights' ends that it has not learned from: how near to what is believed, and how it looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ros_depthnet.core import motion
from ros_depthnet.core.baseline import sources_at
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.measurer import Measurer
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.metric_model import Model, planes
from ros_depthnet.evaluation.pictures import (
    Column,
    Range,
    depth_picture,
    depth_scale,
    error_picture,
    error_scale,
    fitted,
    save,
    strip,
)
from ros_depthnet.learning.labels import Label, LabelledFlight
from ros_depthnet.learning.losses.reconstruction import Photometric, Views, unlike

_EVERYTHING = EstimatorOptions(min_range=1e-9, max_range=1e9, max_relative_deviation=1e9)
_SHOWN, _WIDTH = 4, 288  # frames, pixels


@dataclass(frozen=True, eq=False)
class Judged:
    """
    A held-out frame: what is believed of it, and what a model makes of it and one source, (H, W) metres.

    `photometric`: how unlike the frame its sources are once this depth has moved them to it, the least over two of
    which the model has seen one.
    """

    label: Label
    depth_hw: np.ndarray
    photometric: float

    @property
    def error(self) -> float:
        """Mean |d ln(depth)| to what is believed."""
        return float(np.nanmean(np.abs(np.log(self.depth_hw) - np.log(self.label.depth_hw))))


@dataclass(frozen=True, eq=False)
class Judgement:
    """Means over all held-out frames, and some of these to be looked at."""

    error: float
    photometric: float
    shown: tuple[Judged, ...]

    @classmethod
    def of(cls, model: Model, flights: Sequence[LabelledFlight]) -> Judgement:
        """Judge a model; ValueError if nothing of the flights is believed."""
        places = [(flight, number) for flight in flights for number in range(len(flight))]
        shown, errors, photometric = [], [], []
        for place, each in _judged(model, places):
            errors.append(each.error)
            photometric.append(each.photometric)
            if place % -(-len(places) // _SHOWN) == 0:
                shown.append(each)
        if not errors:
            raise ValueError('Nothing of what is held out is believed: hold out more of the flights.')
        return cls(round(float(np.mean(errors)), 4), round(float(np.mean(photometric)), 4), tuple(shown))


def _judged(model: Model, places: Sequence[tuple[LabelledFlight, int]]) -> Iterator[tuple[int, Judged]]:
    """Return the frames of which something is believed and that have a source, each with its place."""
    measurer = Measurer(model, _EVERYTHING)
    for place, (flight, number) in enumerate(places):
        label = flight.label(number)
        if not np.isfinite(label.depth_hw).any():
            continue
        others = [frame for frame in flight.frames if frame is not label.frame]
        depth = float(np.nanmedian(label.depth_hw))
        sources = sources_at(measurer.sized(label.frame), others, depth, measurer.options)
        if not sources:
            continue
        estimate = measurer.estimate(label.frame, [sources[0].frame])
        depth_hw = np.exp(cv2.resize(np.log(estimate.depth_hw), label.depth_hw.shape[::-1]))
        yield place, Judged(label, depth_hw, photometric_error(label.frame, [each.frame for each in sources], depth_hw))


@torch.no_grad()
def photometric_error(reference: Frame, sources: Sequence[Frame], depth_hw: np.ndarray) -> float:
    """Return how unlike a reference its sources are once depth has moved them to it, the least over the sources."""
    camera = reference.camera
    motions = [motion.inverse(source.T_world_cam) @ reference.T_world_cam for source in sources]
    views = Views(
        torch.from_numpy(planes(reference.image[None])),
        torch.from_numpy(planes(np.stack([source.image for source in sources])))[None],
        torch.ones(1, len(sources), 1, camera.height, camera.width),
        torch.from_numpy(np.stack(motions)).float()[None],
        torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]]),
    )
    return float(unlike(views, torch.from_numpy(depth_hw)[None], Photometric()))


def draw_before_and_after(path: Path, before: Judgement, after: Judgement) -> None:
    """Write a picture of held-out frames: the image, depth by both models, what is believed, what has changed."""
    pairs = list(zip(before.shown, after.shown, strict=True))
    scale = Range.of([was.label.depth_hw for was in before.shown])

    def column(heading: str, pictures: list[np.ndarray], bar: np.ndarray | None = None) -> Column:
        return Column(heading, [fitted(picture, _WIDTH) for picture in pictures], bar)

    def depths(heading: str, depths_hw: list[np.ndarray]) -> Column:
        pictures = [depth_picture(depth_hw, scale.near, scale.far) for depth_hw in depths_hw]
        return column(heading, pictures, depth_scale(scale, _WIDTH))

    columns = [
        column('image', [was.label.frame.image for was, _ in pairs]),
        depths('before', [was.depth_hw for was, _ in pairs]),
        depths('after', [now.depth_hw for _, now in pairs]),
        depths('believed', [was.label.depth_hw for was, _ in pairs]),
        column(
            'after, against before', [error_picture(now.depth_hw, was.depth_hw) for was, now in pairs],
            error_scale(_WIDTH, 'the same'),
        ),
    ]  # fmt: skip
    save(path, strip(columns))
