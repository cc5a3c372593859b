"""Every preset hears a drone that publishes as it expects: the nodes alone, and by `ros2 launch` where there is one."""

import contextlib
import importlib.util
import os
import signal
import subprocess

import pytest
from drone import Drone
from pages import ROOT, commands
from sensor_msgs.msg import Image
from wall import wall_flight

from ros_depthnet.ros.bring_up import arguments, bring_up, presets

_LONGEST_S = 60  # for a command to say what it shall; the first start of a node compiles
_FORWARD = 'mounting:=forward'  # tf is not what is tested
_LOOKED_AT = {
    'topic hz': 'average rate',
    'topic echo': 'hardware_id: ros_depthnet',
    'param set': 'Set parameter successful',
    'lifecycle get': 'active [3]',
}
PRINTED = [words for words in commands(ROOT / 'docs' / 'quickstart.md') if ' '.join(words[1:3]) in _LOOKED_AT]

needs_ros2 = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ('ros2launch', 'ros2run', 'ros2topic', 'ros2param')),
    reason='ros2 launch is not on PyPI: this test runs where a ROS distribution is installed',
)


def plan(preset):
    return bring_up({**{argument.name: argument.default for argument in arguments()}, 'preset': preset})


@pytest.mark.parametrize('preset', presets())
def test_depth_comes_of_what_a_preset_takes(bench, model, preset):
    found = plan(preset)
    topics = dict(found.remappings)
    drone = Drone(bench, model, **{name: topics[name] for name in ('odom', 'image_raw', 'camera_info')})
    remappings = [word for name, topic in found.remappings for word in ('-r', f'{name}:={topic}')]
    parameters = {**found.parameters['depth_node'], 'camera_mounting': 'parameters'}
    drone.start(cli_args=['--ros-args', *remappings], **parameters)
    drone.await_depth()


class Ros2:
    """Commands of `ros2`, which end with the test."""

    def __init__(self, folder):
        self._folder, self._running = folder, []

    def start(self, *words):
        log = self._folder / f'{len(self._running)}.log'
        with log.open('w') as file:
            self._running.append(
                subprocess.Popen(
                    ['ros2', *words],
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env={**os.environ, 'PYTHONUNBUFFERED': '1'},
                )
            )
        return self._running[-1], log

    def until_said(self, bench, sentence, *words):
        """Run a command until it says something, twice at most: the daemon may not know a node yet."""
        process, log = self.start(*words)
        bench.until(lambda: sentence in log.read_text() or process.poll() is not None, _LONGEST_S)
        if sentence not in log.read_text():
            _, log = self.start(*words)
            bench.until(lambda: sentence in log.read_text())

    def close(self):
        for process in reversed(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            process.wait(20)
        subprocess.run(['ros2', 'daemon', 'stop'], capture_output=True, check=True)  # which the first has started


@pytest.fixture
def ros2(tmp_path):
    commands = Ros2(tmp_path)
    yield commands
    commands.close()


@pytest.fixture
def launch(ros2, model, tmp_path):
    """Have a preset launched beside a flight on the topics that it takes; return the log."""

    def launched(preset):
        flight = wall_flight(tmp_path / 'wall', 60, width=64, height=48)
        remappings = [word for name, topic in plan(preset).remappings for word in ('-r', f'{name}:={topic}')]
        played = ('-p', f'path:={flight}', '-p', 'loop:=true')
        ros2.start('run', 'ros_depthnet', 'replay_node', '--ros-args', *played, *remappings)
        return ros2.start('launch', 'ros_depthnet', 'uav.launch.py', f'preset:={preset}', f'model:={model}', _FORWARD)[
            1
        ]

    return launched


@needs_ros2
@pytest.mark.parametrize('preset', presets())
def test_ros2_launch_of_a_preset_makes_depth(bench, launch, preset):
    depths = bench.collect(Image, '/depth/image')
    said = launch(preset)
    bench.until(lambda: depths, _LONGEST_S)
    assert 'Traceback' not in said.read_text()


@needs_ros2
def test_a_recorded_flight_that_is_launched_ends_everything(bench, ros2, model, tmp_path):
    flight = wall_flight(tmp_path / 'wall', 12, width=64, height=48)
    depths = bench.collect(Image, '/depth/image')
    launched, said = ros2.start(
        'launch', 'ros_depthnet', 'uav.launch.py', f'bag:={flight}', f'model:={model}', _FORWARD
    )
    bench.until(lambda: launched.poll() is not None, _LONGEST_S)
    assert depths and launched.returncode == 0, said.read_text()
    assert said.read_text().count('process has finished cleanly') == 4


@needs_ros2
def test_the_commands_that_the_quickstart_prints_say_what_they_shall(bench, ros2, launch):
    launch('mavros')
    assert len(PRINTED) == len(_LOOKED_AT)
    for words in PRINTED:
        ros2.until_said(bench, _LOOKED_AT[' '.join(words[1:3])], *words[1:])
