"""Speed as ratios: what is compared takes turns in one run, so a busy machine slows all alike."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.measurer import Measurer
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.engines.model import load_model
from ros_depthnet.evaluation.methods import dis, sgbm, sweep
from ros_depthnet.evaluation.turns import Contender, taken_in_turns
from ros_depthnet.flight.session import Session

_ASPECT = 3 / 4
WALL_DISTANCE = 10.0  # metres
_SHIFT = 8  # pixels from image to image


@dataclass(frozen=True)
class Speed:
    """
    How fast a method is; `sources` is 0 for those that take a pair or choose for themselves.

    ms, p95_ms: median and 95 % of calls, milliseconds. times_dis: how many calls of DIS, at the same size and number of
    threads, fit in one.
    """

    method: str
    width: int
    height: int
    threads: int
    sources: int
    ms: float
    p95_ms: float
    frames_per_s: float
    times_dis: float


@dataclass(frozen=True, eq=False)
class _Entry:
    """A method at a size; `sources` as in Speed."""

    method: str
    size: tuple[int, int]
    threads: int
    sources: int
    call: Callable[[], object]


def bench(
    model_name: str,
    widths: Sequence[int],
    threads: Sequence[int],
    sources: Sequence[int],
    seconds: float,
    progress: Callable[[str], None],
) -> Iterator[Speed]:
    """
    Measure the estimator with a model, DIS, SGBM and the plane sweep on rendered texture at each width.

    The estimator is given images twice as wide and high, and resizes them itself: with fixed sources, and in
    flight, where it takes the next image, chooses its sources and further frames, and remembers. seconds: for
    each contender. Raises ModelError for a width that the model doesn't take.
    """
    entries = [entry for count in threads for width in widths for entry in _entries(model_name, width, count, sources)]
    taken = taken_in_turns(
        [Contender(f'{entry.method} at {entry.size[0]} pixels', entry.threads, entry.call) for entry in entries],
        seconds,
        progress,
    )
    percentiles = [np.percentile(times, (50, 95)) for times in taken]
    of_dis = {
        (entry.size, entry.threads): median
        for entry, (median, _) in zip(entries, percentiles, strict=True)
        if entry.method == 'dis'
    }
    for entry, (median, p95) in zip(entries, percentiles, strict=True):
        yield Speed(
            entry.method,
            *entry.size,
            entry.threads,
            entry.sources,
            round(float(median), 3),
            round(float(p95), 3),
            round(float(1e3 / median), 2),
            round(float(median / of_dis[entry.size, entry.threads]), 3),
        )


def default_threads() -> tuple[int, ...]:
    """Return one thread and as many as this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return tuple(dict.fromkeys((1, cores)))


def _entries(model_name: str, width: int, threads: int, sources: Iterable[int]) -> Iterator[_Entry]:
    model = load_model(model_name, threads=threads, input_width=width)
    rough = Camera(width, round(width * _ASPECT), width, width, width / 2, width * _ASPECT / 2)
    camera = rough.resized(*model.input_size(rough))
    size = camera.width, camera.height
    larger = camera.resized(2 * camera.width, 2 * camera.height)
    *earlier, reference = itertools.islice(past_a_wall(larger), 1 + max(sources))
    earlier.reverse()
    estimator = Measurer(model)
    pair = [frame.resized(*size) for frame in (reference, earlier[0])]
    yield _Entry('dis', size, threads, 0, lambda: dis(*pair))
    yield _Entry('sgbm', size, threads, 0, lambda: sgbm(*pair))
    yield _Entry('sweep', size, threads, 0, lambda: sweep(*pair))
    for count in sources:
        estimate = partial(estimator.estimate, reference, earlier[:count])
        yield _Entry(model.card.name, size, threads, count, estimate)
    yield _Entry(f'{model.card.name} in flight', size, threads, 0, in_flight(model, larger))


def in_flight(model: Model, images: Camera) -> Callable[[], object]:
    """Return what takes the next image of a flight past a wall at each call, frames to compare it with being held."""
    frames, session = past_a_wall(images), Session(model)
    for frame in itertools.islice(frames, session.options.buffer_size):
        session.hold(frame)
    return lambda: session.add(next(frames))


def past_a_wall(camera: Camera) -> Iterator[Frame]:
    """Yield what a drone sees that flies past a wall without end."""
    texture = wall_texture(camera)
    for number in itertools.count():
        columns = (number * _SHIFT + np.arange(camera.width)) % texture.shape[1]
        position = number * _SHIFT * WALL_DISTANCE / camera.fx, 0.0, 0.0
        # As a camera's images lie in memory: what picking columns leaves is turned, and would be copied at each step.
        image = np.ascontiguousarray(texture[:, columns])
        yield Frame(number * 100_000_000, image, camera, motion.pose(np.eye(3), position))


def wall_texture(camera: Camera) -> np.ndarray:
    """Return a wall at WALL_DISTANCE as a camera sees it in passing, (H, 2 W, 3) uint8; it goes on at the start."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (camera.height // 4 + 2, camera.width // 2 + 2, 3), np.uint8)
    return cv2.resize(noise, (2 * camera.width, camera.height), interpolation=cv2.INTER_CUBIC)
