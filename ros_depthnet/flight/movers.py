"""What moves by itself along a flight: several frames decide, not one."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ros_depthnet.core import moving
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.fusion import DepthMap
from ros_depthnet.core.refine import Comparing


class Movers:
    """Looks at every frame that depth is known of, and carries on what it found in the one before."""

    def __init__(self, load_network: Callable[[], moving.MovingNetwork] | None = None) -> None:
        """Begin a flight; a network, if there is one, is loaded when there is something to judge."""
        self._load_network = load_network
        self._network: moving.MovingNetwork | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the flight so far."""
        self._found_hw: np.ndarray | None = None
        self._in: Frame | None = None

    def look(self, comparing: Comparing, earlier: Sequence[Frame], depth_map: DepthMap) -> np.ndarray | None:
        """
        Return the probability that what a pixel shows moves, (H, W) float32; None with nothing to compare.

        comparing: the frame whose depth is known. earlier: frames of its size, oldest first.
        """
        frame = comparing.reference
        if self._in is not None and all(held is not self._in for held in earlier):
            earlier = (*earlier, self._in)  # the buffer may have let go of it
        sources = moving.companions(frame, earlier, self._in)
        if not sources:
            self.reset()
            return None
        before_hw = self._found_hw if sources[0] is self._in else None
        comparison = moving.compare(comparing.with_sources(sources), depth_map)
        log_odds_hw = moving.evidence(comparison, (frame.stamp_ns - sources[0].stamp_ns) / 1e9, before_hw)
        self._found_hw, self._in = log_odds_hw, frame
        if self._load_network is not None:
            self._network = self._network or self._load_network()
            log_odds_hw = self._network.log_odds(moving.clues(depth_map, comparison, log_odds_hw))
        return moving.probability(cv2.resize(log_odds_hw, depth_map.depth_hw.shape[::-1]))
