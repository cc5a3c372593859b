"""Between the pose messages of ROS and the 4 x 4 poses of core."""

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion
from nav_msgs.msg import Odometry
from std_msgs.msg import Header

from ros_depthnet.core import motion


def from_pose(T_parent_child: np.ndarray) -> Pose:
    """Return T_parent_child as a pose message."""
    x, y, z, w = (float(v) for v in motion.quaternion(T_parent_child))
    return Pose(position=to_point(T_parent_child[:3, 3]), orientation=Quaternion(x=x, y=y, z=z, w=w))


def to_point(xyz: np.ndarray) -> Point:
    """Return a position as a point message."""
    return Point(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))


def from_odometry(T_odom_body: np.ndarray, header: Header, child_frame_id: str) -> Odometry:
    """Return a pose of the body in the header's frame as odometry; its speed is left at zero."""
    message = Odometry(header=header, child_frame_id=child_frame_id)
    message.pose.pose = from_pose(T_odom_body)
    return message
