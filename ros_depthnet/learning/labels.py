"""
Depth labels of a flight without any truth: the product, unhurried, is its own best teacher.

Offline every frame may be compared with later ones too, with more of them, and again once its depth is known.
What neighbouring frames, each measured by itself, agree on is believed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ros_depthnet.core import fusion, motion
from ros_depthnet.core.baseline import depth_ranges, farther_sources, source_of, sources_at
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.measurer import Measurer, StageClock
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.text_files import read_yaml
from ros_depthnet.whole_files import whole_file, write_file

_OPTIONS = EstimatorOptions(max_sources=4, alignment_sources=4, ranges=2)
_PASSES = 3
_SETTLED = math.log(1.1)  # of the median depth, between two passes
_WINDOW_S = 10.0
_MOST_FRAMES = 600
_PIECE = 8  # frames, of which each begins with what the one before has found
_NEIGHBOURS = 6
_AGREEING = 2
_TOLERANCE = 0.05  # of ln(depth)
_SURE = 0.1  # relative deviation
_TEACHER = 'teacher.yaml'
_FIELDS = 'stamp_ns', 'image', 'camera', 'T_world_cam', 'depth', 'deviation'


@dataclass(frozen=True, eq=False)
class Label:
    """
    What is believed of a frame's depth, (H, W) float32 metres, NaN elsewhere.

    `frame` is of the size that the teacher's model takes.
    """

    frame: Frame
    depth_hw: np.ndarray


@dataclass(frozen=True)
class Teacher:
    """
    Who measured a flight: a model, as its card has it, and how it was asked.

    sha256: of the file that ran, at `precision`. options: the estimator's, and passes over a frame.
    """

    name: str
    version: str
    sha256: str
    precision: str
    options: dict[str, Any]

    @classmethod
    def of(cls, model: Model) -> Teacher:
        """Return what labels by a model say of it."""
        card, precision = model.card, model.engine.precision
        file = card.int8_file if card.int8_file and precision == 'int8' else card.file
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        return cls(card.name, card.version, sha256, precision, {**asdict(_OPTIONS), 'passes': _PASSES})

    @classmethod
    def read(cls, folder: Path) -> Teacher:
        """Return who measured what is in a folder; raises ValueError if it does not say."""
        try:
            return cls(**read_yaml(folder / _TEACHER))
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(
                f'{folder} does not say who labelled it: remove it, and label the flight again.'
            ) from error

    def write(self, folder: Path) -> None:
        """Say so in a folder."""
        write_file(folder / _TEACHER, yaml.safe_dump(asdict(self), sort_keys=False))

    def __str__(self) -> str:
        return f'{self.name} {self.version} ({self.precision}, {self.sha256[:12]})'


def evenly(frames: Sequence[Frame]) -> list[Frame]:
    """Return at most six hundred of a flight's frames, as even in time as may be."""
    step = max(1, math.ceil(len(frames) / _MOST_FRAMES))
    return list(frames[::step])


def begin_labels(folder: Path, stamps_ns: Sequence[int], teacher: Teacher) -> list[range]:
    """
    Say in a folder who measures frames there; return their numbers, in pieces that `measure` takes one by one.

    ValueError if there are labels of other frames, or by another teacher.
    """
    of_file = {f'{number:06d}.npz': stamp_ns for number, stamp_ns in enumerate(stamps_ns)}
    there = sorted(folder.glob('*.npz'))
    for path in there:
        with _told_if_damaged(path), np.load(path) as file:
            stamp_ns = int(file['stamp_ns'])
        if stamp_ns != of_file.get(path.name):
            raise ValueError(
                f'{folder} holds labels of other frames: of another flight, or with another share held out. '
                'Remove it, or write elsewhere.'
            )
    if there and (before := Teacher.read(folder)) != teacher:
        what = 'with other options' if str(before) == str(teacher) else f'by {before}, not by {teacher}'
        raise ValueError(f'{folder} holds labels {what}. Remove it, or write elsewhere.')
    teacher.write(folder)
    return [range(len(stamps_ns))[first : first + _PIECE] for first in range(0, len(stamps_ns), _PIECE)]


def measure(frames: Sequence[Frame], numbers: Iterable[int], model: Model, folder: Path) -> None:
    """
    Measure some of a flight's frames with those before and after them, and write what is found, one file a frame.

    Frames whose file is there already are left alone, so a flight that was stopped goes on. The frames are of the
    size that the model takes (`Measurer.sized`).
    """
    measurer, guess = Measurer(model, _OPTIONS), _OPTIONS.initial_depth
    for number in numbers:
        path = folder / f'{number:06d}.npz'
        if not path.is_file():
            _write(path, frames[number], _measured(measurer, frames[number], frames, guess))
        with _told_if_damaged(path), np.load(path) as file:
            depth_hw = file['depth']
        if np.isfinite(depth_hw).any():
            guess = float(np.nanmedian(depth_hw))


def _write(path: Path, frame: Frame, found: fusion.DepthMap) -> None:
    camera = frame.camera
    with whole_file(path) as file:
        np.savez_compressed(
            file,
            stamp_ns=frame.stamp_ns,
            image=frame.image,
            camera=(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy),
            T_world_cam=frame.T_world_cam,
            depth=found.depth_hw,
            deviation=found.deviation_hw.astype(np.float16),
        )


def _measured(measurer: Measurer, frame: Frame, frames: Sequence[Frame], guess: float) -> fusion.DepthMap:
    """Return the depth of a frame compared with all round about, at baselines for what the pass before found."""
    options = measurer.options
    near = [
        other
        for other in frames
        if other is not frame
        and abs(other.stamp_ns - frame.stamp_ns) < _WINDOW_S * 1e9
        and source_of(frame, other, guess).rotation <= options.max_rotation
    ]
    nothing = np.full((frame.camera.height, frame.camera.width), np.nan, np.float32)
    found, comparing = fusion.DepthMap(nothing, nothing, nothing), measurer.comparing(frame)
    depths: tuple[float, ...] = (guess,)
    for _ in range(_PASSES):
        ranges = [sources for depth in depths if (sources := sources_at(frame, near, depth, options))]
        if not ranges:
            break
        farther = [farther_sources(frame, near, sources, options) for sources in ranges]
        found = measurer.measured(comparing, ranges, farther, StageClock())
        before, depths = depths, depth_ranges(found.depth_hw, options.ranges)
        if not depths or abs(math.log(depths[0] / before[0])) < _SETTLED:
            break
    return found


class LabelledFlight:
    """The measured frames of a folder, and on which of their pixels neighbours agree."""

    def __init__(self, folder: Path):
        """Open what `measure` has written; ValueError if there is nothing."""
        self._paths = sorted(folder.glob('*.npz'))
        if not self._paths:
            raise ValueError(f'{folder} holds no measured frames: make them with `depthnet label`.')
        self.teacher = Teacher.read(folder)
        self.frames, self._maps = [], []
        for path in self._paths:
            frame, depth_map = _read(path)
            self.frames.append(frame)
            self._maps.append(depth_map)
        self.label = functools.cache(self._label)

    def __len__(self) -> int:
        return len(self.frames)

    def _label(self, number: int) -> Label:
        """Return what is believed of a frame: where it is sure, and neighbours' maps say the same from there."""
        frame, own = self.frames[number], self._maps[number]
        log_hw = np.log(own.depth_hw)
        total, agreeing = log_hw.copy(), np.zeros(log_hw.shape, int)
        for other in self._neighbours(number):
            T_here_there = motion.inverse(frame.T_world_cam) @ self.frames[other].T_world_cam
            there_hw = np.log(fusion.carried(self._maps[other], frame.camera, T_here_there, 0).depth_hw)
            agrees = np.abs(there_hw - log_hw) < _TOLERANCE
            total += np.where(agrees, there_hw, 0)
            agreeing += agrees
        believed = (agreeing >= _AGREEING) & (own.deviation_hw < _SURE)
        return Label(frame, np.where(believed, np.exp(total / (1 + agreeing)), np.float32(np.nan)))

    def _neighbours(self, number: int) -> list[int]:
        """Return the frames nearest by, as far as parallax goes, that look the same way."""
        median = float(np.nanmedian(self._maps[number].depth_hw)) if self.known(number) else 1.0
        seen = [source_of(self.frames[number], frame, median) for frame in self.frames]
        facing = [
            other
            for other, source in enumerate(seen)
            if other != number and source.rotation < _OPTIONS.max_rotation and self.known(other)
        ]
        return sorted(facing, key=lambda other: seen[other].parallax)[:_NEIGHBOURS]

    def known(self, number: int) -> bool:
        """Tell whether anything of a frame was measured."""
        return bool(np.isfinite(self._maps[number].depth_hw).any())


def _read(path: Path) -> tuple[Frame, fusion.DepthMap]:
    with _told_if_damaged(path):
        with np.load(path) as file:
            stamp_ns, image, camera, T_world_cam, depth_hw, deviation_hw = (file[name] for name in _FIELDS)
        width, height, *intrinsics = camera
        frame = Frame(int(stamp_ns), image, Camera(int(width), int(height), *map(float, intrinsics)), T_world_cam)
        with np.errstate(over='ignore'):  # what is wild is unknown
            return frame, fusion.DepthMap.fresh(depth_hw, deviation_hw.astype(np.float32))


@contextlib.contextmanager
def _told_if_damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # what numpy and zipfile raise of damaged bytes has no common base
        raise ValueError(f'{path} is damaged: delete it, and label the flight again.') from error
