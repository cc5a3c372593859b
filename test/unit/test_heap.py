"""What malloc does with memory, where it is glibc's."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason="another C library's malloc is left alone")
THREADS = """
import ctypes, threading
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
all_there = threading.Barrier(8)
threads = [threading.Thread(target=lambda: (libc.malloc(1000), all_there.wait())) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_stats()
"""


def arenas_after(preparation):
    process = subprocess.run([sys.executable, '-c', preparation + THREADS], capture_output=True, text=True, check=True)
    return process.stderr.count('Arena')


def test_threads_share_one_arena_when_told_to():
    assert arenas_after('') > 1
    assert arenas_after('from ros_depthnet.heap import use_one_arena; use_one_arena()') == 1
