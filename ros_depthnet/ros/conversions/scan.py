"""From the nearest distance per direction to the sensor_msgs/LaserScan that flight stacks take."""

import numpy as np
from sensor_msgs.msg import LaserScan
from std_msgs.msg import Header


def from_sectors(distances: np.ndarray, angle: float, farthest: float, header: Header) -> LaserScan:
    """
    Return one beam in the middle of each sector; REP-117 values stay.

    distances: (sectors,) metres, from right to left over `angle` radians, centred on the x axis of the
    header's frame, whose z is up. farthest: metres, up to where they are told.
    """
    increment = angle / len(distances)
    return LaserScan(
        header=header,
        angle_min=(increment - angle) / 2,
        angle_max=(angle - increment) / 2,
        angle_increment=increment,
        range_min=0.0,
        range_max=float(farthest),
        ranges=distances.tolist(),
    )
