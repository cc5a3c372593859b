"""replay_node over DDS: posed sequences and both kinds of rosbag2."""

import shutil
import sqlite3
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from bench import value
from diagnostic_msgs.msg import DiagnosticStatus
from drone import camera_info, image, odometry, stamp
from nav_msgs.msg import Odometry
from rosbags.rosbag2 import StoragePlugin
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from test_bag import with_tf, write
from wall import PERIOD_NS, START_NS, wall_flight, write_bag

from ros_depthnet.core.mounting import FORWARD_RPY, mounting
from ros_depthnet.flight.messages.pose import to_pose
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.ros.replay_node import ReplayNode

FRAMES = 4
EITHER = pytest.mark.parametrize('storage', [StoragePlugin.SQLITE3, StoragePlugin.MCAP])


@pytest.fixture(scope='module')
def flight(tmp_path_factory):
    return wall_flight(tmp_path_factory.mktemp('flight') / 'wall', frames=FRAMES, width=48, height=32)


@pytest.fixture
def heard(bench):
    """Return what is heard on each topic."""
    kinds = {
        'image_raw': Image,
        'image_raw/compressed': CompressedImage,
        'camera_info': CameraInfo,
        'odom': Odometry,
        '/clock': Clock,
    }
    return {topic: bench.collect(kind, topic, 100) for topic, kind in kinds.items()}


def play(bench, path, **parameters):
    """Play to the end and return the node."""
    node = bench.start(ReplayNode, path=str(path), rate=10.0, **parameters)
    bench.until(lambda: node.exit_code is not None)
    bench.spin(0.1)
    return node


def times(messages):
    return [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for message in messages]


def test_a_posed_sequence_is_what_a_drone_would_have_published(bench, heard, flight):
    node = play(bench, flight)
    sequence = PosedSequence.load(flight)
    assert node.exit_code == 0
    assert times(heard['image_raw']) == times(heard['camera_info']) == [START_NS + i * PERIOD_NS for i in range(FRAMES)]
    sent = heard['image_raw'][1]
    assert sent.encoding == 'rgb8'
    np.testing.assert_array_equal(np.frombuffer(sent.data, np.uint8).reshape(32, 48, 3), sequence.image(1))
    assert heard['camera_info'][0].k[0] == sequence.camera.fx
    assert not heard['image_raw/compressed']


def test_odometry_lies_on_the_way_between_the_poses(bench, heard, flight):
    play(bench, flight, odom_rate=35.0)
    sequence = PosedSequence.load(flight)
    assert len(heard['odom']) == 12  # from 0 to .3 s at 35 Hz, and one at the end
    T_body_cam = mounting([0, 0, 0], FORWARD_RPY)
    first = sequence.frames[0].T_world_cam
    for message, time_ns in zip(heard['odom'], times(heard['odom'])):
        T_odom_cam = to_pose(message.pose.pose) @ T_body_cam
        np.testing.assert_allclose(T_odom_cam[:3, 3] - first[:3, 3], [(time_ns - START_NS) / 1e9, 0, 0], atol=1e-6)
        np.testing.assert_allclose(T_odom_cam[:3, :3], first[:3, :3], atol=1e-6)
    assert (message.header.frame_id, message.child_frame_id) == ('odom', 'base_link')


def test_compressed_images_are_the_files(bench, heard, flight):
    play(bench, flight, images='compressed')
    assert len(heard['image_raw/compressed']) == FRAMES
    decoded = cv2.imdecode(np.frombuffer(heard['image_raw/compressed'][2].data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[..., ::-1], PosedSequence.load(flight).image(2))
    assert not heard['image_raw']


def test_the_clock_is_the_recordings(bench, heard, flight):
    play(bench, flight)
    clock = [message.clock.sec * 10**9 + message.clock.nanosec for message in heard['/clock']]
    assert clock[0] == START_NS
    assert clock == sorted(clock)
    assert clock[-1] == START_NS + (FRAMES - 1) * PERIOD_NS


def test_real_time_by_the_rate(bench, flight, heard):
    started = time.monotonic()
    bench.start(ReplayNode, path=str(flight), rate=0.5)
    bench.until(lambda: len(heard['image_raw']) == FRAMES)
    assert 0.6 <= time.monotonic() - started < 3  # .3 s at half speed


def test_in_a_loop_time_jumps_back(bench, flight, heard):
    node = bench.start(ReplayNode, path=str(flight), rate=10.0, loop=True)
    bench.until(lambda: len(heard['image_raw']) >= 2 * FRAMES + 1)
    assert np.sum(np.diff(times(heard['image_raw'])) < 0) == 2
    assert node.exit_code is None


def test_it_waits_for_listeners(bench, flight):
    bench.start(ReplayNode, path=str(flight), rate=10.0)
    bench.spin(0.5)
    images, infos, odoms = (
        bench.collect(kind, topic, 100)
        for kind, topic in ((Image, 'image_raw'), (CameraInfo, 'camera_info'), (Odometry, 'odom'))
    )
    bench.until(lambda: len(images) == len(infos) == FRAMES)
    assert odoms


def bag_messages(prefix='/camera'):
    for i in range(FRAMES):
        time_ns = START_NS + i * PERIOD_NS
        info = camera_info()
        info.header.stamp = stamp(time_ns)
        yield '/fcu/odom', time_ns - 10_000_000, odometry(time_ns - 10_000_000, i)
        yield f'{prefix}/camera_info', time_ns, info
        yield f'{prefix}/image_raw', time_ns, image(time_ns, rgb=(i, 2, 3))


@EITHER
def test_a_bag_is_played_as_it_was_recorded_under_our_names(bench, heard, tmp_path, storage):
    node = play(bench, write_bag(tmp_path / 'bag', bag_messages(), storage))
    assert node.exit_code == 0
    sent = [message for topic, _, message in bag_messages() if topic == '/camera/image_raw']
    assert heard['image_raw'] == sent
    assert times(heard['odom']) == [START_NS + i * PERIOD_NS - 10_000_000 for i in range(FRAMES)]
    assert len(heard['camera_info']) == FRAMES


def test_tf_of_a_bag_is_played_as_odometry(bench, heard, tmp_path):
    play(bench, write(tmp_path / 'bag', with_tf(poses=True)), world_frame='map')
    told = {message.pose.pose.position.x for message in heard['odom']}
    assert {(message.header.frame_id, message.child_frame_id) for message in heard['odom']} == {('map', 'base_link')}
    assert max(told) == pytest.approx(2 * 0.8 + 0.5) and len(told) > 20


def test_a_bag_with_two_cameras_asks_which(bench, heard, tmp_path):
    both = sorted([*bag_messages('/left'), *bag_messages('/right')], key=lambda entry: entry[1])
    bag = write_bag(tmp_path / 'bag', both)
    node = bench.start(ReplayNode, path=str(bag))
    assert node.exit_code == 1
    status = bench.status('replay_node', lambda status: status.level == DiagnosticStatus.ERROR)
    assert 'set image_topic to one of /left/image_raw, /right/image_raw' in status.message


def test_the_chosen_camera_is_played(bench, heard, tmp_path):
    both = [
        *bag_messages('/left'),
        *((f'/right/{topic.rsplit("/", 1)[1]}', t, m) for topic, t, m in bag_messages() if topic != '/fcu/odom'),
    ]
    bag = write_bag(tmp_path / 'bag', sorted(both, key=lambda entry: entry[1]))
    node = play(bench, bag, image_topic='/left/image_raw', camera_info_topic='/left/camera_info')
    assert node.exit_code == 0
    assert len(heard['image_raw']) == len(heard['camera_info']) == FRAMES


def test_a_damaged_message_is_left_out_and_said(bench, heard, tmp_path):
    bag = write_bag(tmp_path / 'bag', bag_messages())
    with sqlite3.connect(next(bag.glob('*.db3'))) as database:
        changed = database.execute(
            'UPDATE messages SET data = substr(data, 1, 500) WHERE timestamp = ? AND length(data) > 5000',
            (START_NS + PERIOD_NS,),
        ).rowcount
    assert changed == 1
    play(bench, bag)
    assert times(heard['image_raw']) == [START_NS + i * PERIOD_NS for i in (0, 2, 3)]
    status = bench.status('replay_node', lambda status: value(status, 'dropped/left_out') == '1')
    assert 'damaged message on /camera/image_raw' in status.message


def test_a_damaged_image_of_a_posed_sequence_is_left_out_and_said(bench, heard, flight, tmp_path):
    copy = shutil.copytree(flight, tmp_path / 'copy')
    (copy / 'images/00001.png').write_bytes(b'')
    play(bench, copy, images='both')
    for topic in ('image_raw', 'image_raw/compressed'):
        assert times(heard[topic]) == [START_NS + i * PERIOD_NS for i in range(FRAMES) if i != 1]
    status = bench.status('replay_node', lambda status: value(status, 'dropped/left_out') == '1')
    assert '00001.png cannot be read as an image' in status.message


@EITHER
def test_an_unreadable_bag_ends_the_process_with_one_sentence(tmp_path, storage):
    bag = write_bag(tmp_path / 'bag', bag_messages(), storage)
    file = next(file for file in bag.iterdir() if file.suffix in ('.db3', '.mcap'))
    file.write_bytes(b'no bag at all' + file.read_bytes()[13:200])
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'ros_depthnet.ros.replay_node',
            '--ros-args',
            '-p',
            f'path:={bag}',
            '-p',
            'wait_for_subscribers:=0.0',
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert str(bag) in result.stderr
    assert 'Traceback' not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize('path, sentence', [('', 'nothing to play'), ('/no/such', 'There is no recording at')])
def test_nothing_to_play_is_said(bench, path, sentence):
    node = bench.start(ReplayNode, path=path)
    assert node.exit_code == 1
    assert sentence in bench.status('replay_node', lambda status: status.level == DiagnosticStatus.ERROR).message


def test_a_broken_posed_sequence_is_said(bench, tmp_path):
    (tmp_path / 'sequence.json').write_text('{"frames": 3')
    node = bench.start(ReplayNode, path=str(tmp_path))
    assert node.exit_code == 1
    assert 'sequence.json' in bench.status('replay_node', lambda status: status.level == DiagnosticStatus.ERROR).message
