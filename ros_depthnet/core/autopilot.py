"""What an autopilot is told of obstacles: MAVLink's OBSTACLE_DISTANCE, 72 directions, whole centimetres."""

import math
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.motion import pose
from ros_depthnet.core.obstacles import ObstacleOptions, sector_distances

SECTORS = 72
INCREMENT_DEG = 360 / SECTORS
"""Width of a sector, degrees; sector i is centred i times that to the right of straight ahead."""

UNKNOWN_CM = 2**16 - 1
TOO_CLOSE_CM = 1
"""MAVLink would allow 0, but ArduPilot skips 0 as if unknown, and PX4 brakes only for more than 0."""

MIN_DISTANCE_CM = 0
FRESH_S = 0.5
"""Seconds after which both PX4 and ArduPilot forget a distance that nobody repeats."""

_MOST_CM = UNKNOWN_CM - 2  # as one more means free, and one more still unknown


@dataclass(frozen=True, eq=False)
class ObstacleDistance:
    """
    Distances (72,) uint16 in cm, clockwise from straight ahead, in a level frame with the body's heading.

    max_cm: the farthest distance that can be told; free is max_cm + 1, unknown UNKNOWN_CM.
    """

    distances_cm: np.ndarray
    max_cm: int

    @property
    def knows_something(self) -> bool:
        """Tell whether any direction is known."""
        return bool((self.distances_cm != UNKNOWN_CM).any())


class MavState(IntEnum):
    """MAVLink's MAV_STATE, as far as it is told here."""

    BOOT = 1
    ACTIVE = 4
    CRITICAL = 5


def companion_state(age_s: float | None) -> MavState:
    """Return the state of a companion that last told something `age_s` seconds ago; None is never."""
    if age_s is None:
        return MavState.BOOT
    return MavState.ACTIVE if age_s <= FRESH_S else MavState.CRITICAL


def obstacle_distance_cm(
    depth_hw: np.ndarray, camera: Camera, T_level_cam: np.ndarray, options: ObstacleOptions, max_distance: float
) -> ObstacleDistance:
    """
    Return what a depth image (H, W) in metres shows all round the drone.

    T_level_cam: pose of the camera in a frame at the drone whose z is up and whose x is the way ahead. Of the
    options, `sectors` and `sector_angle` are not used. max_distance: farther is free, metres, at most 655.33.
    """
    # Turned left by half a sector, the frame has a sector's middle straight ahead and not a border.
    half = math.pi / SECTORS
    c, s = math.cos(half), math.sin(half)
    T_turned_level = pose([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]], (0, 0, 0))
    leftwards = sector_distances(
        depth_hw,
        camera,
        T_turned_level @ T_level_cam,
        replace(options, sectors=SECTORS, sector_angle=2 * math.pi),
        max_distance,
    )
    clockwise = leftwards[(SECTORS // 2 - 1 - np.arange(SECTORS)) % SECTORS]

    max_cm = min(round(max_distance * 100), _MOST_CM)
    whole_cm = np.clip(np.floor(clockwise * 100), TOO_CLOSE_CM, max_cm + 1)
    return ObstacleDistance(np.where(np.isnan(clockwise), UNKNOWN_CM, whole_cm).astype(np.uint16), max_cm)


def for_mavros(distance: ObstacleDistance) -> tuple[np.ndarray, float]:
    """
    Return ranges (72,) float32 and range_max, metres, of which MAVROS makes these very centimetres.

    Its plugin cuts off what is behind the point, so each distance is in the middle of its centimetre.
    """
    ranges = (distance.distances_cm + 0.5) / 100
    ranges[distance.distances_cm == UNKNOWN_CM] = np.nan
    return ranges.astype(np.float32), (distance.max_cm + 0.5) / 100
