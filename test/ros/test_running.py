"""Nodes as processes: they end cleanly on both signals, and big images get through."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench import value
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from wall import wall_flight

from ros_depthnet.ros import qos
from ros_depthnet.ros.depth_node import DepthNode
from ros_depthnet.ros.transport import enlarge_shared_memory

_TICKS_HZ = os.sysconf('SC_CLK_TCK')


@pytest.fixture
def spawn():
    """Start nodes as processes, which do not outlive the test."""
    running = []

    def start(name, *parameters, env=None):
        command = [sys.executable, '-m', f'ros_depthnet.ros.{name}', '--ros-args']
        for parameter in parameters:
            command += ['-p', parameter]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env))
        return running[-1]

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def uncollected(bench):
    """Python's collector, which would take forgotten nodes out of the graph, too, but some time, has been and gone."""
    gc.collect()
    gc.disable()
    bench.until(lambda: 'depth_node' not in bench.peer.get_node_names())
    yield
    gc.enable()


def test_a_node_that_ends_makes_room_for_another_of_its_name(bench, model, uncollected):
    first = bench.start(DepthNode, model=str(model))
    first.close()
    bench.executor.remove_node(first)
    first.destroy_node()
    bench.until(lambda: 'depth_node' not in bench.peer.get_node_names())
    bench.nodes.remove(first)
    bench.start(DepthNode, model=str(model))
    # While both were there, rmw would give the second's publishers to the first, and leave them without a name.
    assert {info.node_name for info in bench.peer.get_publishers_info_by_topic('/depth/image')} == {'depth_node'}


def test_a_node_that_is_refused_leaves_the_graph(bench, uncollected):
    with pytest.raises(ValueError, match='threads'):
        DepthNode(parameter_overrides=[Parameter('threads', value=-4)])
    bench.until(lambda: 'depth_node' not in bench.peer.get_node_names())


@pytest.mark.parametrize(
    'name, number',
    [
        ('depth_node', signal.SIGINT),
        ('depth_node', signal.SIGTERM),
        ('cloud_node', signal.SIGTERM),
        ('obstacle_node', signal.SIGINT),
        ('replay_node', signal.SIGTERM),
        ('all_nodes', signal.SIGTERM),
        ('all_nodes', signal.SIGINT),
    ],
)
def test_a_signal_ends_a_node_without_a_trace(bench, spawn, model, tmp_path, name, number):
    parameters = {
        'depth_node': [f'model:={model}'],
        'all_nodes': [f'depth_node:model:={model}'],
        'replay_node': [f'path:={wall_flight(tmp_path / "wall", 2, width=32, height=24)}'],
    }
    bench.collect(Image, 'depth/image')
    process = spawn(name, *parameters.get(name, ()))
    bench.status(name.replace('all_nodes', 'depth_node'), lambda status: value(status, 'state') == 'active')
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert 'Traceback' not in errors
    assert 'rror' not in errors


def test_signals_that_go_on_while_a_node_ends_do_not_kill_it(bench, spawn, model):
    """As at Ctrl-C under `ros2 launch`: the terminal signals the whole group, and launch each process."""
    process = spawn('depth_node', f'model:={model}')
    bench.status('depth_node', lambda status: value(status, 'state') == 'active')
    bench.until(lambda: process.send_signal(signal.SIGINT) or process.poll() is not None, 10)
    assert process.returncode == 0


def test_ending_takes_little_of_a_processor(bench, spawn, model):
    """Other work may leave a node few percent of one, and it has to end within seconds there too."""
    process = spawn('depth_node', f'model:={model}')
    bench.status('depth_node', lambda status: value(status, 'state') == 'active')
    before_s = sum(map(int, Path(f'/proc/{process.pid}/stat').read_text().rsplit(')')[-1].split()[11:13])) / _TICKS_HZ
    process.send_signal(signal.SIGINT)
    _, _, used = os.wait4(process.pid, 0)
    assert used.ru_utime + used.ru_stime - before_s < 0.2


def test_what_rooms_without_ros_log_is_in_the_nodes_log(bench, spawn, model):
    process = spawn('depth_node', f'model:={model}')
    bench.status('depth_node', lambda status: value(status, 'state') == 'active')
    process.send_signal(signal.SIGINT)
    assert '[depth_node]: red_is_parallax.onnx runs on cpu in float32.' in process.communicate(timeout=10)[1]


def test_vga_images_reach_a_best_effort_subscriber(bench, spawn, tmp_path):
    frames = 20
    flight = wall_flight(tmp_path / 'wall', frames, width=640, height=480)
    images = bench.collect(Image, 'image_raw', qos.sensor(frames))  # deep, as a busy machine may spin late
    bare = {name: setting for name, setting in os.environ.items() if not name.endswith('DEFAULT_PROFILES_FILE')}
    process = spawn('replay_node', f'path:={flight}', 'images:=raw', 'rate:=0.5', 'wait_for_subscribers:=3.0', env=bare)
    bench.until(lambda: process.poll() is not None, 30)
    # Without the shipped profile it is one in thirty; on a busy machine best effort loses some in any case.
    assert len(images) >= frames / 2
    said = process.stderr.read()
    assert said.index('Waiting up to 3 s for somebody') < said.index('Nobody takes both images and odometry')


@pytest.mark.parametrize('variable', ['FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'])
def test_a_profile_of_the_users_own_is_kept(monkeypatch, variable):
    for name in [name for name in os.environ if name.endswith('DEFAULT_PROFILES_FILE')]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(variable, '/own.xml')
    enlarge_shared_memory()
    assert {name: setting for name, setting in os.environ.items() if name.endswith('DEFAULT_PROFILES_FILE')} == {
        variable: '/own.xml'
    }


def test_another_middleware_is_left_alone(monkeypatch):
    for name in [name for name in os.environ if name.endswith('DEFAULT_PROFILES_FILE')]:
        monkeypatch.delenv(name)
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    enlarge_shared_memory()
    assert not [name for name in os.environ if name.endswith('DEFAULT_PROFILES_FILE')]
