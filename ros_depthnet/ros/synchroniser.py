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
                together = self._nearest(oldest)
                self._incomplete([other for other in self._required() if other not in together])
            del held[oldest]
        leaders = list(self._held.get(self._leader, ()))
        # The newest first by order of arrival, not by stamp: a clock may have been set back.
        for leader_ns in reversed(leaders):
            stamps = self._nearest(leader_ns)
            if stamps.keys() >= set(self._required()):
                self._hand_over(leader_ns, stamps)
                return

    def _nearest(self, leader_ns: int) -> dict[Hashable, int]:
        """Return, by topic, the stamps of the messages that belong to a leading one."""
        nearest = {
            topic: min(held, key=lambda stamp_ns: abs(stamp_ns - leader_ns))
            for topic, held in self._held.items()
            if held
        }
        return {topic: stamp_ns for topic, stamp_ns in nearest.items() if abs(stamp_ns - leader_ns) <= _NEAR_NS}

    def _hand_over(self, leader_ns: int, stamps: dict[Hashable, int]) -> None:
        messages = {topic: self._held[topic][stamp_ns] for topic, stamp_ns in stamps.items()}
        for topic, stamp_ns in stamps.items():
            held = self._held[topic]
            for older in list(held)[: list(held).index(stamp_ns) + 1]:
                del held[older]
        self._deliver(leader_ns, messages)
