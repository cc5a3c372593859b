"""What an autopilot is told, judged by what the autopilots' own code would make of it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from autopilots import BODY_FRD, Px4, ardupilot, mavros

from ros_depthnet.core import motion
from ros_depthnet.core.autopilot import (
    INCREMENT_DEG,
    SECTORS,
    UNKNOWN_CM,
    ObstacleDistance,
    companion_state,
    for_mavros,
    obstacle_distance_cm,
)
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.obstacles import ObstacleOptions

T_LEVEL_CAM = motion.pose([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (0, 0, 0))  # a camera that looks ahead
CAMERA = Camera(256, 192, 128.0, 128.0, 127.5, 95.5)  # 90 degrees wide
MAX = 40.0


def empty(value=np.inf):
    return np.full((192, 256), value, np.float32)


def with_post(right_deg, depth):
    """Return a world that is free but for a post of 9 columns; the camera looks ahead."""
    depth_hw, column = empty(), round(127.5 + 128 * np.tan(np.radians(right_deg)))
    depth_hw[:, column - 4 : column + 5] = depth
    return depth_hw


def told(depth_hw, T_level_cam=T_LEVEL_CAM, max_distance=MAX, **options):
    return obstacle_distance_cm(depth_hw, CAMERA, T_level_cam, ObstacleOptions(**options), max_distance)


def over_mavros(distance):
    """Return the MAVLink message of it; the scan is made by hand, as the node's is tested over DDS."""
    ranges, range_max = for_mavros(distance)
    increment = np.float32(np.radians(INCREMENT_DEG))
    return mavros(
        SimpleNamespace(
            ranges=ranges, angle_increment=increment, angle_min=0.0, range_min=0.0, range_max=np.float32(range_max)
        )
    )


def directly(distance):
    return SimpleNamespace(
        distances=distance.distances_cm,
        increment_f=np.float32(INCREMENT_DEG),
        min_distance=0,
        max_distance=distance.max_cm,
        angle_offset=np.float32(0),
        frame=BODY_FRD,
    )


ways = pytest.mark.parametrize('way', [over_mavros, directly])


@ways
@pytest.mark.parametrize('right_deg', [-40, -20, -5, 0, 10, 35])
def test_a_post_is_where_it_stands_for_both_autopilots(way, right_deg):
    message = way(told(with_post(right_deg, 5)))
    distance = 5 / np.cos(np.radians(right_deg))
    px4 = Px4(message)
    nearest = int(np.argmin(px4.distances))
    assert nearest == right_deg // 5 % 72
    assert px4.distances[nearest] == pytest.approx(distance * 100, rel=0.04)
    found = ardupilot(message)
    assert min(found, key=found.get) == right_deg % 360
    assert all(min(abs(angle - right_deg % 360), 360 - abs(angle - right_deg % 360)) <= 5 for angle in found)


@ways
def test_free_is_free_and_what_is_out_of_view_is_unknown(way):
    px4 = Px4(way(told(empty())))
    allowed = [angle for angle in range(-180, 180, 5) if px4.lets_fly(angle)]
    assert allowed == list(range(-40, 45, 5))  # at 45 degrees half of the sector is out of view
    assert px4.scale(0) == 1.0
    assert ardupilot(way(told(empty()))) == {}


@ways
def test_unknown_is_neither_free_nor_an_obstacle(way):
    depth_hw = empty()
    depth_hw[:, 100:156] = np.nan  # 12 degrees to either side
    message = way(told(depth_hw))
    px4 = Px4(message)
    assert not px4.lets_fly(0) and not px4.lets_fly(-8) and px4.lets_fly(25) and px4.lets_fly(-25)
    assert ardupilot(message) == {}
    nothing = told(empty(np.nan))
    assert (nothing.distances_cm == UNKNOWN_CM).all() and not nothing.knows_something
    assert told(empty()).knows_something


@ways
@pytest.mark.parametrize('go_no_data', [False, True])
def test_too_close_to_measure_stops_both(way, go_no_data):
    depth_hw = empty()
    depth_hw[:, 110:146] = -np.inf
    message = way(told(depth_hw))
    px4 = Px4(message, go_no_data)
    assert px4.brakes(0)
    assert px4.scale(0) < 0
    assert ardupilot(message)[0.0] < 0.1


@ways
def test_nearer_than_a_centimetre_is_no_gap_either(way):
    message = way(told(empty(0.004)))
    assert Px4(message).brakes(0)
    assert 0.0 in ardupilot(message)


@ways
def test_farther_than_the_range_is_free(way):
    depth_hw = with_post(20, 30)
    px4 = Px4(way(told(depth_hw, max_distance=29)))
    assert px4.lets_fly(20) and px4.distances[4] == 2901
    assert ardupilot(way(told(depth_hw, max_distance=29))) == {}
    assert 20.0 in ardupilot(way(told(depth_hw, max_distance=33)))
    # A wall beyond the range fills the sectors at the edge of the view too, which are only half in view.
    wall = Px4(way(told(empty(100))))
    assert not wall.lets_fly(45) and not wall.lets_fly(-45) and wall.lets_fly(40)


@ways
def test_an_obstacle_in_a_sector_that_is_half_in_view_is_told(way):
    depth_hw = empty()
    depth_hw[:, -5:] = 3
    assert min(Px4(way(told(depth_hw))).distances[8:10]) < 450


@pytest.mark.parametrize('max_cm', [1, 29, 1530, 10000, 65533])
def test_mavros_gets_every_centimetre_back(max_cm):
    distances = np.unique(np.linspace(1, max_cm + 1, 5000).astype(np.uint16))
    for part in np.array_split(distances, max(1, len(distances) // SECTORS)):
        cm = np.full(SECTORS, UNKNOWN_CM, np.uint16)
        cm[: len(part[:SECTORS])] = part[:SECTORS]
        message = over_mavros(ObstacleDistance(cm, max_cm))
        np.testing.assert_array_equal(message.distances, cm)
        assert (message.max_distance, message.increment_f, message.angle_offset) == (max_cm, 5.0, 0.0)


def test_a_range_that_centimetres_cannot_hold_is_cut():
    far = told(empty(), max_distance=100000.0)
    assert far.max_cm == 65533
    assert far.distances_cm[0] == 65534


def test_a_camera_that_looks_to_the_right_sees_the_right():
    turn = np.radians(-90)
    T = motion.pose([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]], (0, 0, 0))
    px4 = Px4(directly(told(with_post(0, 5), T @ T_LEVEL_CAM)))
    assert int(np.argmin(px4.distances)) == 90 // 5
    assert px4.lets_fly(110) and not px4.lets_fly(0) and not px4.lets_fly(-90)


def test_what_counts_as_an_obstacle_is_as_the_options_say():
    depth_hw = with_post(0, 5)
    depth_hw[100:] = np.inf  # from eye level upwards, so nothing of it is lower
    assert 500 <= told(depth_hw, min_height=-1, max_height=1).distances_cm[0] <= 501
    assert told(depth_hw, min_height=-3, max_height=-1).distances_cm[0] == 4001
    speck = empty()
    speck[96, 124:131] = 3
    assert told(speck, nearest_rank=8).distances_cm[0] == 4001
    assert told(speck, nearest_rank=7).distances_cm[0] < 310


def test_the_own_sectors_of_the_scan_do_not_matter():
    options = ObstacleOptions()
    other = replace(options, sectors=7, sector_angle=0.3)
    results = [obstacle_distance_cm(with_post(15, 4), CAMERA, T_LEVEL_CAM, o, MAX) for o in (options, other)]
    np.testing.assert_array_equal(results[0].distances_cm, results[1].distances_cm)


@pytest.mark.parametrize('age_s, state', [(None, 1), (0.0, 4), (0.5, 4), (0.51, 5), (60.0, 5)])
def test_the_companion_is_active_only_while_its_distances_still_count(age_s, state):
    # MAV_STATE: 1 boot, 4 active, 5 critical; PX4 and ArduPilot forget distances after half a second.
    assert companion_state(age_s) == state
