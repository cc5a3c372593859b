"""
obstacle_node to an autopilot, over DDS, judged by what the autopilots' own code would make of it.

Neither mavros_msgs nor px4_msgs is to be had as a wheel. What is in their messages is tested against their
definitions; over DDS their place is taken by messages that every ROS has.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from autopilots import Px4, ardupilot, from_px4_msgs, mavros
from builtin_interfaces.msg import Time
from depth_source import HEIGHT, WIDTH, DepthSource
from geometry_msgs.msg import PointStamped, Quaternion
from rclpy.parameter import Parameter
from rclpy.time import Time as Moment
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import LaserScan
from std_msgs.msg import Header, UInt16MultiArray
from test_obstacle_node import poles, publish_until

from ros_depthnet.core.autopilot import MavState, ObstacleDistance
from ros_depthnet.ros import autopilot
from ros_depthnet.ros.conversions.autopilot import to_companion_status, to_px4
from ros_depthnet.ros.obstacle_node import ObstacleNode

# The fields of px4_msgs a4a9864 and of mavros 2.12.0.
PX4_MESSAGE = """
uint64 timestamp
uint8 frame
uint8 MAV_FRAME_GLOBAL = 0
uint8 MAV_FRAME_LOCAL_NED = 1
uint8 MAV_FRAME_BODY_FRD = 12
uint8 sensor_type
uint8 MAV_DISTANCE_SENSOR_LASER = 0
uint16[72] distances
float32 increment
uint16 min_distance
uint16 max_distance
float32 angle_offset
"""
STATUS_MESSAGE = """
std_msgs/Header header
uint8 state
uint8 component
uint8 MAV_STATE_BOOT = 1
uint8 MAV_STATE_ACTIVE = 4
uint8 MAV_STATE_CRITICAL = 5
uint8 MAV_COMP_ID_OBSTACLE_AVOIDANCE = 196
"""


def defined(text, name):
    """Return a type store that knows a definition, and its class."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(text, name))
    return store, store.types[name]


def keywords(values):
    """Return a class that keeps what it is made of: rosbags' own want headers of theirs."""
    return lambda **given: values.update(given) or given


def stands_in(message_type):
    """Let a subclass pass for the message itself, which rclpy's C code tells by these names."""

    def renamed(cls):
        cls.__module__, cls.__name__ = message_type.__module__, message_type.__name__
        return cls

    return renamed


@stands_in(PointStamped)
class StatusStandIn(PointStamped):
    """Carries state and component as x and y."""

    def __init__(self, header, state, component):
        super().__init__(header=header)
        self.point.x, self.point.y = float(state), float(component)


@stands_in(UInt16MultiArray)
class Px4StandIn(UInt16MultiArray):
    """Carries the distances."""

    def __init__(self, distances, **_):
        super().__init__(data=distances.tolist())


@pytest.fixture
def source(bench):
    return DepthSource(bench)


def lopsided():
    """Return a free world with a pole on the left, too close in the middle, unknown on the right."""
    depth_hw = poles({5: 5.0})
    depth_hw[:, 29:35] = -np.inf
    depth_hw[:, 50:] = np.nan
    return depth_hw


def test_through_mavros_left_is_left_free_is_free_too_close_stops_and_unknown_is_unknown(bench, source):
    scans = bench.collect(LaserScan, 'mavros/obstacle/send', 10)
    bench.start(ObstacleNode, autopilot='mavros', scan_range=30.0)
    source.await_listener()
    scan = publish_until(bench, source, scans, depth_hw=lopsided())
    assert scan.header.frame_id == 'base_stabilized_frd'
    message = mavros(scan)
    assert (message.increment, message.increment_f, message.angle_offset) == (5, 5.0, 0.0)
    assert (message.min_distance, message.max_distance) == (0, 3000)
    px4 = Px4(message)
    column_deg = np.degrees(np.arctan((7 - (WIDTH - 1) / 2) / 60))  # the middle of the pole, -22 degrees
    pole_cm = 500 / np.cos(np.radians(column_deg))
    assert px4.distances[round(column_deg / 5) % 72] == pytest.approx(pole_cm, rel=0.03)
    assert px4.brakes(0) and px4.scale(0) < 0
    assert px4.lets_fly(-12) and px4.scale(-10) == 1.0 and px4.scale(10) == 1.0
    assert not px4.lets_fly(22) and not px4.lets_fly(180)
    found = ardupilot(message)
    assert set(found) == {0.0, 335.0, 340.0}
    assert found[0.0] < 0.1 and found[340.0] == pytest.approx(pole_cm / 100, rel=0.03)


def test_directions_for_the_autopilot_are_level_too(bench, source):
    scans = bench.collect(LaserScan, 'mavros/obstacle/send', 10)
    bench.start(ObstacleNode, autopilot='mavros')
    source.await_listener()
    lean, height = np.radians(20), 3.0  # nose down over flat ground
    rows = (np.arange(HEIGHT) - (HEIGHT - 1) / 2) / 60
    below = np.sin(lean) + rows * np.cos(lean)
    depth_hw = np.where(below > 0.01, height / np.maximum(below, 0.01), np.inf)[:, None] * np.ones((1, WIDTH))
    nose_down = Quaternion(y=np.sin(lean / 2), w=np.cos(lean / 2))
    message = mavros(publish_until(bench, source, scans, depth_hw=depth_hw.astype(np.float32), turn=nose_down))
    assert Px4(message).scale(0) == 1.0 and ardupilot(message) == {}


def test_who_asks_for_no_autopilot_gets_none(bench, source):
    node = bench.start(ObstacleNode)
    bench.until_known(node)
    given = dict(node.get_publisher_names_and_types_by_node('obstacle_node', '/'))
    assert not [topic for topic in given if topic.startswith(('/mavros', '/fmu'))]


def test_px4_without_its_messages_is_refused_with_a_sentence(monkeypatch):
    monkeypatch.setattr(autopilot, 'Px4ObstacleDistance', None)
    with pytest.raises(ValueError, match=r'px4_msgs is not installed: build it .* autopilot to mavros'):
        ObstacleNode(parameter_overrides=[Parameter('autopilot', value='px4')])


def test_mavros_without_its_messages_still_gets_distances_and_the_log_says_what_it_does_not_get(bench, monkeypatch):
    monkeypatch.setattr(autopilot, 'CompanionProcessStatus', None)
    node = bench.start(ObstacleNode, autopilot='mavros')
    bench.until_known(node)
    given = dict(node.get_publisher_names_and_types_by_node('obstacle_node', '/'))
    assert '/mavros/obstacle/send' in given and '/mavros/companion_process/status' not in given


def test_px4_gets_the_same_over_its_own_topic(bench, source, monkeypatch):
    monkeypatch.setattr(autopilot, 'Px4ObstacleDistance', Px4StandIn)
    sent = bench.collect(UInt16MultiArray, 'fmu/in/obstacle_distance', 10)
    bench.start(ObstacleNode, autopilot='px4', scan_range=30.0)
    source.await_listener()
    distances = np.array(publish_until(bench, source, sent, depth_hw=lopsided()).data)
    assert len(distances) == 72
    assert distances[0] == 1 and distances[1:].min() == pytest.approx(538, abs=20)
    assert np.argmin(distances[1:]) + 1 in (67, 68)  # to the left


@pytest.mark.parametrize('age_s, ignored', [(0.2, False), (0.7, True), (-0.3, True)])
def test_of_distances_that_px4_will_ignore_for_their_age_it_is_said(bench, source, monkeypatch, age_s, ignored):
    monkeypatch.setattr(autopilot, 'Px4ObstacleDistance', Px4StandIn)
    sent = bench.collect(UInt16MultiArray, 'fmu/in/obstacle_distance', 10)
    node = bench.start(ObstacleNode, autopilot='px4')
    now = node.get_clock().now().nanoseconds
    monkeypatch.setattr(node, 'get_clock', lambda: SimpleNamespace(now=lambda: Moment(nanoseconds=now)))
    source.await_listener()
    for _ in range(50):
        source.time_ns = now - round(age_s * 1e9) - 100_000_000
        source.publish(depth_hw=lopsided())
        bench.spin(0.1)
        if sent:
            break
    status = node.health.status('', '', {}, [])
    assert sent and ('PX4 ignores the distances' in status.message) == ignored
    assert not ignored or f'{age_s:.2f} s old' in status.message


def test_the_heartbeat_is_active_while_distances_are_told_and_critical_once_they_stop(bench, source, monkeypatch):
    monkeypatch.setattr(autopilot, 'CompanionProcessStatus', StatusStandIn)
    scans = bench.collect(LaserScan, 'mavros/obstacle/send', 10)
    beats = bench.collect(PointStamped, 'mavros/companion_process/status', 10)
    node = bench.start(ObstacleNode, autopilot='mavros')
    bench.until(lambda: beats)
    assert beats[-1].point.x == MavState.BOOT and beats[-1].point.y == 196
    source.await_listener()

    def fly_until(state, **frame):
        beats.clear()
        for _ in range(100):
            source.publish(**frame)
            bench.spin(0.1)
            if beats and beats[-1].point.x == state:
                return
        raise AssertionError(f'never in state {state}')

    fly_until(MavState.ACTIVE)
    # Depth goes on, but nothing is known any more: the messages come, and the companion is blind.
    blind = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    fly_until(MavState.CRITICAL, depth_hw=blind)
    scans.clear()
    publish_until(bench, source, scans, depth_hw=blind)
    fly_until(MavState.ACTIVE)
    beats.clear()
    bench.until(lambda: beats and beats[-1].point.x == MavState.CRITICAL)  # depth has stopped, the timer not
    bench.spin(0.2)
    assert beats[-1].point.x == MavState.CRITICAL
    node.trigger_deactivate()
    bench.spin(0.2)
    beats.clear()
    bench.spin(1.2)
    assert not beats


def test_px4s_message_is_as_its_definition_wants():
    store, message_type = defined(PX4_MESSAGE, 'px4_msgs/msg/ObstacleDistance')
    distances = np.full(72, 65535, np.uint16)
    distances[[0, 3]] = 1, 457
    sent = to_px4(ObstacleDistance(distances, 3000), Time(sec=1700000000, nanosec=123456789), message_type)
    again = store.deserialize_cdr(store.serialize_cdr(sent, sent.__msgtype__), sent.__msgtype__)
    assert again.timestamp == 1700000000123456
    assert again.frame == message_type.MAV_FRAME_BODY_FRD
    assert again.sensor_type == message_type.MAV_DISTANCE_SENSOR_LASER
    np.testing.assert_array_equal(again.distances, distances)
    assert (again.min_distance, again.max_distance) == (0, 3000)
    assert ardupilot(from_px4_msgs(again)) == {0.0: 0.01, 15.0: 4.57}
    assert Px4(from_px4_msgs(again)).distances[3] == 457


def test_the_companions_status_is_as_its_definition_wants():
    _, message_type = defined(STATUS_MESSAGE, 'mavros_msgs/msg/CompanionProcessStatus')
    values = {}
    to_companion_status(MavState.CRITICAL, Time(sec=3), keywords(values))
    assert set(values) == {'header', 'state', 'component'} <= set(message_type.__dataclass_fields__)
    assert values['header'] == Header(stamp=Time(sec=3))
    assert values['component'] == message_type.MAV_COMP_ID_OBSTACLE_AVOIDANCE
    for name in ('BOOT', 'ACTIVE', 'CRITICAL'):
        assert MavState[name] == getattr(message_type, f'MAV_STATE_{name}')
