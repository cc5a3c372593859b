"""Between builtin_interfaces/Time and integer nanoseconds, the only time that core knows."""

from builtin_interfaces.msg import Time

NANOSECONDS = 10**9


def to_ns(stamp: Time) -> int:
    """Return a message's stamp in nanoseconds."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def to_stamp(stamp_ns: int) -> Time:
    """Return nanoseconds as a message's stamp."""
    sec, nanosec = divmod(stamp_ns, NANOSECONDS)
    return Time(sec=sec, nanosec=nanosec)
