"""Processes that work for this one, and end with it whatever ends it."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

SPAWN = multiprocessing.get_context('spawn')


def worker_processes(
    count: int, initializer: Callable[..., None] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """
    Return so many fresh processes that are given work, each of which calls `initializer(*arguments)` first.

    Of a pool whose owner is killed, the workers would wait for work for ever: nobody is left to end them.
    """
    return ProcessPoolExecutor(count, SPAWN, initializer=_begin, initargs=(initializer, arguments))


def _begin(initializer: Callable[..., None] | None, arguments: tuple) -> None:
    threading.Thread(target=_end_with_owner, daemon=True).start()
    if initializer:
        initializer(*arguments)


def _end_with_owner() -> None:
    owner = multiprocessing.parent_process()
    assert owner, 'This runs in a worker.'
    owner.join()
    os._exit(1)
