"""depth_node over DDS, with a model whose answer is known from the colour of the image."""

import array
import gc
import threading
import time
import weakref

import cv2
import numpy as np
import pytest
import rclpy
from bench import PATIENCE, value
from diagnostic_msgs.msg import DiagnosticStatus
from drone import DEPTH, FOCAL, GREEN, HEIGHT, PERIOD_NS, STEP, WIDTH, camera_info, image, odometry, stamp
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import Path
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tiny_models import blue_is_log_depth, displacement_is_parallax

from ros_depthnet.core.contours import thinned
from ros_depthnet.core.measurer import Origin
from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.contour_model import load_contour_model
from ros_depthnet.evaluation.pictures import depth_picture
from ros_depthnet.ros import depth_node
from ros_depthnet.ros.depth_node import DepthNode


def pixels(message, dtype='<f4'):
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width)


def stamped_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_depth_is_metric_and_stamped_as_its_image(drone):
    drone.start()
    message = drone.await_depth()
    assert (stamped_ns(message) - drone.time_ns) % PERIOD_NS == 0
    assert message.header.frame_id == 'optical'
    assert (message.encoding, message.width, message.height, message.step) == (
        '32FC1',
        WIDTH,
        HEIGHT,
        4 * WIDTH,
    )
    assert np.median(pixels(message)) == pytest.approx(DEPTH, rel=1e-4)


def test_odometry_is_interpolated_to_the_images_stamp(drone):
    # The nearest odometry would be .2 m off, of a baseline of .5 m.
    drone.start()
    depth = pixels(drone.await_depth())
    assert np.nanmax(np.abs(depth - DEPTH)) < 1e-3


def test_deviation_says_what_the_model_says_plus_the_geometry(drone):
    deviations = drone.bench.collect(Image, 'depth/deviation')
    drone.start(position_noise=1e-6)
    drone.await_depth()
    drone.bench.until(lambda: deviations)
    geometric = DEPTH**2 * 0.1 / (FOCAL * 0.5)
    assert np.median(pixels(deviations[-1])) == pytest.approx(np.hypot(DEPTH * GREEN / 100, geometric), rel=1e-3)
    assert deviations[-1].encoding == '32FC1'


def test_camera_info_and_colours_fit_the_depth_image(drone):
    infos = drone.bench.collect(CameraInfo, 'depth/camera_info')
    colours = drone.bench.collect(Image, 'depth/rgb')
    drone.start(input_width=32)
    message = drone.await_depth()
    drone.bench.until(lambda: infos and colours)
    assert (message.width, message.height) == (32, 32)  # 24 rows are brought to a multiple of 16
    info = infos[-1]
    assert (info.width, info.height) == (32, 32)
    # The left edge of the image, half a pixel left of its first pixel, must stay in the same direction.
    assert (-0.5 - info.k[2]) / info.k[0] == pytest.approx((-0.5 - (WIDTH - 1) / 2) / FOCAL)
    assert (-0.5 - info.k[5]) / info.k[4] == pytest.approx((-0.5 - (HEIGHT - 1) / 2) / FOCAL)
    assert np.reshape(info.p, (3, 4))[:, :3].ravel().tolist() == list(info.k)
    assert not any(info.d)
    assert (colours[-1].encoding, colours[-1].width, colours[-1].height) == ('rgb8', 32, 32)


@pytest.mark.parametrize(
    'limits, expected',
    [({'max_range': 2.0}, np.inf), ({'min_range': 4.0}, -np.inf), ({'max_relative_deviation': 0.01}, np.nan)],
)
def test_what_cannot_be_measured_is_not_a_number_of_metres(drone, limits, expected):
    drone.start(**limits)
    np.testing.assert_array_equal(pixels(drone.await_depth()), np.full((HEIGHT, WIDTH), expected, np.float32))


def test_millimetres_on_request(drone):
    drone.start(depth_encoding='16UC1')
    message = drone.await_depth()
    assert (message.encoding, message.step) == ('16UC1', 2 * WIDTH)
    assert np.median(pixels(message, '<u2')) == pytest.approx(1000 * DEPTH, abs=1)


def test_takes_compressed_images(drone):
    cv2 = pytest.importorskip('cv2')
    images = drone.bench.publisher(CompressedImage, 'image_raw/compressed')
    drone.images = images
    drone.start(image_transport='compressed')
    for _ in range(20):
        rgb = np.frombuffer(image(drone.time_ns).data, np.uint8).reshape(HEIGHT, WIDTH, 3)
        png = cv2.imencode('.png', rgb[..., ::-1])[1].tobytes()
        message = CompressedImage(format='png', data=png)
        message.header.frame_id = 'optical'
        drone.frame(message)
        drone.bench.spin(0.1)
        if drone.depths:
            break
    assert np.median(pixels(drone.depths[-1])) == pytest.approx(DEPTH, rel=1e-4)


def test_an_image_waits_for_its_odometry(drone):
    drone.start(pose_timeout=3.0)
    drone.await_depth()
    seen = len(drone.depths)
    drone.frame(with_odometry=False)
    drone.bench.spin(0.3)
    assert len(drone.depths) == seen
    drone.odometry.publish(odometry(drone.time_ns - PERIOD_NS // 5, 0.5 * (drone.flown - 0.2)))
    drone.odometry.publish(odometry(drone.time_ns + PERIOD_NS // 5, 0.5 * (drone.flown + 0.2)))
    drone.bench.until(lambda: len(drone.depths) > seen)
    assert drone.depths[-1].header.stamp == stamp(drone.time_ns)


@pytest.mark.parametrize('reliability', [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE])
def test_quality_of_service_fits_both_ways(drone, reliability):
    profile = QoSProfile(depth=5, reliability=reliability)
    drone.images = drone.bench.publisher(Image, 'image_raw', profile)
    drone.infos = drone.bench.publisher(CameraInfo, 'camera_info', profile)
    received = drone.bench.collect(Image, 'depth/image', profile)
    drone.start()
    drone.await_depth()
    drone.bench.until(lambda: received)


def test_incompatible_quality_of_service_is_said(drone):
    drone.images = drone.bench.publisher(
        Image, 'image_raw', QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    drone.bench.start(
        DepthNode,
        model=str(drone.model),
        input_timeout=0.5,
        **{'qos_overrides./image_raw.subscription.reliability': 'reliable'},
    )
    status = drone.bench.status('depth_node', lambda status: 'another reliability' in status.message)
    assert status.level == DiagnosticStatus.ERROR
    assert 'qos_overrides./image_raw.subscription.reliability' in status.message


def test_a_slip_in_an_override_is_said_when_somebody_listens_and_ends_nothing(drone):
    node = drone.bench.start(
        DepthNode,
        model=str(drone.model),
        **{'qos_overrides./image_raw.subscription.reliability': 'relaible'},
    )
    status = drone.bench.status('depth_node', lambda status: 'cannot be subscribed to' in status.message)
    assert status.level == DiagnosticStatus.ERROR
    assert 'relaible' in status.message and 'check the qos_overrides parameters' in status.message
    assert (node.state, value(status, 'state')) == ('active', 'active')


def test_nothing_is_computed_while_nobody_listens(bench, model):
    images = bench.publisher(Image, 'image_raw')
    bench.start(DepthNode, model=str(model))
    status = bench.status('depth_node', lambda status: value(status, 'state') == 'active')
    assert value(status, 'listeners') == 'no, so nothing is computed'
    assert images.get_subscription_count() == 0
    bench.collect(Image, 'depth/image')
    bench.until(lambda: images.get_subscription_count() == 1)


def test_diagnostics_tell_rate_latency_provider_and_drops(drone):
    drone.start()
    drone.await_depth(5)
    status = drone.bench.status('depth_node', lambda status: float(value(status, 'rate_hz')) > 0)
    assert status.level == DiagnosticStatus.OK, status.message
    assert value(status, 'provider') == 'cpu'
    assert value(status, 'model') == 'red_is_parallax'
    assert 0 < float(value(status, 'latency_ms_p50')) <= float(value(status, 'latency_ms_p95')) < 5000
    assert int(value(status, 'published')) >= 5
    assert value(status, 'dropped/first_frame') == '1'


def test_silent_inputs_are_named(drone):
    drone.bench.start(DepthNode, model=str(drone.model), input_timeout=0.3)
    status = drone.bench.status('depth_node', lambda status: status.level == DiagnosticStatus.WARN)
    for topic in ('/image_raw', '/camera_info', '/odom'):
        assert topic in status.message


def test_hovering_gives_no_depth(drone):
    drone.start(buffer_age=0.25, memory=False)
    drone.await_depth()
    place, hover_ns = drone.flown, drone.time_ns + 3 * PERIOD_NS
    for time_ns in range(hover_ns, hover_ns + 8 * PERIOD_NS, PERIOD_NS):
        for part in (-30_000_000, 30_000_000):
            drone.odometry.publish(odometry(time_ns + part, place))
        drone.images.publish(image(time_ns))
        drone.bench.spin(0.1)
    drone.dropped('baseline_too_short')
    assert all(stamped_ns(depth) < hover_ns + 3 * PERIOD_NS for depth in drone.depths)


def test_a_covered_lens_is_named_and_gives_no_depth(drone):
    drone.start(memory=False)
    drone.await_depth()
    drone.bench.spin(0.3)
    seen = len(drone.depths)
    for _ in range(5):
        drone.frame(image(0, rgb=(0, 0, 0), blank=True))
        drone.bench.spin(0.1)
    status = drone.dropped('blank')
    assert status.level == DiagnosticStatus.WARN
    assert 'lens' in status.message
    assert len(drone.depths) == seen
    drone.await_depth()


def test_a_lens_covered_for_a_moment_is_named_though_depth_is_remembered(drone):
    drone.start()
    drone.await_depth()
    drone.frame(image(0, rgb=(0, 0, 0), blank=True))
    status = drone.bench.status('depth_node', lambda status: 'lens' in status.message)
    assert status.level == DiagnosticStatus.WARN


def test_time_that_runs_back_is_counted_and_survived(drone):
    drone.start()
    drone.await_depth(2)
    drone.time_ns -= 10 * PERIOD_NS
    drone.await_depth(2)
    drone.refused('time_jump')


def test_images_passed_over_before_time_ran_back_do_not_stand_in_the_way_of_later_ones(drone, monkeypatch):
    node, held_ns = drone.start(), []
    drone.time_ns += 500 * PERIOD_NS
    drone.await_depth()
    add, hold = node._session.add, node._session.hold
    monkeypatch.setattr(node._session, 'add', lambda frame, T: time.sleep(0.3) or add(frame, T))
    monkeypatch.setattr(node._session, 'hold', lambda frame, T: held_ns.append(frame.stamp_ns) or hold(frame, T))
    for _ in range(5):
        drone.frame()
        drone.bench.spin(0.02)
    drone.time_ns -= 400 * PERIOD_NS
    for _ in range(12):
        drone.frame()
        drone.bench.spin(0.1)
    assert any(stamp_ns <= drone.time_ns for stamp_ns in held_ns)


def test_a_jump_of_the_pose_of_an_image_that_was_passed_over_is_counted(drone, monkeypatch):
    node, begun, over = drone.start(), threading.Event(), threading.Event()
    drone.await_depth()
    add = node._session.add

    def add_at_leisure(frame, T):
        begun.set()
        over.wait(PATIENCE)
        return add(frame, T)

    monkeypatch.setattr(node._session, 'add', add_at_leisure)
    drone.frame()
    drone.bench.until(begun.is_set)
    drone.flown += 200
    before_ns = drone.time_ns
    while not any(stamped_ns(arrival.message) > before_ns for arrival in list(node._passed_over)):
        drone.frame()
        drone.bench.spin(0.05)
    over.set()
    drone.frame()
    drone.bench.status('depth_node', lambda status: value(status, 'no_partner/pose_jump') == '1')


def test_a_node_that_is_cleaned_up_lets_go_of_flight_and_model(drone):
    node = drone.start(every_image=True)
    drone.await_depth(2)
    held = [weakref.ref(each) for each in (node._session, node._model)]
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    gc.collect()
    assert [each() for each in held] == [None, None]
    assert node.set_parameters([Parameter('max_range', value=50.0)])[0].successful
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    drone.await_node()
    drone.await_depth()


def test_an_image_that_waits_when_time_runs_back_is_not_blamed_on_odometry(drone):
    drone.start(pose_timeout=0.5)
    drone.await_depth()
    drone.frame(with_odometry=False)
    drone.bench.spin(0.1)
    drone.time_ns -= 10 * PERIOD_NS
    drone.odometry.publish(odometry(drone.time_ns, 0))
    drone.bench.spin(0.1)
    drone.await_depth(8)
    assert value(drone.dropped('time_jump'), 'dropped/no_pose') is None


def test_no_camera_info_no_depth(drone):
    drone.bench.start(DepthNode, model=str(drone.model), max_sources=1, input_timeout=0.5)
    drone.await_node()
    drone.frames(3)
    drone.dropped('no_camera_info')
    status = drone.bench.status('depth_node', lambda status: status.level == DiagnosticStatus.WARN)
    assert '/camera_info' in status.message
    assert not drone.depths
    drone.infos.publish(camera_info())
    drone.await_depth()


def test_camera_info_without_k_is_refused(drone):
    drone.start()
    drone.infos.publish(CameraInfo(width=WIDTH, height=HEIGHT))
    drone.bench.spin(0.2)
    drone.frames(3)
    assert 'calibrate' in drone.refused('bad_camera_info').message
    assert not drone.depths
    drone.infos.publish(camera_info())
    drone.await_depth()


def test_a_lens_that_nobody_knows_is_refused(drone):
    drone.start()
    info = camera_info()
    info.d, info.distortion_model = [0.1], 'kaleidoscope'
    drone.infos.publish(info)
    assert 'Rectify' in drone.refused('bad_camera_info').message


def truncated():
    message = image(0)
    message.data = message.data[:100]
    return message


def wrongly_encoded():
    message = image(0)
    message.encoding = '32FC2'
    return message


def empty():
    return Image(encoding='rgb8')


@pytest.mark.parametrize(
    'bad, sentence',
    [
        (truncated, 'truncated'),
        (wrongly_encoded, "encoding '32FC2'"),
        (empty, '0 x 0'),
        (lambda: image(0, width=32, height=24), '32 x 24'),
    ],
)
def test_a_bad_image_is_named_and_the_next_good_one_works(drone, bad, sentence):
    drone.start()
    drone.await_depth()
    drone.bench.spin(0.3)
    seen = len(drone.depths)
    message = bad()
    message.header.frame_id = 'optical'
    bad_stamp = stamp(drone.frame(message))
    status = drone.dropped('bad_image')
    assert sentence in status.message
    assert status.level == DiagnosticStatus.WARN
    assert len(drone.depths) == seen
    drone.await_depth()
    assert bad_stamp not in [depth.header.stamp for depth in drone.depths]


def test_another_camera_starts_afresh(drone):
    drone.start(input_width=64)
    drone.await_depth()
    drone.infos.publish(camera_info(128, 96, FOCAL))  # at the model's input, half the focal length
    drone.bench.spin(0.2)
    changed_ns = drone.time_ns
    for _ in range(30):
        drone.frame(image(drone.time_ns + PERIOD_NS, width=128, height=96))
        drone.bench.spin(0.1)
        if stamped_ns(drone.depths[-1]) > changed_ns:
            break
    assert np.median(pixels(drone.depths[-1])) == pytest.approx(DEPTH / 2, rel=1e-4)
    drone.dropped('resized')


def test_another_resolution_of_one_camera_goes_on(drone):
    drone.start(input_width=64)
    drone.await_depth()
    drone.infos.publish(camera_info(128, 96, 2 * FOCAL))
    drone.bench.spin(0.2)
    changed_ns = drone.frame(image(drone.time_ns + PERIOD_NS, width=128, height=96))
    drone.bench.until(lambda: stamped_ns(drone.depths[-1]) == changed_ns)
    assert np.median(pixels(drone.depths[-1])) == pytest.approx(DEPTH, rel=1e-4)


def test_a_pose_of_nan_is_refused_and_the_next_good_one_works(drone):
    drone.start()
    drone.await_depth()
    drone.odometry.publish(odometry(drone.time_ns + PERIOD_NS, np.nan))
    assert 'NaN' in drone.refused('bad_pose').message
    drone.await_depth()


def test_an_image_that_waits_when_its_inputs_are_let_go_of_is_counted(drone):
    drone.start(pose_timeout=9.0)
    drone.await_depth()
    drone.frame(with_odometry=False)
    drone.bench.spin(0.3)
    drone.bench.change_state('depth_node', Transition.TRANSITION_DEACTIVATE)
    assert value(drone.dropped('no_listener'), 'dropped/no_listener') == '1'


def test_an_image_without_pose_is_dropped_with_a_sentence(drone):
    drone.start(pose_timeout=0.2)
    drone.await_depth()
    seen = len(drone.depths)
    drone.time_ns += 100 * PERIOD_NS
    drone.frame(with_odometry=False)
    assert 'raise pose_timeout' in drone.dropped('odometry_late').message
    assert len(drone.depths) == seen
    drone.await_depth()


def test_odometry_of_another_body_is_refused(drone):
    drone.start(body_frame='gimbal', pose_timeout=0.1)
    drone.frames(2)
    assert "'base_link', not of 'gimbal'" in drone.refused('other_body').message
    assert not drone.depths


def test_a_missing_model_leaves_the_node_unconfigured_and_saying_so(bench):
    bench.start(DepthNode, model='nosuch')
    status = bench.status('depth_node', lambda status: status.level == DiagnosticStatus.ERROR)
    assert 'nosuch' in status.message
    assert bench.state('depth_node') == 'unconfigured'


def test_a_damaged_model_is_refused_until_it_is_repaired(bench, model, tmp_path):
    copy = tmp_path / model.name
    copy.with_suffix('.yaml').write_bytes(model.with_suffix('.yaml').read_bytes())
    copy.write_bytes(model.read_bytes()[:-10])
    bench.start(DepthNode, model=str(copy))
    assert 'damaged' in bench.status('depth_node', lambda status: status.level == DiagnosticStatus.ERROR).message
    copy.write_bytes(model.read_bytes())
    assert bench.change_state('depth_node', Transition.TRANSITION_CONFIGURE)
    assert bench.change_state('depth_node', Transition.TRANSITION_ACTIVATE)
    bench.status('depth_node', lambda status: status.level == DiagnosticStatus.OK)


def test_deactivating_lets_go_of_the_inputs_and_activating_takes_them_again(drone):
    drone.start()
    drone.await_depth()
    assert drone.bench.change_state('depth_node', Transition.TRANSITION_DEACTIVATE)
    drone.bench.until(lambda: drone.images.get_subscription_count() == 0)
    assert drone.bench.change_state('depth_node', Transition.TRANSITION_ACTIVATE)
    drone.await_node()
    drone.infos.publish(camera_info())
    drone.await_depth()


def test_a_topic_that_nobody_publishes_is_said_with_those_that_would_do(bench, model):
    """As after the preset of another camera: the mend is the topic's name."""
    there = bench.publisher(Image, 'camera/camera/color/image_raw')
    bench.collect(Image, 'depth/image')
    bench.start(DepthNode, model=str(model), input_timeout=0.1)
    status = bench.status('depth_node', lambda status: 'Nobody publishes /image_raw' in str(status))
    said = ' '.join([status.message, *(pair.value for pair in status.values)])
    assert (
        'Nobody publishes /image_raw: start its source, or remap image_raw, to /camera/camera/color/image_raw for one.'
    ) in said
    assert '/depth/' not in said.partition('Nobody publishes /image_raw')[2].partition('.')[0]
    assert there.get_subscription_count() == 0


@pytest.mark.parametrize('remapping', ['__ns:=/first', '__node:=eyes'])
def test_topics_of_another_drone_and_ones_own_are_not_offered(bench, model, remapping):
    other = rclpy.create_node('depth_node', namespace='/second')
    there = [bench.publisher(Image, topic) for topic in ('/camera/color', '/second/camera/image_raw')]
    node = bench.start(DepthNode, model=str(model), input_timeout=0.1, cli_args=['--ros-args', '-r', remapping])
    bench.collect(Image, f'{node.get_namespace().rstrip("/")}/depth/image')
    bench.until(lambda: {each.topic_name for each in there} <= dict(node.get_topic_names_and_types()).keys())
    status = bench.status(node.get_fully_qualified_name().lstrip('/'), lambda status: '/camera/color' in status.message)
    assert 'or remap image_raw, to /camera/color for one' in status.message
    other.destroy_node()


def test_pictures_are_painted_for_those_who_look_and_for_nobody_else(drone, monkeypatch):
    painted = []
    monkeypatch.setattr(
        'ros_depthnet.ros.depth_node.depth_picture',
        lambda depth_hw, near, far: painted.append((near, far)) or depth_picture(depth_hw, near, far),
    )
    drone.start(colour_range=[2.0, 20.0])
    drone.await_depth()
    assert not painted
    raw = drone.bench.collect(Image, 'depth/coloured')
    drone.bench.until(lambda: drone.await_depth() and raw)
    assert set(painted) == {(2.0, 20.0)}
    depth_hw = pixels(drone.depths[-1])
    shown = np.frombuffer(raw[-1].data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    assert raw[-1].encoding == 'rgb8'
    np.testing.assert_array_equal(shown[np.isfinite(depth_hw)][0], depth_picture(np.full((1, 1), DEPTH), 2, 20)[0, 0])


def test_compressed_pictures_are_named_and_coded_as_image_transport_has_them(drone):
    """Its subscriber takes a base topic and adds /compressed; `format` tells it "rgb8" and "jpeg compressed bgr8"."""
    jpegs = {
        topic: drone.bench.collect(CompressedImage, f'{topic}/compressed')
        for topic in ('depth/coloured', 'depth/deviation_coloured')
    }
    drone.start()
    drone.await_depth()
    drone.bench.until(lambda: all(jpegs.values()))
    for message in (found[-1] for found in jpegs.values()):
        assert message.format == 'rgb8; jpeg compressed bgr8'
        assert message.header.frame_id == 'optical'
        assert cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR).shape == (HEIGHT, WIDTH, 3)


def test_the_way_is_told_in_the_frame_of_the_odometry(drone):
    paths = drone.bench.collect(Path, 'path')
    drone.start()
    drone.await_depth(3)
    drone.bench.until(lambda: paths and len(paths[-1].poses) >= 3)
    ys = [pose.pose.position.y for pose in paths[-1].poses]
    assert paths[-1].header.frame_id == 'odom'
    assert ys == sorted(ys) and ys[-1] - ys[0] >= 1.0


def test_contours_are_those_of_the_image_and_nobody_pays_who_does_not_listen(drone):
    colours = drone.bench.collect(Image, 'depth/rgb')
    node = drone.start()
    drone.await_depth()
    assert node._contour_model is None
    lines = drone.bench.collect(Image, 'depth/contours')
    drone.await_depth(3)
    drone.bench.until(lambda: lines and any(colour.header == lines[-1].header for colour in colours))
    colour = next(colour for colour in colours if colour.header == lines[-1].header)
    rgb = np.frombuffer(colour.data, np.uint8).reshape(colour.height, colour.width, 3)
    expected = np.rint(255 * thinned(load_contour_model(threads=1).contours(rgb)))
    assert lines[-1].encoding == 'mono8'
    assert np.abs(pixels(lines[-1], np.uint8) - expected).max() <= 1


def test_while_hovering_depth_goes_on_and_says_where_it_is_from(drone, tmp_path):
    origins = drone.bench.collect(Image, 'depth/origin')
    drone.start(single_view=str(blue_is_log_depth(tmp_path)), memory_age=0.3, buffer_age=0.5, min_parallax=2.0)
    drone.await_depth(2)
    drone.bench.until(lambda: origins)
    assert origins[0].encoding == 'mono8'
    assert (pixels(origins[0], np.uint8) == Origin.MEASURED).mean() > 0.5
    place = drone.flown
    drone.says = lambda time_ns, y: odometry(time_ns, STEP * place)
    drone.frames(10)
    someone = np.frombuffer(image(drone.time_ns).data, np.uint8).reshape(HEIGHT, WIDTH, 3).copy()
    someone[:, 2 * WIDTH // 3 :, 1] = 200
    for _ in range(3):
        drone.frame(
            Image(
                height=HEIGHT,
                width=WIDTH,
                encoding='rgb8',
                step=3 * WIDTH,
                data=array.array('B', someone.tobytes()),
                header=image(0).header,
            )
        )
        drone.bench.spin(0.15)
        someone[:, :, 2] ^= 8  # an image that stays is frozen
    drone.bench.until(lambda: origins[-1].header == drone.depths[-1].header)
    origin, depth = pixels(origins[-1], np.uint8), pixels(drone.depths[-1])
    assert stamped_ns(origins[-1]) > drone.time_ns - 5 * PERIOD_NS
    assert set(np.unique(origin)) == {Origin.REMEMBERED, Origin.ONE_IMAGE}
    assert np.isfinite(depth).all()


def test_finding_movers_in_every_image_is_refused(drone):
    with pytest.raises(ValueError, match='set one of them to false'):
        drone.start(every_image=True, find_moving=True)


def test_a_range_of_colours_that_is_upside_down_is_refused():
    with pytest.raises(ValueError, match='colour_range must have the nearer depth first'):
        DepthNode(parameter_overrides=[Parameter('colour_range', value=[20.0, 2.0])])


class AsWeighed:
    """In place of a network that knows rendered scenes, not a thing that falls past a wall of noise."""

    def log_odds(self, clues):
        return 4 * clues[-1]


def test_what_moves_is_told_and_has_no_depth(drone, tmp_path, monkeypatch):
    """The model says how far the drone flew over red: 5.1 m, as far as the wall that shifts by 15 pixels a step."""
    monkeypatch.setattr(depth_node, 'load_moving_model', lambda threads: AsWeighed())
    width, height, last, rng = 160, 120, 7, np.random.default_rng(0)
    drone.model, drone.says = displacement_is_parallax(tmp_path), lambda time_ns, y: odometry(time_ns, -y)
    masks = drone.bench.collect(Image, 'moving/mask')
    wall = cv2.GaussianBlur(rng.integers(0, 256, (200, 400), np.uint8), (0, 0), 2)
    wall = cv2.normalize(wall, None, 0, 255, cv2.NORM_MINMAX).astype(float)

    def falling(step):
        seen = wall[:height, 15 * step : 15 * step + width].copy()
        top = 70 - 4 * (last - step)
        seen[top : top + 40, 60:110] = wall[150:190, 300:350]
        rgb = np.full((height, width, 3), 25, np.uint8)
        rgb[..., 1:] = np.clip(seen + rng.normal(0, 5, seen.shape), 0, 255)[..., None]
        return Image(
            height=height,
            width=width,
            encoding='rgb8',
            step=3 * width,
            data=array.array('B', rgb.tobytes()),
            header=image(drone.time_ns).header,
        )

    drone.start(
        find_moving=True,
        check_odometry=False,
        find_mask=False,
        alignment_rounds=0,
        rotation_noise=0.0,
        max_relative_deviation=10.0,
        buffer_size=2,
        input_width=width,
    )
    drone.infos.publish(camera_info(width, height, 150.0))
    for step in range(last + 1):
        drone.frame(falling(step))
        drone.bench.spin(0.15)
        drone.bench.until(lambda step=step: len(drone.depths) >= step - 1)  # the calibration may miss the first
    drone.bench.until(lambda: masks and masks[-1].header == drone.depths[-1].header)
    mask, depth = pixels(masks[-1], np.uint8), pixels(drone.depths[-1])
    assert masks[-1].encoding == 'mono8'
    assert np.mean(mask[76:104, 66:104] > 127) > 0.9
    np.testing.assert_array_equal(np.isnan(depth[mask > 127]), True)
    assert np.isfinite(depth[:112, 130:]).mean() > 0.9


@pytest.mark.parametrize('every_image', [False, True])
def test_every_image_gets_depth_if_asked_however_slow_the_model_is(drone, every_image):
    node = drone.start(every_image=every_image)
    drone.await_depth()
    predict = node._model.predict

    def slowly(ranges):
        time.sleep(0.25)
        return predict(ranges)

    node._model.predict = slowly
    drone.await_depth()  # that it is slow shows only once
    seen = len(drone.depths)
    for _ in range(8):
        drone.frame()
        drone.bench.spin(0.1)
    depths = drone.depths[seen:]
    if not every_image:
        assert len(depths) <= 4
        return
    assert len(depths) >= 6
    stamps = [stamped_ns(message) for message in depths]
    assert stamps == sorted(set(stamps))


def test_a_damaged_contournet_costs_the_contours_alone(drone, monkeypatch):
    def damaged(threads):
        raise ModelError('contournet.onnx is damaged.')

    monkeypatch.setattr(depth_node, 'load_contour_model', damaged)
    drone.bench.collect(Image, 'depth/contours')
    drone.start()
    drone.await_depth(3)
    status = drone.bench.status('depth_node', lambda status: 'contournet.onnx is damaged.' in status.message)
    assert value(status, 'dropped/internal_error') is None


def test_a_damaged_movingnet_is_refused_before_the_flight(drone, monkeypatch):
    def damaged(threads):
        raise ModelError('movingnet.onnx is damaged.')

    monkeypatch.setattr(depth_node, 'load_moving_model', damaged)
    node = drone.start()
    drone.await_depth()
    (result,) = node.set_parameters([Parameter('find_moving', value=True)])
    assert (result.successful, result.reason) == (False, 'movingnet.onnx is damaged.')
    drone.await_depth()
