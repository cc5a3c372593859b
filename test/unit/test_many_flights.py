"""Many flights: the same depth however many at a time, nothing made twice, none lost with a process that dies."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import plane_world as world
import pytest
from tiny_models import red_is_parallax

from ros_depthnet.cli import main as cli
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.flight.posed_sequence import NewFrame, write_posed_sequence

ROOT = Path(__file__).resolve().parents[2]
ABOUT = {'source': 'made here', 'licence': 'Apache-2.0', 'kind': 'plane', 'max_depth': 20}
CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
APART = (sys.executable, '-m', 'ros_depthnet.cli.main')


def written_flight(folder, frames, seed):
    noise = np.random.default_rng(seed).integers(0, 200, (48, 64 + frames, 3), np.uint8)
    return write_posed_sequence(
        folder,
        [
            NewFrame(
                Frame(i * 10**8, noise[:, i : i + 64], CAMERA, world.pose([0.1 * i, 0, 0])), np.full((48, 64), 3.0)
            )
            for i in range(frames)
        ],
        [],
        name=folder.name,
        **ABOUT,
    )


@pytest.fixture(scope='module')
def flights(tmp_path_factory):
    folder = tmp_path_factory.mktemp('flights')
    return [written_flight(folder / f'flight_{number}', 6, number) for number in range(3)]


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return str(red_is_parallax(tmp_path_factory.mktemp('model')))


def process(flights, out, model, *more):
    # The odometry of noise is not to be believed.
    return cli.main(['process', *map(str, flights), '--out', str(out), '--model', model, '--force', *more])


def results(out):
    """Return a digest of each depth, deviation and cloud by its path."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob('*'))
        if path.suffix in ('.png', '.ply')
    }


def test_two_at_a_time_give_what_one_after_the_other_gives(flights, model, tmp_path, capsys):
    for flight in flights:
        assert process([flight], tmp_path / 'one' / flight.name, model) == 0
    assert process(flights, tmp_path / 'two', model, '--jobs', '2') == 0
    assert 'All 3 flights' in capsys.readouterr().out
    alone = results(tmp_path / 'one')
    assert len([path for path in alone if '/depth/' in path]) > 6
    assert results(tmp_path / 'two') == alone


def test_what_is_finished_is_not_made_again_unless_it_would_come_out_otherwise(flights, model, tmp_path, capsys):
    mine = [shutil.copytree(flight, tmp_path / flight.name) for flight in flights[:2]]
    out = tmp_path / 'out'

    def made():
        assert process(mine, out, model, '--jobs', '2') == 0
        return sorted(re.findall(r'(flight_\d): (?!finished before)', capsys.readouterr().out))

    assert made() == ['flight_0', 'flight_1']
    assert made() == []
    os.utime(mine[1] / 'sequence.json', (1, 1))
    (out / 'flight_0' / 'summary.json').unlink()  # as if it had been interrupted
    assert made() == ['flight_0', 'flight_1']
    os.utime(mine[1] / 'sequence.json', (2, 2))
    assert made() == ['flight_1']


def child_of_a_thread(pid):
    """Return a process that any thread of a process has started, when there is one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = [
            int(child)
            for task in Path(f'/proc/{pid}/task').iterdir()
            for child in (task / 'children').read_text().split()
        ]
        if found:
            return found[0]
        time.sleep(0.01)
    raise AssertionError('no process was started')


def test_no_flight_is_lost_when_its_process_is_killed(flights, model, tmp_path):
    with subprocess.Popen(
        [*APART, 'process', *map(str, flights[:2]), '--out', str(tmp_path), '--model', model, '--force'],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    ) as running:
        killed = child_of_a_thread(running.pid)
        os.kill(killed, signal.SIGKILL)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 0 and 'All 2 flights' in said
    assert {path.parent.name for path in tmp_path.glob('*/summary.json')} == {'flight_0', 'flight_1'}


def test_a_flight_that_cannot_be_read_costs_no_other(flights, model, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    assert process([tmp_path / 'empty', flights[0]], tmp_path / 'out', model) == 1
    said = capsys.readouterr().out
    assert re.search(r'empty: .*empty.*\.$', said, re.MULTILINE)
    assert '1 of 2 flights' in said
    assert (tmp_path / 'out' / 'flight_0' / 'summary.json').is_file()


def test_flights_of_one_name_are_refused(flights, model, tmp_path, capsys):
    twin = shutil.copytree(flights[0], tmp_path / 'flight_0')
    assert process([flights[0], twin], tmp_path / 'out', model) == 1
    assert 'flight_0' in capsys.readouterr().err


def test_a_cluster_gives_the_same(flights, model, tmp_path):
    distributed = pytest.importorskip('distributed', reason='a Dask cluster needs the `cluster` extra')
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        assert process(flights[:1], tmp_path / 'out', model, '--cluster', cluster.scheduler_address) == 0
    assert process(flights[:1], tmp_path / 'here', model, '--jobs', '1') == 0
    assert results(tmp_path / 'out') == results(tmp_path / 'here')


def test_a_cluster_that_does_not_answer_is_one_sentence(flights, model, tmp_path, capsys):
    pytest.importorskip('distributed', reason='a Dask cluster needs the `cluster` extra')
    assert process(flights[:1], tmp_path, model, '--cluster', 'tcp://127.0.0.1:9') == 1
    assert 'tcp://127.0.0.1:9' in capsys.readouterr().err
