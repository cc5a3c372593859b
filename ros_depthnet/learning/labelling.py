"""Label flights by worker processes, a few frames at a time: however many there are, the labels are the same."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import cv2

from ros_depthnet.core.frames import Frame
from ros_depthnet.core.measurer import Measurer
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.engines.model import load_model
from ros_depthnet.flight.intake import IntakeOptions
from ros_depthnet.flight.recorded import recorded_frames
from ros_depthnet.learning.labels import Teacher, begin_labels, evenly, measure

LEARNED, HELD_OUT = 'learned', 'held_out'
_LEAST_FRAMES = 8  # of either


@dataclass(frozen=True)
class Labelling:
    """
    How flights are labelled.

    `teacher`: name or path of the model that measures, on `threads` of a CPU. `intake`: how recordings become frames.
    `held_out`: share of each flight, its end, that is labelled by itself.
    """

    teacher: str
    intake: IntakeOptions
    held_out: float
    threads: int


def label_flights(
    workers: Executor, labelling: Labelling, folders: Mapping[Path, Path], progress: Callable[[str], None]
) -> None:
    """
    Measure both parts of each flight, each by itself, into its folder's LEARNED and HELD_OUT.

    Raises ValueError if there is too little of a flight, or a folder holds other labels, before any is measured;
    OSError if a worker dies.
    """
    ends: dict[Future[None], range] = {}
    try:
        stamps_ns = list(workers.map(_stamps_ns, repeat(labelling), folders))
        teacher = workers.submit(_teacher, labelling).result()
        places = [
            (flight, part, folder / part, begin_labels(folder / part, stamps_ns_of[part], teacher))
            for (flight, folder), stamps_ns_of in zip(folders.items(), stamps_ns)
            for part in stamps_ns_of
        ]
        for flight, part, folder, pieces in places:
            for numbers in pieces:
                ends[workers.submit(_measure, labelling, flight, part, numbers, folder)] = numbers
        done, frames = 0, sum(map(len, ends.values()))
        for end in as_completed(ends):
            end.result()
            done += len(ends[end])
            progress(f'{done} of {frames} frames are labelled')
    except BrokenProcessPool as error:
        raise OSError('A labelling process stopped early; run the command again to go on.') from error
    finally:
        for end in ends:
            end.cancel()


@functools.lru_cache(maxsize=1)
def _parts(labelling: Labelling, flight: Path) -> dict[str, list[Frame]]:
    """Return the frames of a flight's parts, of the teacher's size; ValueError if there are too few."""
    measurer = Measurer(_model(labelling))
    recorded = recorded_frames(flight, lambda refusal: None, labelling.intake)
    frames = evenly([measurer.sized(each.frame) for each in recorded])
    cut = round((1 - labelling.held_out) * len(frames))
    if min(cut, len(frames) - cut) < _LEAST_FRAMES:
        raise ValueError(f'{flight.name}: {len(frames)} usable frames are too few to learn from and to hold some out.')
    return {LEARNED: frames[:cut], HELD_OUT: frames[cut:]}


@functools.cache
def _model(labelling: Labelling) -> Model:
    cv2.setNumThreads(labelling.threads)
    return load_model(labelling.teacher, threads=labelling.threads)


def _stamps_ns(labelling: Labelling, flight: Path) -> dict[str, list[int]]:
    return {part: [frame.stamp_ns for frame in frames] for part, frames in _parts(labelling, flight).items()}


def _teacher(labelling: Labelling) -> Teacher:
    return Teacher.of(_model(labelling))


def _measure(labelling: Labelling, flight: Path, part: str, numbers: range, folder: Path) -> None:
    measure(_parts(labelling, flight)[part], numbers, _model(labelling), folder)
