"""Key frames: those that are measured, in a thread of its own where a camera is faster than that."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ros_depthnet.core.frames import Frame
from ros_depthnet.core.fusion import DepthMap

Measure = Callable[[], DepthMap]


@dataclass(frozen=True, eq=False)
class KeyFrame:
    """A frame and the map that was measured of it."""

    frame: Frame
    map: DepthMap


@dataclass(frozen=True, eq=False)
class _UnderWay:
    frame: Frame
    map: Future[DepthMap]


class KeyFrames:
    """
    Has frames measured by one thread, one after another, and knows how long that takes.

    Whoever flies waits for a map as long as measuring is faster than the camera, and otherwise goes on with
    what was measured last.
    """

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._thread = ThreadPoolExecutor(1, __name__)
        self._under_way: _UnderWay | None = None
        self._seconds = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self._under_way is None

    def keep_up(self, seconds: float) -> bool:
        """Return whether a frame can be measured in the seconds until the next, as far as the last one tells."""
        return self.idle and self._seconds < seconds

    def forget(self) -> None:
        """Have no use any more for what is under way."""
        self._under_way = None

    def wait_for(self, measure: Measure) -> DepthMap:
        """Return a map once it is measured; what was under way is of no use then."""
        self.forget()
        return self._thread.submit(self._timed, measure).result()

    def begin(self, frame: Frame, measure: Measure) -> None:
        """Have a frame measured while the flight goes on."""
        self._under_way = _UnderWay(frame, self._thread.submit(self._timed, measure))

    def finished(self) -> KeyFrame | None:
        """Return the frame that was begun, once, when it is measured; raises what measuring it raised."""
        done = self._under_way
        if done is None or not done.map.done():
            return None
        self._under_way = None
        return KeyFrame(done.frame, done.map.result())

    def _timed(self, measure: Measure) -> DepthMap:
        started = time.monotonic()
        depth_map = measure()
        self._seconds = time.monotonic() - started
        return depth_map
