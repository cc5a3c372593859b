"""Where the camera sits, how the drone leans, and which way is up."""

import cv2
import numpy as np
import pytest

from ros_depthnet.core.motion import inverse, pose, rotation_angle
from ros_depthnet.core.mounting import FORWARD_RPY, levelled, mounting
from ros_depthnet.flight.upright import upright


def turn(*vector):
    return cv2.Rodrigues(np.array(vector, float))[0]


def test_the_default_mounting_looks_ahead():
    T_body_cam = mounting([0, 0, 0], FORWARD_RPY)
    # z of the camera is ahead (x), its x is right (-y), its y is down (-z).
    np.testing.assert_allclose(T_body_cam[:3, :3].T, [[0, -1, 0], [0, 0, -1], [1, 0, 0]], atol=1e-12)


def test_roll_pitch_and_yaw_follow_each_other_about_the_bodys_axes():
    T = mounting([1, 2, 3], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(T[:3, :3], turn(0, 0, 0.3) @ turn(0, 0.2, 0) @ turn(0.1, 0, 0), atol=1e-12)
    np.testing.assert_array_equal(T[:3, 3], [1, 2, 3])


@pytest.mark.parametrize('yaw', [0, 1, -3])
def test_levelling_takes_the_lean_and_leaves_place_and_heading(yaw):
    leaning = pose(turn(0, 0, yaw) @ turn(0, 0.4, 0) @ turn(0.2, 0, 0), [1, 2, 3])
    np.testing.assert_allclose(levelled(leaning), pose(turn(0, 0, yaw), [1, 2, 3]), atol=1e-12)


AHEAD = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float)  # of a camera in a world with z up


@pytest.mark.parametrize(
    'R_world_up',
    [
        np.eye(3),
        turn(np.pi / 2, 0, 0),
        turn(-np.pi / 2, 0, 0),
        turn(np.pi, 0, 0),
        turn(0, np.pi / 2, 0),
        turn(0, -np.pi / 2, 0),
    ],
    ids=['z', '-y', 'y', '-z', 'x', '-x'],
)
def test_a_world_with_another_axis_up_is_turned_upright(R_world_up):
    rng = np.random.default_rng(0)
    turns = [turn(0, 0, rng.uniform(-3, 3)) @ turn(0, rng.uniform(-0.5, 0.5), 0) for _ in range(9)]
    T_up_cams = [pose(R @ AHEAD, rng.normal(size=3)) for R in turns]
    T_world_cams = np.array([pose(R_world_up, [0, 0, 0]) @ T_up_cam for T_up_cam in T_up_cams])
    T_up_world = upright(T_world_cams)
    # Level again: heights are those of the level world, though the heading may be another.
    for T_world_cam, T_up_cam in zip(T_world_cams, T_up_cams):
        np.testing.assert_allclose((T_up_world @ T_world_cam)[2], T_up_cam[2], atol=1e-12)
    assert np.linalg.det(T_up_world) == pytest.approx(1)


def test_a_level_world_stays_as_it_is():
    assert rotation_angle(inverse(upright(np.array([pose(AHEAD, [1, 2, 3])])))) == 0
