"""Rates and percentiles of the last seconds, for diagnostics."""

from collections import deque

import numpy as np


class Recent:
    """Values with the time at which they came, of the last `window` seconds before the newest question."""

    def __init__(self, window: float = 10.0):
        """Remember `window` seconds."""
        self._window = window
        self._entries: deque[tuple[float, float]] = deque()

    def add(self, now: float, value: float = 0.0) -> None:
        """Add a value that came at `now`, seconds of any clock that only goes forward."""
        self._entries.append((now, value))
        self._forget(now)

    def rate(self, now: float) -> float:
        """Return how many values a second came; 0 before there are two."""
        self._forget(now)
        if len(self._entries) < 2:
            return 0.0
        # Over the time up to now, not up to the newest, so that the rate sinks when nothing comes any more.
        interval = (self._entries[-1][0] - self._entries[0][0]) / (len(self._entries) - 1)
        silence = now - self._entries[-1][0]
        return 1 / max(interval, silence, 1e-9)

    def percentiles(self, *percents: float) -> tuple[float, ...]:
        """Return these percentiles of the values; NaN when there are none."""
        if not self._entries:
            return (float('nan'),) * len(percents)
        return tuple(float(p) for p in np.percentile([value for _, value in self._entries], percents))

    def _forget(self, now: float) -> None:
        while self._entries and self._entries[0][0] < now - self._window:
            self._entries.popleft()
