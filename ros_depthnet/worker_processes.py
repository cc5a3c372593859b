"""
Processes that work for this one, and end with it whatever ends it.

`python -m ros_depthnet.worker_processes MODULE ...` is what `start_module` starts.
"""

import functools
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any

SPAWN = multiprocessing.get_context('spawn')
_LAST_S = 5.0  # seconds that a module gets to end as by Ctrl-C when its owner has


def worker_processes(
    count: int, initializer: Callable[..., None] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """
    Return so many fresh processes that are given work, each of which calls `initializer(*arguments)` first.

    Of a pool whose owner is killed, the workers would wait for work for ever: nobody is left to end them.
    """
    return ProcessPoolExecutor(count, SPAWN, initializer=_begin, initargs=(initializer, arguments))


def start_module(module: str, arguments: Sequence[str], **options: Any) -> subprocess.Popen:
    """Run a module of Python in a process of its own, as `python -m`; options are Popen's. It has no input."""
    return subprocess.Popen([sys.executable, '-m', __name__, module, *arguments], stdin=_lifeline(), **options)


@functools.cache
def _lifeline() -> int:
    """Return a descriptor from which nothing can be read as long as this process lives, and then its end."""
    reading, _ = os.pipe()
    return reading


def _begin(initializer: Callable[..., None] | None, arguments: tuple) -> None:
    owner = multiprocessing.parent_process()
    assert owner, 'This runs in a worker.'
    _when_ended(owner.sentinel, lambda: os._exit(1))
    if initializer:
        initializer(*arguments)


def _when_ended(sentinel: int, end: Callable[[], None]) -> None:
    """Call `end`, in a thread, when there is something to read."""

    def watch() -> None:
        wait([sentinel])
        end()

    threading.Thread(target=watch, daemon=True).start()


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_LAST_S)
    os._exit(1)


def main() -> None:
    """Run a module that ends when standard input does."""
    _when_ended(sys.stdin.fileno(), _interrupt)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    main()
