"""
What MAVROS, PX4 and ArduPilot make of distances, written down anew from their sources as the judge of ours.

MAVROS: mavlink/mavros 2.12.0 (f8f462dd), mavros_extras/src/plugins/obstacle_distance.cpp, obstacle_cb.
PX4: PX4/PX4-Autopilot 001d722a, src/lib/collision_prevention/CollisionPrevention.cpp, _addObstacleSensorData,
_enterData, _transformSetpoint, _checkSetpointDirectionFeasability, _getVelocityCompensationAcceleration,
_getScale; the guidance that bends the pilot's direction is left out (CP_GUIDE_ANG = 0).
ArduPilot: ArduPilot/ardupilot 07792b62, libraries/AP_Proximity/AP_Proximity_MAV.cpp,
handle_obstacle_distance_msg.
All compute in 32 bits, and so is it done here.
"""

import math
from types import SimpleNamespace

import numpy as np

F = np.float32
UINT16_MAX = 65535
BODY_FRD = 12
BINS, BIN_DEG = 72, 5


def mavros(scan, mav_frame=BODY_FRD):
    """Return the OBSTACLE_DISTANCE that the plugin sends for a LaserScan of at most 72 ranges."""
    assert len(scan.ranges) <= 72
    distances = np.full(72, UINT16_MAX, np.uint16)
    for i, metres in enumerate(scan.ranges):
        distance_cm = F(float(F(metres)) * 1e2)
        if not (math.isnan(distance_cm) or distance_cm >= UINT16_MAX or distance_cm < 0):
            distances[i] = int(distance_cm)
    increment_deg = F(float(F(scan.angle_increment)) * (180 / math.pi))
    return SimpleNamespace(
        distances=distances,
        increment=int(increment_deg + F(0.5)),
        increment_f=increment_deg,
        min_distance=int(float(F(scan.range_min)) * 1e2),
        max_distance=int(float(F(scan.range_max)) * 1e2),
        angle_offset=F(float(F(scan.angle_min)) * (180 / math.pi)),
        frame=mav_frame,
    )


def from_px4_msgs(message):
    """Return the same of a px4_msgs/ObstacleDistance, which PX4 takes as it is."""
    return SimpleNamespace(
        distances=message.distances,
        increment_f=F(message.increment),
        min_distance=message.min_distance,
        max_distance=message.max_distance,
        angle_offset=F(message.angle_offset),
        frame=message.frame,
    )


class Px4:
    """PX4's collision prevention, heading north, with one message in its map."""

    def __init__(self, message, go_no_data=False, keep=2.0):
        assert message.frame == BODY_FRD
        self.go_no_data = go_no_data
        self.min_distance = min(UINT16_MAX, message.min_distance)
        self.min_dist_to_keep = max(self.min_distance / 100, keep)
        self.distances, self.max_ranges = [UINT16_MAX] * BINS, [0] * BINS
        self.fov = [0] * BINS
        factor = F(1) / F(message.increment_f)
        for i in range(BINS):
            angle = F(F(i * BIN_DEG) - message.angle_offset)
            index = math.ceil(F(F(angle % F(360)) * factor))
            reading = int(message.distances[index])
            if reading != UINT16_MAX and self._enters(i, message.max_distance, reading):
                self.distances[i], self.max_ranges[i], self.fov[i] = reading, message.max_distance, 1

    def _enters(self, i, range_cm, reading_cm):
        in_range = self.distances[i] < self.max_ranges[i]
        if reading_cm < range_cm:
            return (in_range and range_cm <= self.max_ranges[i]) or not in_range
        return (not in_range and range_cm >= self.max_ranges[i]) or (in_range and range_cm == self.max_ranges[i])

    def lets_fly(self, right_deg):
        """Tell whether the pilot may accelerate this far to the right of ahead."""
        i = math.floor((right_deg % 360) / BIN_DEG)
        return not (self.distances[i] == UINT16_MAX and (not self.go_no_data or self.fov[i]))

    def brakes(self, right_deg):
        """Tell whether a speed this way is taken back to nothing: the bin counts, and no way is left."""
        bin_distance = self.distances[round((right_deg % 360) / BIN_DEG) % BINS]
        counts = self.min_distance < bin_distance < UINT16_MAX
        return counts and max(0.0, bin_distance * 0.01 - self.min_dist_to_keep) == 0

    def scale(self, right_deg, scale_distance=7.0):
        """Return by what a wish this way is multiplied if this is the nearest thing; negative pushes away."""
        scale = self.distances[round((right_deg % 360) / BIN_DEG) % BINS] * 0.01 - self.min_dist_to_keep
        return min((scale / scale_distance) ** 2 if scale > 0 else scale, 1.0)


def ardupilot(message):
    """Return {degrees to the right: metres} of what ArduPilot takes for obstacles."""
    increment = message.increment_f or message.increment
    total = min(int(F(360) / abs(increment) + F(0.5)), 72)
    found = {}
    for j in range(total):
        cm = int(message.distances[j])
        if cm in (0, UINT16_MAX) or cm < message.min_distance or cm > message.max_distance:
            continue
        found[float((F(j) * increment + message.angle_offset) % F(360))] = cm / 100
    return found
