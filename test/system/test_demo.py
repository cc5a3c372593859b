"""`depthnet demo` as a user runs it: what it leaves, what it says, and that Ctrl-C leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_models import red_is_parallax

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.flight.posed_sequence import NewFrame, write_posed_sequence

ROOT = Path(__file__).resolve().parents[2]
FRAMES, RATE = 24, 8


@pytest.fixture(scope='module')
def flight(tmp_path_factory):
    """Write a flight past a wall 3 m away, to the right at .8 m/s, looking at it."""
    camera, image = Camera(64, 48, 60.0, 60.0, 31.5, 23.5), np.full((48, 64, 3), 120, np.uint8)
    image[..., :2] = 6, 2  # 6 px of parallax are 3 m after .3 m: three frames
    image[:24, :, 2] = 220  # without it the images would be blank
    turned = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])  # z of the world is up

    def frames():
        for i in range(FRAMES):
            T_world_cam = turned.copy()
            T_world_cam[1, 3] = -0.1 * i
            shown = image.copy()
            shown[:24, :, 2] -= np.uint8(20 * (i % 5))  # an image that stays is frozen
            yield NewFrame(Frame(i * 10**9 // RATE, shown, camera, T_world_cam), np.full((48, 64), 3.0))

    folder = tmp_path_factory.mktemp('flight') / 'wall'
    about = {'name': 'wall', 'source': '', 'licence': 'Apache-2.0', 'kind': 'wall'}
    return write_posed_sequence(folder, frames(), [], max_depth=20.0, **about)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Return a model that reads parallax off the picture."""
    return red_is_parallax(tmp_path_factory.mktemp('model'))


def command(flight, model, out):
    return [
        sys.executable,
        '-m',
        'ros_depthnet.cli.main',
        'demo',
        '--flight',
        str(flight),
        '--model',
        str(model),
        '--out',
        str(out),
    ]


def environment():
    return {**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'}


def nodes_of(out):
    """Return the processes whose parameter files lie in the demo's folder."""
    found = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            found += [path] if str(out).encode() in path.read_bytes() else []
        except OSError:
            continue
    return found


@pytest.fixture(scope='module')
def flown(flight, model, tmp_path_factory):
    """Return the finished process and its folder."""
    out = tmp_path_factory.mktemp('demo')
    return subprocess.run(
        command(flight, model, out), capture_output=True, text=True, env=environment(), timeout=180
    ), out


def test_the_demo_counts_what_the_nodes_published(flown):
    process, out = flown
    assert process.returncode == 0, process.stderr
    summary = json.loads((out / 'summary.json').read_text())
    assert summary['frames_published'] == FRAMES
    assert summary['depth_messages'] >= 3
    assert summary['cloud_messages'] >= 1 and summary['obstacle_messages'] >= 1
    assert summary['depth_messages'] + sum(summary['dropped'].values()) <= FRAMES
    assert 0 < summary['latency_ms']['p50'] <= summary['latency_ms']['p95']
    assert 0 < summary['depth_hz'] <= 2 * RATE


def test_the_demo_scores_every_depth_that_came_over_dds(flown):
    _, out = flown
    summary = json.loads((out / 'summary.json').read_text())
    assert summary['scored_frames'] == summary['depth_messages']
    assert summary['coverage'] == 1
    assert all(np.isfinite(summary[score]) for score in ('abs_rel', 'mae_log', 'delta_125'))
    assert 0 < summary['in_time_125'] < 1


def test_the_demo_leaves_pictures_video_cloud_and_report(flown):
    process, out = flown
    assert cv2.imread(str(out / 'strip.png')).shape[1] > 4 * 320
    assert cv2.VideoCapture(str(out / 'depth.webm')).read()[0]
    assert (out / 'cloud.ply').read_bytes().startswith(b'ply\nformat binary_little_endian')
    assert 'strip.png' in (out / 'report.html').read_text()
    assert not (out / '.moments').exists()
    assert str(out / 'report.html') in process.stdout


def test_the_demo_leaves_no_process(flown):
    assert not nodes_of(flown[1])


@pytest.mark.parametrize('seconds', [2, 6])
def test_ctrl_c_ends_the_demo_with_130_and_without_a_trace(flight, model, tmp_path, seconds):
    process = subprocess.Popen(
        command(flight, model, tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all at once
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert 'Traceback' not in errors
    assert not nodes_of(tmp_path)


def test_a_demo_that_is_killed_leaves_no_process(flight, model, tmp_path):
    with subprocess.Popen(command(flight, model, tmp_path), stdout=subprocess.DEVNULL, env=environment()) as process:
        until = time.monotonic() + 30
        while len(nodes_of(tmp_path)) < 5 and time.monotonic() < until:
            time.sleep(0.1)
        assert len(nodes_of(tmp_path)) == 5, 'the demo and its four nodes'
        process.kill()
    until = time.monotonic() + 10
    while nodes_of(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert not nodes_of(tmp_path)


def test_a_model_that_is_none_is_one_sentence(flight, tmp_path):
    process = subprocess.run(
        command(flight, '/no/such.onnx', tmp_path),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
    )
    assert process.returncode == 1
    assert '/no/such.onnx' in process.stderr.strip().splitlines()[-1]
    assert 'Traceback' not in process.stderr
