"""How a node is doing: counted, said once a second on /diagnostics, and complaints also in the log."""

import threading
import time
from collections import Counter
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.impl.rcutils_logger import RcutilsLogger

from ros_depthnet.core.reasons import Drop, MessageRefusal, Refusal
from ros_depthnet.core.recent import Recent

_REPEAT = 5.0  # seconds before the same kind of complaint is logged again, and for which one stays in diagnostics


@dataclass(frozen=True)
class Complaint:
    """What is wrong, in one sentence, and how badly (a level of DiagnosticStatus)."""

    level: bytes
    sentence: str

    @classmethod
    def warning(cls, sentence: str) -> 'Complaint':
        """Return a complaint about something that may pass."""
        return cls(DiagnosticStatus.WARN, sentence)

    @classmethod
    def error(cls, sentence: str) -> 'Complaint':
        """Return a complaint about something that somebody must repair."""
        return cls(DiagnosticStatus.ERROR, sentence)


class Health:
    """Drops by reason, latencies and complaints of one node; may be told by any thread."""

    def __init__(self, logger: RcutilsLogger):
        """Log complaints with `logger`."""
        self._logger = logger
        self._lock = threading.Lock()
        self._drops: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._published = 0
        self._latencies = Recent()
        self._complaints: dict[str, tuple[float, Complaint]] = {}
        self._logged: dict[str, float] = {}
        self._fault: Complaint | None = None
        self.facts: dict[str, str] = {}

    def dropped(self, reason: Drop | str, sentence: str = '', count: int = 1) -> None:
        """Count frames that gave nothing; with a sentence where somebody can do something about it."""
        key = reason.value if isinstance(reason, Drop) else reason
        with self._lock:
            self._drops[key] += count
        if sentence:
            self.complain(key, Complaint.warning(sentence))

    def refused(self, refusal: Refusal) -> None:
        """Count a refusal, and say its sentence if it has one."""
        if not isinstance(refusal, MessageRefusal):
            self.dropped(refusal.reason, refusal.sentence)
            return
        with self._lock:
            self._refused[refusal.reason.value] += 1
        if refusal.sentence:
            self.complain(refusal.reason.value, Complaint.warning(refusal.sentence))

    def noted(self, reason: Drop) -> None:
        """Count why a frame that is counted as dropped already is no use as a partner of later ones either."""
        with self._lock:
            self._notes[reason.value] += 1

    def published(self, latency_ms: float) -> None:
        """Count a result, published this long after its last input came."""
        with self._lock:
            self._published += 1
            self._latencies.add(time.monotonic(), latency_ms)

    def complain(self, key: str, complaint: Complaint) -> None:
        """Log a complaint, and keep it in diagnostics for some seconds."""
        with self._lock:
            self._complaints[key] = time.monotonic(), complaint
        self.log(key, complaint)

    def log(self, key: str, complaint: Complaint) -> None:
        """Log a complaint, unless one with this key was logged some seconds ago."""
        now = time.monotonic()
        with self._lock:
            quiet = now - self._logged.get(key, -_REPEAT) < _REPEAT
            if not quiet:
                self._logged[key] = now
        if quiet:
            return
        # Severity may not change at one place of the source, as rclpy tells its log calls apart by it.
        if complaint.level == DiagnosticStatus.ERROR:
            self._logger.error(complaint.sentence)
        else:
            self._logger.warning(complaint.sentence)

    def fail(self, sentence: str) -> None:
        """Log why the node cannot work, and keep saying so until `recover`."""
        self._logger.error(sentence)
        self._fault = Complaint.error(sentence)

    def recover(self) -> None:
        """Forget the failure."""
        self._fault = None

    def status(self, name: str, state: str, facts: dict[str, str], standing: list[Complaint]) -> DiagnosticStatus:
        """Return all that is known, with `facts` and `standing` complaints of this moment."""
        now = time.monotonic()
        with self._lock:
            recent = [complaint for when, complaint in self._complaints.values() if now - when < _REPEAT]
            rate, (p50, p95) = self._latencies.rate(now), self._latencies.percentiles(50, 95)
            drops, published = sorted(self._drops.items()), self._published
            notes, refused = sorted(self._notes.items()), sorted(self._refused.items())
        complaints = ([self._fault] if self._fault else []) + standing + recent
        sentences = dict.fromkeys(complaint.sentence for complaint in complaints)
        values = {
            'state': state,
            'published': published,
            'rate_hz': f'{rate:.2f}',
            'latency_ms_p50': f'{p50:.1f}',
            'latency_ms_p95': f'{p95:.1f}',
            **self.facts,
            **facts,
            **{f'dropped/{reason}': count for reason, count in drops},
            **{f'refused/{reason}': count for reason, count in refused},
            **{f'no_partner/{reason}': count for reason, count in notes},
        }
        return DiagnosticStatus(
            name=name,
            hardware_id='ros_depthnet',
            message=' '.join(sentences) or f'{state}, {rate:.1f} Hz',
            level=max((complaint.level for complaint in complaints), default=DiagnosticStatus.OK),
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )


def array_of(status: DiagnosticStatus, stamp) -> DiagnosticArray:
    """Return the message for /diagnostics."""
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message
