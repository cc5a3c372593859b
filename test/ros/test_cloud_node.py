"""cloud_node over DDS, with depth from anybody."""

import numpy as np
import pytest
from bench import value
from depth_source import FOCAL, HEIGHT, WALL, WIDTH, DepthSource, depth_image, message
from diagnostic_msgs.msg import DiagnosticStatus
from drone import camera_info
from geometry_msgs.msg import Quaternion
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, PointCloud2

from ros_depthnet.ros.cloud_node import CloudNode
from ros_depthnet.ros.conversions.cloud import to_points


@pytest.fixture
def clouds(bench):
    return bench.collect(PointCloud2, 'points')


def first_cloud(bench, clouds, source, **frame):
    for _ in range(50):
        source.publish(**frame)
        bench.spin(0.1)
        if clouds:
            return clouds[-1]
    raise AssertionError('no cloud came')


def wall_points(stride=1):
    """Return the wall's points in the optical frame, pixel by pixel."""
    return np.array(
        [
            [(u - (WIDTH - 1) / 2) * WALL / FOCAL, (v - (HEIGHT - 1) / 2) * WALL / FOCAL, WALL]
            for v in range(0, HEIGHT, stride)
            for u in range(0, WIDTH, stride)
        ]
    )


@pytest.mark.parametrize('encoding', ['32FC1', '16UC1'])
def test_points_in_the_cameras_frame_need_no_odometry(bench, clouds, encoding):
    source = DepthSource(bench)
    bench.start(CloudNode, output_frame='camera', stride=1)
    source.await_listener(odometry=False)
    cloud = first_cloud(bench, clouds, source, encoding=encoding)
    assert cloud.header.frame_id == 'optical'
    points, rgb = to_points(cloud)
    assert rgb is None
    np.testing.assert_allclose(points.reshape(-1, 3), wall_points(), atol=1e-3)


def test_points_in_the_odometrys_frame_are_where_the_drone_sees_them(bench, clouds):
    source = DepthSource(bench)
    bench.start(CloudNode, stride=1, camera_xyz=[0.3, 0.0, 0.0])
    source.await_listener()
    left = Quaternion(z=np.sqrt(0.5), w=np.sqrt(0.5))
    cloud = first_cloud(bench, clouds, source, y=2.0, turn=left)
    assert cloud.header.frame_id == 'odom'
    # The drone looks to the left, along y: ahead is y, right of the image is x, down is -z.
    right, down, ahead = wall_points().T
    expected = np.stack([right, 2.0 + 0.3 + ahead, -down], axis=-1)
    np.testing.assert_allclose(to_points(cloud)[0].reshape(-1, 3), expected, atol=1e-4)


def test_stamp_is_the_depth_images(bench, clouds):
    source = DepthSource(bench)
    bench.start(CloudNode)
    source.await_listener()
    stamp = first_cloud(bench, clouds, source).header.stamp
    assert (stamp.sec * 10**9 + stamp.nanosec - source.time_ns) % 100_000_000 == 0


def test_unknown_and_untrusted_depth_gives_no_point(bench, clouds):
    depth_hw = np.full((HEIGHT, WIDTH), WALL, np.float32)
    depth_hw[0, :4] = np.nan, np.inf, -np.inf, 80.0
    deviation_hw = np.full((HEIGHT, WIDTH), 0.1, np.float32)
    deviation_hw[1] = 2.0
    source = DepthSource(bench, deviation=True)
    bench.start(CloudNode, stride=1)
    source.await_listener()
    cloud = first_cloud(bench, clouds, source, depth_hw=depth_hw, deviation=depth_image(deviation_hw))
    assert cloud.width * cloud.height == HEIGHT * WIDTH - 4 - WIDTH
    assert cloud.is_dense


def test_colours_are_those_of_the_pixels(bench, clouds):
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rgb[..., 0], rgb[..., 1], rgb[..., 2] = 200, np.arange(WIDTH), np.arange(HEIGHT)[:, None]
    source = DepthSource(bench, rgb=True)
    bench.start(CloudNode, stride=2)
    source.await_listener()
    cloud = first_cloud(bench, clouds, source, rgb=message(rgb, 'rgb8'))
    np.testing.assert_array_equal(to_points(cloud)[1].reshape(-1, 3), rgb[::2, ::2].reshape(-1, 3))


def test_an_organised_cloud_keeps_rows_and_columns(bench, clouds):
    depth_hw = np.full((HEIGHT, WIDTH), WALL, np.float32)
    depth_hw[4, 6] = np.nan
    source = DepthSource(bench)
    bench.start(CloudNode, organised=True, stride=2)
    source.await_listener()
    cloud = first_cloud(bench, clouds, source, depth_hw=depth_hw)
    assert (cloud.height, cloud.width, cloud.is_dense) == (HEIGHT // 2, WIDTH // 2, False)
    assert np.argwhere(np.isnan(to_points(cloud)[0][..., 0])).tolist() == [[2, 3]]


def test_voxels_thin_the_cloud_at_run_time(bench, clouds):
    source = DepthSource(bench)
    node = bench.start(CloudNode, output_frame='camera', stride=1)
    source.await_listener(odometry=False)
    first_cloud(bench, clouds, source)
    assert node.set_parameters([Parameter('voxel_size', value=1.0)])[0].successful
    clouds.clear()
    bench.spin(0.3)
    clouds.clear()
    points = to_points(first_cloud(bench, clouds, source))[0].reshape(-1, 3)
    cells = np.floor(wall_points())
    assert len(points) == len(np.unique(cells, axis=0))
    np.testing.assert_allclose(points[:, 2], WALL, atol=1e-5)


def test_contradicting_options_are_refused(bench):
    node = bench.start(CloudNode, start=False, organised=True)
    result = node.set_parameters([Parameter('voxel_size', value=1.0)])[0]
    assert not result.successful
    assert 'organised' in result.reason


@pytest.mark.parametrize(
    'frame, sentence',
    [
        ({'image': Image(height=2, width=2, encoding='rgb8', step=6, data=bytes(12))}, "'rgb8'"),
        ({'image': Image(height=2, width=2, encoding='32FC1', step=8, data=bytes(9))}, 'truncated'),
        ({'camera_info': camera_info(32, 24)}, 'has 64 x 48 pixels, but depth/camera_info says 32 x 24'),
    ],
)
def test_bad_input_is_named_and_the_next_good_one_works(bench, clouds, frame, sentence):
    source = DepthSource(bench)
    bench.start(CloudNode)
    source.await_listener()
    source.publish(**frame)
    status = bench.status('cloud_node', lambda status: status.level == DiagnosticStatus.WARN)
    assert sentence in status.message
    assert not clouds
    first_cloud(bench, clouds, source)


def test_a_refused_pose_is_counted_and_so_is_the_depth_that_waited_for_it(bench, clouds):
    source = DepthSource(bench)
    bench.start(CloudNode, pose_timeout=0.1)
    source.await_listener()
    source.publish(turn=Quaternion(w=0.0))
    status = bench.status('cloud_node', lambda status: value(status, 'dropped/no_odometry') == '1')
    assert value(status, 'refused/bad_pose') == '2'  # before and after the image
    assert 'zero quaternion' in status.message
    assert not clouds
