"""Rendered flights as rosbag2: written by the command, read by the readers that fly them."""

import subprocess
import sys

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, Image

pytest.importorskip('torch', reason='rendering needs the `train` extra')

from ros_depthnet.cli.main import main  # noqa: E402
from ros_depthnet.core.motion import rotation_angle  # noqa: E402
from ros_depthnet.flight.messages.image import to_depth  # noqa: E402
from ros_depthnet.flight.recorded import recorded_frames  # noqa: E402
from ros_depthnet.learning.still_box.flights import flight, odom_poses  # noqa: E402
from ros_depthnet.learning.still_box.options import FlightOptions  # noqa: E402
from ros_depthnet.learning.still_box.textures import shared_atlas  # noqa: E402
from ros_depthnet.ros.bag_writing import START_NS, TRUE_DEPTH  # noqa: E402
from ros_depthnet.ros.replay_node import ReplayNode  # noqa: E402

OPTIONS = FlightOptions('terrain', seed=2, seconds=0.5, width=64, height=48, samples=1)
COMMAND = ['render', 'flight', '--bag', '--scene', 'terrain', '--seed', '2', '--seconds', '0.5']
COMMAND += ['--width', '64', '--height', '48', '--samples', '1', '--truth-every', '2']


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    out = tmp_path_factory.mktemp('bags') / 'hills'
    assert main([*COMMAND, str(out)]) == 0
    return out


@pytest.fixture(scope='module')
def moments():
    return list(flight(OPTIONS, shared_atlas()))


def test_the_estimator_gets_the_frames_that_were_rendered(bag, moments):
    left_out = []
    frames = [recorded.frame for recorded in recorded_frames(bag, left_out.append)]
    assert not left_out and len(frames) == len(moments) == 5
    for frame, moment in zip(frames, moments):
        assert frame.stamp_ns == moment.frame.stamp_ns + START_NS
        assert frame.camera == moment.frame.camera
        np.testing.assert_array_equal(frame.image, moment.frame.image)
        np.testing.assert_allclose(frame.T_world_cam, moment.frame.T_world_cam, atol=1e-6)


def test_the_true_depth_is_in_it(bag, moments):
    types = get_typestore(Stores.LATEST)
    with Reader(bag) as reader:
        connections = [c for c in reader.connections if c.topic == f'/{TRUE_DEPTH.name}']
        messages = [types.deserialize_cdr(cdr, c.msgtype) for c, _, cdr in reader.messages(connections)]
    assert len(messages) == 3
    for message, moment in zip(messages, moments[::2]):
        np.testing.assert_array_equal(to_depth(message), moment.depth_hw)


FULL = """if True:  # a file may hold twenty thousand bytes, as on a disk with no more room
    import resource, sys
    import numpy as np
    from pathlib import Path
    from std_msgs.msg import Header
    from rosbags.rosbag2 import StoragePlugin
    from ros_depthnet.ros.bag_writing import Event, write_bag
    from ros_depthnet.ros.conversions.image import from_rgb
    from ros_depthnet.ros.topics import IMAGE
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
    image = from_rgb(np.zeros((60, 80, 3), np.uint8), Header())
    for storage in StoragePlugin:
        try:
            write_bag(Path(sys.argv[1]), (Event(i, IMAGE, image) for i in range(200)), storage)
        except OSError as error:
            print(error)
"""


def test_a_bag_for_which_there_is_no_room_is_not_there(tmp_path):
    bag = tmp_path / 'bag'
    said = subprocess.run([sys.executable, '-c', FULL, str(bag)], capture_output=True, text=True, check=True)
    assert len(said.stdout.splitlines()) == 2
    assert all(line.startswith(f'The bag {bag} cannot be written: ') for line in said.stdout.splitlines())
    assert list(tmp_path.iterdir()) == []


def test_it_is_played(bench, bag):
    images, odometry = bench.collect(Image, 'image_raw', 100), bench.collect(Odometry, 'odom', 100)
    bench.collect(CameraInfo, 'camera_info', 100)
    node = bench.start(ReplayNode, path=str(bag), rate=5.0)
    bench.until(lambda: node.exit_code is not None)
    bench.spin(0.1)
    assert node.exit_code == 0
    assert len(images) == 5 and len(odometry) >= 20


def test_noisy_odometry_is_off_by_as_much_as_was_asked_for(tmp_path):
    out = tmp_path / 'noisy'
    assert main([*COMMAND, '--pose-noise', '0.5,0', str(out)]) == 0
    exact = odom_poses(OPTIONS, np.arange(5) / 10)
    angles = [
        np.degrees(rotation_angle(np.linalg.inv(T) @ recorded.frame.T_world_cam))
        for recorded, T in zip(recorded_frames(out, print), exact)
    ]
    assert 0.1 < np.mean(angles) < 0.8  # of one attitude: .5 / sqrt(2) between two
    assert main([*COMMAND, str(out)]) == 1
