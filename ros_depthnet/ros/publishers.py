"""Whom messages come from: what was lost of a publisher's, and whether another publishes beside it."""

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

_RIVAL_S = 1.0  # seconds for which who has published is taken to go on with it; no driver restarts faster
_REMEMBERED = 8  # publishers, those heard last


@dataclass(frozen=True)
class Heard:
    """
    What a message tells of its publisher.

    lost: how many before it never came. rivalled: another publisher's came just before. handed_over: the one
    before has fallen silent, and what comes is of another now.
    """

    lost: int
    rivalled: bool
    handed_over: bool


class Publishers:
    """Keeps count of who publishes a topic. Before Kilted rclpy does not tell who does: then nothing is found."""

    def __init__(self) -> None:
        """Begin without any."""
        self._heard: dict[Hashable, tuple[float, int | None]] = {}
        self._present: Hashable = None

    def hear(self, publisher: Hashable, number: int | None, now: float) -> Heard:
        """Take note of a message: its number among the publisher's, and when it came, seconds of a steady clock."""
        _, before = self._heard.pop(publisher, (now, None))
        lost = 0
        if publisher is not None and number is not None and before is not None:
            lost = max(0, number - before - 1)
        rivalled = any(now - last < _RIVAL_S for last, _ in self._heard.values())
        self._heard[publisher] = now, number if before is None or number is None else max(number, before)
        if len(self._heard) > _REMEMBERED:
            del self._heard[next(iter(self._heard))]
        handed_over = not rivalled and self._present not in (None, publisher)
        if not rivalled:
            self._present = publisher
        return Heard(lost, rivalled, handed_over)


def publisher_names(endpoints: Iterable[TopicEndpointInfo]) -> str:
    """Return the full names of the nodes that these endpoints of a topic belong to."""
    return ', '.join(sorted({f'{each.node_namespace.rstrip("/")}/{each.node_name}' for each in endpoints}))


class WithInfo:
    """
    A callback of a subscription that gets each message with its rmw_message_info, {} before Iron.

    rclpy counts a callback's parameters to see whether it wants the info; its EventsExecutor then passes both
    as one tuple.
    """

    def __init__(self, callback: Callable[[Any, Mapping[str, Any]], None]):
        """Call this."""
        self._callback = callback
        if hasattr(Subscription, 'CallbackType'):
            self.__signature__ = inspect.signature(callback)

    def __call__(self, *taken: Any) -> None:
        """Take what rclpy passes."""
        if len(taken) == 1:
            taken = taken[0] if isinstance(taken[0], tuple) else (taken[0], {})
        self._callback(*taken)
