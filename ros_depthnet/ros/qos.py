"""Quality of service: inputs match every publisher, outputs every subscriber; users override both."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions


def sensor(depth: int) -> QoSProfile:
    """Return best effort, the newest `depth` messages: matches reliable and best-effort publishers."""
    return QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=depth)


def reliable(depth: int) -> QoSProfile:
    """Return reliable, the newest `depth` messages: matches reliable and best-effort subscribers."""
    return QoSProfile(reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_LAST, depth=depth)


IMAGES = sensor(1)
SMALL_MESSAGES = sensor(10)
ODOMETRY = sensor(100)
LATCHED = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
)
ALL_LATCHED = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    history=HistoryPolicy.KEEP_LAST,
    depth=100,
)
OUTPUT = reliable(5)


def overridable() -> QoSOverridingOptions:
    """Declare `qos_overrides.TOPIC.{publisher,subscription}.{history,depth,reliability}`."""
    return QoSOverridingOptions.with_default_policies()
