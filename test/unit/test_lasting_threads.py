"""Threads that stay, and processes that come without them."""

import os
import subprocess
import sys

import pytest

from ros_depthnet.core.lasting_threads import threads

IN_A_CHILD = """
import os
import threading
from ros_depthnet.core.lasting_threads import threads

together = threading.Barrier(2)
[*threads(2).map(lambda _: together.wait(), range(2))]  # now both run
child = os.fork()
if not child:
    os._exit(0 if [*threads(2).map(abs, (-1, -2))] == [1, 2] else 1)
assert os.waitpid(child, 0)[1] == 0
"""


def test_the_same_threads_serve_every_call():
    assert threads(2) is threads(2) is not threads(3)


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='processes are not forked here')
def test_a_forked_process_has_threads_of_its_own():
    subprocess.run([sys.executable, '-c', IN_A_CHILD], check=True, timeout=30)
