"""A real flight's images and odometry over DDS, and a node that is told the truth or not."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from bench import value
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image

from ros_depthnet.flight.messages.stamp import to_ns
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.resources import share_path
from ros_depthnet.ros import topics
from ros_depthnet.ros.depth_node import DepthNode
from ros_depthnet.ros.parameters import REPLAY_NODE
from ros_depthnet.ros.recording import SequenceRecording

FRAMES = 40


def fly(bench, model, **parameters):
    """Play the beginning of the shipped flight; return the depth images and the images' stamps."""
    depths = bench.collect(Image, 'depth/image')
    node = bench.start(DepthNode, model=str(model), image_transport='raw', max_relative_deviation=100.0, **parameters)
    publishers = {
        topics.IMAGE: bench.publisher(Image, 'image_raw'),
        topics.CAMERA_INFO: bench.publisher(CameraInfo, 'camera_info'),
        topics.ODOM: bench.publisher(Odometry, 'odom'),
    }
    bench.until(lambda: all(publisher.get_subscription_count() for publisher in publishers.values()))
    settings = SimpleNamespace(**{parameter.name: parameter.default for parameter in REPLAY_NODE})
    sequence = PosedSequence.load(share_path('flights', 'park'))
    stamps_ns = []
    for event in SequenceRecording(sequence, settings, pytest.fail).events():
        publishers[event.topic].publish(event.message)
        if event.topic is topics.IMAGE:
            stamps_ns.append(to_ns(event.message.header.stamp))
            bench.spin(0.08)
        if len(stamps_ns) == FRAMES:
            break
    bench.spin(0.5)
    return node, depths, stamps_ns


def test_what_is_told_right_gives_depth(bench, model):
    _, depths, _ = fly(bench, model)
    assert len(depths) > FRAMES / 2
    status = bench.status('depth_node', lambda status: True)
    assert value(status, 'dropped/contradicted') is None


@pytest.mark.parametrize('check', [True, False])
def test_a_mounting_wrong_by_thirty_degrees_gives_no_depth_and_a_sentence(bench, model, check):
    told = [-math.pi / 2 - math.radians(30), 0.0, -math.pi / 2]  # looking down, but it looks ahead
    _, depths, stamps_ns = fly(bench, model, camera_rpy=told, check_odometry=check)
    if not check:
        assert len(depths) > FRAMES / 2
        return
    assert len(depths) <= 1  # of what there was no motion to tell by

    def accounted_for(status):
        dropped = sum(int(pair.value) for pair in status.values if pair.key.startswith('dropped/'))
        return dropped + int(value(status, 'published')) == len(np.unique(stamps_ns)) == FRAMES

    status = bench.status('depth_node', accounted_for)
    assert status.level == DiagnosticStatus.ERROR
    assert 'contradict' in status.message
    assert '30 degrees pitched up' in status.message
