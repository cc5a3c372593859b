"""`depthnet doctor --live` in a process of its own, and a flight that is published as it should be, or not."""

import itertools
import math
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.resources import share_path
from ros_depthnet.ros import topics
from ros_depthnet.ros.conversions.time import to_stamp
from ros_depthnet.ros.depth_node import DepthNode
from ros_depthnet.ros.parameters import REPLAY_NODE
from ros_depthnet.ros.recording import SequenceRecording

SECONDS = 5
TYPES = {topics.IMAGE: Image, topics.CAMERA_INFO: CameraInfo, topics.ODOM: Odometry}
NAMES = {topics.IMAGE: 'camera/image_raw', topics.CAMERA_INFO: 'camera/camera_info', topics.ODOM: 'odom'}


@pytest.fixture(scope='module')
def events():
    """Return the shipped flight as messages."""
    settings = SimpleNamespace(**{parameter.name: parameter.default for parameter in REPLAY_NODE})
    return list(SequenceRecording(PosedSequence.load(share_path('flights', 'park')), settings).events())


@pytest.fixture
def doctor(bench, events):
    """Return a function that flies while the doctor listens, and returns its exit status and what it says."""
    def examine(*arguments, without=(), late_ns=None, profiles=None, names=NAMES, seconds=SECONDS):
        late_ns = late_ns or {}
        publishers = {topic: bench.publisher(kind, names[topic], (profiles or {}).get(topic, 10))
                      for topic, kind in TYPES.items() if topic not in without}
        command = [sys.executable, '-m', 'ros_depthnet.cli.main', 'doctor', '--live', '--seconds', str(seconds)]
        process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        base_ns = bench.peer.get_clock().now().nanoseconds
        begun = events[0].time_ns
        length = events[-1].time_ns - begun + 10**9   # between one flight and the next: time runs on, the drone jumps
        flights = itertools.chain.from_iterable(zip(itertools.repeat(k * length), events) for k in itertools.count())
        for shift_ns, event in flights:
            due_ns = event.time_ns - begun + shift_ns
            while bench.peer.get_clock().now().nanoseconds - base_ns < due_ns and process.poll() is None:
                bench.spin(.002)
            if process.poll() is not None:
                break
            if event.topic in publishers:
                event.message.header.stamp = to_stamp(base_ns + due_ns + late_ns.get(event.topic, 0))
                publishers[event.topic].publish(event.message)
        said = process.communicate()[0]
        print(said)
        return process.returncode, said
    return examine


def test_a_flight_that_is_well_is_healthy(doctor):
    status, said = doctor()
    assert status == 0 and said.endswith('Healthy.\n')
    assert re.search(r'^/camera/image_raw +sensor_msgs/msg/Image, \d+ messages, 1\d\.\d Hz, 0\.\d+ s old$', said, re.M)
    assert 'where \'camera_optical_frame\' sits on \'base_link\'' in said   # no tf is published
    assert 'Wrong' not in said


def test_a_graph_without_anybody_says_so(doctor):
    status, said = doctor('--namespace', '/elsewhere', without=TYPES)
    assert status == 2
    assert "Nobody publishes sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage: start the camera's driver." in said
