"""The one way in, with messages as plain objects: what comes of each image, in whatever order messages come."""

from types import SimpleNamespace as Message

import cv2
import numpy as np
import pytest

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.mounting import FORWARD_RPY, mounting
from ros_depthnet.core.reasons import Drop, MessageRefusal, Refusal
from ros_depthnet.flight.intake import Arrival, Intake, IntakeOptions
from ros_depthnet.flight.mounting import RecordedMounting, StaticTransform, TransformTree

ODOMETRY = 'nav_msgs/msg/Odometry'
MS = 1_000_000
PIXELS = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)


def header(ms, frame_id='optical'):
    sec, nanosec = divmod(ms * MS, 10**9)
    return Message(stamp=Message(sec=sec, nanosec=nanosec), frame_id=frame_id)


def image(ms):
    return Message(
        header=header(ms), height=12, width=16, encoding='rgb8', is_bigendian=0, step=48, data=PIXELS.reshape(-1)
    )


def info(**changes):
    roi = Message(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    usual = {
        'width': 16,
        'height': 12,
        'distortion_model': 'plumb_bob',
        'd': [0.0] * 5,
        'r': np.eye(3).ravel(),
        'k': [10.0, 0, 7.5, 0, 10, 5.5, 0, 0, 1],
        'p': [10.0, 0, 7.5, 0, 0, 10, 5.5, 0, 0, 0, 1, 0],
        'binning_x': 0,
        'binning_y': 0,
        'roi': roi,
    }
    return Message(header=header(0), **{**usual, **changes})


def xyz(x=0.0, y=0.0, z=0.0):
    return Message(x=x, y=y, z=z)


def odometry(ms, speed=0.0, x=None, body='base_link', orientation=(0, 0, 0, 1)):
    """Return odometry that moves ahead at 1 m/s."""
    q = Message(**dict(zip('xyzw', orientation)))
    pose = Message(position=xyz(ms / 1000 if x is None else x), orientation=q)
    return Message(
        header=header(ms, 'odom'),
        child_frame_id=body,
        pose=Message(pose=pose),
        twist=Message(twist=Message(linear=xyz(speed))),
    )


def intake(topic='/camera/image_raw', transforms=(), calibrated=True, **options):
    options = IntakeOptions(**options)
    made = Intake(options, RecordedMounting(TransformTree(transforms), options), topic)
    if calibrated:
        assert made.camera_info(info()) == []
    return made


def reasons(outcomes):
    return [outcome.reason if isinstance(outcome, Refusal) else 'frame' for outcome in outcomes]


def test_an_image_waits_for_odometry_on_both_sides_and_gets_the_pose_between():
    taken = intake()
    assert taken.pose(odometry(0), ODOMETRY) == taken.image(image(30), 0.0) == []
    (arrival,) = taken.pose(odometry(100), ODOMETRY)
    frame = arrival.frame()
    assert frame.stamp_ns == arrival.stamp_ns == 30 * MS
    np.testing.assert_array_equal(frame.image, PIXELS)
    looking_ahead = mounting((0, 0, 0), FORWARD_RPY)
    np.testing.assert_allclose(frame.T_world_cam, motion.pose(np.eye(3), [0.03, 0, 0]) @ looking_ahead, atol=1e-12)


def test_at_60_hz_odometry_that_is_a_quarter_of_a_second_late_costs_no_image():
    taken, came = intake(), []
    messages = [(k * 1000 // 60, 'image', k * 1000 // 60) for k in range(60)]
    messages += [(ms + 250, 'odometry', ms) for ms in range(0, 1200, 20)]
    for now, kind, ms in sorted(messages):
        came += taken.expire(now / 1000)
        came += taken.image(image(ms), now / 1000) if kind == 'image' else taken.pose(odometry(ms), ODOMETRY)
    assert reasons(came) == 60 * ['frame']
    assert [arrival.stamp_ns for arrival in came] == sorted(arrival.stamp_ns for arrival in came)


def test_odometry_in_small_disorder_is_put_in_order():
    taken = intake()
    for ms in (0, 50, 49, 100):
        taken.pose(odometry(ms), ODOMETRY)
    (arrival,) = taken.image(image(75), 0.0)
    assert arrival.epoch == 0
    assert arrival.pose.T_odom_cam[0, 3] == pytest.approx(0.075)


def test_time_that_runs_back_begins_an_epoch_and_refuses_who_waits():
    taken = intake()
    taken.pose(odometry(5000), ODOMETRY)
    taken.image(image(5010), 0.0)
    taken.image(image(5020), 0.0)
    jump, *waiting = taken.pose(odometry(0), ODOMETRY)
    assert 'Time ran back by 5.000 s' in jump.sentence
    assert reasons(waiting) == 2 * [Drop.TIME_JUMP]
    taken.image(image(10), 1.0)
    (arrival,) = taken.pose(odometry(20), ODOMETRY)
    assert arrival.epoch == 1


@pytest.mark.parametrize(
    'sent, reason, words',
    [
        ([], Drop.NO_ODOMETRY, 'No odometry has come'),
        ([0], Drop.ODOMETRY_LATE, '0.03 s older'),
    ],
)
def test_an_image_waits_no_longer_than_is_said(sent, reason, words):
    taken = intake(pose_timeout=0.5)
    for ms in sent:
        taken.pose(odometry(ms), ODOMETRY)
    taken.image(image(30), 10.0)
    assert taken.expire(10.49) == []
    (refusal,) = taken.expire(10.51)
    assert refusal.reason is reason and words in refusal.sentence


@pytest.mark.parametrize('gap, outcome', [(0.25, Drop.NO_POSE), (1.0, 'frame')])
def test_poses_are_not_interpolated_over_a_longer_gap_than_is_said(gap, outcome):
    taken = intake(pose_gap=gap)
    taken.pose(odometry(0), ODOMETRY)
    taken.image(image(250), 0.0)
    assert reasons(taken.pose(odometry(500), ODOMETRY)) == [outcome]


def test_odometry_known_to_be_late_is_put_where_it_belongs():
    taken = intake(pose_delay=0.15)
    for ms in (0, 200):
        taken.pose(odometry(ms), ODOMETRY)
    (arrival,) = taken.image(image(0), 0.0)
    assert arrival.pose.T_odom_cam[0, 3] == pytest.approx(0.15)


def test_calibration_that_came_once_is_kept_and_a_bad_one_says_why():
    taken = intake(calibrated=False)
    assert reasons(taken.image(image(0), 0.0)) == [Drop.NO_CAMERA_INFO]
    (bad,) = taken.camera_info(info(k=[0.0] * 9, p=[0.0] * 12))
    assert 'calibrate' in bad.sentence
    assert reasons(taken.image(image(10), 0.0)) == [Drop.BAD_CAMERA_INFO]
    taken.camera_info(info())
    taken.another_odometry()
    taken.pose(odometry(0), ODOMETRY)
    taken.pose(odometry(100), ODOMETRY)
    assert reasons([*taken.image(image(20), 0.0), *taken.image(image(90), 0.0)]) == 2 * ['frame']


def test_odometry_of_another_body_or_of_no_attitude_is_refused():
    taken = intake(body_frame='base_link')
    (other,) = taken.pose(odometry(0, body='gimbal'), ODOMETRY)
    assert other.reason is Drop.OTHER_BODY and "'gimbal', not of 'base_link'" in other.sentence
    (zero,) = taken.pose(odometry(0, orientation=(0, 0, 0, 0)), ODOMETRY)
    (nan,) = taken.pose(odometry(0, x=float('nan')), ODOMETRY)
    assert reasons([zero, nan]) == 2 * [Drop.BAD_POSE] and 'zero quaternion' in zero.sentence


def test_tf_places_the_camera_by_a_chain_and_parameters_where_it_knows_nothing():
    down = mounting((0.1, 0, -0.05), (np.pi, 0, -np.pi / 2))
    step = motion.pose(np.eye(3), [0, 0, 0.2])
    chain = [StaticTransform('base_link', 'gimbal', step), StaticTransform('gimbal', 'optical', down)]
    for transforms, expected in ((chain, step @ down), ((), mounting((0, 0, 0), FORWARD_RPY))):
        taken = intake(transforms=transforms)
        taken.pose(odometry(0), ODOMETRY)
        (arrival,) = taken.image(image(0), 0.0)
        np.testing.assert_allclose(arrival.pose.T_body_cam, expected, atol=1e-12)
    taken = intake(transforms=chain[:1], camera_mounting='tf')
    taken.pose(odometry(0), ODOMETRY)
    taken.image(image(0), 0.0)
    assert reasons(taken.expire(1.0)) == [Drop.NO_MOUNTING]


def test_poses_of_the_camera_itself_need_no_mounting():
    taken = intake(body_frame='optical')
    posed = odometry(0).pose.pose
    taken.pose(Message(header=header(0, 'map'), pose=posed), 'geometry_msgs/msg/PoseStamped')
    (arrival,) = taken.image(image(0), 0.0)
    np.testing.assert_array_equal(arrival.pose.T_body_cam, np.eye(4))


@pytest.mark.parametrize('speed, outcome', [(2.0, Drop.SCALE_CONTRADICTED), (1.0, 'frame'), (0.0, 'frame')])
def test_positions_that_move_half_as_far_as_their_own_velocity_says_give_nothing(speed, outcome):
    taken = intake()
    for ms in range(0, 3000, 20):
        taken.pose(odometry(ms, speed), ODOMETRY)
    assert reasons(taken.image(image(2950), 0.0)) == [outcome]


@pytest.mark.parametrize(
    'rectify, topic, straightened',
    [
        ('auto', '/camera/image_raw', True),
        ('auto', '/camera/image_rect', False),
        ('always', '/camera/image_rect', True),
        ('never', '/camera/image_raw', False),
    ],
)
def test_distorted_images_are_straightened_unless_they_are_already(rectify, topic, straightened):
    taken = intake(topic, rectify=rectify)
    taken.camera_info(info(d=[-0.3, 0.1, 0, 0, 0]))
    taken.pose(odometry(0), ODOMETRY)
    (arrival,) = taken.image(image(0), 0.0)
    assert np.array_equal(arrival.frame().image, PIXELS) != straightened


def frames_of(taken, *messages):
    """Return what becomes of images that are all taken at 0 ms."""
    taken.pose(odometry(0), ODOMETRY)
    return [taken.image(message, 0.0)[0].frame() for message in messages]


@pytest.mark.parametrize('orientation', [3, 6, 8])
def test_pixels_stay_as_they_are_stored_whatever_exif_tells_viewers(orientation):
    jpeg = cv2.imencode('.jpg', PIXELS[..., ::-1])[1].tobytes()
    tag = b'\x12\x01\x03\0' + (1).to_bytes(4, 'little') + orientation.to_bytes(4, 'little')
    exif = b'Exif\0\0' + b'II*\0' + (8).to_bytes(4, 'little') + b'\x01\0' + tag + bytes(4)
    noted = jpeg[:2] + b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif + jpeg[2:]
    stored, turned = (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in (jpeg, noted))
    assert not np.array_equal(turned, stored)
    (frame,) = frames_of(intake(), Message(header=header(0), format='jpeg', data=noted))
    np.testing.assert_array_equal(frame.image, stored[..., ::-1])


@pytest.mark.parametrize('bits', [10, 12, 16])
def test_a_sensor_of_few_bits_in_16_is_as_bright_as_one_of_8(bits):
    grey = np.arange(192, dtype=np.uint16).reshape(12, 16)
    white = 2**bits - 1

    def mono16(levels):
        data = np.round(levels / 255 * white).astype('<u2').tobytes()
        return Message(header=header(0), height=12, width=16, encoding='mono16', is_bigendian=0, step=32, data=data)

    bright, dark = frames_of(intake(), mono16(grey + 60), mono16(grey // 8))
    assert not bright.blank
    np.testing.assert_allclose(bright.image[..., 0], grey + 60, atol=1)
    np.testing.assert_allclose(dark.image[..., 0], grey // 8, atol=1)  # the same white as before


@pytest.mark.parametrize(
    'k, odd',
    [([10.0, 0, 7.5, 0, 10, 5.5, 0, 0, 1], True), ([20.0, 0, 15.5, 0, 20, 11.5, 0, 0, 1], False)],
    ids=['of the binned image', 'of the sensor'],
)
def test_binning_is_applied_to_the_calibration_unless_it_has_been(k, odd):
    taken = intake(calibrated=False)
    p = np.c_[np.reshape(k, (3, 3)), np.zeros(3)].ravel()
    taken.camera_info(info(width=32, height=24, binning_x=2, binning_y=2, k=k, p=p))
    (frame,) = frames_of(taken, image(0))
    assert frame.camera == Camera(16, 12, 10.0, 10.0, 7.5, 5.5)
    assert ('of the binned image already' in taken.calibration.oddity) == odd


@pytest.mark.parametrize('seed', range(20))
def test_every_image_comes_out_once_in_any_order(seed):
    rng = np.random.default_rng(seed)
    taken, outcomes, now = intake(pose_timeout=0.2), [], 0.0
    for _ in range(300):
        now += rng.exponential(0.02)
        ms = round(1000 * now + rng.normal(0, 80)) if rng.random() > 0.01 else round(1000 * rng.uniform(0, now))
        ms = max(ms, 0)
        outcomes += taken.expire(now)
        if rng.random() < 0.4:
            outcomes += [('sent', ms), *taken.image(image(ms), now)]
        else:
            outcomes += taken.pose(odometry(ms), ODOMETRY)
    outcomes += taken.expire(float('inf'))
    sent = sum(isinstance(outcome, tuple) for outcome in outcomes)
    arrived = sum(isinstance(outcome, Arrival) for outcome in outcomes)
    refused = sum(isinstance(outcome, Refusal) and not isinstance(outcome, MessageRefusal) for outcome in outcomes)
    assert arrived and arrived + refused == sent
