"""
Depth labels of a flight without any truth: the product, unhurried, is its own best teacher.

Offline every frame may be compared with later ones too, with more of them, and again once its depth is known.
What neighbouring frames, each measured by itself, agree on is believed.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ros_depthnet.core import fusion, motion
from ros_depthnet.core.baseline import depth_ranges, farther_sources, source_of, sources_at
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.measurer import EstimatorOptions, Measurer, StageClock
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.whole_files import whole_file

_OPTIONS = EstimatorOptions(max_sources=4, alignment_sources=4, ranges=2)
_PASSES = 3
_SETTLED = math.log(1.1)  # of the median depth, between two passes
_WINDOW_S = 10.0
_MOST_FRAMES = 600
_NEIGHBOURS = 6
_AGREEING = 2
_TOLERANCE = 0.05  # of ln(depth)
_SURE = 0.1  # relative deviation
_FIELDS = 'stamp_ns', 'image', 'camera', 'T_world_cam', 'depth', 'deviation'


@dataclass(frozen=True, eq=False)
class Label:
    """
    What is believed of a frame's depth, (H, W) float32 metres, NaN elsewhere.

    `frame` is of the size that the teacher's model takes.
    """

    frame: Frame
    depth_hw: np.ndarray


def evenly(frames: Sequence[Frame]) -> list[Frame]:
    """Return at most six hundred of a flight's frames, as even in time as may be."""
    step = max(1, math.ceil(len(frames) / _MOST_FRAMES))
    return list(frames[::step])


def measure_flight(
    frames: Sequence[Frame], model: Model, folder: Path, progress: Callable[[str], None] = lambda text: None
) -> None:
    """
    Measure every frame with those before and after it, and write what is found, one file a frame.

    Frames whose file is there already are left alone, so a flight that was stopped goes on. ValueError if there are
    files of other frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_others(folder, frames)
    measurer = Measurer(model, _OPTIONS)
    frames = [measurer.sized(frame) for frame in frames]
    guess = _OPTIONS.initial_depth
    for number, frame in enumerate(frames):
        path = folder / f'{number:06d}.npz'
        progress(f'frame {number + 1} of {len(frames)}')
        if path.is_file():
            continue
        found = _measured(measurer, frame, frames, guess)
        if np.isfinite(found.depth_hw).any():
            guess = float(np.nanmedian(found.depth_hw))
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


def _refuse_others(folder: Path, frames: Sequence[Frame]) -> None:
    stamps_ns = {f'{number:06d}.npz': frame.stamp_ns for number, frame in enumerate(frames)}
    for path in sorted(folder.glob('*.npz')):
        with _told_if_damaged(path), np.load(path) as file:
            stamp_ns = int(file['stamp_ns'])
        if stamp_ns != stamps_ns.get(path.name):
            raise ValueError(
                f'{folder} holds labels of other frames: of another flight, or with another share held out. '
                'Remove it, or write elsewhere.'
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
        """Open what `measure_flight` has written; ValueError if there is nothing."""
        self._paths = sorted(folder.glob('*.npz'))
        if not self._paths:
            raise ValueError(f'{folder} holds no measured frames: make them with `depthnet label`.')
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
