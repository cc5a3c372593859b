"""Depth, cloud and obstacles in one process: the same as by topics, with nothing of depth on a topic."""

from functools import partial

import numpy as np
import pytest
from drone import DEPTH, Drone, camera_info
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import LaserScan, PointCloud2

from ros_depthnet.ros.cloud_node import CloudNode
from ros_depthnet.ros.conversions.cloud import to_points
from ros_depthnet.ros.depth_link import DepthLink
from ros_depthnet.ros.depth_node import DepthNode
from ros_depthnet.ros.obstacle_node import ObstacleNode


class LinkedDrone(Drone):
    """A drone whose three nodes are linked, and nobody who takes depth by its topic."""

    def __init__(self, bench, model):
        super().__init__(bench, model)
        (of_depth,) = (each for each in bench.peer.subscriptions if each.topic_name == '/depth/image')
        bench.peer.destroy_subscription(of_depth)
        link = DepthLink()
        self.cloud = bench.start(partial(CloudNode, link), start=False, stride=1)
        self.obstacles = bench.start(partial(ObstacleNode, link))
        self.depth = bench.start(partial(DepthNode, link), model=str(model), max_sources=1)

    def fly_until(self, condition):
        self.await_node()
        self.infos.publish(camera_info())
        for _ in range(100):
            self.frame()
            self.bench.spin(0.1)
            if condition():
                return
        raise AssertionError('waited in vain')


@pytest.fixture
def linked(bench, model):
    return LinkedDrone(bench, model)


def test_the_cloud_is_that_of_the_depth_and_nobody_subscribes_to_depth(bench, linked):
    clouds = bench.collect(PointCloud2, 'points')
    linked.cloud.start()
    linked.fly_until(lambda: clouds)
    points, rgb = to_points(clouds[-1])
    assert clouds[-1].header.frame_id == 'odom' and rgb is not None
    assert np.nanmedian(points.reshape(-1, 3)[:, 0]) == pytest.approx(DEPTH, rel=1e-3)  # x is ahead
    for topic in ('depth/image', 'depth/deviation', 'depth/rgb', 'depth/camera_info', 'depth/camera_pose'):
        assert linked.depth.count_subscribers(topic) == 0


def test_the_frame_of_the_cloud_is_its_own_choice(bench, model):
    linked = LinkedDrone(bench, model)
    linked.cloud.settings.output_frame = 'camera'
    clouds, scans = bench.collect(PointCloud2, 'points'), bench.collect(LaserScan, 'obstacle_distance')
    linked.cloud.start()
    linked.fly_until(lambda: clouds and scans)
    points, _ = to_points(clouds[-1])
    assert clouds[-1].header.frame_id == 'optical'
    assert np.nanmedian(points.reshape(-1, 3)[:, 2]) == pytest.approx(DEPTH, rel=1e-3)  # z is ahead
    assert scans[-1].header.frame_id == 'base_stabilized'
    assert np.nanmin(scans[-1].ranges) == pytest.approx(DEPTH, rel=0.05)


def test_depth_is_computed_while_somebody_takes_what_comes_of_it(bench, linked):
    linked.cloud.start()
    bench.spin(1)
    assert not linked.depth.inputs
    listener = bench.peer.create_subscription(PointCloud2, 'points', lambda message: None, 1)
    bench.until(lambda: linked.depth.inputs)
    bench.peer.destroy_subscription(listener)
    bench.until(lambda: not linked.depth.inputs)


def test_each_node_keeps_its_own_life(bench, linked):
    clouds, scans = bench.collect(PointCloud2, 'points'), bench.collect(LaserScan, 'obstacle_distance')
    linked.cloud.start()
    linked.fly_until(lambda: clouds and scans)
    assert bench.change_state('cloud_node', Transition.TRANSITION_DEACTIVATE)
    assert (bench.state('cloud_node'), bench.state('obstacle_node')) == ('inactive', 'active')
    bench.spin(0.3)
    clouds.clear()
    scans.clear()
    linked.fly_until(lambda: len(scans) >= 2)
    assert not clouds
    assert bench.change_state('cloud_node', Transition.TRANSITION_ACTIVATE)
    linked.fly_until(lambda: clouds)
