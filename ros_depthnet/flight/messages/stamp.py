"""Stamps of messages as integer nanoseconds, the only time that the rest of the package knows."""

from typing import Any

NANOSECONDS = 10**9


def to_ns(stamp: Any) -> int:
    """Return a builtin_interfaces/Time in nanoseconds."""
    return stamp.sec * NANOSECONDS + stamp.nanosec
