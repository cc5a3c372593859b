"""Subscriptions that know whether anything arrives, and publishers that know whether anybody listens."""

import contextlib
import time
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile
from rclpy.subscription import Subscription

from ros_depthnet.core.reasons import Drop, Refusal
from ros_depthnet.core.recent import Recent
from ros_depthnet.ros import qos
from ros_depthnet.ros.diagnostics import Complaint
from ros_depthnet.ros.managed import ManagedNode
from ros_depthnet.ros.publishers import (
    Heard,
    Publishers,
    WithInfo,
    inputs_there,
    of_another_drone,
    publisher_names,
)
from ros_depthnet.ros.topics import NODES, Topic

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

# For those who look after mismatches themselves, or expect them: rclpy would log each.
UNHEARD = SubscriptionEventCallbacks(incompatible_qos=lambda event: None)
_MOST_NAMED = 3
_LOOK_PERIOD = 0.2  # seconds between looks for publishers that keep what they sent
_GONE = (rclpy_implementation.RCLError, rclpy_implementation.InvalidHandle)


class Input:
    """A subscription with overridable QoS that can say what is wrong with it."""

    def __init__(
        self,
        node: ManagedNode,
        topic: Topic,
        message_type: type,
        callback: Callable,
        profile: QoSProfile,
        optional: bool = False,
        once: bool = False,
    ):
        """Subscribe; an optional input is not missed while nobody publishes it, nor one that came `once`."""
        self._node, self._callback = node, callback
        self._topic, self._profile = topic, profile
        self.optional, self._once = optional, once
        self._arrived = False
        self.topic: str = node.resolve_topic_name(topic.name)
        self._arrivals = Recent()
        self._last = time.monotonic()
        self._mismatch = ''
        self._subscription = self._subscribed(message_type)

    def subscribe_anew(self, message_type: type) -> None:
        """Subscribe to messages of another type, in place of those so far."""
        self._node.destroy_subscription(self._subscription)
        self._subscription = self._subscribed(message_type)

    def _subscribed(self, message_type: type) -> Subscription:
        return self._node.create_subscription(
            message_type,
            self._topic.name,
            self._callback_of_subscription(),
            copy(self._profile),  # as overrides are written into it
            qos_overriding_options=qos.overridable(),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible_qos),
        )

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self._arrivals.rate(time.monotonic())

    @property
    def has_publisher(self) -> bool:
        """Tell whether anybody publishes this topic."""
        return self._node.count_publishers(self.topic) > 0

    def complaint(self, timeout: float) -> Complaint | None:
        """Return what keeps messages from arriving, None when they came within `timeout` seconds."""
        if self._once and self._arrived:
            return None
        silence = time.monotonic() - self._last
        if silence < timeout:
            return None
        if self._mismatch:
            return Complaint.error(
                f'Nothing arrives on {self.topic}: its publisher offers another {self._mismatch} than this '
                f'node asks for; set qos_overrides.{self.topic}.subscription.{self._mismatch} to its own.'
            )
        if not self.has_publisher and self.optional:
            return None
        if not self.has_publisher:
            return Complaint.warning(f'Nobody publishes {self.topic}: start its source, {self._or_remap()}.')
        return Complaint.warning(f'No message on {self.topic} for {silence:.0f} s, though it has a publisher.')

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _callback_of_subscription(self) -> Callable:
        return self._on_message

    def _or_remap(self) -> str:
        """Say where the drone's images, calibration or poses may be instead, as after a wrong preset."""
        kinds = {self._topic.type, *self._topic.others}
        found = [
            name
            for name, types in inputs_there(self._node, self._node.get_name()).items()
            if kinds & types and not of_another_drone(self._node, name)
        ]
        if self._topic not in NODES['depth_node'].subscribes or not found:
            return 'or remap the topic'
        return f'or remap {self._topic.name}, to {" or ".join(found[:_MOST_NAMED])} for one'

    def _on_message(self, message) -> None:
        self._last, self._arrived = time.monotonic(), True
        self._arrivals.add(self._last)
        self._callback(message)

    def _on_incompatible_qos(self, event) -> None:
        self._mismatch = QoSPolicyKind(event.last_policy_kind).name.lower()


class FlightInput(Input):
    """
    An input of a flight, which has one camera and one odometry: while two publish at once, neither is taken.

    `another` is called when another publisher goes on in place of the one before.
    """

    def __init__(self, *of_input, another: Callable[[], None], **options):
        """Subscribe; see Input."""
        self._another, self._publishers = another, Publishers()
        super().__init__(*of_input, **options)

    def rivalled(self, facts: Mapping[str, object]) -> Refusal:
        """Return why a message is not taken, for two publish: `topic` and the `names` of their nodes."""
        raise NotImplementedError

    def lost(self, count: int) -> None:
        """Take note of messages that never came."""

    def _callback_of_subscription(self) -> Callable:
        return WithInfo(self._on_message_with_info)

    def _hear(self, info: Mapping[str, Any]) -> Heard:
        publisher = (info.get('publisher_gid') or {}).get('data')
        heard = self._publishers.hear(publisher, info.get('publication_sequence_number'), time.monotonic())
        if heard.lost:
            self.lost(heard.lost)
        return heard

    def _on_message_with_info(self, message, info: Mapping[str, Any]) -> None:
        heard = self._hear(info)
        if heard.handed_over:
            self._another()
        if heard.rivalled:
            names = publisher_names(self._node.get_publishers_info_by_topic(self.topic))
            self._node.health.refused(self.rivalled({'topic': self.topic, 'names': names}))
        else:
            self._on_message(message)


class ImageInput(FlightInput):
    """The images of a flight; those that never came are counted."""

    def rivalled(self, facts: Mapping[str, object]) -> Refusal:
        """Return why an image is not taken."""
        return Refusal(Drop.TWO_CAMERAS, facts)

    def close(self) -> None:
        """Unsubscribe, and count what has come meanwhile."""
        with contextlib.suppress(*_GONE), self._subscription.handle:
            take = self._subscription.handle.take_message
            while taken := take(self._subscription.msg_type, self._subscription.raw):
                self._hear(taken[1])
                self._node.health.dropped(Drop.NO_LISTENER)
        super().close()

    def lost(self, count: int) -> None:
        """Count images lost on the way, or replaced by newer ones before there was time to take them."""
        self._node.health.dropped(Drop.LOST, count=count)


class LatchedInput:
    """
    A second subscription to a topic, for what its publisher has kept (transient local), once there is such a one.

    Publishers that keep nothing are served by the first subscription, and would warn of this one.
    """

    def __init__(self, node: ManagedNode, topic: Topic, message_type: type, callback: Callable):
        """Subscribe, now or when a publisher that keeps messages appears."""
        self._node, self._topic, self._message_type, self._callback = node, topic, message_type, callback
        self._subscription: Subscription | None = None
        self._timer = node.create_timer(_LOOK_PERIOD, self._look, clock=node.steady_clock)
        self._look()

    def _look(self) -> None:
        publishers = self._node.get_publishers_info_by_topic(self._topic.name)
        if not any(each.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for each in publishers):
            return
        self._timer.cancel()
        if self._subscription is None:
            self._subscription = self._node.create_subscription(
                self._message_type, self._topic.name, self._callback, qos.LATCHED, event_callbacks=UNHEARD
            )

    def complaint(self, timeout: float) -> None:
        """Complain of nothing: what has not been kept may still come by the first subscription."""

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_timer(self._timer)
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)


class Output:
    """A publisher with overridable QoS that knows whether anybody listens."""

    def __init__(self, node: ManagedNode, topic: Topic, message_type: type, profile: QoSProfile = qos.OUTPUT):
        """Advertise."""
        self._node = node
        self._publisher: LifecyclePublisher = node.create_lifecycle_publisher(
            message_type, topic.name, copy(profile), qos_overriding_options=qos.overridable()
        )

    @property
    def wanted(self) -> bool:
        """Tell whether anybody listens."""
        try:
            return self._publisher.get_subscription_count() > 0
        except _GONE:
            return False

    def publish(self, message) -> None:
        """Publish a message or its serialised bytes; one that shutdown overtakes is no error."""
        try:
            self._publisher.publish(message)
        except _GONE as error:
            if self._node.context.ok():
                self._node.get_logger().warning(f'A message was not sent: {error}')

    def close(self) -> None:
        """Stop advertising."""
        self._node.destroy_lifecycle_publisher(self._publisher)
