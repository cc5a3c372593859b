"""How glibc's malloc is to treat a process; elsewhere nothing is changed."""

import ctypes
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MOST_MAPPINGS, _MOST_ARENAS = -1, -2, -4, -8


def use_one_arena() -> None:
    """
    Have all threads that are yet to come allocate from one arena.

    By default each gets its own, up to eight a core, and what large images leave in one is of no use to the others:
    a third of depth_node's memory.
    """
    _set(_MOST_ARENAS, 1)


def keep_freed_memory() -> None:
    """
    Let malloc keep what is freed.

    By default it gives every large tensor back to the kernel, which clears the pages again at the next step;
    on a CPU that is more than half of a training step's time.
    """
    _set(_TRIM_THRESHOLD, -1)
    _set(_TOP_PAD, 1 << 28)
    _set(_MOST_MAPPINGS, 0)


def _set(parameter: int, value: int) -> None:
    if platform.libc_ver()[0] == 'glibc':
        ctypes.CDLL(None).mallopt(parameter, value)
