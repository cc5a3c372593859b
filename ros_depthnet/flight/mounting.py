"""Where the camera sits on the body: by tf where that knows, else by parameters."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ros_depthnet.core.motion import inverse
from ros_depthnet.core.mounting import FORWARD_RPY, mounting


@dataclass(frozen=True, eq=False)
class StaticTransform:
    """Where a child frame sits in its parent: T_parent_child, (4, 4)."""

    parent: str
    child: str
    T_parent_child: np.ndarray


class MountingSource(Protocol):
    """Whatever tells where the camera sits; `origin` says in words where that is from."""

    origin: str

    def T_body_cam(self, body_frame: str, camera_frame: str) -> np.ndarray | None:
        """Return the pose (4, 4) of the optical frame on the body; None while it is not known."""


class TransformTree:
    """Static transforms, and what follows from them."""

    def __init__(self, transforms: Iterable[StaticTransform] = ()):
        """Take transforms."""
        self._above: dict[str, StaticTransform] = {}
        for each in transforms:
            self.add(each)

    def __len__(self) -> int:
        return len(self._above)

    @property
    def frames(self) -> set[str]:
        """The names of all frames."""
        return {*self._above, *(each.parent for each in self._above.values())}

    def add(self, transform: StaticTransform) -> None:
        """Take a transform; of two about one child the later counts."""
        self._above[transform.child] = transform

    def above(self, frame: str) -> StaticTransform | None:
        """Return the transform that places a frame in its parent, if there is one."""
        return self._above.get(frame)

    def between(self, target: str, source: str) -> np.ndarray | None:
        """Return T_target_source, (4, 4); None where no chain of transforms joins the two frames."""
        to_target, to_source = self._upwards(target), self._upwards(source)
        common = next((frame for frame in to_source if frame in to_target), None)
        return None if common is None else inverse(to_target[common]) @ to_source[common]

    def _upwards(self, frame: str) -> dict[str, np.ndarray]:
        """Return T_ancestor_frame by ancestor, the frame itself first; a circle ends where it closes."""
        frame, T = frame.lstrip('/'), np.eye(4)
        above = {frame: T}
        while frame in self._above:
            step = self._above[frame]
            frame, T = step.parent, step.T_parent_child @ T
            if frame in above:
                break
            above[frame] = T
        return above


@dataclass(frozen=True)
class MountingOptions:
    """
    Where the camera sits, as users say it.

    camera_mounting: 'tf', 'parameters', or 'auto', tf where it knows. camera_xyz: position of the optical
    frame on the body (forward, left, up), metres. camera_rpy: its roll, pitch, yaw, radians.
    """

    camera_mounting: str = 'auto'
    camera_xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)
    camera_rpy: tuple[float, float, float] = FORWARD_RPY

    @property
    def T_body_cam(self) -> np.ndarray:
        """The pose (4, 4) by the parameters."""
        return mounting(self.camera_xyz, self.camera_rpy)


class RecordedMounting:
    """A recording's mounting: all its static transforms are known from the start."""

    def __init__(self, tree: TransformTree, options: MountingOptions):
        """Look in a tree first, unless the options say otherwise."""
        self._tree, self._options = tree, options
        self.origin = ''

    def T_body_cam(self, body_frame: str, camera_frame: str) -> np.ndarray | None:
        """Return the pose (4, 4) of the optical frame on the body; None where tf alone may tell and can't."""
        options = self._options
        if options.camera_mounting != 'parameters':
            known = self._tree.between(body_frame, camera_frame)
            if known is not None:
                self.origin = f'tf ({body_frame} to {camera_frame})'
                return known
            if options.camera_mounting == 'tf':
                return None
        self.origin = 'parameters'
        return options.T_body_cam
