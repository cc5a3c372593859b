"""Threads that stay: OpenCV keeps something of every thread that it has worked in, 1.3 kB, though it is gone."""

import functools
from concurrent.futures import Executor, ThreadPoolExecutor


@functools.cache
def threads(count: int) -> Executor:
    """Return so many threads, the same ones at each call; what they run must not wait for them itself."""
    return ThreadPoolExecutor(count, __name__)
