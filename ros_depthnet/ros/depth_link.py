"""Depth handed over within one process: no message, no copy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from std_msgs.msg import Header

from ros_depthnet.core.camera import Camera
from ros_depthnet.flight.poses import CameraPose


@dataclass(frozen=True, eq=False)
class DepthFrame:
    """
    A depth image and what belongs to it; `pose` is None where the output is wanted in the camera's frame.

    depth_hw, deviation_hw: (H, W) float32 metres. rgb: (H, W, 3) uint8. Optional parts may be None.
    """

    header: Header
    depth_hw: np.ndarray
    deviation_hw: np.ndarray | None
    rgb: np.ndarray | None
    camera: Camera
    pose: CameraPose | None


class DepthLink:
    """
    From depth_node to its consumers in the same process.

    To depth_node it is an output like its publishers, to a consumer an input like its subscriptions. What is
    handed over belongs to all: nobody may write into it.
    """

    def __init__(self):
        """Begin without anybody who takes."""
        self._takers: list[LinkInput] = []

    @property
    def wanted(self) -> bool:
        """Tell whether anybody takes."""
        return bool(self._takers)

    def publish(self, frame: DepthFrame) -> None:
        """Hand a frame to all who take at this moment."""
        for taker in list(self._takers):
            taker.take(frame)

    def subscribe(self, take: Callable[[DepthFrame], None]) -> 'LinkInput':
        """Have `take` called with each frame, in the thread that publishes, until closed."""
        self._takers.append(LinkInput(self, take))
        return self._takers[-1]

    def unsubscribe(self, taker: 'LinkInput') -> None:
        """Hand nothing to it any more."""
        self._takers.remove(taker)

    def close(self) -> None:
        """Leave those who take where they are: they wait for the next that publishes."""


class LinkInput:
    """One who takes; see DepthLink.subscribe."""

    def __init__(self, link: DepthLink, take: Callable[[DepthFrame], None]):
        """Take from a link."""
        self._link, self.take = link, take

    def complaint(self, timeout: float) -> None:
        """Complain of nothing: depth_node itself says why there is no depth."""

    def close(self) -> None:
        """Take no more."""
        self._link.unsubscribe(self)
