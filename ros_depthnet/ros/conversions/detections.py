"""From obstacles to what planners take: vision_msgs/Detection3DArray, and odometry of each."""

from collections.abc import Sequence
from types import ModuleType

import numpy as np
from geometry_msgs.msg import Pose, PoseWithCovariance, TwistWithCovariance, Vector3
from nav_msgs.msg import Odometry
from std_msgs.msg import Header

from ros_depthnet.core.obstacle_tracks import Obstacle
from ros_depthnet.ros.conversions.pose import to_point

MOVING, STANDING = 'moving', 'standing'  # the two classes
PREFIX = 'obstacle_'
"""Of the frame of an obstacle's odometry; the number follows."""


def to_detections(obstacles: Sequence[Obstacle], header: Header, messages: ModuleType):
    """
    Return obstacles, in order, as a Detection3DArray of `messages`, the module vision_msgs.msg.

    A detection's id is the obstacle's number; its hypotheses are that it moves and that it stands, the likelier
    first.
    """
    return messages.Detection3DArray(
        header=header, detections=[_detection(obstacle, header, messages) for obstacle in obstacles]
    )


def to_odometry(obstacle: Obstacle, header: Header) -> Odometry:
    """
    Return where an obstacle's centre is in the header's frame, and its velocity, with their covariances.

    The twist is in the child's frame, as nav_msgs wants it; boxes do not turn, so its axes are the header's.
    """
    odometry = Odometry(header=header, child_frame_id=f'{PREFIX}{obstacle.number}', pose=_centre(obstacle))
    odometry.twist = TwistWithCovariance(covariance=_covariance(obstacle.deviation))
    odometry.twist.twist.linear = _vector(obstacle.velocity)
    return odometry


def _detection(obstacle: Obstacle, header: Header, messages: ModuleType):
    centre, moving = _centre(obstacle), obstacle.probability_moving
    likely = sorted(((moving, MOVING), (1 - moving, STANDING)), reverse=True)
    return messages.Detection3D(
        header=header,
        id=str(obstacle.number),
        bbox=messages.BoundingBox3D(center=centre.pose, size=_vector(obstacle.box.size)),
        results=[
            messages.ObjectHypothesisWithPose(
                hypothesis=messages.ObjectHypothesis(class_id=name, score=score), pose=centre
            )
            for score, name in likely
        ],
    )


def _centre(obstacle: Obstacle) -> PoseWithCovariance:
    pose = Pose(position=to_point(obstacle.box.centre))
    return PoseWithCovariance(pose=pose, covariance=_covariance(obstacle.centre_deviation))


def _covariance(deviation: np.ndarray) -> np.ndarray:
    """Return the covariance (36,) of a place or a velocity; boxes lie along the axes, so turning has none."""
    return np.diag(np.square([*deviation, 0, 0, 0])).ravel()


def _vector(xyz: np.ndarray) -> Vector3:
    x, y, z = (float(each) for each in xyz)
    return Vector3(x=x, y=y, z=z)
