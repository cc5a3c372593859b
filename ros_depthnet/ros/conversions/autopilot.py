"""From distances all round to the messages that MAVROS and PX4 take."""

import math

from builtin_interfaces.msg import Time
from sensor_msgs.msg import LaserScan
from std_msgs.msg import Header

from ros_depthnet.core.autopilot import (
    INCREMENT_DEG,
    MIN_DISTANCE_CM,
    SECTORS,
    MavState,
    ObstacleDistance,
    for_mavros,
)
from ros_depthnet.flight.messages.stamp import to_ns

_BODY_FRD = 12  # MAV_FRAME_BODY_FRD; both autopilots take the heading of it and leave out how the body leans
_LASER = 0  # MAV_DISTANCE_SENSOR_LASER: no number stands for cameras, and MAVROS says the same
_OBSTACLE_AVOIDANCE = 196  # MAV_COMP_ID_OBSTACLE_AVOIDANCE


def to_mavros_scan(distance: ObstacleDistance, header: Header) -> LaserScan:
    """
    Return the scan for MAVROS' obstacle_distance plugin: its angles grow clockwise, against REP-103.

    NaN is unknown, anything beyond range_max free.
    """
    ranges, range_max = for_mavros(distance)
    increment = math.radians(INCREMENT_DEG)
    return LaserScan(
        header=header,
        angle_min=0.0,
        angle_max=increment * (SECTORS - 1),
        angle_increment=increment,
        range_min=MIN_DISTANCE_CM / 100,
        range_max=range_max,
        ranges=ranges.tolist(),
    )


def to_px4(distance: ObstacleDistance, stamp: Time, message_type: type):
    """
    Return a px4_msgs/ObstacleDistance (`message_type`), stamped with the image's time in microseconds.

    PX4's client shifts that to its own clock (UXRCE_DDS_SYNCT) and takes it for the age of the distances.
    """
    return message_type(
        timestamp=to_ns(stamp) // 1000,
        frame=_BODY_FRD,
        sensor_type=_LASER,
        distances=distance.distances_cm,
        increment=INCREMENT_DEG,
        min_distance=MIN_DISTANCE_CM,
        max_distance=distance.max_cm,
        angle_offset=0.0,
    )


def to_companion_status(state: MavState, stamp: Time, message_type: type):
    """Return a mavros_msgs/CompanionProcessStatus (`message_type`) of the obstacle avoidance."""
    return message_type(header=Header(stamp=stamp), state=int(state), component=_OBSTACLE_AVOIDANCE)
