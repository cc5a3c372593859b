"""What tf is told: the frames that nobody else places, where they are, and nothing when not asked to."""

import numpy as np
import pytest
from depth_source import DepthSource
from drone import STEP
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import LaserScan

from ros_depthnet.core.mounting import FORWARD_RPY, mounting
from ros_depthnet.flight.messages.pose import transform_to_pose
from ros_depthnet.ros import transform_output
from ros_depthnet.ros.depth_node import DepthNode
from ros_depthnet.ros.obstacle_node import ObstacleNode

LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.mark.parametrize('node_class', [DepthNode, ObstacleNode])
def test_without_its_messages_it_is_refused_with_a_sentence(bench, monkeypatch, node_class):
    monkeypatch.setattr(transform_output, 'is_installed', lambda kind: False)
    with pytest.raises(ValueError, match='tf2_msgs is not installed'):
        bench.start(node_class, start=False, broadcast_tf=True)


@pytest.fixture
def heard(bench, monkeypatch):
    """Return what tf hears, by child frame: the newest transform of each."""
    tf2 = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs is not on PyPI: this test runs where it is installed')
    monkeypatch.setattr(transform_output, '_PATIENCE', 0.5)
    newest = {}
    for topic, profile in (('/tf', 100), ('/tf_static', LATCHED)):
        messages = bench.collect(tf2.TFMessage, topic, profile)
        newest[topic] = messages
    return lambda: {
        transform.child_frame_id: transform
        for messages in newest.values()
        for message in messages
        for transform in message.transforms
    }


def test_body_and_camera_are_placed_at_the_images_time(drone, heard):
    drone.start(broadcast_tf=True)
    drone.bench.until(lambda: drone.await_depth() and {'base_link', 'optical'} <= heard().keys())
    body, camera = heard()['base_link'], heard()['optical']
    assert (body.header.frame_id, camera.header.frame_id) == ('odom', 'base_link')
    flown = (body.header.stamp.sec * 10**9 + body.header.stamp.nanosec - 10**9) / 10**8 * STEP
    assert body.transform.translation.y == pytest.approx(flown, abs=1e-3)
    np.testing.assert_allclose(transform_to_pose(camera.transform), mounting((0, 0, 0), FORWARD_RPY), atol=1e-6)


def test_a_frame_that_somebody_else_places_is_left_to_them(drone, heard):
    tf2 = pytest.importorskip('tf2_msgs.msg')
    others = drone.bench.publisher(tf2.TFMessage, '/tf')
    theirs = TransformStamped(child_frame_id='base_link')
    theirs.header.frame_id = 'map'
    drone.start(broadcast_tf=True)
    for _ in range(5):
        others.publish(tf2.TFMessage(transforms=[theirs]))
        drone.bench.spin(0.1)
    drone.bench.until(lambda: drone.await_depth() and 'optical' in heard())
    assert heard()['base_link'].header.frame_id == 'map'


def test_tf_is_left_alone_unless_asked(drone, heard):
    node = drone.start()
    drone.await_depth()
    assert not heard() and '/tf' not in dict(node.get_publisher_names_and_types_by_node('depth_node', '/'))


def test_the_level_frame_is_at_the_body_with_its_heading(bench, heard):
    from geometry_msgs.msg import Quaternion

    bench.collect(LaserScan, 'obstacle_distance')
    bench.start(ObstacleNode, broadcast_tf=True)
    source = DepthSource(bench)
    source.await_listener()
    half = np.pi / 6  # rolled by 60 degrees: level again, the heading stays
    for _ in range(50):
        source.publish(y=2.0, turn=Quaternion(x=np.sin(half), y=0.0, z=0.0, w=np.cos(half)))
        bench.spin(0.1)
        if heard():
            break
    level = heard()['base_stabilized']
    assert level.header.frame_id == 'odom' and level.transform.translation.y == pytest.approx(2.0)
    np.testing.assert_allclose(transform_to_pose(level.transform)[:3, :3], np.eye(3), atol=1e-6)
