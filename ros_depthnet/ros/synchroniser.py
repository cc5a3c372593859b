"""Messages of several topics that belong together because they have the same stamp."""

from collections.abc import Callable, Collection

_CAPACITY = 10


class ExactSynchroniser:
    """
    Collects one message per topic and stamp, and hands over each set that is complete.

    Which topics make a set complete is asked each time, as optional publishers come and go. Older sets,
    incomplete ones included, are forgotten when a newer one is handed over.
    """

    def __init__(self, required: Callable[[], Collection[str]], deliver: Callable[[int, dict], None]):
        """Call `deliver(stamp_ns, {topic: message})` where a stamp has a message of each required topic."""
        self._required, self._deliver = required, deliver
        self._sets: dict[int, dict] = {}

    def add(self, topic: str, stamp_ns: int, message) -> None:
        """Take a message."""
        messages = self._sets.setdefault(stamp_ns, {})
        messages[topic] = message
        if messages.keys() >= set(self._required()):
            # By order of arrival, not by stamp: a clock may have been set back.
            older = list(self._sets)[: list(self._sets).index(stamp_ns) + 1]
            for stamp in older:
                del self._sets[stamp]
            self._deliver(stamp_ns, messages)
        elif len(self._sets) > _CAPACITY:
            del self._sets[next(iter(self._sets))]
