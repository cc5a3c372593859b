"""Several drones on one host: how many images a second each of them measures while the others do too."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Barrier

import cv2
import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.engines.model import load_model
from ros_depthnet.evaluation.bench import in_flight
from ros_depthnet.worker_processes import SPAWN, worker_processes

_WARM = 2  # images
_start: Barrier  # of all drones, in each one's process


@dataclass(frozen=True)
class DronesSpeed:
    """
    Drones that fly past a wall at the same time, a process each.

    each_hz, all_hz: images a second. ms, p95_ms: median and 95 % of what an image takes, milliseconds. times_one: that
    median over one drone's alone, the first row's.
    """

    drones: int
    each_hz: float
    all_hz: float
    ms: float
    p95_ms: float
    times_one: float


def drones_speed(
    model_name: str, counts: Sequence[int], threads: int, seconds: float, progress: Callable[[str], None]
) -> list[DronesSpeed]:
    """Measure one drone, then each number of them, with cameras of 640 x 480; threads: of each. Raises ModelError."""
    found: list[DronesSpeed] = []
    for count in dict.fromkeys((1, *counts)):
        progress(f'{count} drones' if count > 1 else 'one drone')
        times = _flown_at_once(model_name, count, threads, seconds)
        median, p95 = np.percentile(np.concatenate(times), (50, 95))
        rates = [1e3 / each.mean() for each in times]
        one = found[0].ms if found else median
        found.append(
            DronesSpeed(
                count,
                round(float(np.mean(rates)), 2),
                round(float(np.sum(rates)), 2),
                round(float(median), 1),
                round(float(p95), 1),
                round(float(median / one), 2),
            )
        )
    return found


def _flown_at_once(model_name: str, count: int, threads: int, seconds: float) -> list[np.ndarray]:
    """Return what each image of each drone took, milliseconds."""
    with worker_processes(count, _meet_at, SPAWN.Barrier(count)) as pool:
        return list(pool.map(_fly, [model_name] * count, [threads] * count, [seconds] * count))


def _meet_at(barrier: Barrier) -> None:
    global _start
    _start = barrier


def _fly(model_name: str, threads: int, seconds: float) -> np.ndarray:
    cv2.setNumThreads(threads)
    try:
        add = in_flight(load_model(model_name, threads=threads), Camera(640, 480, 576, 576, 320, 240))
        for _ in range(_WARM):
            add()
    except BaseException:
        _start.abort()  # the others do not wait for this one
        raise
    _start.wait()
    times: list[float] = []
    until = time.monotonic() + seconds
    while not times or time.monotonic() < until:
        started = time.perf_counter()
        add()
        times.append(1e3 * (time.perf_counter() - started))
    return np.array(times)
