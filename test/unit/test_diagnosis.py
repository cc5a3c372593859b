"""What the images say of odometry, mounting and calibration, in a world of points whose matches are exact."""

import dataclasses
import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.mounting import FORWARD_RPY, mounting
from ros_depthnet.core.tracks import Matches
from ros_depthnet.flight.diagnosis import Evidence, Pair, diagnose, lurking
from ros_depthnet.flight.doctor import of_the_mounting
from ros_depthnet.flight.intake import IntakeOptions
from ros_depthnet.flight.watch import SUSPICIOUS

CAMERA = Camera(320, 240, 200.0, 200.0, 159.5, 119.5)
T_BODY_CAM = mounting((0.1, 0, 0), FORWARD_RPY)
STEP_NS = 100_000_000


def body_at(seconds):
    """Return T_world_body of a drone that flies ahead, weaves, climbs, turns and leans."""
    yaw, pitch, roll = 0.3 * np.sin(1.1 * seconds), 0.1 * np.sin(1.7 * seconds), 0.12 * np.sin(1.3 * seconds + 1)
    turn = mounting((0, 0, 0), (roll, pitch, 0.6 + yaw))[:3, :3]
    along = np.array([2 * seconds, 0.6 * np.sin(seconds), 0.3 * np.sin(0.8 * seconds)])
    return motion.pose(turn, motion.pose(cv2.Rodrigues(np.array([0, 0, 0.6]))[0], np.zeros(3))[:3, :3] @ along)


def flight(T_body_cam=T_BODY_CAM, camera=CAMERA, count=24):
    """Return exact matches between images .2 s apart of a camera on that drone, and T_world_body by stamp."""
    rng = np.random.default_rng(0)
    pairs = []
    for i in range(count):
        earlier, later = (body_at((i + k) * STEP_NS / 1e9) @ T_body_cam for k in (0, 2))
        pixels = rng.uniform((10, 10), (310, 230), (60, 2))
        rays = np.column_stack([(pixels - (CAMERA.cx, CAMERA.cy)) / CAMERA.fx, np.ones(60)])
        points = rays * rng.uniform(3, 30, (60, 1))
        T_earlier_later = motion.inverse(earlier) @ later
        seen = CAMERA.project(points @ T_earlier_later[:3, :3].T + T_earlier_later[:3, 3])
        kept = np.isfinite(seen).all(1) & (seen > 0).all(1) & (seen < (320, 240)).all(1)
        pairs.append(
            Pair.of(
                Matches(i * STEP_NS, (i + 2) * STEP_NS, seen[kept], pixels[kept], camera, np.arange(kept.sum())),
                way=float(np.linalg.norm(T_earlier_later[:3, 3])),
            )
        )
    return tuple(pairs), {i * STEP_NS: body_at(i * STEP_NS / 1e9) for i in range(count + 2)}


def evidence(believed=lambda T_world_body: T_world_body, told=T_BODY_CAM, shift=0.0, **truth):
    """Return what there is to see of a flight, and what is believed of its poses and told of its mounting."""
    pairs, bodies = flight(**truth)
    poses = {stamp_ns: believed(body_at(stamp_ns / 1e9 - shift)) @ told for stamp_ns in bodies}
    return Evidence(pairs, poses, told)


def bent(straight, k1):
    """Return the evidence of a flight as another lens would have seen it."""

    def bent_rays(rays):
        x, y = rays[:, 0] / rays[:, 2], rays[:, 1] / rays[:, 2]
        grown = 1 + k1 * (x * x + y * y)
        return np.column_stack([x * grown, y * grown, np.ones_like(x)])

    pairs = tuple(
        dataclasses.replace(pair, rays_earlier=bent_rays(pair.rays_earlier), rays_later=bent_rays(pair.rays_later))
        for pair in straight.pairs
    )
    return dataclasses.replace(straight, pairs=pairs)


def middle(found):
    return np.median([np.median(pair.deviations(found.poses)) for pair in found.pairs])


def off(moved, told, way, points):
    """Return what the middle one of points (N, 3) is off after a displacement, when odometry tells another."""
    pixels = [CAMERA.project(points - place) for place in (np.zeros(3), moved)]
    pair = Pair.of(Matches(0, 1, *pixels, CAMERA, np.arange(len(points))), way)
    return np.median(pair.deviations({0: np.eye(4), 1: motion.pose(np.eye(3), told)}))


def test_an_error_that_came_with_a_long_way_is_allowed_where_it_ends_near_its_beginning():
    points = np.random.default_rng(0).uniform((-3, -2, 5), (3, 2, 9), (60, 3))
    moved, told = [0.1, 0, 0], [0.1, 0.05, 0]
    assert off(moved, told, 1.5, points) < 1 < off(moved, told, 0.11, points)


def test_an_error_aside_is_allowed_of_points_ahead_though_they_hardly_move_by_the_displacement():
    ahead = np.array([[x, y, 4.0] for x in (-0.3, 0.3) for y in (-1.5, -1, -0.5, 0.5, 1, 1.5)])
    moved = [0, 0, 0.5]
    assert off(moved, [0.05 * 0.5, 0, 0.5], 0.5, ahead) < 1
    assert off(moved, [0.2 * 0.5, 0, 0.5], 0.5, ahead) > 2


def test_a_right_flight_is_not_doubted():
    assert middle(evidence()) < 0.02
    assert lurking(evidence(), thorough=True) is None


def test_noise_of_a_tenth_of_a_degree_and_three_percent_is_allowed():
    rng = np.random.default_rng(1)

    def noisy(T):
        turn = cv2.Rodrigues(rng.normal(0, np.radians(0.1) / np.sqrt(6), 3))[0]
        return motion.pose(T[:3, :3] @ turn, T[:3, 3] + rng.normal(0, 0.03 * 0.4 / np.sqrt(6), 3))

    found = evidence(noisy)
    assert middle(found) < 0.6 * SUSPICIOUS
    assert lurking(found, thorough=True) is None


@pytest.mark.parametrize(
    'rpy, words',
    [
        ((-np.pi / 2 - np.radians(30), 0, -np.pi / 2), '30 degrees pitched down'),
        ((-np.pi / 2 + np.radians(20), 0, -np.pi / 2), '20 degrees pitched up'),
        ((-np.pi / 2, 0, -np.pi / 2 + np.radians(40)), '40 degrees turned left'),
        ((-np.pi / 2, 0, -np.pi / 2 - np.radians(90)), '90 degrees turned right'),
        ((-np.pi / 2, 0, np.pi / 2), '180 degrees turned'),
        ((np.pi, 0, -np.pi / 2), '90 degrees pitched down'),
    ],
)
def test_another_mounting_is_measured_and_said(rpy, words):
    true = mounting((0.1, 0, 0), rpy)
    found = diagnose(evidence(T_body_cam=true), 3.0)
    assert words in found.sentence
    measured = mounting(found.parameters['camera_xyz'], found.parameters['camera_rpy'])
    assert motion.rotation_angle(motion.inverse(measured) @ true) < np.radians(1)


def test_a_mounting_is_measured_though_a_quarter_of_what_is_followed_moves_by_itself():
    rng, true = np.random.default_rng(5), mounting((0.1, 0, 0), (-np.pi / 2 - np.radians(30), 0, -np.pi / 2))
    still = evidence(T_body_cam=true)
    pairs = []
    for pair in still.pairs:
        moved = rng.normal(0, 0.15, pair.rays_later.shape) * (1, 1, 0) * (rng.random((len(pair.rays_later), 1)) < 0.25)
        pairs.append(dataclasses.replace(pair, rays_later=pair.rays_later + moved))
    found = diagnose(dataclasses.replace(still, pairs=tuple(pairs)), 3.0)
    measured = mounting(found.parameters['camera_xyz'], found.parameters['camera_rpy'])
    assert motion.rotation_angle(motion.inverse(measured) @ true) < np.radians(0.5)


def test_five_degrees_lurk():
    found = evidence(T_body_cam=mounting((0.1, 0, 0), (-np.pi / 2 - np.radians(5), 0, -np.pi / 2)))
    assert '5 degrees pitched down' in lurking(found, thorough=True).sentence


@pytest.mark.parametrize('ratio', [1.1, 0.9])
def test_a_tenth_of_the_focal_length_lurks_for_who_looks_thoroughly(ratio):
    found = evidence(camera=Camera(320, 240, ratio * 200.0, ratio * 200.0, 159.5, 119.5))
    assert f'fx were {1 / ratio:.1f}' in lurking(found, thorough=True).sentence
    assert lurking(found, thorough=False) is None


@pytest.mark.parametrize(
    'k1, words, parameters',
    [
        (-0.25, 'of which camera_info tells too little: calibrate it', {}),
        (0.25, 'as where they are rectified already: set rectify to never', {'rectify': 'never'}),
    ],
)
def test_a_lens_that_is_not_as_told_lurks_for_who_looks_thoroughly(k1, words, parameters):
    found = bent(evidence(), k1)
    assert middle(found) < SUSPICIOUS
    finding = lurking(found, thorough=True)
    assert words in finding.sentence
    assert finding.parameters == parameters
    assert lurking(found) is None


def badly_followed(found, pixels=0.8):
    rng = np.random.default_rng(0)

    def astray(pair):
        return pair.rays_later + rng.normal(0, pixels / pair.focal, pair.rays_later.shape) * (1, 1, 0)

    pairs = tuple(dataclasses.replace(pair, rays_later=astray(pair)) for pair in found.pairs)
    return dataclasses.replace(found, pairs=pairs)


@pytest.mark.parametrize('stretches, told', [(24, True), (6, False)])
def test_what_a_lens_explains_little_of_adds_up_over_many_stretches(stretches, told):
    whole = badly_followed(bent(evidence(), 0.25))
    stamps_ns = sorted({pair.earlier_ns for pair in whole.pairs})[:stretches]
    some = dataclasses.replace(whole, pairs=tuple(pair for pair in whole.pairs if pair.earlier_ns in stamps_ns))
    assert bool(lurking(some, thorough=True)) == told
    assert lurking(badly_followed(evidence()), thorough=True) is None


@pytest.mark.parametrize('seconds', [0.04, -0.04])
def test_forty_milliseconds_lurk_for_everyone(seconds):
    found = lurking(evidence(shift=seconds), thorough=False)
    assert found.subtle and found.parameters['pose_delay'] == pytest.approx(seconds, abs=0.006)


@pytest.mark.parametrize(
    'slight',
    [
        {'shift': 0.01},
        {'camera': Camera(320, 240, 206.0, 206.0, 159.5, 119.5)},
        {'T_body_cam': mounting((0.1, 0, 0), (-np.pi / 2 - np.radians(2), 0, -np.pi / 2))},
    ],
)
def test_what_is_too_small_to_be_told_of_is_not(slight):
    assert lurking(evidence(**slight), thorough=True) is None


def test_a_body_in_the_axes_of_px4_is_named():
    ned = motion.pose([[0, 1, 0], [1, 0, 0], [0, 0, -1]], np.zeros(3))
    frd = motion.pose(np.diag([1, -1, -1]), np.zeros(3))
    assert 'NED/FRD' in diagnose(evidence(lambda T: ned @ T @ frd), 3.0).sentence


def test_odometry_of_the_camera_itself_is_named():
    assert 'of the camera itself' in diagnose(evidence(lambda T: T @ T_BODY_CAM), 3.0).sentence


@pytest.mark.parametrize('order', [(3, 0, 1, 2), (1, 2, 3, 0)])
def test_a_quaternion_in_another_order_is_named(order):
    def misread(T):
        return motion.from_quaternion(T[:3, 3], motion.quaternion(T)[list(order)])

    assert 'quaternions' in diagnose(evidence(misread), 3.0).sentence


def test_inverted_poses_are_named():
    assert 'poses seem to be inverted' in diagnose(evidence(motion.inverse), 3.0).sentence


@pytest.mark.parametrize('seconds, words', [(0.15, '150 ms late'), (-0.08, '80 ms early')])
def test_a_time_offset_is_measured(seconds, words):
    # A pose stamped late is of an earlier time than its stamp says.
    found = diagnose(evidence(shift=seconds), 3.0)
    assert found.parameters['pose_delay'] == pytest.approx(seconds, abs=0.006)
    assert any(
        f'{milliseconds} ms' in found.sentence
        for milliseconds in range(round(abs(seconds) * 1e3) - 6, round(abs(seconds) * 1e3) + 7)
    )
    assert words.split()[-1] in found.sentence


@pytest.mark.parametrize('ratio', [2.0, 0.6])
def test_a_focal_length_is_measured(ratio):
    wrong = Camera(320, 240, ratio * 200.0, ratio * 200.0, 159.5, 119.5)
    found = diagnose(evidence(camera=wrong), 3.0)
    said = re.search(r'fx were ([\d.]+) times what camera_info says', found.sentence)
    assert float(said[1]) == pytest.approx(1 / ratio, rel=0.02)


def test_several_mistakes_at_once_have_no_single_name():
    rng = np.random.default_rng(2)
    found = diagnose(evidence(lambda T: T @ motion.pose(cv2.Rodrigues(rng.normal(0, 0.2, 3))[0], np.zeros(3))), 3.0)
    assert 'no single mistake' in found.sentence
    assert not found.parameters


def test_with_few_pairs_nothing_is_named_yet():
    found = evidence(T_body_cam=mounting((0, 0, 0), (np.pi, 0, -np.pi / 2)))
    few = Evidence(found.pairs[:3], found.poses, found.T_body_cam)
    assert 'in a few seconds' in diagnose(few, 3.0).sentence


@pytest.mark.parametrize('origin, told', [('tf (base_link to camera)', 'tf (base_link to camera)'), ('', 'unknown')])
def test_the_doctor_tells_where_the_mounting_is_from(origin, told):
    mounting, facts = SimpleNamespace(origin=origin, T_body_cam=lambda body, camera: np.eye(4)), {}
    assert of_the_mounting(mounting, 'base_link', 'camera', IntakeOptions(), facts) == []
    assert facts == {'camera mounting': told}
