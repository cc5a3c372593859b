"""What tf is told: where frames are that nobody else places."""

import time
from types import SimpleNamespace

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Transform, TransformStamped, Vector3
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from std_msgs.msg import Header

from ros_depthnet.flight.transforms import TRANSFORMS
from ros_depthnet.ros import qos, topics
from ros_depthnet.ros.conversions.pose import from_pose
from ros_depthnet.ros.managed import ManagedNode
from ros_depthnet.ros.pose_input import is_installed, message_class

_PATIENCE = 2.0  # seconds to hear which frames others place


def check_transform_output(settings: SimpleNamespace) -> None:
    """Raise ValueError with a sentence when tf shall be told something without its messages."""
    if settings.broadcast_tf and not is_installed(TRANSFORMS):
        raise ValueError('broadcast_tf is set, but tf2_msgs is not installed: install it, or leave tf to others.')


class TransformOutput:
    """
    Tells /tf and /tf_static, unless the node's parameter `broadcast_tf` is false.

    For two seconds it only listens: a frame that somebody else has placed by then is left to them, as two that
    place one make it jump.
    """

    def __init__(self, node: ManagedNode):
        """Advertise, and begin to listen."""
        self._node = node
        self._others: set[str] = set()
        self._fixed: set[str] = set()
        self._listening: list[Subscription] = []
        if not node.settings.broadcast_tf:
            return
        kind = message_class(TRANSFORMS)
        self._message = kind
        self._until = time.monotonic() + _PATIENCE
        self._moving: Publisher = node.create_publisher(kind, topics.TF.name, qos.reliable(100))
        self._static: Publisher = node.create_publisher(kind, topics.TF_STATIC.name, qos.LATCHED)
        self._listening = [
            node.create_subscription(kind, topics.TF.name, self._on_others, qos.reliable(100)),
            node.create_subscription(kind, topics.TF_STATIC.name, self._on_others, qos.ALL_LATCHED),
        ]

    def place(self, child: str, parent: str, T_parent_child: np.ndarray, stamp: Time) -> None:
        """Say where a frame that moves is at a time."""
        if self._is_ours(child):
            self._moving.publish(self._told(child, parent, T_parent_child, stamp))

    def fix(self, child: str, parent: str, T_parent_child: np.ndarray, stamp: Time) -> None:
        """Say, once, where a frame sits that does not move."""
        if self._is_ours(child) and child not in self._fixed:
            self._fixed.add(child)
            self._static.publish(self._told(child, parent, T_parent_child, stamp))

    def close(self) -> None:
        """Stop telling and listening."""
        if self._listening:
            for subscription in self._listening:
                self._node.destroy_subscription(subscription)
            self._node.destroy_publisher(self._moving)
            self._node.destroy_publisher(self._static)
            self._listening = []

    def _is_ours(self, child: str) -> bool:
        return bool(self._listening) and time.monotonic() > self._until and child not in self._others

    def _on_others(self, message) -> None:
        if time.monotonic() <= self._until:  # later, what is heard may be what was told
            self._others |= {transform.child_frame_id for transform in message.transforms}

    def _told(self, child: str, parent: str, T_parent_child: np.ndarray, stamp: Time):
        pose = from_pose(T_parent_child)
        x, y, z = pose.position.x, pose.position.y, pose.position.z
        transform = Transform(translation=Vector3(x=x, y=y, z=z), rotation=pose.orientation)
        return self._message(
            transforms=[
                TransformStamped(header=Header(stamp=stamp, frame_id=parent), child_frame_id=child, transform=transform)
            ]
        )
