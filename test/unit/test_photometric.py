"""Alignment: depth of a plane whose every pixel is known, off by a little, and its pictures."""

import dataclasses
import gc
import weakref

import cv2
import numpy as np
import plane_world as world
import pytest
from tiny_models import red_is_parallax

from ros_depthnet.core import motion, photometric
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Prediction, Views, once_per_frame
from ros_depthnet.core.measurer import Estimate, Measurer
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.model import load_model
from ros_depthnet.flight.session import Session

AHEAD, SIDEWAYS, BACK, ASKEW = (0, 0, 0.5), (0.3, 0, 0), (0.02, 0, -0.5), (0.2, -0.1, 0.4)
INNER = np.s_[12:-12, 12:-12]  # away from what the source may not see


def views_of(way, *more, gain=1.0, noise=0.0, turn=(0.0, 0.0, 0.0)):
    """Return a reference moved by `way`, and sources at the origin and at each of `more`, turned alike."""
    reference = world.frame(world.pose(way))
    rng = np.random.default_rng(0)

    def source(place):
        frame = world.frame(world.pose(place, world.turn(*turn)))
        image = gain * frame.image + rng.normal(0, noise, frame.image.shape)
        return dataclasses.replace(frame, image=np.clip(image, 0, 255).astype(np.uint8))

    sources = tuple(source(place) for place in ((0, 0, 0), *more))
    return Views(
        reference, sources, np.stack([motion.inverse(each.T_world_cam) @ reference.T_world_cam for each in sources])
    )


def predicted(way, off, deviation=0.05):
    """Return the true depth times exp(off), said to be that certain."""
    depth_hw = world.depth(world.pose(way)) * np.exp(np.float32(off))
    return Prediction(depth_hw, np.full_like(depth_hw, deviation))


def error(prediction, way):
    return np.abs(np.log(prediction.depth_hw / world.depth(world.pose(way))))[INNER]


@pytest.mark.parametrize('turn', [(0.0, 0.0, 0.0), (0.05, -0.08, 0.2)])
@pytest.mark.parametrize('off', [-0.05, 0.05])
@pytest.mark.parametrize('way', [SIDEWAYS, BACK, ASKEW])
def test_depth_that_is_off_by_a_pixel_comes_right(way, off, turn):
    aligned = photometric.aligned(predicted(way, off), views_of(way, turn=turn), rounds=5)
    assert np.median(error(aligned, way)) < 0.1 * abs(off)


def test_straight_ahead_all_but_the_focus_of_expansion_comes_right():
    aligned = photometric.aligned(predicted(AHEAD, 0.05), views_of(AHEAD), rounds=5)
    v, u = np.mgrid[: world.CAMERA.height, : world.CAMERA.width]
    away = np.hypot(u - world.CAMERA.cx, v - world.CAMERA.cy)[INNER] > 25
    assert np.median(error(aligned, AHEAD)[away]) < 0.01
    assert error(aligned, AHEAD).max() < 0.08


@pytest.mark.parametrize('gain', [0.5, 1.3])
def test_exposure_may_change(gain):
    aligned = photometric.aligned(predicted(ASKEW, 0.05), views_of(ASKEW, gain=gain), rounds=5)
    assert np.median(error(aligned, ASKEW)) < 0.01


def test_sources_add_up():
    noisy = {'noise': 8.0}
    one = photometric.aligned(predicted(ASKEW, 0.05), views_of(ASKEW, **noisy), rounds=5)
    more = views_of(ASKEW, (0.1, 0.1, 0), (-0.1, 0, 0.1), **noisy)
    three = photometric.aligned(predicted(ASKEW, 0.05), more, rounds=5)
    assert error(three, ASKEW).mean() < 0.9 * error(one, ASKEW).mean()


def test_the_prediction_may_be_smaller_than_the_images():
    whole = predicted(ASKEW, 0.05)
    small = Prediction(
        *(
            1 / cv2.resize(1 / values, (80, 60), interpolation=cv2.INTER_AREA)
            for values in (whole.depth_hw, whole.deviation_hw)
        )
    )
    aligned = photometric.aligned(small, views_of(ASKEW), rounds=5)
    assert aligned.depth_hw.shape == (60, 80)
    larger = Prediction(1 / cv2.resize(1 / aligned.depth_hw, (160, 120)), whole.deviation_hw)
    assert np.median(error(larger, ASKEW)) < 0.01


def showing(frame, image):
    """Return a frame with another image, or grey all over."""
    return dataclasses.replace(frame, image=np.broadcast_to(np.uint8(image), frame.image.shape).copy())


def test_where_there_is_nothing_to_see_a_plane_stays():
    views, prediction = views_of(ASKEW), predicted(ASKEW, 0.05)
    (source,) = views.sources
    plain = dataclasses.replace(views, reference=showing(views.reference, 120), sources=(showing(source, 90),))
    masked = dataclasses.replace(source, masked_hw=np.ones((1, 1), bool))
    for blind in (plain, dataclasses.replace(views, sources=(masked,))):
        aligned = photometric.aligned(prediction, blind, rounds=3)
        moved = np.abs(np.log(aligned.depth_hw / prediction.depth_hw))
        assert moved.mean() < 0.005
        assert moved.max() < 0.03  # in the corners, where the fit has least to go by


def test_a_guess_on_what_is_plain_leans_on_the_plane_round_about():
    plain = np.s_[40:80, 60:100]
    views, prediction = views_of(ASKEW), predicted(ASKEW, 0.0, deviation=0.02)
    views.reference.image[plain] = views.sources[0].image[plain] = 128
    prediction.depth_hw[plain] *= 1.3
    prediction.deviation_hw[plain] = 0.4
    aligned = photometric.aligned(prediction, views, rounds=3)
    off = np.abs(np.log(aligned.depth_hw / world.depth(world.pose(ASKEW))))
    assert off[44:76, 64:96].mean() < 0.4 * np.log(1.3)


def test_what_shows_something_else_moves_depth_little():
    views, prediction = views_of(ASKEW), predicted(ASKEW, 0.0)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, views.reference.image.shape).astype(np.uint8)
    other = showing(views.sources[0], cv2.GaussianBlur(noise, (0, 0), 2))
    aligned = photometric.aligned(prediction, dataclasses.replace(views, sources=(other,)), rounds=3)
    assert np.median(error(aligned, ASKEW)) < 0.02
    assert error(aligned, ASKEW).max() < 3.01 * 0.05  # three deviations, whatever is seen


def test_depth_that_is_certain_is_moved_less():
    views = views_of(ASKEW, noise=20.0)
    moved = [
        np.abs(np.log(photometric.aligned(each, views, rounds=3).depth_hw / each.depth_hw)).mean()
        for each in (predicted(ASKEW, 0.0, deviation) for deviation in (0.003, 0.05))
    ]
    assert moved[0] < 0.3 * moved[1]


def test_what_is_unknown_stays_so_and_does_not_spread():
    prediction = predicted(ASKEW, 0.05)
    known = np.ones(prediction.depth_hw.shape, bool)
    for row, (depth, deviation) in enumerate([(np.nan, np.nan), (np.inf, np.inf), (-1.0, 0.05), (5.0, np.nan)]):
        known[20 * row + 30, 40:80] = False
        prediction.depth_hw[20 * row + 30, 40:80] = depth
        prediction.deviation_hw[20 * row + 30, 40:80] = deviation
    aligned = photometric.aligned(prediction, views_of(ASKEW), rounds=3)
    ratio = aligned.depth_hw / world.depth(world.pose(ASKEW))
    assert np.isfinite(ratio[known]).all()
    assert np.median(np.abs(np.log(ratio[known]))) < 0.01


def test_the_estimator_aligns_with_more_pixels_than_the_model_sees(tmp_path):
    model = load_model(red_is_parallax(tmp_path))  # 64 x 48, and the camera 160 x 120
    reference, source = world.frame(world.pose(ASKEW), 1), world.frame(world.pose((0, 0, 0)))

    def moved(**options):
        measurer = Measurer(model, EstimatorOptions(max_relative_deviation=1e3, min_range=1e-3, **options))
        return measurer.estimate(reference, [source])

    aligned, plain = moved(), moved(alignment_rounds=0)
    assert aligned.depth_hw.shape == plain.depth_hw.shape == (48, 64)
    assert not np.allclose(aligned.depth_hw, plain.depth_hw, rtol=1e-3)
    assert 'align' in aligned.milliseconds
    assert 'align' not in plain.milliseconds


class OffByTwentieth:
    """A model that knows the plane's depth, but for a twentieth, and doubts it by as much."""

    parallax_range = (0.5, 32)

    def __init__(self):
        self.way = None

    def input_size(self, camera):
        return camera.width, camera.height

    def predict(self, ranges):
        return [predicted(self.way, 0.05) for _ in ranges]


def test_a_flight_is_aligned_with_frames_farther_back_than_the_models():
    def last(**options):
        model = OffByTwentieth()
        estimator = Session(model, EstimatorOptions(memory=False, ranges=1, initial_depth=6, **options))
        for i in range(30):
            model.way = (0.05 * i, 0, 0)
            noise = np.random.default_rng(i).normal(0, 6, (world.CAMERA.height, world.CAMERA.width, 3))
            clean = world.frame(world.pose(model.way), 0.1 * i)
            noisy = np.clip(clean.image + noise, 0, 255).astype(np.uint8)
            estimate = estimator.add(dataclasses.replace(clean, image=noisy))
        return estimate, error(estimate, model.way)[:, 60:].mean()  # where the farthest still sees

    (further, small), (plain, large) = last(), last(alignment_sources=0)
    assert [source.frame.stamp_ns for source in further.sources] == [source.frame.stamp_ns for source in plain.sources]
    assert small < 0.8 * large


def test_frames_keep_about_twice_the_models_pixels_by_whole_blocks_where_that_comes_near(tmp_path):
    measurer = Measurer(load_model(red_is_parallax(tmp_path)))
    sizes = (
        ((640, 480), (91, 68)),
        ((184, 138), (92, 69)),
        ((185, 138), (91, 68)),
        ((80, 60), (80, 60)),
        ((32, 24), (32, 24)),
    )
    for size, detail in sizes:
        camera = Camera(*size, 600.0, 600.0, size[0] / 2, size[1] / 2)
        kept = measurer.sized(Frame(0, np.zeros((size[1], size[0], 3), np.uint8), camera, np.eye(4)))
        assert (kept.detail.camera.width, kept.detail.camera.height) == detail


def test_a_camera_that_changes_its_resolution_goes_on(tmp_path):
    estimator = Session(load_model(red_is_parallax(tmp_path)), EstimatorOptions(max_relative_deviation=1e3))
    estimator.add(world.frame(world.pose((0, 0, 0)), 0))
    assert isinstance(estimator.add(world.frame(world.pose(SIDEWAYS), 0.1).resized(80, 60)), Estimate)
    assert isinstance(estimator.add(world.frame(world.pose((0.6, 0, 0)), 0.2)), Estimate)


def test_what_follows_from_a_frame_is_computed_once_and_goes_with_it():
    frames = [world.frame(world.pose((0, 0, 0))) for _ in range(2)]
    asked = []

    @once_per_frame
    def named(frame):
        asked.append(frame.stamp_ns)
        return np.zeros(3)

    results = [weakref.ref(named(frame)) for frame in (*frames, *frames)]
    assert len(asked) == 2
    assert results[0]() is results[2]() is not results[1]()
    frames.clear()
    gc.collect()
    assert not any(result() is not None for result in results)


def test_what_is_kept_of_many_frames_is_bounded():
    frames = [world.frame(world.pose((0, 0, 0))) for _ in range(200)]
    array = once_per_frame(lambda frame: np.zeros(3))
    results = [weakref.ref(array(frame)) for frame in frames]
    gc.collect()
    assert sum(result() is not None for result in results) == 128
