"""obstacle_node over DDS, with depth from anybody."""

import numpy as np
import pytest
from depth_source import HEIGHT, WIDTH, DepthSource, depth_image
from geometry_msgs.msg import Quaternion
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
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
    return [marker for marker in markers.markers if marker.type == Marker.CUBE and marker.action == Marker.ADD]


def test_each_obstacle_is_a_box_where_it_stands_nearest_first(bench, source):
    obstacles = bench.collect(MarkerArray, 'obstacles', 10)
    bench.start(ObstacleNode, stride=1, min_height=-9.0, max_height=9.0)
    source.await_listener()
    boxes = cubes(publish_until(bench, source, obstacles, depth_hw=poles(), y=1.0))
    assert [box.header.frame_id for box in boxes] == ['odom', 'odom']
    # Ahead is x, left is y; the middle column of a pole is 2 right of its first.
    for box, (column, depth) in zip(boxes, sorted(POLES.items(), key=lambda pole: pole[1])):
        assert box.pose.position.x == pytest.approx(depth, abs=0.01)
        assert box.pose.position.y == pytest.approx(1.0 - (column + 2 - (WIDTH - 1) / 2) * depth / 60, abs=0.01)
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


def cross(bench, source):
    """Fly past a pole at 4 m that moves to the right by 0.3 m every 0.1 s, and one at 6 m that stands."""
    bench.start(ObstacleNode, stride=1, min_height=-9.0, max_height=9.0, max_size=9.0)
    source.await_listener()
    for step in range(9):
        source.publish(depth_hw=poles({2: 6.0, 12 + round(4.5 * step): 4.0}))
        bench.spin(0.15)


def test_what_crosses_is_said_to_and_what_stands_is_not(bench, source):
    obstacles = bench.collect(MarkerArray, 'obstacles', 10)
    cross(bench, source)
    bench.until(lambda: obstacles)
    boxes = cubes(obstacles[-1])
    (arrow,) = (marker for marker in obstacles[-1].markers if marker.ns == 'velocities')
    assert arrow.id == boxes[0].id != boxes[1].id
    start, end = arrow.points
    assert end.y - start.y == pytest.approx(-3.0, abs=0.5)
    assert abs(end.x - start.x) < 0.5
    numbers = [[box.id for box in cubes(message)] for message in obstacles if len(cubes(message)) == 2]
    assert len(numbers) > 5 and all(pair == numbers[0] for pair in numbers)


def test_each_obstacle_has_odometry_under_the_number_of_its_box(bench, source):
    told = bench.collect(Odometry, 'obstacles/odometry', 100)
    obstacles = bench.collect(MarkerArray, 'obstacles', 10)
    cross(bench, source)
    bench.until(lambda: told and obstacles and told[-1].header.stamp == obstacles[-1].markers[0].header.stamp)
    last = {each.child_frame_id: each for each in told if each.header.stamp == told[-1].header.stamp}
    moving, standing = (last[f'obstacle_{box.id}'] for box in cubes(obstacles[-1]))
    assert moving.header.frame_id == 'odom' and len(last) == 2
    assert moving.twist.twist.linear.y == pytest.approx(-3.0, abs=0.5)
    assert abs(standing.twist.twist.linear.y) < 0.3
    assert standing.pose.pose.position.x == pytest.approx(6.0, abs=0.01)


def test_detections_are_published_where_their_messages_are_installed(bench, source):
    messages = pytest.importorskip(
        'vision_msgs.msg', reason='vision_msgs is not on PyPI: this runs where it is installed'
    )
    told = bench.collect(messages.Detection3DArray, 'obstacles/detections', 10)
    cross(bench, source)
    bench.until(lambda: told and len(told[-1].detections) == 2)
    moving, standing = told[-1].detections
    assert [each.results[0].hypothesis.class_id for each in (moving, standing)] == ['moving', 'standing']
    assert standing.bbox.center.position.x == pytest.approx(6.0, abs=0.01)
    assert told[-1].header.frame_id == 'odom' and moving.id != standing.id


def test_distances_per_direction_are_those_of_the_poles(bench, source):
    scans = bench.collect(LaserScan, 'obstacle_distance')
    bench.start(ObstacleNode, sectors=9)
    source.await_listener()
    scan = publish_until(bench, source, scans, depth_hw=poles())
    assert scan.header.frame_id == 'base_stabilized'
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


def test_a_direction_is_that_of_the_level_frame_however_the_drone_leans(bench, source):
    scans = bench.collect(LaserScan, 'obstacle_distance')
    bench.start(ObstacleNode, sectors=9, min_height=-9.0, max_height=9.0, level_frame='uav/level')
    source.await_listener()
    # The nose 40 degrees up and a post seen 21 degrees to the right in the middle row: seen from above it
    # stands nearer, and much farther to the right.
    lean, column, depth = np.radians(40), 52, 4.0
    depth_hw = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    depth_hw[HEIGHT // 2 - 4 : HEIGHT // 2 + 4, column : column + 3] = depth
    nose_up = Quaternion(y=-np.sin(lean / 2), w=np.cos(lean / 2))
    scan = publish_until(bench, source, scans, depth_hw=depth_hw, turn=nose_up)
    assert scan.header.frame_id == 'uav/level'
    right = (column + 1 - (WIDTH - 1) / 2) / 60 * depth
    azimuth, distance = -np.arctan2(right, depth * np.cos(lean)), np.hypot(right, depth * np.cos(lean))
    ranges = np.array(scan.ranges)
    beam = int(np.nanargmin(ranges))
    assert scan.angle_min + beam * scan.angle_increment == pytest.approx(azimuth, abs=np.radians(5))
    assert ranges[beam] == pytest.approx(distance, rel=0.05)
    assert distance < 0.85 * np.hypot(right, depth)  # so a scan in the leaning body's frame is no match


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


def test_farther_than_scan_range_is_free(bench, source):
    scans = bench.collect(LaserScan, 'obstacle_distance')
    node = bench.start(ObstacleNode, sectors=1, sector_angle=0.2, scan_range=4.5)
    source.await_listener()
    ahead = publish_until(bench, source, scans)
    assert ahead.ranges[0] == pytest.approx(4.0, rel=0.01) and ahead.range_max == 4.5
    assert node.set_parameters([Parameter('scan_range', value=3.5)])[0].successful
    bench.spin(0.3)
    beyond = publish_until(bench, source, scans)
    assert np.isposinf(beyond.ranges[0]) and beyond.range_max == 3.5


def deviation(depth_hw, unsure_column):
    """Return a deviation of 1 % of the depth, but of half of it in 5 columns."""
    deviation_hw = np.nan_to_num(0.01 * depth_hw, posinf=0.01)
    deviation_hw[:, unsure_column : unsure_column + 5] *= 50
    return depth_image(deviation_hw)


def test_what_is_too_unsure_is_no_box(bench):
    obstacles = bench.collect(MarkerArray, 'obstacles', 10)
    source = DepthSource(bench, deviation=True)
    bench.start(ObstacleNode, stride=1)
    source.await_listener()
    frame = {'depth_hw': poles(), 'deviation': deviation(poles(), 50)}
    assert [box.pose.position.x for box in cubes(publish_until(bench, source, obstacles, **frame))] == [
        pytest.approx(5.0, abs=0.01)
    ]


@pytest.mark.parametrize('most, nearest', [(0.2, 5.0), (0.6, 3.0)])
def test_what_is_too_unsure_is_no_distance(bench, most, nearest):
    scans = bench.collect(LaserScan, 'obstacle_distance')
    source = DepthSource(bench, deviation=True)
    bench.start(ObstacleNode, max_relative_deviation=most)
    source.await_listener()
    frame = {'depth_hw': poles(), 'deviation': deviation(poles(), 50)}
    scan = publish_until(bench, source, scans, **frame)
    assert nearest <= np.nanmin(scan.ranges) < 1.15 * nearest


def test_zeros_of_other_peoples_cameras_are_unknown_and_not_at_the_nose(bench, source):
    scans = bench.collect(LaserScan, 'obstacle_distance')
    bench.start(ObstacleNode)
    source.await_listener()
    depth_hw = np.zeros((HEIGHT, WIDTH), np.float32)
    assert np.isnan(publish_until(bench, source, scans, depth_hw=depth_hw).ranges).all()


def test_without_odometry_the_scan_is_in_the_body_frame_and_says_so(bench, source):
    scans = bench.collect(LaserScan, 'obstacle_distance')
    bench.start(ObstacleNode, output_frame='camera', body_frame='uav/base_link')
    source.await_listener(odometry=False)
    assert publish_until(bench, source, scans).header.frame_id == 'uav/base_link'


def test_in_the_cameras_frame_no_odometry_is_needed(bench, source):
    obstacles = bench.collect(MarkerArray, 'obstacles', 10)
    bench.start(ObstacleNode, stride=1, output_frame='camera')
    source.await_listener(odometry=False)
    boxes = cubes(publish_until(bench, source, obstacles, depth_hw=poles()))
    assert [box.header.frame_id for box in boxes] == ['optical', 'optical']
    assert [box.pose.position.z for box in boxes] == pytest.approx([3.0, 5.0], abs=0.01)
