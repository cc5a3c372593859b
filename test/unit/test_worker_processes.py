"""Workers do what they are asked to, and do not outlive who asked."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ros_depthnet.worker_processes import worker_processes

OWNER = """if True:
    import os, sys, time
    from ros_depthnet.worker_processes import worker_processes

    if __name__ == '__main__':
        with worker_processes(2) as workers:
            workers.submit(os.getpid).result()
            busy = workers.submit(time.sleep, {busy})
            print(*workers._processes, flush=True)
            time.sleep(60)
"""


def test_workers_begin_with_what_they_are_told_and_work(tmp_path):
    with worker_processes(1, os.chdir, tmp_path) as workers:
        assert workers.submit(os.getcwd).result() == str(tmp_path.resolve())
        assert workers.submit(os.getpid).result() != os.getpid()


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize('busy', [0, 60], ids=['idle', 'busy'])
def test_workers_end_when_their_owner_is_killed(tmp_path, number, busy):
    script = tmp_path / 'owner.py'
    script.write_text(OWNER.format(busy=busy))
    owner = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    workers = list(map(int, owner.stdout.readline().split()))
    assert workers and all(map(is_there, workers))
    owner.send_signal(number)
    owner.wait()
    owner.stdout.close()
    until = time.monotonic() + 10
    while any(map(is_there, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_there, workers))


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f'/proc/{pid}/stat') as stat:
        return stat.read().rsplit(')')[-1].split()[0] != 'Z'  # whom nobody has asked for its status yet
