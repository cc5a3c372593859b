import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from tiny_models import red_is_parallax

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Prediction, Views
from ros_depthnet.core.measurer import Estimate, Measurer, geometric_deviation
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.core.reasons import Drop
from ros_depthnet.engines.model import load_model
from ros_depthnet.flight.session import Session, rehearse

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)  # the tiny model's size: pixels stay as they are


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Return a model that reads its answer off the picture: red parallax, green percent of deviation."""
    return load_model(red_is_parallax(tmp_path_factory.mktemp('model')))


def frame(seconds, x=0.0, z=0.0, red=12, green=4, camera=CAMERA, yaw=0.0):
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    image[..., 0], image[..., 1] = red, green
    image[: camera.height // 2, :, 2] = 200  # of which the model takes no notice: without, the image is blank
    rotation = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    return Frame(round(seconds * 1e9), image, camera, motion.pose(rotation, [x, 0, z]))


def estimator(model, **options):
    return Session(model, simple(**options))


def simple(**options):
    # These images show nothing but the answer, so they cannot vouch for the odometry.
    usual = {
        'max_relative_deviation': 100,
        'target_parallax': 8,
        'memory': False,
        'alignment_rounds': 0,
        'check_odometry': False,
    }
    return EstimatorOptions(**{**usual, **options})


def estimate(model, red=12, green=4, x=0.5, z=0.0, **options):
    return Measurer(model, simple(**options)).estimate(frame(1, x, z, red, green), [frame(0)])


def test_depth_is_in_metres(model):
    result = estimate(model, red=np.arange(1, 65))
    np.testing.assert_allclose(result.depth_hw, np.tile(60 * 0.5 / np.arange(1, 65), (48, 1)), rtol=1e-5)
    assert result.depth_hw.dtype == np.float32
    assert result.deviation_hw.dtype == np.float32


def test_deviation_joins_the_models_matchings_and_odometrys(model):
    # Sideways by .5 m at 2.5 m: 4 % of the model's, sigma_Z = Z^2 s / (f D), and .02 of .5 m.
    result = estimate(model, matching_noise=0.5, position_noise=0.02)
    expected = np.linalg.norm([2.5 * 0.04, 2.5**2 * 0.5 / (60 * 0.5), 2.5 * 0.02 / 0.5])
    np.testing.assert_allclose(result.deviation_hw, expected, rtol=1e-4)


@pytest.mark.parametrize('red, doubt', [(3, 2), (6, 1), (40, 1), (120, 3)])
def test_parallax_out_of_the_models_range_is_doubted(tmp_path, red, doubt):
    model = load_model(red_is_parallax(tmp_path, parallax_range=[6, 40]))
    result = estimate(model, red=red, target_parallax=16, matching_noise=1e-9, position_noise=1e-9, min_range=0.01)
    np.testing.assert_allclose(result.deviation_hw / result.depth_hw, 0.04 * doubt, rtol=1e-4)


@pytest.mark.parametrize('red, doubt', [(2, 2), (4, 1), (64, 1), (128, 2)])
def test_parallax_far_from_the_target_is_doubted(tmp_path, red, doubt):
    model = load_model(red_is_parallax(tmp_path, parallax_range=[0.1, 1000]))
    result = estimate(model, red=red, target_parallax=16, matching_noise=1e-9, position_noise=1e-9, min_range=0.01)
    np.testing.assert_allclose(result.deviation_hw / result.depth_hw, 0.04 * doubt, rtol=1e-4)


def moved(*displacements, camera=CAMERA):
    """Return views whose sources are at these displacements, and not turned."""
    black = Frame(0, np.zeros((camera.height, camera.width, 3), np.uint8), camera, np.eye(4))
    return Views(black, len(displacements) * (black,), np.stack([motion.pose(np.eye(3), d) for d in displacements]))


@pytest.mark.parametrize('displacement', [(0.5, 0, 0), (0.1, -0.2, 0.3), (0, 0, -0.4)])
def test_geometric_deviation_is_what_shifted_matches_do_to_depth(displacement):
    displacement, depth, shift = np.array(displacement), np.float32(40), 0.01
    views = moved(displacement)
    sigma = geometric_deviation(np.full((48, 64), depth), views, shift)
    u, v = np.meshgrid(np.arange(64.0), np.arange(48.0))
    ray = np.stack([(u - 31.5) / 60, (v - 23.5) / 60, np.ones_like(u)], -1)
    match = CAMERA.project(ray * depth + displacement)
    along = match - np.stack([u, v], -1)
    far_from_foe = np.linalg.norm(along, axis=-1) > 5 * shift
    match += along / np.linalg.norm(along, axis=-1, keepdims=True) * shift
    # Depth again from the shifted match, by least squares over x and y.
    a = (match - (31.5, 23.5)) / 60 - ray[..., :2]
    b = displacement[:2] - (match - (31.5, 23.5)) / 60 * displacement[2]
    again = (a * b).sum(-1) / (a * a).sum(-1)
    # shift is finite: dZ/Z = -drho/rho / (1 + drho/rho)
    share = sigma / depth
    expected = depth * share / (1 + share)
    np.testing.assert_allclose((depth - again)[far_from_foe], expected[far_from_foe], rtol=0.03)
    assert far_from_foe.mean() > 0.9


def test_deviation_grows_towards_the_focus_of_expansion_and_far_away():
    # Forward by .5 m: the focus of expansion is the centre of the image.
    views = moved((0, 0, 0.5))
    near, far = (geometric_deviation(np.full((48, 64), z, np.float32), views, 0.1) for z in (4.0, 8.0))
    assert (np.diff(near[24, 32:]) < 0).all()
    np.testing.assert_allclose(far, 4 * near, rtol=1e-5)


def test_two_sources_know_more_than_one():
    depth = np.full((48, 64), 5, np.float32)
    one, two = (moved(*count * [(0.5, 0, 0)]) for count in (1, 2))
    one, two = (geometric_deviation(depth, views, 0.1) for views in (one, two))
    np.testing.assert_allclose(two, one / np.sqrt(2), rtol=1e-6)


def test_too_uncertain_is_nan(model):
    green = np.tile(np.where(np.arange(64) < 32, 10, 40), (48, 1))
    result = estimate(model, green=green, max_relative_deviation=0.25)
    assert np.isfinite(result.depth_hw[:, :32]).all()
    assert np.isnan(result.depth_hw[:, 32:]).all()
    assert (np.isnan(result.deviation_hw) == np.isnan(result.depth_hw)).all()


def test_the_focus_of_expansion_is_nan(model):
    result = estimate(
        model,
        red=1,
        x=0.0,
        z=0.5,
        max_relative_deviation=0.5,
        max_range=1000.0,
        target_parallax=4.0,
        position_noise=1e-6,
    )
    v, u = np.mgrid[:48, :64]
    # Relative deviation s / rho_perpendicular, which is 1 px times the tangent of the angle off the flight
    radius = np.hypot(u - 31.5, v - 23.5)
    expected = np.hypot(0.04, 0.1 / (radius / 60)) > 0.5
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(np.isnan(result.depth_hw), expected)


def test_beyond_range_is_plus_infinity_and_too_close_minus(model):
    red = np.tile(np.repeat([3, 30, 120], [20, 20, 24]), (48, 1))  # 10 m, 1 m, .25 m
    result = estimate(model, red=red, min_range=0.5, max_range=5)
    assert np.isposinf(result.depth_hw[:, :20]).all()
    np.testing.assert_allclose(result.depth_hw[:, 20:40], 1, rtol=1e-5)
    assert np.isneginf(result.depth_hw[:, 40:]).all()
    np.testing.assert_array_equal(np.isfinite(result.deviation_hw), np.isfinite(result.depth_hw))


def test_where_no_source_sees_depth_is_unknown(model):
    reference, source = frame(1, 0.5), frame(0, yaw=0.3)  # the source looks to the right
    result = Measurer(model, simple()).estimate(reference, [source])
    T_src_ref = motion.inverse(source.T_world_cam) @ reference.T_world_cam
    seen = motion.stabilise(source.image, CAMERA, T_src_ref).valid_hw
    assert 0.2 < seen.mean() < 0.9
    np.testing.assert_array_equal(np.isfinite(result.depth_hw), seen)
    both = Measurer(model, simple()).estimate(reference, [source, frame(0.5)])
    assert np.isfinite(both.depth_hw).all()


def test_output_has_the_networks_size_and_its_camera(model):
    big = Camera(640, 512, 600.0, 600.0, 319.5, 255.5)
    result = Measurer(model, simple()).estimate(frame(1, 0.5, camera=big), [frame(0, camera=big)])
    assert result.depth_hw.shape == result.image.shape[:2] == (48, 64)
    assert result.camera == big.resized(64, 48)
    np.testing.assert_allclose(result.depth_hw, 60 * 0.5 / 12, rtol=1e-5)


def test_an_estimate_says_what_it_is_of(model):
    result = estimate(model)
    assert result.stamp_ns == 1_000_000_000
    assert result.T_world_cam[0, 3] == 0.5
    assert [source.frame.stamp_ns for source in result.sources] == [0]
    assert set(result.milliseconds) == {'rotation', 'model', 'fuse', 'judge'}


@pytest.mark.parametrize('sources', [[], [frame(0, 0.5)], [frame(0, camera=Camera(64, 48, 50.0, 50.0, 31.5, 23.5))]])
def test_sources_that_say_nothing_are_refused(model, sources):
    with pytest.raises(ValueError):
        Measurer(model, simple()).estimate(frame(1, 0.5), sources)


def fly(judge, count=20, speed=2.0, **options):
    return [judge.add(frame(i / 10, speed * i / 10, **options)) for i in range(count)]


def test_flying_gives_depth_from_the_first_baseline_on(model):
    results = fly(estimator(model))
    assert results[0] is Drop.FIRST_FRAME
    assert all(isinstance(result, Estimate) for result in results[1:])


def test_the_last_depth_map_decides_the_next_baseline(model):
    judge = estimator(model, initial_depth=40.0, max_sources=1)
    judge.add(frame(0, 0))
    first = judge.add(frame(1, 2.5, red=50))  # 60 px * 2.5 m / 50 px: the scene is at 3 m, not at 40 m
    second = judge.add(frame(2, 3))
    assert np.linalg.norm(first.sources[0].displacement) == pytest.approx(2.5)
    # 8 px of 3 m is .4 m: .5 m is nearer to that than 3 m, which 40 m would have called for.
    assert np.linalg.norm(second.sources[0].displacement) == pytest.approx(0.5)


@pytest.mark.parametrize('share, wanted', [(0.2, 0.5), (0.0, 3.0)], ids=['a fifth at 3 m', 'nothing within range'])
def test_what_is_within_range_decides_the_next_baseline_though_most_is_beyond(model, share, wanted):
    judge = estimator(model, initial_depth=40.0, max_sources=1, max_range=20.0)
    judge.add(frame(0, 0))
    near = np.arange(CAMERA.width) < share * CAMERA.width
    judge.add(frame(1, 2.5, red=np.where(near, 50, 5)))  # 60 px * 2.5 m / 5 px: the rest is at 30 m
    assert np.linalg.norm(judge.add(frame(2, 3)).sources[0].displacement) == pytest.approx(wanted)


def test_a_map_of_nothing_falls_back_to_the_initial_depth(model):
    judge = estimator(model, initial_depth=40.0, max_sources=1, max_relative_deviation=0.5)
    judge.add(frame(0, 0))
    assert np.isnan(judge.add(frame(1, 2.5, red=50, green=90)).depth_hw).all()
    assert np.linalg.norm(judge.add(frame(2, 3)).sources[0].displacement) == pytest.approx(3)


def test_frames_held_without_a_look_are_partners_of_later_ones(model):
    # Time for one look in ten frames at 3 m/s: 12 px at 10 m want 2 m, not the 3 m since the last look.
    judge = estimator(model, target_parallax=12, max_sources=1)
    judge.add(frame(0))
    for tenth in range(1, 10):
        judge.hold(frame(tenth / 10, x=0.3 * tenth))
    result = judge.add(frame(1, x=3))
    assert np.linalg.norm(result.sources[0].displacement) == pytest.approx(2.1)


def test_a_held_frame_that_comes_late_changes_nothing(model):
    punctual, late = estimator(model), estimator(model)
    fly(punctual)
    fly(late)
    late.hold(frame(0.05, x=50))
    one, other = (judge.add(frame(2, x=4)).sources for judge in (punctual, late))
    assert [source.displacement[0] for source in one] == [source.displacement[0] for source in other]


def test_a_held_frame_whose_pose_has_jumped_says_so_and_starts_afresh(model):
    judge = estimator(model)
    fly(judge)
    assert judge.hold(frame(2, 104)) is Drop.POSE_JUMP
    after = judge.add(frame(2.1, 104.2))
    assert [source.frame.stamp_ns for source in after.sources] == [2_000_000_000]


def test_hovering_never_makes_up_depth(model):
    judge = estimator(model, memory=True)
    noise = np.random.default_rng(0).normal(0, 0.002, 100)
    results = [judge.add(frame(i / 10, noise[i])) for i in range(100)]
    assert set(results) == {Drop.FIRST_FRAME, Drop.BASELINE_TOO_SHORT}


def test_time_running_backwards_starts_afresh(model):
    judge = estimator(model)
    fly(judge)
    assert judge.add(frame(0.5, 1)) is Drop.TIME_JUMP
    result = judge.add(frame(0.6, 1.2))
    assert isinstance(result, Estimate)
    assert [source.frame.stamp_ns for source in result.sources] == [500_000_000]


def test_the_same_stamp_again_is_stale_and_harmless(model):
    judge = estimator(model)
    fly(judge)
    assert judge.add(frame(1.9, 3.8)) is Drop.STALE
    assert isinstance(judge.add(frame(2, 4)), Estimate)


def test_another_camera_starts_afresh(model):
    judge = estimator(model)
    fly(judge)
    other = Camera(100, 48, 80.0, 80.0, 49.5, 23.5)
    assert judge.add(frame(2, 4, camera=other)) is Drop.RESIZED
    assert isinstance(judge.add(frame(2.1, 4.2, camera=other)), Estimate)


@pytest.mark.parametrize('level', [0, 120, 255])
def test_a_covered_lens_gives_no_depth_and_is_no_partner(model, level):
    judge = estimator(model)
    judge.add(frame(1, 0))
    covered = dataclasses.replace(frame(2, 0.5), image=noisy(level, 6))
    assert judge.add(covered) is Drop.BLANK
    judge.hold(dataclasses.replace(frame(2.5, 0.6), image=noisy(level, 6)))
    result = judge.add(frame(3, 1))
    assert [source.frame.stamp_ns for source in result.sources] == [1_000_000_000]


def test_depth_outlasts_a_lens_that_is_covered_for_a_moment(model):
    judge = estimator(model, memory=True, memory_age=1.5)
    judge.add(frame(1, 0))
    judge.add(frame(2, 0.5))
    carried = judge.add(dataclasses.replace(frame(3, 0.6), image=noisy(0, 6)))
    assert (carried.carried, carried.measured_ns) == (Drop.BLANK, 2_000_000_000)
    assert judge.add(dataclasses.replace(frame(4, 0.7), image=noisy(0, 6))) is Drop.BLANK


def test_a_faint_wall_is_not_blank():
    wall = np.tile(np.linspace(118, 122, 64).astype(np.uint8)[None, :, None], (48, 1, 3))
    assert not dataclasses.replace(frame(1), image=wall).blank


def noisy(level, deviation):
    noise = np.random.default_rng(0).normal(level, deviation, (48, 64, 3))
    return np.clip(noise, 0, 255).astype(np.uint8)


def test_turning_fast_is_named(model):
    judge = estimator(model, memory=False)
    fly(judge)
    assert judge.add(frame(2, 4, yaw=0.15)) is Drop.ROTATING_TOO_FAST
    assert isinstance(judge.add(frame(2.1, 4.2, yaw=0.16)), Estimate)


def test_reset_forgets(model):
    judge = estimator(model)
    fly(judge)
    judge.reset()
    assert judge.add(frame(2, 4)) is Drop.FIRST_FRAME


def test_the_target_left_open_is_in_the_upper_part_of_the_models_range(tmp_path):
    model = load_model(red_is_parallax(tmp_path, parallax_range=[1, 32]))
    assert Measurer(model).options.target_parallax == pytest.approx(8)  # 2^0 to 2^5: three fifths is 2^3


@pytest.mark.parametrize('initial_depth', [0.3, 30.0])
def test_an_initial_depth_ten_times_off_does_not_last(model, initial_depth):
    # The scene is at 3 m and the maps are unknown unless parallax is where a matcher sees it, 4 to 40 px.
    judge = estimator(model, initial_depth=initial_depth, max_sources=1, max_relative_deviation=0.5)
    judge.add(frame(0))
    for i in range(1, 60):
        before = [held.T_world_cam[0, 3] for held in judge._buffer.frames]
        place = 0.1 * i
        parallax = judge.options.target_parallax * judge._range_depths[0] / 3
        nearest = min(before, key=lambda x: abs(np.log((place - x) * 60 / 3 / parallax)))
        shown = 60 * (place - nearest) / 3
        result = judge.add(frame(i / 10, place, red=round(shown) or 1, green=5 if 4 < shown < 40 else 99))
        if isinstance(result, Estimate) and np.isfinite(result.depth_hw).all():
            break
    assert isinstance(result, Estimate)
    np.testing.assert_allclose(result.depth_hw, 3, rtol=0.15)


def test_each_range_is_served_and_they_are_fused(model):
    # The picture says 20 px whatever the pair, so each range answers with its own baseline over 20 px.
    judge = estimator(model, ranges=2, max_sources=1, matching_noise=1e-6, position_noise=1e-6)
    judge._range_depths = (1.0, 1.15)
    judge.hold(frame(0, 0))
    judge.hold(frame(0.5, 0.02))
    result = judge.add(frame(1, 0.16, red=20, green=10))
    ways = [np.linalg.norm(source.displacement) for source in result.sources]
    assert sorted(ways) == pytest.approx([0.14, 0.16])
    np.testing.assert_allclose(result.depth_hw, 60 / 20 * np.sqrt(0.14 * 0.16), rtol=1e-4)


def test_ranges_in_turn_are_served_one_a_frame(model):
    judge = estimator(model, ranges=2, max_sources=1, memory=True, ranges_in_turn=True)
    ways = []
    for i in range(30):
        judge._range_depths, judge._middle_depth = (3.0, 12.0), 6.0  # want 8 px * 3 m / 60 px = .4 m, and 1.6 m
        result = judge.add(frame(i / 10, 0.1 * i))
        if i > 20:
            ways.append([np.linalg.norm(source.displacement) for source in result.sources])
    near, far = sorted(ways[:2])
    assert (near, far) == (pytest.approx([0.4], abs=0.06), pytest.approx([1.6], abs=0.25))
    assert ways[2::2] == pytest.approx(np.array([ways[0]] * len(ways[2::2])), rel=0.2)
    assert ways[1::2] == pytest.approx(np.array([ways[1]] * len(ways[1::2])), rel=0.2)


def test_a_drone_too_fast_for_ranges_in_turn_has_one_in_the_middle(model):
    judge = estimator(model, ranges=2, max_sources=1, memory=True, ranges_in_turn=True)
    ways = []
    for i in range(12):
        # 0.6 m at 6 m are 6 px, more than half of 8 px; the ranges by themselves would want 0.4 m and 1.6 m.
        judge._range_depths, judge._middle_depth = (3.0, 12.0), 6.0
        result = judge.add(frame(i / 10, 0.6 * i))
        if i > 4:
            ways.append([np.linalg.norm(source.displacement) for source in result.sources])
    np.testing.assert_allclose(ways, 0.6)


def hover(judge, seconds, start=1.0, x=0.5):
    noise = np.random.default_rng(0).normal(0, 0.001, 200)
    times = np.arange(start + 0.1, start + seconds, 0.1)
    return [judge.add(frame(t, x + noise[i])) for i, t in enumerate(times)]


def measured(model, **options):
    """Return an estimator that has measured a wall at 2.5 m and is out of frames to compare with."""
    judge = estimator(
        model,
        **{
            'memory': True,
            'min_parallax': 2.0,
            'initial_depth': 2.5,
            'buffer_age': 1.05,
            'max_relative_deviation': 0.5,
            **options,
        },
    )
    judge.add(frame(0))
    return judge, judge.add(frame(1, 0.5))


def test_while_hovering_the_map_is_remembered_and_ages(model):
    judge, first = measured(model)
    still = hover(judge, 3)
    assert all(isinstance(result, Estimate) for result in still)
    assert {result.carried for result in still} == {Drop.BASELINE_TOO_SHORT}
    assert {result.measured_ns for result in still} == {first.stamp_ns}
    assert all(not result.sources for result in still)
    np.testing.assert_allclose(still[-1].depth_hw[:, 1:-1], 2.5, rtol=0.01)
    deviations = [first.deviation_hw[24, 32]] + [result.deviation_hw[24, 32] for result in still]
    assert (np.diff(deviations) > 0).all()
    assert deviations[-1] > 2 * deviations[0]


@pytest.mark.parametrize('memory', [False, True])
@pytest.mark.parametrize('wobble', [0.0, 0.002])
def test_no_depth_is_made_up_while_hovering(model, memory, wobble):
    # The network answers whatever it is shown; as nothing was ever measured, nothing may come of it.
    places = np.random.default_rng(0).normal(0, wobble, 80)
    judge = estimator(model, memory=memory)
    results = [judge.add(frame(i / 10, place)) for i, place in enumerate(places)]
    assert set(results) == {Drop.FIRST_FRAME, Drop.BASELINE_TOO_SHORT}


def test_what_is_too_old_is_forgotten(model):
    judge, _ = measured(model, memory_age=1.0)
    results = hover(judge, 3)
    assert all(isinstance(result, Estimate) for result in results[:9])
    assert set(results[11:]) == {Drop.BASELINE_TOO_SHORT}


def test_memory_lets_errors_of_single_maps_average_out(model):
    rng = np.random.default_rng(0)
    errors = {}
    for memory in (False, True):
        judge = estimator(model, memory=memory, max_sources=1, initial_depth=3.0, matching_noise=1e-6)
        judge.add(frame(0))
        errors[memory] = []
        for i in range(1, 40):
            # A wall at 3 m; .2 m a frame is 4 px a frame, and the target 8 px: two frames back.
            red = np.clip(rng.normal(4 * min(i, 2) * 2, 1.2, (48, 64)), 1, 255)
            result = judge.add(frame(i / 10, 0.2 * i, red=np.round(red), green=15))
            errors[memory].append(np.nanmean(np.abs(np.log(result.depth_hw / np.median(result.depth_hw)))))
    assert np.mean(errors[True][10:]) < 0.85 * np.mean(errors[False][10:])


def test_odometry_that_teleports_starts_afresh(model):
    judge = estimator(model, memory=True)
    fly(judge)
    assert judge.add(frame(2, 9)) is Drop.POSE_JUMP
    result = judge.add(frame(2.1, 9.2))
    assert [source.frame.stamp_ns for source in result.sources] == [2_000_000_000]


def test_what_memory_knows_in_a_fast_turn_says_so(model):
    judge = estimator(model, memory=True)
    fly(judge)
    result = judge.add(frame(2, 4, yaw=0.15))
    assert (result.carried, result.measured_ns) == (Drop.ROTATING_TOO_FAST, 1_900_000_000)
    assert 0.5 < np.isfinite(result.depth_hw).mean() < 1  # what has come into view is unknown


@pytest.mark.parametrize(
    'options',
    [
        {'max_sources': 0},
        {'initial_depth': -1},
        {'buffer_size': 1},
        {'min_range': 10, 'max_range': 5},
        {'max_rotation': float('nan')},
        {'alignment_rounds': -1},
        {'rotation_noise': float('nan')},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        EstimatorOptions(**options)


def test_reset_forgets_what_was_remembered(model):
    judge = estimator(model, memory=True)
    fly(judge)
    judge.reset()
    assert judge.add(frame(3, x=5)) is Drop.FIRST_FRAME
    assert judge.add(frame(3.1, x=5)) is Drop.BASELINE_TOO_SHORT


def test_options_change_in_flight_and_the_flight_goes_on(model):
    judge = estimator(model, memory=True)
    before = fly(judge)[-1]
    assert np.isfinite(before.depth_hw).all()
    judge.use(Measurer(model, simple(memory=True, max_range=float(before.depth_hw.min()) / 2)))
    after = judge.add(frame(2, x=4))
    assert after.sources  # of before the change
    assert np.isposinf(after.depth_hw).all()


def test_a_smaller_buffer_takes_effect_in_flight(model):
    judge = estimator(model)
    fly(judge)
    judge.use(Measurer(model, simple(buffer_size=2)))
    judge.add(frame(2, x=4))
    assert len(judge._buffer.frames) == 2


def test_both_focal_lengths_count_each_for_its_axis():
    camera = Camera(64, 48, 60.0, 90.0, 31.5, 23.5)
    depth_hw = np.full((48, 64), 4, np.float32)

    def off(*displacement):
        return geometric_deviation(depth_hw, moved(displacement, camera=camera), 0.1)[24, 32]

    assert off(0.5, 0, 0) == pytest.approx(16 * 0.1 / (60 * 0.5))
    assert off(0, 0.5, 0) == pytest.approx(16 * 0.1 / (90 * 0.5))


def test_odometrys_noise_is_a_share_of_the_longest_way(model):
    measurer = Measurer(model, simple(position_noise=0.02, matching_noise=1e-9))
    result = measurer.estimate(frame(1, 0.5, green=0), [frame(0), frame(0.5, 0.4)])
    np.testing.assert_allclose(result.deviation_hw / result.depth_hw, 0.02 / 0.5, rtol=1e-3)


def test_two_sources_of_one_stamp_are_two(model, monkeypatch):
    seen = []
    measurer = Measurer(model, simple())
    predict = model.predict
    monkeypatch.setattr(model, 'predict', lambda ranges: seen.extend(ranges) or predict(ranges))
    measurer.estimate(frame(1, 0.5), [frame(0), frame(0, -0.5)])
    assert sorted(np.linalg.norm(seen[0].displacements, axis=1)) == pytest.approx([0.5, 1])


def test_a_frame_blurred_by_turning_is_nobodys_partner(model):
    judge = estimator(model, max_rotation=3.0, max_rotation_rate=1.0)
    for i in range(5):
        judge.add(frame(i / 10, 0.2 * i))
    assert judge.add(frame(0.5, 1.0, yaw=0.3)) is Drop.ROTATING_TOO_FAST
    blurred_ns = 500_000_000
    after = judge.add(frame(0.9, 1.8))
    assert blurred_ns not in [source.frame.stamp_ns for source in after.sources]
    assert blurred_ns not in [held.stamp_ns for held in judge._buffer.frames]
    assert judge.hold(frame(1.0, 2.0, yaw=0.4)) is Drop.ROTATING_TOO_FAST


def test_an_image_that_was_overtaken_is_stale_and_harmless(model):
    judge = estimator(model, memory=True)
    fly(judge)
    held = len(judge._buffer.frames)
    assert judge.add(frame(1.899, x=3.798)) is Drop.STALE
    assert len(judge._buffer.frames) == held
    assert isinstance(judge.add(frame(2, x=4)), Estimate)


def test_a_focal_length_that_breathes_is_one_camera(model):
    judge = estimator(model)
    for i in range(10):
        breathing = Camera(64, 48, 60 * (1 + 1e-6 * (-1) ** i), 60.0, 31.5, 23.5)
        result = judge.add(frame(i / 10, 0.2 * i, camera=breathing))
    assert isinstance(result, Estimate)
    assert judge.add(frame(1, 2.0, camera=Camera(64, 48, 63.0, 63.0, 31.5, 23.5))) is Drop.RESIZED


def test_images_that_stay_while_the_drone_moves_are_frozen(model):
    judge = Session(model, simple(check_odometry=True))
    results = [judge.add(frame(i / 10, 0.2 * i)) for i in range(5)]
    assert results == [Drop.FIRST_FRAME] + 4 * [Drop.FROZEN]
    assert len(judge._buffer.frames) == 1


@pytest.mark.parametrize('max_sources', [1, 2])
def test_a_rehearsal_shows_the_model_every_number_of_sources(max_sources):
    class Counting:
        parallax_range = (1.0, 64.0)
        counts = set()

        def input_size(self, camera):
            return camera.width, camera.height

        def predict(self, ranges):
            self.counts |= {len(views.sources) for views in ranges}
            depth = np.full((CAMERA.height, CAMERA.width), 10, np.float32)
            return [Prediction(depth, depth / 100) for _ in ranges]

    model = Counting()
    rehearse(model, EstimatorOptions(max_sources=max_sources), CAMERA)
    assert model.counts == set(range(1, max_sources + 1))


def test_a_rehearsal_leaves_nothing_to_be_compiled_in_flight():
    code = """if True:
        import sys
        from numba.core.dispatcher import Dispatcher
        from ros_depthnet.core.camera import Camera
        from ros_depthnet.core.options import EstimatorOptions
        from ros_depthnet.engines.model import load_model
        from ros_depthnet.flight.session import rehearse
        rehearse(load_model('parallaxnet_small'), EstimatorOptions(), Camera(320, 240, 300, 300, 160, 120))
        found = {value for name, module in sys.modules.items() if name.startswith('ros_depthnet')
                 for value in vars(module).values() if isinstance(value, Dispatcher)}
        print(len(found), [kernel.__name__ for kernel in found if not kernel.signatures])
    """
    printed = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    number, missing = printed.split(maxsplit=1)
    assert int(number) >= 6 and missing.strip() == '[]'
