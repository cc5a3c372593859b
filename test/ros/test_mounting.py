"""Where the camera sits: from parameters, and from tf where tf2_ros is installed."""

import numpy as np
import pytest
from bench import value
from depth_source import WALL, DepthSource
from drone import Drone, stamp
from geometry_msgs.msg import PoseStamped, TransformStamped
from sensor_msgs.msg import PointCloud2
from test_poses import pose_stamped

from ros_depthnet.ros import mounting
from ros_depthnet.ros.cloud_node import CloudNode
from ros_depthnet.ros.conversions.cloud import to_points
from ros_depthnet.ros.depth_node import DepthNode


@pytest.mark.parametrize('node_class', [CloudNode, DepthNode])
def test_tf_is_refused_with_a_sentence_where_it_is_not_installed(bench, monkeypatch, node_class):
    monkeypatch.setattr(mounting, 'tf2_ros', None)
    with pytest.raises(ValueError, match='tf2_ros is not installed'):
        bench.start(node_class, start=False, camera_mounting='tf')


def cloud_of_wall(bench, **parameters):
    clouds = bench.collect(PointCloud2, 'points')
    bench.start(CloudNode, **parameters)
    source = DepthSource(bench)
    source.await_listener()
    for _ in range(50):
        source.publish()
        bench.spin(0.1)
        if clouds:
            return to_points(clouds[-1])[0].reshape(-1, 3)
    raise AssertionError('no cloud came')


def test_the_parameters_place_the_camera(bench):
    points = cloud_of_wall(
        bench, camera_mounting='parameters', camera_xyz=[0.0, 0.0, -1.0], camera_rpy=[np.pi, 0.0, 0.0]
    )
    # Looking straight down from a metre below the body.
    np.testing.assert_allclose(points[:, 2], -1 - WALL, atol=1e-4)


def test_auto_takes_the_parameters_where_tf_knows_nothing(bench):
    points = cloud_of_wall(bench, camera_mounting='auto', camera_xyz=[2.0, 0.0, 0.0])
    np.testing.assert_allclose(points[:, 0], 2 + WALL, atol=1e-4)
    bench.status('cloud_node', lambda status: value(status, 'camera_mounting') == 'parameters')


def test_poses_of_the_camera_itself_need_no_mounting(bench, model):
    drone = Drone(bench, model, pose_stamped)
    poses = bench.collect(PoseStamped, 'depth/camera_pose')
    drone.start(camera_mounting='auto', body_frame='optical')
    drone.frames(6)
    bench.until(lambda: poses)
    assert poses[-1].pose.orientation.w == pytest.approx(1)


@pytest.mark.parametrize('source', ['auto', 'tf'])
def test_tf_places_the_camera(bench, source):
    tf2_ros = pytest.importorskip(
        'tf2_ros', reason='tf2_ros is not on PyPI: this test runs where a ROS distribution is installed'
    )
    transform = TransformStamped(child_frame_id='optical')
    transform.header.frame_id, transform.header.stamp = 'base_link', stamp(10**9)
    transform.transform.translation.z = 0.5
    transform.transform.rotation.x, transform.transform.rotation.w = 1.0, 0.0  # looking straight down
    broadcaster = tf2_ros.StaticTransformBroadcaster(bench.peer)
    broadcaster.sendTransform(transform)
    points = cloud_of_wall(bench, camera_mounting=source, camera_xyz=[9.0, 9.0, 9.0])
    np.testing.assert_allclose(points[:, 2], 0.5 - WALL, atol=1e-4)
    bench.status('cloud_node', lambda status: 'tf' in (value(status, 'camera_mounting') or ''))
