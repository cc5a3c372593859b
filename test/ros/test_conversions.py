"""Messages to arrays and back."""

import array
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from nav_msgs.msg import Odometry
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointField
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import BadImage
from ros_depthnet.core.motion import InvalidPose
from ros_depthnet.core.obstacle_tracks import Obstacle
from ros_depthnet.core.obstacles import Box
from ros_depthnet.flight.messages import camera_info as camera_infos
from ros_depthnet.flight.messages import image as images
from ros_depthnet.flight.messages import pose as poses
from ros_depthnet.flight.messages.stamp import to_ns
from ros_depthnet.ros.conversions import camera_info, cloud, detections, image, markers, pose, scan, time

HEADER = Header(frame_id='optical')
RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def to_camera(message):
    return camera_infos.to_calibration(message).pinhole


def message(pixels, encoding, padding=0, big=False):
    pixels = np.atleast_3d(pixels)
    height, width, _ = pixels.shape
    rows = pixels.astype(pixels.dtype.newbyteorder('>' if big else '<')).tobytes()
    row = len(rows) // height
    data = b''.join(rows[i * row : (i + 1) * row] + bytes(padding) for i in range(height))
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=row + padding,
        is_bigendian=int(big),
        data=array.array('B', data),
    )


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(
    'encoding, pixels',
    [
        ('rgb8', RGB),
        ('bgr8', RGB[..., ::-1]),
        ('rgba8', np.dstack([RGB, np.full((6, 8), 9, np.uint8)])),
        ('bgra8', np.dstack([RGB[..., ::-1], np.full((6, 8), 9, np.uint8)])),
    ],
)
def test_colour_channels_end_up_in_order(encoding, pixels, padding):
    np.testing.assert_array_equal(images.ImageReader().rgb(message(pixels, encoding, padding)), RGB)


def test_grey_is_equal_in_all_channels():
    np.testing.assert_array_equal(images.ImageReader().rgb(message(RGB[..., 0], 'mono8')), np.dstack([RGB[..., 0]] * 3))


@pytest.mark.parametrize('big', [False, True])
def test_16_bit_grey_is_scaled_to_8_bits(big):
    grey = np.array([[0, 257, 257 * 100], [65535, 257 * 7, 257 * 200]], np.uint16)
    expected = np.dstack([(grey / 257).astype(np.uint8)] * 3)
    np.testing.assert_array_equal(images.ImageReader().rgb(message(grey, 'mono16', big=big)), expected)


@pytest.mark.parametrize('encoding, order', [('yuv422', 'UYVY'), ('yuv422_yuy2', 'YUYV')])
def test_yuv_follows_bt601(encoding, order):
    parts = {'Y': 81, 'U': 90, 'V': 240}  # red in studio-range BT.601
    row = [parts[letter] for letter in order] * 4
    pixels = np.array([row] * 6, np.uint8).reshape(6, 8, 2)
    np.testing.assert_allclose(
        images.ImageReader().rgb(message(pixels, encoding)), np.full((6, 8, 3), (255, 0, 0)), atol=2
    )


@pytest.mark.parametrize('encoding', ['bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8', 'bayer_grbg8'])
def test_bayer_mosaics_give_the_colour_they_were_made_of(encoding):
    colour = {'r': 200, 'g': 120, 'b': 40}
    tile = [colour[letter] for letter in encoding.split('_')[1][:4]]
    mosaic = np.tile(np.array(tile, np.uint8).reshape(2, 2), (6, 8))
    rgb = images.ImageReader().rgb(message(mosaic, encoding))
    np.testing.assert_allclose(rgb[4:-4, 4:-4], np.broadcast_to((200, 120, 40), rgb[4:-4, 4:-4].shape), atol=1)


@pytest.mark.parametrize(
    'bad, sentence',
    [
        (Image(encoding='rgb8'), '0 x 0'),
        (Image(encoding='rgb8', width=2, height=2, step=5, data=bytes(12)), 'rows of 5 bytes'),
        (Image(encoding='rgb8', width=2, height=2, step=6, data=bytes(11)), 'has 11 of 12 bytes'),
        (Image(encoding='32FC1', width=2, height=2, step=8, data=bytes(16)), "'32FC1'"),
    ],
)
def test_an_unusable_image_is_refused_with_the_reason(bad, sentence):
    with pytest.raises(BadImage, match=sentence):
        images.ImageReader().rgb(bad)


def test_compressed_images_are_decoded_and_damaged_ones_refused():
    png = cv2.imencode('.png', RGB[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(images.ImageReader().rgb(CompressedImage(format='png', data=png)), RGB)
    for data in (b'', png[:20]):
        with pytest.raises(BadImage, match='cannot be decoded'):
            images.ImageReader().rgb(CompressedImage(format='png', data=data))


DEPTH = np.array([[1.2345, np.nan, np.inf], [-np.inf, 65.5, 70.0]], np.float32)


def test_depth_in_metres_is_passed_on_bit_by_bit():
    sent = image.from_depth(DEPTH, HEADER, '32FC1')
    assert struct.unpack('<6f', bytes(sent.data))[0] == DEPTH[0, 0]
    np.testing.assert_array_equal(images.to_depth(sent), DEPTH)


def test_depth_in_millimetres_has_0_for_whatever_is_no_distance():
    sent = image.from_depth(DEPTH, HEADER, '16UC1')
    assert struct.unpack('<6H', bytes(sent.data)) == (1234, 0, 0, 0, 65500, 0)
    expected = np.array([[1.234, np.nan, np.nan], [np.nan, 65.5, np.nan]], np.float32)
    np.testing.assert_allclose(images.to_depth(sent), expected, rtol=1e-6)


def test_metres_that_are_no_distance_are_unknown_as_other_peoples_cameras_say_0():
    sent = message(np.array([[0.0, -0.0, -1.0, -np.inf, np.inf, np.nan, 1e-3]], np.float32), '32FC1')
    expected = np.array([[np.nan, np.nan, np.nan, -np.inf, np.inf, np.nan, 1e-3]], np.float32)
    np.testing.assert_array_equal(images.to_depth(sent), expected)


def test_a_deviation_of_0_is_sure_and_not_unknown():
    sent = message(np.array([[0.0, 0.5, np.nan]], np.float32), '32FC1')
    np.testing.assert_array_equal(images.to_deviation(sent), np.array([[0.0, 0.5, np.nan]], np.float32))


def test_image_data_is_stored_by_reference():
    data = image.octets(np.arange(12, dtype=np.float32))
    filled = Image()
    filled.data = data
    assert isinstance(data, array.array)
    assert filled.data is data  # a copy, or a check of each element, would take 100 ms a VGA image


def calibration(**changes):
    return CameraInfo(
        **{'width': 640, 'height': 480, 'k': [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0], **changes}
    )


def test_the_rectified_projection_is_taken_where_it_is_given():
    assert to_camera(calibration()) == Camera(640, 480, 500.0, 510.0, 320.0, 240.0)
    p = [400.0, 0.0, 310.0, 0.0, 0.0, 410.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert to_camera(calibration(p=p)) == Camera(640, 480, 400.0, 410.0, 310.0, 230.0)


@pytest.mark.parametrize('changes', [{'k': [0.0] * 9}, {'width': 0}, {'k': [float('nan')] * 9}])
def test_an_uncalibrated_camera_is_refused(changes):
    with pytest.raises(camera_infos.NoCamera, match='calibrat'):
        to_camera(calibration(**changes))


def test_region_of_interest_and_binning_keep_the_directions():
    cropped = calibration(binning_x=2, binning_y=2)
    cropped.roi.x_offset, cropped.roi.y_offset, cropped.roi.width, cropped.roi.height = 100, 80, 400, 300
    camera = to_camera(cropped)
    assert (camera.width, camera.height) == (200, 150)
    # Pixel (10, 20) of the image covers columns 120, 121 and rows 120, 121 of the sensor.
    assert (10 - camera.cx) / camera.fx == pytest.approx((120.5 - 320) / 500)
    assert (20 - camera.cy) / camera.fy == pytest.approx((120.5 - 240) / 510)


def test_camera_info_survives_the_way_there_and_back():
    camera = Camera(64, 48, 60.0, 61.0, 31.0, 23.0)
    sent = camera_info.from_camera(camera, HEADER)
    assert to_camera(sent) == camera
    assert camera_infos.to_calibration(sent).lens is None
    assert camera_infos.to_calibration(calibration(d=[0.0, 0.1, 0.0, 0.0])).lens.D == (0.0, 0.1, 0.0, 0.0)


def test_poses_turn_as_their_quaternions_say():
    turned = Odometry().pose.pose
    turned.position.x = 2.0
    turned.orientation.z = turned.orientation.w = np.sqrt(0.5)  # a quarter turn to the left
    T = poses.to_pose(turned)
    np.testing.assert_allclose(T @ [1, 0, 0, 1], [2, 1, 0, 1], atol=1e-12)
    np.testing.assert_allclose(poses.to_pose(pose.from_pose(T)), T, atol=1e-12)


@pytest.mark.parametrize('spoil', [('position', float('nan')), ('orientation', float('nan')), ('orientation', 0.0)])
def test_poses_that_are_none_are_refused(spoil):
    part, number = spoil
    bad = Odometry().pose.pose
    for axis in 'xyz' if part == 'position' else 'xyzw':
        setattr(getattr(bad, part), axis, number)
    with pytest.raises(InvalidPose):
        poses.to_pose(bad)


def test_a_cloud_is_packed_as_pcl_reads_it():
    points = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    sent = cloud.from_points(points, np.array([[255, 128, 1], [0, 0, 9]], np.uint8), HEADER)
    assert [(f.name, f.offset, f.datatype) for f in sent.fields] == [
        (name, 4 * i, PointField.FLOAT32) for i, name in enumerate(['x', 'y', 'z', 'rgb'])
    ]
    assert (sent.height, sent.width, sent.point_step, sent.row_step, sent.is_dense) == (1, 2, 16, 32, True)
    assert struct.unpack('<3f4B', bytes(sent.data[16:])) == (4.0, 5.0, 6.0, 9, 0, 0, 0)
    assert struct.unpack('<3f4B', bytes(sent.data[:16])) == (1.0, 2.0, 3.0, 1, 128, 255, 0)


@pytest.mark.parametrize('shape', [(0,), (5,), (3, 4)])
def test_a_cloud_survives_the_way_there_and_back(shape):
    rng = np.random.default_rng(1)
    points, rgb = rng.normal(size=(*shape, 3)).astype(np.float32), rng.integers(0, 256, (*shape, 3), np.uint8)
    points[..., 0][points[..., 0] > 0] = np.nan
    for colours in (None, rgb):
        sent = cloud.from_points(points, colours, HEADER)
        assert sent.is_dense == bool(np.isfinite(points).all())
        got, got_rgb = cloud.to_points(sent)
        np.testing.assert_array_equal(got.reshape(points.shape), points)
        if colours is not None:
            np.testing.assert_array_equal(got_rgb.reshape(rgb.shape), rgb)


def obstacle(number, distance=1.0, velocity=(0.0, 0.0, 0.0)):
    box = Box(np.array([distance, 0, 0]), np.array([1.0, 0.0, 2.0]), distance, 40)
    return Obstacle(number, box, np.array(velocity), np.full(3, 0.1), np.array([0.2, 0.05, 0.3]), 0.5, 2.0)


def test_obstacles_are_boxes_with_their_distances_and_the_gone_are_deleted():
    previous = {('boxes', 7), ('distances', 7), ('boxes', 3), ('distances', 3), ('velocities', 3)}
    sent = markers.from_obstacles([obstacle(3, 0.5), obstacle(8, 1.5)], HEADER, previous).markers
    added = [marker for marker in sent if marker.action == Marker.ADD]
    assert [(marker.ns, marker.id) for marker in added] == [
        ('boxes', 3),
        ('distances', 3),
        ('boxes', 8),
        ('distances', 8),
    ]
    assert added[0].type == Marker.CUBE and 0 < added[0].color.a < 1
    assert (added[0].scale.x, added[0].scale.z) == (1.0, 2.0)
    assert added[0].scale.y > 0  # RViz draws nothing of no thickness
    assert [marker.text for marker in added[1::2]] == ['0.5 m', '1.5 m']
    assert all(marker.pose.orientation.w == 1.0 for marker in added)
    assert {(marker.ns, marker.id) for marker in sent if marker.action == Marker.DELETE} == {
        ('boxes', 7),
        ('distances', 7),
        ('velocities', 3),
    }


def test_what_moves_has_an_arrow_to_where_it_will_be_in_a_second_and_says_how():
    sent = markers.from_obstacles([obstacle(0), obstacle(1, velocity=(0.0, 3.0, 0.0))], HEADER, set()).markers
    (arrow,) = (marker for marker in sent if marker.ns == 'velocities')
    assert (arrow.id, arrow.type) == (1, Marker.ARROW)
    start, end = ((point.x, point.y, point.z) for point in arrow.points)
    assert (start, end) == ((1.0, 0.0, 0.0), (1.0, 3.0, 0.0))
    assert sent[3].text == '1.0 m, 3.0 +- 0.1 m/s, 2.0 m in 0.5 s'


# The fields of vision_msgs 4.1.1, of which there is no wheel.
VISION_MESSAGES = {
    'Detection3DArray': 'std_msgs/Header header\nDetection3D[] detections',
    'Detection3D': 'std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox3D bbox\nstring id',
    'BoundingBox3D': 'geometry_msgs/Pose center\ngeometry_msgs/Vector3 size',
    'ObjectHypothesisWithPose': 'ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose',
    'ObjectHypothesis': 'string class_id\nfloat64 score',
}


def test_detections_are_as_their_definition_wants():
    store = get_typestore(Stores.ROS2_HUMBLE)
    names = {name: f'vision_msgs/msg/{name}' for name in VISION_MESSAGES}
    store.register(
        {k: v for name, text in VISION_MESSAGES.items() for k, v in get_types_from_msg(text, names[name]).items()}
    )
    messages = SimpleNamespace(**{name: store.types[full] for name, full in names.items()})
    moves, stands = obstacle(12, 4.0, velocity=(0.0, 3.0, 0.0)), obstacle(7, 6.0)
    sent = detections.to_detections([moves, stands], HEADER, messages)
    again = store.deserialize_cdr(store.serialize_cdr(sent, sent.__msgtype__), sent.__msgtype__)
    assert [each.id for each in again.detections] == ['12', '7']
    for each, distance in zip(again.detections, (4.0, 6.0), strict=True):
        assert each.header.frame_id == again.header.frame_id == HEADER.frame_id
        assert each.header.stamp.sec == again.header.stamp.sec == HEADER.stamp.sec
        centre, size = each.bbox.center, each.bbox.size
        assert (centre.position.x, centre.position.y, centre.orientation.w) == (distance, 0, 1)
        assert (size.x, size.y, size.z) == (1, 0, 2)
        for result in each.results:
            assert result.pose.pose.position.x == distance
            variances = np.diag(result.pose.covariance.reshape(6, 6))
            np.testing.assert_allclose(variances, [0.04, 0.0025, 0.09, 0, 0, 0])
    told = [
        [(result.hypothesis.class_id, result.hypothesis.score) for result in each.results] for each in again.detections
    ]
    assert [each[0][0] for each in told] == ['moving', 'standing']
    assert told[0][0][1] > 0.999 and told[1][0][1] > 0.99
    assert all(sum(score for _, score in each) == pytest.approx(1) for each in told)


def test_odometry_of_an_obstacle_has_place_and_velocity_with_their_covariances():
    sent = detections.to_odometry(obstacle(12, 4.0, velocity=(0.0, 3.0, -1.0)), HEADER)
    assert (sent.header, sent.child_frame_id) == (HEADER, 'obstacle_12')
    linear = sent.twist.twist.linear
    assert (sent.pose.pose.position.x, linear.x, linear.y, linear.z) == (4.0, 0.0, 3.0, -1.0)
    place, velocity = (np.reshape(each.covariance, (6, 6)) for each in (sent.pose, sent.twist))
    np.testing.assert_allclose(place, np.diag([0.04, 0.0025, 0.09, 0, 0, 0]))
    np.testing.assert_allclose(velocity, np.diag([0.01, 0.01, 0.01, 0, 0, 0]))


def test_a_beam_looks_through_the_middle_of_each_sector():
    sent = scan.from_sectors(np.array([1, np.inf, np.nan, -np.inf, 40], np.float32), np.pi / 2, 50.0, HEADER)
    np.testing.assert_array_equal(sent.ranges, [1, np.inf, np.nan, -np.inf, 40])
    assert sent.range_max == 50.0
    angles = sent.angle_min + sent.angle_increment * np.arange(5)
    np.testing.assert_allclose(np.degrees(angles), [-36, -18, 0, 18, 36], atol=1e-4)
    assert sent.angle_max == pytest.approx(angles[-1])


@pytest.mark.parametrize('time_ns', [0, 1, 999_999_999, 1_700_000_000_123_456_789])
def test_time_is_exact_to_the_nanosecond(time_ns):
    assert to_ns(time.to_stamp(time_ns)) == time_ns
