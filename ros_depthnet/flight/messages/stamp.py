"""Stamps of messages as integer nanoseconds, the only time that the rest of the package knows."""

NANOSECONDS = 10**9


def to_ns(stamp) -> int:
    """Return a builtin_interfaces/Time in nanoseconds."""
    return stamp.sec * NANOSECONDS + stamp.nanosec
