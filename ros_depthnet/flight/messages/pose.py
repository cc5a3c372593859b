"""Poses of every kind of message that tells one, as T_world_body in ROS' axes (REP-103, REP-105)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.flight.messages.stamp import to_ns

T_ENU_NED = motion.pose([[0, 1, 0], [1, 0, 0], [0, 0, -1]], np.zeros(3))
T_FRD_FLU = motion.pose(np.diag([1, -1, -1]), np.zeros(3))
_PX4_NED, _PX4_FRD = 1, 2  # px4_msgs/VehicleOdometry's POSE_FRAME_*
_PX4_BODY = 'base_link'  # px4_msgs name no frames; the body's is REP-105's


@dataclass(frozen=True, eq=False)
class StampedPose:
    """
    Where a body was.

    T_world_body: (4, 4), the body's axes forward, left, up. speed: metres per second that the source itself
    says, None where it says none. body_frame is empty where the message names none.
    """

    stamp_ns: int
    T_world_body: np.ndarray
    world_frame: str
    body_frame: str = ''
    speed: float | None = None


def to_pose(message: Any) -> np.ndarray:
    """Return a geometry_msgs/Pose as T_parent_child; raises InvalidPose for NaN or the zero quaternion."""
    p, q = message.position, message.orientation
    return motion.from_quaternion((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))


def transform_to_pose(message: Any) -> np.ndarray:
    """Return a geometry_msgs/Transform as T_parent_child; raises InvalidPose."""
    t, q = message.translation, message.rotation
    return motion.from_quaternion((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def _odometry(message: Any) -> StampedPose:
    v = message.twist.twist.linear
    return _stamped(message.header, message.pose.pose, message.child_frame_id, _speed((v.x, v.y, v.z)))


def _stamped(header: Any, pose: Any, body_frame: str = '', speed: float | None = None) -> StampedPose:
    return StampedPose(to_ns(header.stamp), to_pose(pose), header.frame_id, body_frame, speed)


def _px4(message: Any) -> StampedPose:
    """Read px4_msgs/VehicleOdometry: position in NED or FRD, quaternion (w, x, y, z) from FRD to that."""
    if message.pose_frame not in (_PX4_NED, _PX4_FRD):
        raise motion.InvalidPose('The pose_frame of the VehicleOdometry is unknown: PX4 has no position yet.')
    w, *xyz = (float(value) for value in message.q)
    T_local_frd = motion.from_quaternion([float(value) for value in message.position], (*xyz, w))
    T_up_local = T_ENU_NED if message.pose_frame == _PX4_NED else T_FRD_FLU
    stamp_ns = 1000 * int(message.timestamp_sample or message.timestamp)
    speed = _speed([float(value) for value in message.velocity])
    return StampedPose(stamp_ns, T_up_local @ T_local_frd @ T_FRD_FLU, 'odom', _PX4_BODY, speed)


def _speed(velocity: Sequence[float]) -> float | None:
    """Return the norm; None for exactly zero, which most sources without a velocity send, and for NaN."""
    speed = float(np.linalg.norm(velocity))
    return speed if np.isfinite(speed) and speed > 0 else None


READERS: Mapping[str, Callable[[Any], StampedPose]] = MappingProxyType(
    {
        'nav_msgs/msg/Odometry': _odometry,
        'px4_msgs/msg/VehicleOdometry': _px4,
        'geometry_msgs/msg/PoseWithCovarianceStamped': lambda message: _stamped(message.header, message.pose.pose),
        'geometry_msgs/msg/PoseStamped': lambda message: _stamped(message.header, message.pose),
    }
)
"""By type of message, the best source first; each may raise InvalidPose."""
