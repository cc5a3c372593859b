"""Poses of every kind over DDS, for a drone whose depth follows from how far it is said to have moved."""

import sys

import numpy as np
import pytest
import rclpy
from bench import value
from diagnostic_msgs.msg import DiagnosticStatus
from drone import DEPTH, PERIOD_NS, START_NS, STEP, Drone, stamp
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, TransformStamped
from rclpy.context import Context
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, Imu
from test_depth_node import pixels, stamped_ns

from ros_depthnet.flight.messages.pose import READERS
from ros_depthnet.ros.cloud_node import CloudNode
from ros_depthnet.ros.depth_node import DepthNode
from ros_depthnet.ros.pose_input import choose_kind

NOT_ON_PYPI = '{} is not on PyPI: this test runs where it is installed'
ODOMETRY, PX4 = 'nav_msgs/msg/Odometry', 'px4_msgs/msg/VehicleOdometry'


def pose_stamped(time_ns, y):
    message = PoseStamped()
    message.header.stamp, message.header.frame_id = stamp(time_ns), 'map'
    message.pose.position.y = float(y)
    return message


def pose_with_covariance(time_ns, y):
    message = PoseWithCovarianceStamped()
    message.header.stamp, message.header.frame_id = stamp(time_ns), 'map'
    message.pose.pose.position.y = float(y)
    return message


def vehicle_odometry(time_ns, y):
    """Return what PX4 says while it looks east: to the left is north, the first of NED."""
    from px4_msgs.msg import VehicleOdometry

    half = np.sqrt(0.5)
    return VehicleOdometry(
        timestamp=time_ns // 1000,
        timestamp_sample=time_ns // 1000,
        pose_frame=VehicleOdometry.POSE_FRAME_NED,
        position=np.array([y, 0, 0], np.float32),
        q=np.array([half, 0, 0, half], np.float32),
        velocity=np.full(3, np.nan, np.float32),
    )


def transform(time_ns, parent, child, y=0.0):
    message = TransformStamped(child_frame_id=child)
    message.header.stamp, message.header.frame_id = stamp(time_ns), parent
    message.transform.translation.y = float(y)
    return message


def transforms(time_ns, y):
    """Return tf of a body on its footprint, and of something else that moves."""
    from tf2_msgs.msg import TFMessage

    return TFMessage(transforms=[transform(time_ns, 'odom', 'footprint', y), transform(time_ns, 'world', 'cart', -y)])


def fly(drone):
    """Return a depth image and the pose of its camera."""
    poses = drone.bench.collect(PoseStamped, 'depth/camera_pose')
    message = drone.await_depth(3)
    drone.bench.until(lambda: stamped_ns(message) in map(stamped_ns, poses))
    return message, next(pose for pose in poses if stamped_ns(pose) == stamped_ns(message))


def check(message, pose):
    assert np.median(pixels(message)) == pytest.approx(DEPTH, rel=1e-3)
    assert pose.pose.position.y == pytest.approx(STEP * (stamped_ns(message) - START_NS) / PERIOD_NS, abs=1e-3)
    # Looking ahead, along x: z of the optical frame is x of the world.
    q = pose.pose.orientation
    assert np.abs([q.x, q.y, q.z, q.w]) == pytest.approx([0.5, 0.5, 0.5, 0.5], abs=1e-3)


@pytest.mark.parametrize(
    'says, package',
    [(pose_stamped, 'geometry_msgs'), (pose_with_covariance, 'geometry_msgs'), (vehicle_odometry, 'px4_msgs')],
)
def test_whatever_type_of_pose_is_on_the_air_gives_metric_depth(bench, model, says, package):
    pytest.importorskip(package, reason=NOT_ON_PYPI.format(package))
    drone = Drone(bench, model, says)
    drone.start()
    check(*fly(drone))
    status = bench.status('depth_node', lambda status: True)
    assert type(says(0, 0)).__name__ in value(status, 'poses')


def test_tf_gives_metric_depth_in_the_frame_that_is_asked_for(bench, model):
    tf2 = pytest.importorskip('tf2_msgs.msg', reason=NOT_ON_PYPI.format('tf2_msgs'))
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    bench.publisher(tf2.TFMessage, '/tf_static', latched).publish(
        tf2.TFMessage(transforms=[transform(0, 'footprint', 'base_link')])
    )
    drone = Drone(bench, model, transforms, '/tf')
    drone.start(world_frame='odom')
    message, pose = fly(drone)
    check(message, pose)
    assert pose.header.frame_id == 'odom'


def test_tf_that_does_not_join_the_two_frames_says_which_it_has(bench, model):
    pytest.importorskip('tf2_msgs', reason=NOT_ON_PYPI.format('tf2_msgs'))
    drone = Drone(bench, model, transforms, '/tf')
    drone.start(world_frame='map', pose_timeout=0.1)
    drone.frames(4)
    sentence = drone.dropped('no_odometry').message
    assert "from 'base_link' to 'map'" in sentence and 'cart, footprint, odom, world' in sentence
    assert not drone.depths


@pytest.mark.parametrize('node_class', [DepthNode, CloudNode])
def test_tf_is_refused_with_a_sentence_where_its_messages_are_not_installed(bench, monkeypatch, node_class):
    monkeypatch.setitem(sys.modules, 'tf2_msgs.msg', None)
    with pytest.raises(ValueError, match='tf2_msgs is not installed'):
        bench.start(node_class, start=False, world_frame='odom')


@pytest.fixture
def elsewhere():
    """Return a node of a participant of its own: within one, a topic has one type."""
    context = Context()
    rclpy.init(context=context)
    yield rclpy.create_node('elsewhere', context=context)
    context.try_shutdown()


def test_another_type_is_taken_as_soon_as_it_takes_the_place_of_the_first(drone, elsewhere):
    drone.start()
    drone.await_depth()
    drone.bench.peer.destroy_publisher(drone.odometry)
    drone.says, drone.odometry = pose_stamped, elsewhere.create_publisher(PoseStamped, 'odom', 10)
    drone.bench.until(lambda: drone.odometry.get_subscription_count() > 0)
    seen = stamped_ns(drone.depths[-1])
    drone.await_depth(3)
    assert stamped_ns(drone.depths[-1]) > seen
    assert 'PoseStamped' in value(drone.bench.status('depth_node', lambda status: True), 'poses')


def test_a_type_that_tells_no_pose_is_named(bench, model, elsewhere):
    publisher = elsewhere.create_publisher(Imu, 'odom', 10)
    bench.collect(Image, 'depth/image')
    bench.start(DepthNode, model=str(model))
    status = bench.status('depth_node', lambda status: 'tells no pose' in status.message)
    assert status.level == DiagnosticStatus.ERROR
    assert f'{publisher.topic_name} carries sensor_msgs/msg/Imu' in status.message


def test_the_type_that_is_there_is_kept_the_best_is_chosen_and_what_is_not_installed_is_said(monkeypatch):
    assert choose_kind('/odom', set(), ODOMETRY) == (ODOMETRY, '')
    pose = 'geometry_msgs/msg/PoseStamped'
    assert choose_kind('/odom', {pose, ODOMETRY}, pose) == (pose, '')
    stamped = [kind for kind in READERS if kind not in (PX4, ODOMETRY)]
    assert choose_kind('/odom', {*stamped}, ODOMETRY)[0] == 'geometry_msgs/msg/PoseWithCovarianceStamped'
    monkeypatch.setitem(sys.modules, 'px4_msgs.msg', None)
    assert choose_kind('/odom', {PX4, pose}, ODOMETRY) == (pose, '')
    kind, sentence = choose_kind('/fmu/out/vehicle_odometry', {PX4}, ODOMETRY)
    assert kind == ODOMETRY
    assert 'px4_msgs is not installed' in sentence and "the branch of your PX4's release" in sentence
