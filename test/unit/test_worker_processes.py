"""Workers do what they are asked to, and do not outlive who asked."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from ros_depthnet.worker_processes import worker_processes

POOL = """if True:
    import os, sys, time
    from ros_depthnet.worker_processes import worker_processes

    if __name__ == '__main__':
        with worker_processes(2) as workers:
            workers.submit(os.getpid).result()
            busy = workers.submit(time.sleep, {busy})
            print(*workers._processes, flush=True)
            time.sleep(60)
"""

MODULES = """if True:
    import time
    from ros_depthnet.worker_processes import start_module

    print(*(start_module('worker', []).pid for _ in range(2)), flush=True)
    time.sleep(60)
"""
WORKER = """if True:
    import signal, time
    from pathlib import Path

    {ignore}
    Path('ready').touch()
    try:
        time.sleep(60)
    finally:
        Path('tidied').touch()
"""
IGNORE = 'signal.signal(signal.SIGINT, signal.SIG_IGN)'


def test_workers_begin_with_what_they_are_told_and_work(tmp_path):
    with worker_processes(1, os.chdir, tmp_path) as workers:
        assert workers.submit(os.getcwd).result() == str(tmp_path.resolve())
        assert workers.submit(os.getpid).result() != os.getpid()


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize('busy', [0, 60], ids=['idle', 'busy'])
def test_workers_end_when_their_owner_is_killed(tmp_path, number, busy):
    with owner(tmp_path, POOL.format(busy=busy)) as (owning, workers):
        owning.send_signal(number)
    assert ended(workers, 10)


@pytest.mark.parametrize('ignore', ['', IGNORE], ids=['tidy', 'stubborn'])
def test_modules_end_when_their_owner_is_killed(tmp_path, ignore):
    (tmp_path / 'worker.py').write_text(WORKER.format(ignore=ignore))
    with owner(tmp_path, MODULES) as (owning, workers):
        until = time.monotonic() + 10
        while not (tmp_path / 'ready').exists() and time.monotonic() < until:
            time.sleep(0.05)
        owning.kill()
    assert ended(workers, 15)
    assert (tmp_path / 'tidied').exists() == (not ignore)


@contextlib.contextmanager
def owner(folder, script):
    """Give a process that runs a script, and the ids of the workers that it prints."""
    (folder / 'owner.py').write_text(script)
    with subprocess.Popen([sys.executable, 'owner.py'], cwd=folder, stdout=subprocess.PIPE, text=True) as owning:
        workers = list(map(int, owning.stdout.readline().split()))
        assert workers and all(map(is_there, workers))
        yield owning, workers


def ended(workers, seconds):
    until = time.monotonic() + seconds
    while any(map(is_there, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(is_there, workers))


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f'/proc/{pid}/stat') as stat:
        return stat.read().rsplit(')')[-1].split()[0] != 'Z'  # whom nobody has asked for its status yet
