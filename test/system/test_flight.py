"""A recorded flight through all nodes as processes: depth against truth, and nothing left behind."""

import os
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
from visualization_msgs.msg import MarkerArray
from wall import wall_flight

from ros_depthnet.flight.messages.camera_info import to_calibration
from ros_depthnet.flight.messages.image import to_depth
from ros_depthnet.flight.messages.stamp import to_ns
from ros_depthnet.flight.posed_sequence import INDEX_NAME, PosedSequence
from ros_depthnet.resources import share_path
from ros_depthnet.ros.processes import Flight, ProcessError

TOPICS = {
    'depth/image': Image,
    'depth/camera_info': CameraInfo,
    'depth/deviation': Image,
    'points': PointCloud2,
    'obstacles': MarkerArray,
    'obstacle_distance': LaserScan,
}


SHIPPED = sorted(path.parent for path in share_path('flights').glob(f'*/{INDEX_NAME}'))


@pytest.fixture(scope='module', params=['wall', *SHIPPED], ids=lambda flight: Path(flight).name)
def sequence(request, tmp_path_factory):
    if request.param == 'wall':
        return PosedSequence.load(wall_flight(tmp_path_factory.mktemp('flight'), 25, width=256, height=192))
    return PosedSequence.load(request.param)


class Listener:
    """Keeps what the nodes say."""

    def __init__(self, namespace):
        self.context = Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.messages = defaultdict(list)
        self.statuses = {}
        self.node = rclpy.create_node('listener', namespace=namespace, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        for topic, kind in TOPICS.items():
            self.node.create_subscription(kind, topic, self.messages[topic].append, qos_profile_sensor_data)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def _on_diagnostics(self, array):
        self.statuses.update({status.name: status for status in array.status})


@pytest.fixture(scope='module')
def flown(sequence, tmp_path_factory):
    """Fly the sequence once; return what was heard, and the nodes' exit statuses."""
    listener = Listener('uav')
    logs = tmp_path_factory.mktemp('logs')
    with Flight(sequence.folder, {'replay_node': {'rate': 0.5}}, 'uav', logs) as flight:
        until = time.monotonic() + 120
        while not flight.finished:
            assert time.monotonic() < until, 'the flight does not end'
            listener.executor.spin_once(timeout_sec=0.1)
        for _ in range(20):  # what is still under way
            listener.executor.spin_once(timeout_sec=0.1)
        statuses = flight.stop()
    listener.close()
    return listener, statuses, flight, logs


def truth_at(sequence, camera):
    """Return the true depth of each image by stamp, at the size of the depth images."""
    return {
        sequence.frames[i].stamp_ns: cv2.resize(
            sequence.depth(i), (camera.width, camera.height), interpolation=cv2.INTER_NEAREST
        )
        for i in sequence.with_truth
    }


def test_every_output_comes(flown):
    listener, _, _, logs = flown
    counts = {topic: len(listener.messages[topic]) for topic in TOPICS}
    assert all(count >= 4 for count in counts.values()), (
        counts,
        [log.read_text() for log in logs.glob('*.log')],
    )


def test_depth_is_right(flown, sequence):
    listener, *_ = flown
    camera = to_calibration(listener.messages['depth/camera_info'][0]).pinhole
    truth = truth_at(sequence, camera)
    ratios = []
    for message in listener.messages['depth/image']:
        true_hw = truth.get(to_ns(message.header.stamp))
        if true_hw is None:  # a shipped flight has truth for some of its images only
            continue
        depth_hw = to_depth(message)
        scored = (true_hw > 0) & (true_hw < sequence.max_depth)
        ratio = np.maximum(depth_hw / true_hw, true_hw / depth_hw)[scored]
        ratios.append(np.mean(ratio < 1.25))  # NaN and infinite count as wrong
    assert ratios
    assert np.mean(ratios) >= 0.6


def test_stamps_are_those_of_the_images(flown, sequence):
    listener, *_ = flown
    stamps = {frame.stamp_ns for frame in sequence.frames}
    for topic in ('depth/image', 'depth/camera_info', 'depth/deviation', 'points', 'obstacle_distance'):
        assert {to_ns(message.header.stamp) for message in listener.messages[topic]} <= stamps


def test_each_node_tells_how_it_did(flown):
    listener, *_ = flown
    assert set(listener.statuses) == {
        f'uav/{name}' for name in ('depth_node', 'cloud_node', 'obstacle_node', 'replay_node')
    }
    told = {pair.key: pair.value for pair in listener.statuses['uav/depth_node'].values}
    assert told['provider'] == 'cpu'
    assert float(told['latency_ms_p50']) > 0


def test_all_nodes_end_cleanly_and_leave_no_process(flown):
    _, statuses, flight, logs = flown
    assert set(statuses.values()) == {0}
    assert all('Traceback' not in log.read_text() for log in logs.glob('*.log'))
    for process in flight.processes.values():
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


@pytest.mark.parametrize(
    'parameters, sentence',
    [
        ({'depth_node': {'model': 'nosuch'}}, "There is no model 'nosuch'"),
        ({'cloud_node': {'stride': 0}}, 'stride must be 1 to 100, not 0.'),
    ],
)
def test_a_node_that_cannot_start_is_named_with_its_reason(tmp_path, parameters, sentence):
    with pytest.raises(ProcessError, match=sentence), Flight(tmp_path, parameters, folder=tmp_path):
        pass


def test_a_flight_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ProcessError, match='replay_node'), Flight(Path('/no/such'), folder=tmp_path):
        pass
