"""One thread that works on the newest job only, so that callbacks never wait."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar('Job')


class Worker(Generic[Job]):
    """Calls `work` with the newest job offered, in a thread of its own, until stopped."""

    def __init__(self, work: Callable[[Job], None]):
        """Start the thread."""
        self._work = work
        self._changed = threading.Condition()
        self._job: Job | None = None
        self._stopped = self._busy = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def offer(self, job: Job) -> Job | None:
        """Make this the next job; return the one it replaces, for which there was no time."""
        with self._changed:
            replaced, self._job = self._job, job
            self._changed.notify_all()
        return replaced

    def settle(self) -> Job | None:
        """Wait until the job under way is finished; return the next one, which is not worked on."""
        with self._changed:
            dropped, self._job = self._job, None
            self._changed.wait_for(lambda: not self._busy)
        return dropped

    def stop(self) -> Job | None:
        """Settle, and end the thread."""
        dropped = self.settle()
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()
        return dropped

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopped or self._job is not None)
                if self._stopped or self._job is None:
                    return
                job, self._job, self._busy = self._job, None, True
            self._work(job)
            del job  # it may be large, and the next may be long in coming
