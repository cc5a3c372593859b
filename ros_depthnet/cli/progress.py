"""Signs of life while a subcommand works."""

import sys
import time

_PLAIN_INTERVAL = 5.0  # seconds between lines where they cannot be overwritten


class Progress:
    """A line on stderr that says what is being done: rewritten on a terminal, now and then one elsewhere."""

    def __enter__(self) -> 'Progress':
        self._live = sys.stderr.isatty()
        self._next = 0.0
        return self

    def __call__(self, text: str) -> None:
        """Show a text in place of the one before."""
        now = time.monotonic()
        if now < self._next:
            return
        if self._live:
            print(f'\r\x1b[K{text}', end='', file=sys.stderr, flush=True)
            self._next = now + 0.1
        else:
            print(text, file=sys.stderr, flush=True)
            self._next = now + _PLAIN_INTERVAL

    def __exit__(self, *_) -> None:
        if self._live:
            print('\r\x1b[K', end='', file=sys.stderr, flush=True)
