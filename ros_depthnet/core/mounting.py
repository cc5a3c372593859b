"""How the camera sits on the drone, and how the drone leans."""

import math

import numpy as np
import numpy.typing as npt

from ros_depthnet.core.motion import pose

FORWARD_RPY = (-math.pi / 2, 0.0, -math.pi / 2)
"""Roll, pitch and yaw of the optical frame (x right, y down, z forward) of a camera that looks ahead."""


def mounting(xyz: npt.ArrayLike, rpy: npt.ArrayLike) -> np.ndarray:
    """
    Return T_body_cam of an optical frame at xyz (metres), turned by roll, pitch and yaw (radians).

    The body's axes are forward, left, up (REP-103); roll turns about x first, then pitch about y, then yaw
    about z, all axes of the body, as in URDF.
    """
    (sr, sp, sy), (cr, cp, cy) = np.sin(rpy), np.cos(rpy)
    Rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    Ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    Rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return pose(Rz @ Ry @ Rx, xyz)


def roll_pitch_yaw(R: np.ndarray) -> tuple[float, float, float]:
    """Return roll, pitch and yaw, radians, of a rotation (3, 3): the inverse of what `mounting` does."""
    pitch = -math.asin(max(-1.0, min(1.0, float(R[2, 0]))))
    if abs(R[2, 0]) > 1 - 1e-9:  # gimbal lock: roll and yaw turn about one axis
        return 0.0, pitch, math.atan2(-R[0, 1], R[1, 1])
    return math.atan2(R[2, 1], R[2, 2]), pitch, math.atan2(R[1, 0], R[0, 0])


def levelled(T_world_body: np.ndarray) -> np.ndarray:
    """Return the body's pose without roll and pitch: same place and heading, z up."""
    ahead = T_world_body[:2, 0]
    yaw = math.atan2(ahead[1], ahead[0])
    return pose(
        [[math.cos(yaw), -math.sin(yaw), 0.0], [math.sin(yaw), math.cos(yaw), 0.0], [0.0, 0.0, 1.0]],
        T_world_body[:3, 3],
    )
