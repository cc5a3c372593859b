"""Whom images and odometry come from: nothing is lost without being counted, and two at once are not mixed."""

import pytest
from bench import value
from drone import DEPTH, PERIOD_NS, STEP, image, odometry
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image
from test_depth_node import pixels

from ros_depthnet.ros.publishers import Publishers

try:
    from rclpy.subscription import MessageInfo
except ImportError:  # Humble
    MessageInfo = None
names_publishers = pytest.mark.skipif(
    'publisher_gid' not in getattr(MessageInfo, '__annotations__', {}), reason='this rclpy does not tell who publishes'
)


def test_numbers_that_are_left_out_are_messages_that_never_came():
    publishers = Publishers()
    assert [publishers.hear('a', number, 0.1 * number).lost for number in (7, 8, 11, 12, 12, 10, 13)] == [
        0, 0, 2, 0, 0, 0, 0,
    ]  # fmt: skip


def test_a_publisher_that_begins_anew_has_lost_nothing():
    publishers = Publishers()
    publishers.hear('a', 90, 0.0)
    assert publishers.hear('b', 5, 2.0).lost == 0


def test_two_that_alternate_are_rivals_until_one_has_been_silent_for_a_second():
    publishers = Publishers()
    assert not publishers.hear('a', 1, 0.0).rivalled
    assert publishers.hear('b', 1, 0.1).rivalled and publishers.hear('a', 2, 0.2).rivalled
    assert publishers.hear('a', 3, 1.0).rivalled
    back = publishers.hear('a', 4, 1.2)
    assert not back.rivalled and not back.handed_over


def test_who_goes_on_after_another_fell_silent_has_taken_over_once():
    publishers = Publishers()
    publishers.hear('a', 1, 0.0)
    assert [publishers.hear('b', number, number).handed_over for number in (2, 3)] == [True, False]


def test_where_publishers_are_not_told_nothing_is_held_against_any():
    publishers = Publishers()
    heard = [publishers.hear(None, number, 0.01) for number in (None, 3, 900)]
    assert not any(each.lost or each.rivalled or each.handed_over for each in heard)


def counted(status):
    """Return how many images diagnostics account for."""
    dropped = sum(int(pair.value) for pair in status.values if pair.key.startswith('dropped/'))
    return int(value(status, 'published')) + dropped


@names_publishers
def test_every_image_of_a_burst_is_accounted_for(drone):
    drone.start()
    drone.await_depth()
    for _ in range(5):
        drone.images.publish(image(drone.time_ns + 1))
    drone.await_depth()
    status = drone.bench.status('depth_node', lambda status: counted(status) == drone.flown + 5)
    assert int(value(status, 'dropped/lost')) >= 4  # the queue holds the newest alone


@names_publishers
@pytest.mark.parametrize(
    ('kind', 'topic', 'reason', 'another'),
    [
        (Image, 'image_raw', 'dropped/two_cameras', lambda drone: image(drone.time_ns)),
        (Odometry, 'odom', 'refused/two_odometries', lambda drone: odometry(drone.time_ns, STEP * drone.flown / 2)),
    ],
)
def test_two_cameras_or_odometries_on_one_topic_give_no_depth_and_a_sentence(drone, kind, topic, reason, another):
    drone.start(pose_timeout=0.2)
    drone.await_depth()
    rival = drone.bench.publisher(kind, topic)
    drone.bench.until(lambda: rival.get_subscription_count())
    drone.bench.spin(0.2)
    before = len(drone.depths)
    for _ in range(4):
        rival.publish(another(drone))
        drone.bench.spin(0.02)
        drone.frame()
        drone.bench.spin(0.1)
    status = drone.bench.status('depth_node', lambda status: value(status, reason))
    assert '/peer' in status.message and 'remap all but one' in status.message
    assert len(drone.depths) == before


@names_publishers
def test_depth_goes_on_when_another_camera_has_taken_over(drone):
    drone.start()
    drone.await_depth()
    drone.bench.peer.destroy_publisher(drone.images)
    drone.bench.spin(1.1)
    drone.images = drone.bench.publisher(Image, 'image_raw')
    drone.await_node()
    drone.time_ns += 11 * PERIOD_NS
    assert pixels(drone.await_depth()) == pytest.approx(DEPTH, rel=0.01)
    status = drone.dropped('first_frame')
    assert value(status, 'dropped/first_frame') == '2'
