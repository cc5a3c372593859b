"""Times to be compared: all take turns in one run, so that a busy machine slows all alike."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_LEAST_TURNS = 3  # the first allocates and warms caches


@dataclass(frozen=True, eq=False)
class Contender:
    """What is timed, in OpenCV's threads."""

    name: str
    threads: int
    call: Callable[[], object]


def taken_in_turns(
    contenders: Sequence[Contender], seconds: float, progress: Callable[[str], None]
) -> list[np.ndarray]:
    """Return each contender's times without its first, milliseconds; seconds: for each, at least."""
    times: list[list[float]] = [[] for _ in contenders]
    until = time.monotonic() + seconds * len(contenders)
    turn = 0
    while turn < _LEAST_TURNS or time.monotonic() < until:
        for spent, contender in zip(times, contenders, strict=True):
            progress(f'turn {turn + 1}: {contender.name}')
            cv2.setNumThreads(contender.threads)
            started = time.perf_counter()
            contender.call()
            spent.append(1e3 * (time.perf_counter() - started))
        turn += 1
    return [np.array(spent[1:]) for spent in times]
