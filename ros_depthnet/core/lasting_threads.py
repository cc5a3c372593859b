"""Threads that stay: OpenCV keeps something of every thread that it has worked in, 1.3 kB, though it is gone."""

import functools
import os
from concurrent.futures import Executor, ThreadPoolExecutor

import cv2


@functools.cache
def threads(count: int) -> Executor:
    """Return so many threads, the same ones at each call; what they run must not wait for them itself."""
    return ThreadPoolExecutor(count, __name__)


def as_many_as_opencv() -> int:
    """Return how many threads this process is to use, which is what OpenCV was told."""
    return max(1, cv2.getNumThreads())


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=threads.cache_clear)  # they stay with the parent: a child would wait for ever
