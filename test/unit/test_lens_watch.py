"""What a flight's stretches tell together of its lens, in a world of points whose matches are exact."""

import dataclasses

import cv2
import numpy as np
import pytest
from test_diagnosis import CAMERA, bent, evidence
from wall import R_WORLD_CAM, camera, texture, wall_image

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.mounting import mounting
from ros_depthnet.core.reasons import Drop
from ros_depthnet.flight.lens_watch import LensWatch
from ros_depthnet.flight.watch import Watch


def look(lens, flight, camera=CAMERA):
    """Return from which pair on something is found, None if nothing is."""
    found = []
    for pair in flight.pairs:
        lens.look(pair, camera, flight.poses)
        found.append(lens.finding is not None)
    return found.index(True) if any(found) else None


def noisy(seed):
    rng = np.random.default_rng(seed)

    def degraded(T):
        turn = cv2.Rodrigues(rng.normal(0, np.radians(0.1) / np.sqrt(6), 3))[0]
        return motion.pose(T[:3, :3] @ turn, T[:3, 3] + rng.normal(0, 0.03 * 0.4 / np.sqrt(6), 3))

    return degraded


@pytest.mark.parametrize(
    'k1, words, parameters',
    [(-0.25, 'too little: calibrate it', {}), (0.25, 'rectified already: set rectify to never', {'rectify': 'never'})],
)
def test_a_lens_that_is_not_as_told_shows_after_some_stretches_of_flight(k1, words, parameters):
    lens = LensWatch()
    assert 12 <= look(lens, bent(evidence(), k1)) < 20
    assert words in lens.finding.sentence
    assert lens.finding.parameters == parameters


@pytest.mark.parametrize(
    'slight',
    [
        {},
        {'believed': noisy(0)},
        {'believed': noisy(1)},
        {'camera': Camera(320, 240, 210.0, 210.0, 159.5, 119.5)},
        {'camera': Camera(320, 240, 190.0, 190.0, 159.5, 119.5)},
        {'shift': 0.01},
        {'T_body_cam': mounting((0.1, 0, 0), (-np.pi / 2 - np.radians(2), 0, -np.pi / 2))},
    ],
    ids=['right', 'noisy', 'noisy', 'longer', 'shorter', 'late', 'pitched'],
)
def test_what_is_right_or_a_little_off_in_another_way_is_no_lens(slight):
    assert look(LensWatch(), evidence(**slight)) is None


def test_a_bend_that_does_no_harm_is_none():
    assert look(LensWatch(), bent(evidence(), -0.05)) is None


def test_what_two_stretches_show_and_the_third_denies_is_chance():
    right, other = evidence(), bent(evidence(), -0.25)
    pairs = [(right if k % 3 == 0 else other).pairs[k] for k in range(len(right.pairs))]
    assert look(LensWatch(), dataclasses.replace(right, pairs=tuple(pairs))) is None


def test_another_calibration_is_believed_anew_and_so_is_a_lens_that_is_right_again():
    lens, right = LensWatch(), evidence()
    look(lens, bent(right, -0.25))
    lens.look(right.pairs[0], Camera(320, 240, 200.0, 200.0, 159.0, 119.5), right.poses)
    assert lens.finding is None
    look(lens, bent(right, -0.25))
    assert lens.finding
    for _ in range(3):
        look(lens, right)
    assert lens.finding is None


@pytest.mark.parametrize('twice', [False, True])
def test_in_flight_there_is_no_depth_of_images_that_are_rectified_twice(twice):
    seen_by, surface, watch = camera(192, 128), texture(), Watch()
    D = np.array([-0.3 if twice else 0, 0, 0, 0])
    doubts = []
    for k, x in enumerate(0.125 * np.array([*range(16), *range(14, 0, -1)] * 3)):
        image = cv2.undistort(wall_image(seen_by, x, surface), seen_by.K, D)
        doubts.append(watch.look(Frame(125_000_000 * k, image, seen_by, motion.pose(R_WORLD_CAM, [x, 0, 0]))))
    if not twice:
        assert doubts == [None] * 90
        return
    assert doubts[:20] == [None] * 20
    assert doubts[-20:] == [Drop.CONTRADICTED] * 20
    assert 'set rectify to never' in watch.finding.sentence
