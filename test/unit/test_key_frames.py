"""Depth for images that come faster than they can be measured."""

import threading
import time

import numpy as np
import plane_world as world
import pytest

from ros_depthnet.core.frames import Prediction
from ros_depthnet.core.measurer import Estimate
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.core.reasons import Drop
from ros_depthnet.flight.key_frames import KeyFrames
from ros_depthnet.flight.session import Session

STEP = 0.1  # metres sideways an image
INTERVAL = 0.02  # seconds between images


class PlaneWorld:
    """A model that knows the plane's depth and takes as long as the test wants."""

    parallax_range = (0.5, 32)

    def __init__(self, seconds=0.0):
        self.seconds, self.asked, self.gate = seconds, [], threading.Event()
        self.gate.set()

    def input_size(self, camera):
        return camera.width, camera.height

    def predict(self, ranges):
        self.asked += [views.reference.stamp_ns for views in ranges]
        self.gate.wait(10)
        time.sleep(self.seconds)
        depths = [world.depth(views.reference.T_world_cam) for views in ranges]
        return [Prediction(depth, np.full_like(depth, 0.05)) for depth in depths]


def place(i):
    return world.pose((STEP * i, 0, 0))


def fly(session, images, interval=INTERVAL):
    return [session.add(world.frame(place(i), i * interval)) for i in images]


def session_of(model):
    return Session(model, EstimatorOptions(check_odometry=False, find_mask=False), KeyFrames())


@pytest.fixture
def slow():
    """Return a model that took longer than the camera, a flight with it, and have its next answer wait."""
    model = PlaneWorld(seconds=2 * INTERVAL)
    session = session_of(model)
    first, measured = fly(session, (0, 1))
    assert first is Drop.FIRST_FRAME
    assert measured.carried is None
    model.gate.clear()
    yield model, session
    model.gate.set()


def error(estimate, i):
    return np.nanmedian(np.abs(np.log(estimate.depth_hw / world.depth(place(i)))))


def until_finished(session):
    while not session._key_frames._under_way.map.done():
        time.sleep(0.001)


def test_images_faster_than_the_model_all_get_depth(slow):
    model, session = slow
    estimates = fly(session, range(2, 6))
    assert all(isinstance(each, Estimate) for each in estimates)
    assert {each.carried for each in estimates} == {Drop.BUSY}
    assert {each.measured_ns for each in estimates} == {round(INTERVAL * 1e9)}
    assert max(error(each, i) for i, each in enumerate(estimates, 2)) < 0.01
    assert [each.stamp_ns for each in estimates] == [round(i * INTERVAL * 1e9) for i in range(2, 6)]


def test_one_key_frame_at_a_time_is_measured_and_then_counts(slow):
    model, session = slow
    fly(session, range(2, 6))
    model.gate.set()
    until_finished(session)
    (later,) = fly(session, (6,))
    assert model.asked[:2] == [round(i * INTERVAL * 1e9) for i in (1, 2)]
    assert later.measured_ns == round(2 * INTERVAL * 1e9)
    until_finished(session)
    assert model.asked[2:] == [round(6 * INTERVAL * 1e9)]


@pytest.mark.parametrize('finishes', [False, True])
def test_key_frames_know_the_scenery_that_comes_into_view(slow, finishes):
    model, session = slow
    if finishes:
        model.gate.set()
    for i in range(2, 30, 2):
        (estimate,) = fly(session, (i,))
        if finishes and not session._key_frames.idle:
            until_finished(session)
    assert (np.isfinite(estimate.depth_hw).mean() > 0.85) == finishes


def test_a_camera_slower_than_the_model_waits_for_it():
    session = session_of(PlaneWorld())
    estimates = fly(session, range(6), interval=1.0)[1:]
    assert {each.carried for each in estimates} == {None}
    assert [each.measured_ns for each in estimates] == [each.stamp_ns for each in estimates]


def test_what_is_under_way_when_a_flight_starts_afresh_is_not_believed(slow):
    model, session = slow
    fly(session, (2, 3))
    session.reset()
    model.gate.set()
    assert fly(session, (100,)) == [Drop.FIRST_FRAME]
    (estimate,) = fly(session, (101,))
    assert estimate.measured_ns == estimate.stamp_ns


def test_what_measuring_raises_is_raised_once_to_whoever_flies(slow):
    model, session = slow

    def broken(ranges):
        raise RuntimeError('out of memory')

    model.predict = broken
    fly(session, (2,))
    model.gate.set()
    until_finished(session)
    with pytest.raises(RuntimeError, match='out of memory'):
        fly(session, (3,))
    assert isinstance(fly(session, (4,))[0], Estimate)
