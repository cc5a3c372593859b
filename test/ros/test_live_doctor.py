"""`depthnet doctor --live` in a process of its own, and a flight that is published as it should be, or not."""

import itertools
import math
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml
from geometry_msgs.msg import PoseStamped, TransformStamped, Vector3
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from ros_depthnet.core.motion import inverse, quaternion, rotation_angle
from ros_depthnet.core.mounting import FORWARD_RPY, mounting
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.resources import share_path
from ros_depthnet.ros import topics
from ros_depthnet.ros.conversions.time import to_stamp
from ros_depthnet.ros.depth_node import DepthNode
from ros_depthnet.ros.parameters import REPLAY_NODE
from ros_depthnet.ros.recording import SequenceRecording

SECONDS = 4
CAMERA = {topics.IMAGE: ('camera/image_raw', Image), topics.CAMERA_INFO: ('camera/camera_info', CameraInfo)}


@pytest.fixture(scope='module')
def events():
    """Return the shipped flight as messages."""
    settings = SimpleNamespace(**{parameter.name: parameter.default for parameter in REPLAY_NODE})
    return list(SequenceRecording(PosedSequence.load(share_path('flights', 'park')), settings, pytest.fail).events())


@pytest.fixture
def doctor(bench, events):
    """Return a function that flies while the doctor listens, and returns its exit status and what it says."""

    def examine(*arguments, without=(), late_ns=0, profile=10, poses=('odom', Odometry, lambda message: message)):
        """Fly, without some topics, with images stamped late and of this quality of service, and poses as is said."""
        publishers = {
            topic: bench.publisher(kind, name, profile if topic is topics.IMAGE else 10)
            for topic, (name, kind) in CAMERA.items()
            if topic not in without
        }
        own = list(publishers.values())
        pose_topic, pose_kind, posed = poses
        if topics.ODOM not in without:
            to = bench.publisher(pose_kind, pose_topic)
            own.append(to)
            publishers[topics.ODOM] = SimpleNamespace(publish=lambda message: to.publish(posed(message)))
        command = [sys.executable, '-m', 'ros_depthnet.cli.main', 'doctor', '--live', '--seconds', str(SECONDS)]
        process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        base_ns = bench.peer.get_clock().now().nanoseconds
        begun = events[0].time_ns
        length = events[-1].time_ns - begun + 10**9  # between one flight and the next: time runs on, the drone jumps
        flights = itertools.chain.from_iterable(zip(itertools.repeat(k * length), events) for k in itertools.count())
        for shift_ns, event in flights:
            due_ns = event.time_ns - begun + shift_ns
            while bench.peer.get_clock().now().nanoseconds - base_ns < due_ns and process.poll() is None:
                bench.spin(0.002)
            if process.poll() is not None:
                break
            if event.topic in publishers:
                event.message.header.stamp = to_stamp(base_ns + due_ns + (event.topic is topics.IMAGE) * late_ns)
                publishers[event.topic].publish(event.message)
        said = process.communicate()[0]
        print(said)
        for publisher in own:  # or the next flight would be one of two
            bench.peer.destroy_publisher(publisher)
        return process.returncode, said

    return examine


def test_a_flight_that_is_well_is_healthy(doctor):
    status, said = doctor()
    assert status == 0 and said.endswith('Healthy.\n')
    heard = r'^/camera/image_raw +sensor_msgs/msg/Image, \d+ messages, (1\d|[5-9])\.\d Hz, 0\.\d+ s old, of camera_opt'
    assert re.search(heard, said, re.M)
    assert "where 'camera_optical_frame' sits on 'base_link'" in said  # no tf is published
    assert 'Wrong' not in said


def test_a_graph_without_anybody_says_so(doctor):
    status, said = doctor('--namespace', '/elsewhere', without=[*CAMERA, topics.ODOM])
    assert status == 2
    assert 'Nobody publishes sensor_msgs/msg/Image or ' in said and "start the camera's driver" in said


def as_pose(message):
    return PoseStamped(header=message.header, pose=message.pose.pose)


def test_another_type_of_pose_does_as_well(doctor):
    status, said = doctor(poses=('slam/pose', PoseStamped, as_pose))
    assert status == 0
    assert re.search(r'^/slam/pose +geometry_msgs/msg/PoseStamped, \d+ messages', said, re.M)


def test_images_without_calibration_name_what_is_missing(doctor):
    status, said = doctor(without=[topics.CAMERA_INFO])
    assert status == 2
    assert 'Wrong: Nobody publishes sensor_msgs/msg/CameraInfo' in said
    assert 'CompressedImage' not in said and 'Odometry' not in said


def test_a_clock_of_its_own_is_named(doctor):
    status, said = doctor(late_ns=-3 * 10**9)
    assert status == 2
    assert 'Wrong: /camera/image_raw is stamped 3.0 s before what comes at the same time on /odom' in said
    assert said.count('Wrong') == 1  # what follows from it is not said as well


def test_a_mounting_that_depth_node_is_told_wrong_is_measured_and_mended(doctor, bench, model, tmp_path):
    told, fix = [-math.pi / 2 - math.radians(30), 0.0, -math.pi / 2], tmp_path / 'fix.yaml'
    bench.start(DepthNode, model=str(model), camera_rpy=told)
    # A second is too short to tell why: it listens on until the images have shown it.
    status, said = doctor('--seconds', '1', '--write', str(fix))
    assert status == 2
    assert re.search('Wrong: .*30 degrees pitched up', said)
    assert 'Note: Nobody listens to what /depth_node publishes' in said
    measured = yaml.safe_load(fix.read_text())['/**']['ros__parameters']
    off = inverse(mounting((0, 0, 0), measured['camera_rpy'])) @ mounting((0, 0, 0), FORWARD_RPY)
    assert rotation_angle(off) < math.radians(2)
    assert doctor('--params', str(fix))[0] == 0


def test_a_topic_that_is_not_remapped_is_named_with_the_one_that_would_do(doctor, bench, model):
    bench.collect(Image, 'depth/image')
    bench.start(DepthNode, model=str(model))
    status, said = doctor()
    assert status == 2
    assert 'Wrong: Nobody publishes /image_raw with a type that will do' in said
    assert 'do: remap image_raw to /camera/image_raw (launch argument image:=/camera/image_raw)' in said
    assert 'Note: /depth_node says: Nobody publishes /image_raw' in said


def test_quality_of_service_that_does_not_match_is_named(doctor, bench, model):
    bench.collect(Image, 'depth/image')
    bench.start(
        DepthNode,
        model=str(model),
        cli_args=remapped(),
        **{'qos_overrides./camera/image_raw.subscription.reliability': 'reliable'},
    )
    status, said = doctor(profile=QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT))
    assert status == 2
    assert re.search('(depth_node|no name) hears nothing of peer on /camera/image_raw', said)
    assert 'best effort publisher and reliable subscription' in said


def remapped():
    return ['--ros-args', '-r', 'image_raw:=camera/image_raw', '-r', 'camera_info:=camera/camera_info']


@pytest.mark.parametrize('durability', [DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE])
def test_tf_places_body_and_camera_unless_nobody_can_hear_it(doctor, bench, tmp_path, durability):
    tf2 = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs is not on PyPI: this test runs where it is installed')

    def as_tf(message):
        p, moving = message.pose.pose.position, TransformStamped(header=message.header, child_frame_id='base_link')
        moving.transform.rotation = message.pose.pose.orientation
        moving.transform.translation = Vector3(x=p.x, y=p.y, z=p.z)
        return tf2.TFMessage(transforms=[moving])

    params = tmp_path / 'params.yaml'
    params.write_text(yaml.safe_dump({'/**': {'ros__parameters': {'world_frame': 'odom'}}}))
    transform = TransformStamped(child_frame_id='camera_optical_frame')
    transform.header.frame_id = 'base_link'
    q = transform.transform.rotation
    q.x, q.y, q.z, q.w = map(float, quaternion(mounting((0, 0, 0), FORWARD_RPY)))
    publisher = bench.publisher(tf2.TFMessage, '/tf_static', QoSProfile(depth=1, durability=durability))
    publisher.publish(tf2.TFMessage(transforms=[transform]))
    status, said = doctor('--params', str(params), poses=('/tf', tf2.TFMessage, as_tf))
    if durability == DurabilityPolicy.TRANSIENT_LOCAL:
        assert status == 0 and '/tf ' in said and 'tf (base_link to camera_optical_frame)' in said
    else:
        assert status == 2 and 'depthnet_doctor hears nothing of peer on /tf_static' in said
