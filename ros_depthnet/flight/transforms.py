"""Poses of a body out of tf, whatever transforms lie between it and the world; of bags and live ones alike."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ros_depthnet.core.motion import InvalidPose, NoPose, PoseBuffer, TimeJump
from ros_depthnet.flight.messages.pose import READERS, StampedPose, transform_to_pose
from ros_depthnet.flight.messages.stamp import to_ns
from ros_depthnet.flight.mounting import StaticTransform, TransformTree

TRANSFORMS = 'tf2_msgs/msg/TFMessage'
STATIC_TRANSFORMS = f'{TRANSFORMS} of tf_static'  # the same type, told apart by its topic
DEFAULT_WORLD_FRAME, DEFAULT_BODY_FRAME = 'odom', 'base_link'  # REP-105's names, where nothing tells others

PoseReader = Callable[[object], list[StampedPose]]


def pose_readers(transforms: 'TransformPoses') -> Mapping[str, PoseReader]:
    """Return what reads each type of message that tells poses; each may raise InvalidPose."""
    stamped = {kind: lambda message, read=read: [read(message)] for kind, read in READERS.items()}
    return {**stamped, TRANSFORMS: transforms.read, STATIC_TRANSFORMS: transforms.read_static}


def pose_types(world_frame: str) -> tuple[str, ...]:
    """Return the types of message that poses are taken from, the best first; `world_frame` asks for tf."""
    return (TRANSFORMS,) if world_frame else (*READERS, TRANSFORMS)


def static_transforms(message: Any, report: Callable[[str], None] = lambda sentence: None) -> Iterator[StaticTransform]:
    """Return the transforms of a message of /tf_static; `report` gets a sentence for each that is none."""
    for each in message.transforms:
        try:
            yield StaticTransform(
                _name(each.header.frame_id), _name(each.child_frame_id), transform_to_pose(each.transform)
            )
        except InvalidPose:
            report(f'The static transform to {each.child_frame_id!r} is left out: it is no rotation and translation.')


class TransformPoses:
    """
    Where a body is in a world, by transforms.

    There is a pose for each newest time that all moving transforms between the two are known of; those that were
    not sent at that very time are interpolated.
    """

    def __init__(self, world_frame: str = '', body_frame: str = ''):
        """Name the two frames; an empty world is odom where that is above the body, else whatever is on top."""
        self._world_frame = _name(world_frame)
        self._body_frame = _name(body_frame) or DEFAULT_BODY_FRAME
        self._fixed = TransformTree()
        self._parents: dict[str, str] = {}  # of the frames that move
        self._moving: dict[str, PoseBuffer] = {}
        self._newest_ns: int | None = None

    def __len__(self) -> int:
        return len(self._parents)

    def read_static(self, message: Any) -> list[StampedPose]:
        """Take a message of /tf_static, which tells no pose by itself."""
        for each in static_transforms(message):
            self._fixed.add(each)
        return []

    def read(self, message: Any) -> list[StampedPose]:
        """Take a message of /tf; return the pose that is known by it, if any. Raises InvalidPose."""
        self._parents.update({_name(each.child_frame_id): _name(each.header.frame_id) for each in message.transforms})
        chain = self._chain()
        if chain is None:
            return []
        for each in message.transforms:
            if _name(each.child_frame_id) in chain:
                self._move(_name(each.child_frame_id), to_ns(each.header.stamp), transform_to_pose(each.transform))
        return self._pose(chain)

    @property
    def missing(self) -> str:
        """Say, as a part of a sentence, which frames do not hang together."""
        known = sorted({*self._parents, *self._parents.values(), *self._fixed.frames})
        return (
            f'tf does not lead from {self._body_frame!r} to {self._world_frame or "a world that it moves in"!r}; '
            f'it knows {", ".join(known) or "no frame"}'
        )

    def _chain(self) -> list[str] | None:
        """Return the frames from the body up to the world, without the world; None where that is not reached."""
        chain: list[str] = []
        frame = self._body_frame
        while frame != (self._world_frame or DEFAULT_WORLD_FRAME):
            fixed = self._fixed.above(frame)
            above = self._parents.get(frame) or (fixed.parent if fixed else None)
            if above is None or frame in chain:
                break
            chain.append(frame)
            frame = above
        if self._world_frame and frame != self._world_frame or not any(each in self._parents for each in chain):
            return None
        self._world_frame = frame
        return chain

    def _move(self, child: str, stamp_ns: int, T_parent_child: np.ndarray) -> None:
        try:
            self._moving.setdefault(child, PoseBuffer()).add(stamp_ns, T_parent_child)
        except TimeJump:
            self._moving = {child: PoseBuffer()}
            self._moving[child].add(stamp_ns, T_parent_child)
            self._newest_ns = None

    def _pose(self, chain: list[str]) -> list[StampedPose]:
        moving = [frame for frame in chain if frame in self._parents]
        if not all(frame in self._moving for frame in moving):
            return []
        newest_ns = min(self._moving[frame].newest_ns or 0 for frame in moving)
        if self._newest_ns is not None and newest_ns <= self._newest_ns:
            return []
        T_world_body = np.eye(4)
        try:
            for frame in chain:
                fixed = self._fixed.above(frame)
                step = fixed.T_parent_child if fixed and frame not in moving else self._moving[frame].at(newest_ns)
                T_world_body = step @ T_world_body
        except NoPose:
            return []
        self._newest_ns = newest_ns
        return [StampedPose(newest_ns, T_world_body, self._world_frame, self._body_frame)]


def _name(frame: str) -> str:
    return frame.lstrip('/')
