"""What moves by itself in a view, told from what depth and motion predict of a still scene."""

import threading

import cv2
import numpy as np
import plane_world as world
import pytest
from tiny_models import displacement_is_parallax

from ros_depthnet.core import motion, moving
from ros_depthnet.core.frames import Frame, Views
from ros_depthnet.core.fusion import DepthMap
from ros_depthnet.core.moving import MOVES, companions, compare, evidence, probability
from ros_depthnet.core.refine import Comparing
from ros_depthnet.engines.model import load_model
from ros_depthnet.flight.movers import Movers
from ros_depthnet.flight.session import EstimatorOptions, Session

THING = np.s_[60:90, 90:130]  # rows and columns of what moves, in the reference
STEP = 0.08  # metres that the camera flies on between two frames


def pasted(frame, shift):
    """Return a frame in which a textured thing has been pushed by a shift (x, y) in pixels from THING."""
    rows, columns = (slice(part.start + by, part.stop + by) for part, by in zip(THING, shift[::-1], strict=True))
    image = frame.image.copy()
    image[rows, columns] = 255 - world.TEXTURE[200:230, 300:340]
    return Frame(frame.stamp_ns, image, frame.camera, frame.T_world_cam)


def seen(step_px, flown=(0.0, 0.0, 1.0)):
    """Return views 0.1 and 0.4 s back along a flight, a thing pasted that shifts by pixels a frame, and true depth."""
    poses = [world.pose(STEP * i * np.array(flown)) for i in range(5)]
    frames = [pasted(world.frame(T, 0.1 * i), [round((i - 4) * by) for by in step_px]) for i, T in enumerate(poses)]
    reference, sources = frames[4], (frames[3], frames[0])
    T_srcs_ref = np.stack([motion.inverse(source.T_world_cam) @ reference.T_world_cam for source in sources])
    return Views(reference, sources, T_srcs_ref), world.depth(poses[4])


def known(depth_hw, deviation):
    return DepthMap.fresh(depth_hw, np.full_like(depth_hw, deviation))


def found(views, depth_map, before_hw=None):
    """Return log odds at half the size."""
    return evidence(compare(views, depth_map), 0.1, before_hw)


def inner(array_hw):
    rows, columns = (slice(part.start // 2 + 3, part.stop // 2 - 3) for part in THING)
    return array_hw[rows, columns]


def test_nothing_moves_in_a_still_scene():
    poses = [world.pose([0.02 * i, 0, STEP * i]) for i in range(5)]
    frames = [world.frame(T, 0.1 * i) for i, T in enumerate(poses)]
    T_srcs_ref = np.stack([motion.inverse(poses[i]) @ poses[4] for i in (3, 0)])
    views = Views(frames[4], (frames[3], frames[0]), T_srcs_ref)
    assert (probability(found(views, known(world.depth(poses[4]), 0.05))) < MOVES).mean() > 0.99


@pytest.mark.parametrize('step_px', [(2, 0), (0, 2), (-3, -2)])
def test_what_moves_is_found_and_nothing_else(step_px):
    views, depth_hw = seen(step_px)
    moves = probability(found(views, known(depth_hw, 0.05))) >= MOVES
    assert inner(moves).mean() > 0.9
    away = np.ones(moves.shape, bool)
    away[25:50, 35:75] = False
    assert moves[away].mean() < 0.02


def test_no_image_begins_threads_of_its_own(monkeypatch):
    views, depth_hw = seen((2, 0))
    compare(views, known(depth_hw, 0.05))
    monkeypatch.delattr(threading.Thread, 'start')
    compare(views, known(depth_hw, 0.05))


@pytest.mark.parametrize('step_px, explicable', [((-4, 0), True), ((0, -4), False)])
def test_what_depth_could_explain_is_no_surprise_where_depth_is_not_known(step_px, explicable):
    # Sideways flight: a thing that shifts along the flight looks like a nearer one.
    views, depth_hw = seen(step_px, flown=(1.0, 0.0, 0.0))  # the wall shifts by (-2, 0)
    sure, unsure = (compare(views, known(depth_hw, deviation)).surprise_hw for deviation in (0.03, 1.0))
    assert np.median(inner(sure)) > 100
    assert (np.median(inner(unsure)) < 4) == explicable


def test_evidence_is_carried_with_the_image():
    views, depth_hw = seen((0, 2))
    alone = found(views, known(depth_hw, 0.05))
    rows, columns = (slice(part.start // 2, part.stop // 2) for part in THING)
    before = np.zeros_like(alone)
    before[rows.start - 1 : rows.stop - 1, columns] = 3  # where the thing was in the newest source
    gained = found(views, known(depth_hw, 0.05), before) - alone
    inside = inner(alone) < 5  # more is cut off
    np.testing.assert_allclose(inner(gained)[inside], 3 * np.exp(-0.1 / 0.2), atol=0.05)
    assert np.abs(gained[:20]).max() == 0


def test_clues_are_numbers_of_a_size_that_a_network_likes():
    views, depth_hw = seen((2, 0))
    depth_map = known(depth_hw, 0.05).where(np.arange(depth_hw.shape[1]) > 20)  # some of it is unknown
    comparison = compare(views, depth_map)
    clues = moving.clues(depth_map, comparison, evidence(comparison, 0.1, None))
    height, width = depth_hw.shape
    assert clues.shape == (moving.CLUES, height // 2, width // 2) and clues.dtype == np.float32
    assert np.isfinite(clues).all() and np.abs(clues).max() <= np.log1p(1000)
    off, rigid = clues[8, 35:40, 50:60] * 4, clues[10, 35:40, 50:60] * 8
    assert np.median(off + rigid) == pytest.approx(-2, abs=0.2)  # the flow on the thing


class Oracle:
    """A network that says that the left half moves."""

    def log_odds(self, clues):
        found = np.full(clues.shape[1:], -5, np.float32)
        found[:, : found.shape[1] // 2] = 5
        return found


def test_a_network_has_the_last_word_and_is_loaded_when_there_is_something_to_judge():
    loaded = []
    movers = Movers(lambda: loaded.append(1) or Oracle())
    views, depth_hw = seen((2, 0))
    depth_map = known(depth_hw, 0.05)

    def look(frame, earlier):
        return movers.look(Comparing(frame, rotation_noise=0), earlier, depth_map)

    assert look(views.sources[1], ()) is None and loaded == []
    for _ in range(2):
        moves_hw = look(views.reference, views.sources[::-1])
        movers.reset()
    assert loaded == [1]
    assert moves_hw.shape == depth_hw.shape
    assert (moves_hw[:, :70] > 0.9).all() and (moves_hw[:, 90:] < 0.1).all()


def test_companions_are_a_tenth_and_four_tenths_of_a_second_back():
    frames = [world.frame(world.pose([0, 0, 0]), t) for t in np.arange(0, 1, 0.05)]
    reference = world.frame(world.pose([0, 0, 0]), 1.0)
    assert [each.stamp_ns / 1e9 for each in companions(reference, frames)] == pytest.approx([0.9, 0.6])
    assert [each.stamp_ns / 1e9 for each in companions(reference, frames, frames[-1])] == pytest.approx([0.95, 0.6])
    assert companions(reference, frames[:4]) == ()  # all too long ago


def test_what_moves_gets_no_depth_and_is_not_remembered(tmp_path):
    """The model says how far the camera flew over red: 4 m everywhere, as far as the wall; before it a thing falls."""
    camera, metres, flown = world.CAMERA, 4.0, 0.4
    model = load_model(displacement_is_parallax(tmp_path), input_width=camera.width)
    noise = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8), (0, 0), 2)
    rng = np.random.default_rng(1)
    wall = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX)

    def frame(i):
        image = np.zeros((camera.height, camera.width, 3), np.uint8)
        shift = round(camera.fx * flown * i / metres)
        image[..., 0] = round(255 * flown / metres)
        seen = wall[: camera.height, shift : shift + camera.width].astype(float)
        seen[20 + 4 * i : 60 + 4 * i, 60:110] = wall[200:240, 300:350]
        image[..., 1:] = np.clip(seen + rng.normal(0, 5, seen.shape), 0, 255)[..., None]
        return Frame(round(1e8 * i), image, camera, motion.pose(np.eye(3), (flown * i, 0, 0)))

    def last(find_moving):
        options = EstimatorOptions(
            alignment_rounds=0,
            check_odometry=False,
            find_mask=False,
            rotation_noise=0,
            max_relative_deviation=10,
            find_moving=find_moving,
            buffer_size=2,
        )
        session = Session(model, options)
        return [session.add(frame(i)) for i in range(6)][-1]

    finding, blind = last(True), last(False)
    assert blind.moving_hw is None
    rows, columns = slice(46, 74), slice(66, 104)
    assert np.isfinite(blind.depth_hw[rows, columns]).all()
    assert np.isnan(finding.depth_hw[rows, columns]).mean() > 0.9
    assert np.isfinite(finding.depth_hw[:112, 130:]).mean() > 0.9
