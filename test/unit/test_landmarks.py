"""Points that keep their depth, in a world whose matches are exact: odometry that moves otherwise than the images."""

import itertools

import numpy as np
import pytest
from wall import R_WORLD_CAM, camera, texture, wall_image

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.reasons import Drop
from ros_depthnet.core.tracks import Matches
from ros_depthnet.flight.diagnosis import Pair
from ros_depthnet.flight.landmarks import Landmarks
from ros_depthnet.flight.watch import Watch

CAMERA = Camera(320, 240, 250.0, 250.0, 159.5, 119.5)
POINTS = np.random.default_rng(0).uniform(
    (-4, -2, 5), (6, 2, 12), (60, 3)
)  # in the first camera's axes, which is the world's
SIDEWAYS, AHEAD = np.array([0.15, 0, 0]), np.array([0.02, 0, 0.3])


def step_of(landmarks, ways, told, key, new, camera=CAMERA):
    """Look at frames number `key` and `new` of a camera that is at `ways`, by odometry that says `told`."""
    seen = [CAMERA.project(POINTS - ways[number]) for number in (key, new)]
    poses = {number: motion.pose(np.eye(3), told[number]) for number in (key, new)}
    step = landmarks.look(
        Matches(key, new, *seen, camera, np.arange(len(POINTS))), poses, way=np.linalg.norm(told[new] - told[key])
    )
    if step is None or abs(step.deviation) < 1:
        landmarks.learn()
    return step


def flown(step, count=8):
    return step * np.arange(count)[:, None]


@pytest.mark.parametrize('step', [SIDEWAYS, AHEAD])
def test_odometry_that_is_right_moves_as_far_as_the_images_over_key_frames(step):
    landmarks, ways = Landmarks(), flown(step)
    steps = [step_of(landmarks, ways, ways, key, new) for key, new in ((0, 1), (0, 2), (2, 3), (2, 4), (4, 5))]
    assert steps[0] is None
    assert [each.ratio for each in steps[1:]] == pytest.approx([1] * 4, abs=0.01)
    assert max(abs(each.deviation) for each in steps[1:]) < 0.01


@pytest.mark.parametrize('step', [SIDEWAYS, AHEAD])
@pytest.mark.parametrize('scale', [0.5, 2.0])
def test_a_scale_that_changes_shows_with_the_first_pair_after_it_and_goes_on_showing(step, scale):
    landmarks, ways = Landmarks(), flown(step)
    told = ways.copy()
    told[4:] = ways[3] + scale * (ways[4:] - ways[3])
    for key, new in ((0, 1), (0, 2), (0, 3)):
        step_of(landmarks, ways, told, key, new)
    for key, new in ((3, 5), (3, 6), (6, 7)):
        found = step_of(landmarks, ways, told, key, new)
        assert found.ratio == pytest.approx(scale, rel=0.35)  # what is near moves more than in proportion
        assert np.sign(found.deviation) == np.sign(1 - scale) and abs(found.deviation) > 1


def test_odometry_that_stands_still_while_the_images_move_is_off():
    landmarks, ways = Landmarks(), flown(SIDEWAYS)
    told = np.minimum(ways, ways[2])
    for new in (1, 2):
        step_of(landmarks, ways, told, 0, new)
    found = step_of(landmarks, ways, told, 2, 4)
    assert found.deviation > 2 and found.ratio == pytest.approx(0, abs=0.01)


def test_what_is_known_outlives_a_jump_of_the_odometry():
    landmarks, ways = Landmarks(), flown(SIDEWAYS)
    told = ways.copy()
    told[3:] += 5
    step_of(landmarks, ways, told, 0, 2)
    landmarks.go_on_from(3)
    assert step_of(landmarks, ways, told, 3, 4).ratio == pytest.approx(1, abs=0.05)


def test_of_points_since_a_frame_that_was_not_looked_at_nothing_is_known():
    landmarks, ways = Landmarks(), flown(SIDEWAYS)
    step_of(landmarks, ways, ways, 0, 2)
    assert step_of(landmarks, ways, ways, 4, 5) is None


def test_a_focal_length_that_is_suddenly_another_is_off():
    landmarks, ways = Landmarks(), flown(SIDEWAYS)
    step_of(landmarks, ways, ways, 0, 2)
    landmarks.go_on_from(3)
    doubled = Camera(320, 240, 500.0, 500.0, 159.5, 119.5)
    assert step_of(landmarks, ways, ways, 3, 5, doubled).ratio == pytest.approx(2, rel=0.05)


def test_points_that_have_hardly_moved_tell_no_depth():
    landmarks, ways = Landmarks(), flown(SIDEWAYS / 20)
    assert step_of(landmarks, ways, ways, 0, 1) is None
    assert step_of(landmarks, ways, ways, 0, 2) is None


@pytest.fixture(scope='module')
def wall():
    """Return images of a wall by where they were taken, 12.5 cm apart, to and fro."""
    seen_by, surface = camera(192, 128), texture()
    ways = 0.125 * np.array([*range(16), *range(14, -1, -1)])
    return seen_by, ways, [wall_image(seen_by, x, surface) for x in ways]


def doubts(wall, told, cameras=None):
    """Return what the watch says of each image, when odometry says `told`."""
    seen_by, _, images = wall
    watch = Watch()
    return [
        watch.look(Frame(125_000_000 * k, image, each, motion.pose(R_WORLD_CAM, [x, 0, 0])))
        for k, (image, x, each) in enumerate(zip(images, told, cameras or [seen_by] * len(images)))
    ]


def test_a_right_flight_to_and_fro_is_never_doubted(wall):
    assert doubts(wall, wall[1]) == [None] * 31


@pytest.mark.parametrize('level, believed', [(0.85, None), (1.2, Drop.CONTRADICTED)])
def test_images_contradict_from_what_is_allowed_on(wall, monkeypatch, level, believed):
    monkeypatch.setattr(Pair, 'deviations', lambda pair, poses: np.array([level]))
    assert doubts(wall, wall[1])[12:] == [believed] * 19


@pytest.mark.parametrize('level, believed', [(0.85, Drop.CONTRADICTED), (0.5, None)])
def test_what_has_contradicted_is_believed_again_where_it_is_well_within(wall, monkeypatch, level, believed):
    levels = itertools.chain([1.5] * 10, itertools.repeat(level))
    monkeypatch.setattr(Pair, 'deviations', lambda pair, poses: np.array([next(levels)]))
    found = doubts(wall, wall[1])
    assert found[8] == Drop.CONTRADICTED and found[20:] == [believed] * 11


def test_after_a_jump_images_contradict_at_once_however_well_they_agreed_before(wall, monkeypatch):
    levels = itertools.chain([0.2] * 9, itertools.repeat(1.2))
    monkeypatch.setattr(Pair, 'deviations', lambda pair, poses: np.array([next(levels)]))
    ways = wall[1]
    found = doubts(wall, np.concatenate([ways[:10], ways[10:] - 2]))
    assert found[:10] == [None] * 10
    assert found[10:] == [Drop.CONTRADICTED] * 21


@pytest.mark.parametrize(
    'told',
    [
        lambda ways: np.concatenate([ways[:8], ways[8] + 0.5 * (ways[8:] - ways[8])]),
        lambda ways: np.concatenate([ways[:8], np.full(23, ways[8])]),
        lambda ways: np.concatenate([ways[:8], ways[8:] + 0.04 * np.arange(23)]),
    ],
    ids=['half as far', 'stuck', 'drifting'],
)
def test_odometry_that_begins_to_move_otherwise_is_not_believed_from_the_fourth_image_on(wall, told):
    found = doubts(wall, told(wall[1]))
    assert found[:8] == [None] * 8
    assert found[11:14] == [Drop.CONTRADICTED] * 3


def test_odometry_that_lags_is_not_believed_in_a_turn_and_is_again_after_it(wall):
    ways = wall[1]
    found = doubts(wall, np.concatenate([ways[:1] - 0.25, ways[:1] - 0.125, ways[:-2]]))  # .25 s late
    assert found[:15] == [None] * 15
    assert Drop.CONTRADICTED in found[15:19]
    assert found[22:25] == [None] * 3


def test_landmarks_that_were_wrong_themselves_are_given_up_after_some_seconds(wall):
    seen_by, ways, images = wall
    to_and_fro = (seen_by, None, [*images, *images[1:]])
    told = np.array([*ways, *ways[1:]])
    told[:2] = told[2]  # odometry that begins late
    found = doubts(to_and_fro, told)
    assert Drop.CONTRADICTED in found[5:15]
    assert found[-12:] == [None] * 12


def test_what_is_known_outlives_a_flight_that_begins_anew(wall):
    seen_by, ways, images = wall
    told, watch, found = np.concatenate([ways[:8], 5 + 0.5 * ways[8:]]), Watch(), []
    for k, (image, x) in enumerate(zip(images, told)):
        if k == 8:
            watch.begin_anew()  # as odometry has jumped
        found.append(watch.look(Frame(125_000_000 * k, image, seen_by, motion.pose(R_WORLD_CAM, [x, 0, 0]))))
    assert found[:9] == [None] * 9
    assert found[11:14] == [Drop.CONTRADICTED] * 3
