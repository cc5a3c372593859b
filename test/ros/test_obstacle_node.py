"""obstacle_node over DDS, with depth from anybody."""

import numpy as np
import pytest
from depth_source import HEIGHT, WIDTH, DepthSource
from geometry_msgs.msg import Quaternion
from sensor_msgs.msg import LaserScan
from visualization_msgs.msg import Marker, MarkerArray

from ros_depthnet.ros.obstacle_node import ObstacleNode

POLES = {10: 5.0, 50: 3.0}  # column of a pole, its depth


def poles(columns=POLES):
    depth_hw = np.full((HEIGHT, WIDTH), np.inf, np.float32)
    for column, depth in columns.items():
        depth_hw[:, column : column + 5] = depth
    return depth_hw


@pytest.fixture
def source(bench):
    return DepthSource(bench)


def publish_until(bench, source, messages, **frame):
    messages.clear()
    for _ in range(50):
        source.publish(**frame)
        bench.spin(0.1)
        if messages:
            return messages[-1]
    raise AssertionError('nothing came')


def cubes(markers):
    return [
        marker for marker in markers.markers if marker.type == Marker.CUBE and marker.action == Marker.ADD
    ]


def test_each_obstacle_is_a_box_where_it_stands_nearest_first(bench, source):
    obstacles = bench.collect(MarkerArray, 'obstacles', 10)
    bench.start(ObstacleNode, stride=1, min_height=-9.0, max_height=9.0)
    source.await_listener()
    boxes = cubes(publish_until(bench, source, obstacles, depth_hw=poles(), y=1.0))
    assert [box.header.frame_id for box in boxes] == ['odom', 'odom']
    # Ahead is x, left is y; the middle column of a pole is 2 right of its first.
    for box, (column, depth) in zip(boxes, sorted(POLES.items(), key=lambda pole: pole[1])):
        assert box.pose.position.x == pytest.approx(depth, abs=0.01)
        assert box.pose.position.y == pytest.approx(
            1.0 - (column + 2 - (WIDTH - 1) / 2) * depth / 60, abs=0.01
        )
        assert box.scale.z == pytest.approx((HEIGHT - 1) * depth / 60, abs=0.1)


def test_obstacles_that_are_gone_are_deleted(bench, source):
    obstacles = bench.collect(MarkerArray, 'obstacles', 10)
    bench.start(ObstacleNode, stride=1)
    source.await_listener()
    publish_until(bench, source, obstacles, depth_hw=poles())
    bench.spin(0.3)
    gone = publish_until(bench, source, obstacles, depth_hw=poles({}))
    assert {(marker.ns, marker.id) for marker in gone.markers if marker.action == Marker.DELETE} == {
        (name, i) for name in ('boxes', 'distances') for i in range(2)
    }
    assert not cubes(gone)


def test_distances_per_direction_are_those_of_the_poles(bench, source):
    scans = bench.collect(LaserScan, 'obstacle_distance')
    bench.start(ObstacleNode, sectors=9)
    source.await_listener()
    scan = publish_until(bench, source, scans, depth_hw=poles())
    assert scan.header.frame_id == 'base_link'
    angles = scan.angle_min + scan.angle_increment * np.arange(9)
    nearest = {}
    for column, depth in POLES.items():
        azimuths = -np.arctan((np.arange(column, column + 5) - (WIDTH - 1) / 2) / 60)
        for azimuth in azimuths:
            beam = int(np.argmin(np.abs(angles - azimuth)))
            nearest[beam] = min(nearest.get(beam, np.inf), depth / np.cos(azimuth))
    ranges = np.array(scan.ranges)
    for beam, distance in nearest.items():
        assert ranges[beam] == pytest.approx(distance, rel=0.03)
    seen = np.abs(angles) < np.arctan((WIDTH - 1) / 2 / 60) - scan.angle_increment / 2
    free = seen & ~np.isin(np.arange(9), list(nearest))
    assert free.any() and np.isposinf(ranges[free]).all()
    outside = np.abs(angles) > np.arctan(WIDTH / 2 / 60) + scan.angle_increment / 2
    assert np.isnan(ranges[outside]).all()


def test_a_drone_that_leans_forward_does_not_take_the_ground_for_an_obstacle(bench, source):
    scans = bench.collect(LaserScan, 'obstacle_distance')
    bench.start(ObstacleNode, min_height=-1.0, max_height=1.0)
    source.await_listener()
    lean, height = np.radians(20), 3.0  # nose down, over flat ground
    rows = (np.arange(HEIGHT) - (HEIGHT - 1) / 2) / 60
    below = np.sin(lean) + rows * np.cos(lean)  # metres down per metre of depth
    depth_hw = np.where(below > 0.01, height / np.maximum(below, 0.01), np.inf)[:, None] * np.ones((1, WIDTH))
    nose_down = Quaternion(y=np.sin(lean / 2), w=np.cos(lean / 2))
    scan = publish_until(bench, source, scans, depth_hw=depth_hw.astype(np.float32), turn=nose_down)
    middle = np.array(scan.ranges)[len(scan.ranges) // 2]
    assert np.isposinf(middle)


def test_in_the_cameras_frame_no_odometry_is_needed(bench, source):
    obstacles = bench.collect(MarkerArray, 'obstacles', 10)
    bench.start(ObstacleNode, stride=1, output_frame='camera')
    source.await_listener(odometry=False)
    boxes = cubes(publish_until(bench, source, obstacles, depth_hw=poles()))
    assert [box.header.frame_id for box in boxes] == ['optical', 'optical']
    assert [box.pose.position.z for box in boxes] == pytest.approx([3.0, 5.0], abs=0.01)
