"""Whom messages come from: what was lost of a publisher's, and whether another publishes beside it."""

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

_MAKERS = ('depth_node', 'cloud_node', 'obstacle_node')  # what they publish is no input
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


def inputs_there(node: Node, renamed: str = '') -> dict[str, set[str]]:
    """Return the types of every topic that none of our processing nodes publishes, nor one that is called otherwise."""
    makers, found = {*_MAKERS, renamed}, {}
    for name, _ in sorted(node.get_topic_names_and_types()):
        publishers = node.get_publishers_info_by_topic(name)
        found[name] = {each.topic_type for each in publishers if each.node_name not in makers}
    return {name: kinds for name, kinds in found.items() if kinds}


def of_another_drone(node: Node, topic: str) -> bool:
    """Tell whether a topic lies in the namespace of a depth_node that is not this node's."""
    own = node.get_namespace()
    flown = {space for name, space in node.get_node_names_and_namespaces() if name == 'depth_node'} | {own}
    holding = [space for space in flown if topic.startswith(f'{space.rstrip("/")}/')]
    return max(holding, key=len, default=own) != own


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
