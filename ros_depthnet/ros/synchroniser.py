"""Messages of several topics that belong together because they have one stamp, or nearly."""

from collections.abc import Callable, Collection, Hashable

_CAPACITY = 10
_NEAR_NS = 6_000_000  # drivers stamp calibration or colours some milliseconds apart; frames of 60 Hz are 16 apart


class Synchroniser:
    """
    Hands over each message of a leading topic with those of the others that belong to it.

    A message belongs to the leading one nearest in time, at most 6 ms away. Which topics make a set complete
    is asked each time, as optional publishers come and go. Older sets, incomplete ones included, are
    forgotten when a newer one is handed over.
    """

    def __init__(
        self,
        leader: Hashable,
        required: Callable[[], Collection],
        deliver: Callable[[int, dict], None],
        incomplete: Callable[[list], None] = lambda missing: None,
    ):
        """Call `deliver(stamp_ns, {topic: message})` for each set, `incomplete(missing topics)` for lost ones."""
        self._leader, self._required = leader, required
        self._deliver, self._incomplete = deliver, incomplete
        self._held: dict[Hashable, dict[int, object]] = {}

    def add(self, topic: Hashable, stamp_ns: int, message) -> None:
        """Take a message."""
        held = self._held.setdefault(topic, {})
        held[stamp_ns] = message
        if len(held) > _CAPACITY:
            oldest = next(iter(held))
            if topic == self._leader:
                self._incomplete([other for other in self._required() if self._nearest(other, oldest) is None])
            del held[oldest]
        leaders = list(self._held.get(self._leader, ()))
        # The newest first by order of arrival, not by stamp: a clock may have been set back.
        for leader_ns in reversed(leaders):
            stamps = {other: self._nearest(other, leader_ns) for other in self._required()}
            if None not in stamps.values():
                self._hand_over(leader_ns, stamps)
                return

    def _nearest(self, topic: Hashable, leader_ns: int) -> int | None:
        near = [stamp_ns for stamp_ns in self._held.get(topic, ()) if abs(stamp_ns - leader_ns) <= _NEAR_NS]
        return min(near, key=lambda stamp_ns: abs(stamp_ns - leader_ns), default=None)

    def _hand_over(self, leader_ns: int, stamps: dict[Hashable, int]) -> None:
        optional = {topic: self._nearest(topic, leader_ns) for topic in self._held if topic not in stamps}
        stamps = {**stamps, **{topic: stamp_ns for topic, stamp_ns in optional.items() if stamp_ns is not None}}
        messages = {topic: self._held[topic][stamp_ns] for topic, stamp_ns in stamps.items()}
        for topic, stamp_ns in stamps.items():
            held = self._held[topic]
            for older in list(held)[: list(held).index(stamp_ns) + 1]:
                del held[older]
        self._deliver(leader_ns, messages)
