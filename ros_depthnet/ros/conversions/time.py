"""From integer nanoseconds, the only time that core knows, to builtin_interfaces/Time."""

from builtin_interfaces.msg import Time

from ros_depthnet.flight.messages.stamp import NANOSECONDS


def to_stamp(stamp_ns: int) -> Time:
    """Return nanoseconds as a message's stamp."""
    sec, nanosec = divmod(stamp_ns, NANOSECONDS)
    return Time(sec=sec, nanosec=nanosec)
