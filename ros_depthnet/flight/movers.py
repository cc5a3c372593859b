"""What moves by itself along a flight: several frames decide, not one."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ros_depthnet.core import moving
from ros_depthnet.core.frames import Frame, Views
from ros_depthnet.core.fusion import DepthMap

T_of = Callable[[Frame, Sequence[Frame]], dict[Frame, np.ndarray]]


class Movers:
    """Looks at every frame that depth is known of, and carries on what it found in the one before."""

    def __init__(self, load_network: Callable[[], moving.MovingNetwork] | None = None) -> None:
        """Begin a flight; a network, if there is one, is loaded when there is something to judge."""
        self._load_network = load_network
        self._network: moving.MovingNetwork | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the flight so far."""
        self._found: moving.Motion | None = None
        self._in: Frame | None = None

    def look(self, frame: Frame, earlier: Sequence[Frame], depth_map: DepthMap, motions: T_of) -> np.ndarray | None:
        """
        Return the probability that what a pixel of a frame shows moves, (H, W) float32; None with nothing to compare.

        earlier: frames of its size, oldest first. motions: tells T_src_ref of a reference's sources.
        """
        if self._in is not None and all(held is not self._in for held in earlier):
            earlier = (*earlier, self._in)  # the buffer may have let go of it
        sources = moving.companions(frame, earlier, self._in)
        if not sources:
            self.reset()
            return None
        T_srcs_ref = motions(frame, sources)
        views = Views(frame, sources, np.stack([T_srcs_ref[source] for source in sources]))
        before = self._found if sources[0] is self._in else None
        comparison = moving.compare(views, depth_map)
        self._found, self._in = moving.motion_evidence(views, comparison, before), frame
        if self._load_network is None:
            return self._found.probability_hw
        self._network = self._network or self._load_network()
        log_odds = self._network.log_odds(moving.clues(views, depth_map, comparison, self._found))
        return moving.probability(cv2.resize(log_odds, depth_map.depth_hw.shape[::-1]))
