import numpy as np
import pytest

from ros_depthnet.core import motion
from ros_depthnet.core.baseline import (
    Drop,
    FrameBuffer,
    PairOptions,
    choose_sources,
    depth_ranges,
    farther_sources,
    pose_jumped,
    source_of,
)
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import BadImage, Frame

CAMERA = Camera(16, 16, 100.0, 100.0, 7.5, 7.5)
IMAGE = np.zeros((16, 16, 3), np.uint8)
OPTIONS = PairOptions(max_sources=2, target_parallax=8, min_parallax=1, max_rotation=0.35, max_rotation_rate=1)


def frame(seconds, x=0.0, yaw=0.0):
    T = motion.pose([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]], [x, 0, 0])
    return Frame(round(seconds * 1e9), IMAGE, CAMERA, T)


def flight(rate, speed, duration=2.0):
    return [frame(i / rate, speed * i / rate) for i in range(round(rate * duration) + 1)]


def chosen(frames, depth=10.0, options=OPTIONS):
    """Return the sources of the only range, or why there are none."""
    ranges = choose_sources(frames[-1], frames[:-1], [depth], options)
    return ranges if isinstance(ranges, Drop) else ranges[0]


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((0, 16, 3), np.uint8),
        np.zeros((16, 16, 3), np.float32),
        np.zeros((16, 16), np.uint8),
        np.zeros((16, 15, 3), np.uint8),
    ],
)
def test_an_image_no_depth_can_come_from_is_refused(image):
    with pytest.raises(BadImage):
        Frame(0, image, CAMERA, np.eye(4))


def test_a_frame_without_a_proper_pose_is_refused():
    with pytest.raises(motion.InvalidPose):
        Frame(0, IMAGE, CAMERA, np.full((4, 4), np.nan))


def test_a_source_knows_its_displacement_in_the_axes_of_the_reference():
    reference, source = frame(1, x=2, yaw=0.2), frame(0, x=1.5, yaw=0.1)
    result = source_of(reference, source, range_depth=4)
    point_ref = np.array([0.5, 0.3, 4])
    # The same world point in both cameras, the source's turned into the reference's axes by hand.
    point_world = reference.T_world_cam[:3, :3] @ point_ref + reference.T_world_cam[:3, 3]
    point_stabilised = reference.T_world_cam[:3, :3].T @ (point_world - source.T_world_cam[:3, 3])
    np.testing.assert_allclose(point_ref + result.displacement, point_stabilised, atol=1e-12)
    assert result.rotation == pytest.approx(0.1)
    assert result.parallax == pytest.approx(100 * 0.5 / 4)


@pytest.mark.parametrize('rate', [5, 30, 120])
def test_the_first_source_puts_the_median_depth_on_target_at_any_frame_rate(rate):
    # 8 px = 100 px * 0.8 m / 10 m
    first = chosen(flight(rate, speed=2))[0]
    assert np.linalg.norm(first.displacement) == pytest.approx(0.8, abs=1 / rate)


@pytest.mark.parametrize('rate', [5, 60])
@pytest.mark.parametrize('way', [(0, 0, 1), (0, 0, -1), (1, 0, 0), (-1, 0, 0), (0, -1, 0), (0.6, 0, -0.8)])
def test_any_direction_of_flight_puts_the_median_depth_on_target(way, rate):
    places = 2 / rate * np.arange(2 * rate)[:, None] * np.array(way)
    frames = [
        Frame(round(i * 1e9 / rate), IMAGE, CAMERA, motion.pose(np.eye(3), place)) for i, place in enumerate(places)
    ]
    first = chosen(frames)[0]
    np.testing.assert_allclose(first.displacement, 0.8 * np.array(way), atol=1e-9)
    assert first.parallax == pytest.approx(8)


@pytest.mark.parametrize('looks', [0, np.pi / 2, np.pi])
@pytest.mark.parametrize('rate', [10, 60])
def test_a_turn_is_flown_through_looking_any_way(looks, rate):
    # 2 m/s round a circle of 4 m radius; the source is a chord away, and turned by its arc.
    angles = 0.5 / rate * np.arange(3 * rate)
    frames = [
        Frame(
            round(i * 1e9 / rate),
            IMAGE,
            CAMERA,
            motion.pose(
                [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]],
                [-4 * np.cos(angle), 0, 4 * np.sin(angle)],
            ),
        )
        for i, (angle, yaw) in enumerate(zip(angles, angles + looks, strict=True))
    ]
    first = chosen(frames)[0]
    assert np.linalg.norm(first.displacement) == pytest.approx(0.8, abs=1.1 / rate)
    assert np.linalg.norm(first.displacement) == pytest.approx(8 * np.sin(first.rotation / 2))


@pytest.mark.parametrize('depth, baseline', [(2.5, 0.2), (5, 0.4), (20, 1.6)])
def test_a_farther_scene_takes_a_longer_baseline(depth, baseline):
    assert np.linalg.norm(chosen(flight(60, 2), depth)[0].displacement) == pytest.approx(baseline, abs=0.04)


def test_the_second_source_has_half_as_much_baseline_again():
    first, second = chosen(flight(60, 2))
    assert second.parallax == pytest.approx(1.5 * first.parallax, rel=0.1)


def test_there_is_one_source_if_all_others_are_too_far_away():
    # At 10 m and 8 m/s, 5 frames a second, the last frame has 16 px of parallax, twice the target.
    assert [source.parallax for source in chosen(flight(5, speed=8))] == pytest.approx([16])


def test_no_two_sources_are_almost_the_same():
    frames = [frame(0, 0), frame(0.1, 0.02), frame(0.2, 0.04), frame(0.3, 0.8)]
    assert len(chosen(frames)) == 1


def test_hovering_gives_no_sources():
    assert chosen([frame(i / 10, 0.001 * i) for i in range(20)]) is Drop.BASELINE_TOO_SHORT


def test_the_first_frame_has_no_partner():
    assert chosen([frame(0)]) is Drop.FIRST_FRAME


def test_a_fast_turn_is_named():
    assert chosen([frame(0, 0), frame(0.9, 0.8), frame(1, 0.85, yaw=0.11)]) is Drop.ROTATING_TOO_FAST
    assert isinstance(chosen([frame(0, 0), frame(0.9, 0.8), frame(1, 0.85, yaw=0.09)]), tuple)


def test_frames_that_looked_elsewhere_are_no_sources():
    frames = [frame(0, 0), frame(1, 0.4, yaw=0.3), frame(2, 0.8, yaw=0.6)]
    assert [source.frame for source in chosen(frames)] == [frames[1]]
    assert chosen([frame(0, 0), frame(1, 0.8, yaw=0.5)]) is Drop.ROTATED_TOO_FAR


def test_the_buffer_is_bounded_in_number_and_age():
    buffer = FrameBuffer(capacity=10, max_age=1.5)
    for item in flight(30, 2, duration=10):
        buffer.add(item)
        assert len(buffer.frames) <= 10
    assert buffer.frames[-1].stamp_ns == 10_000_000_000
    assert buffer.frames[0].stamp_ns >= 8_500_000_000
    assert [f.stamp_ns for f in buffer.frames] == sorted(f.stamp_ns for f in buffer.frames)


@pytest.mark.parametrize('rate', [10, 60, 200])
@pytest.mark.parametrize('speed', [0.5, 2, 8])
def test_every_baseline_flown_in_the_last_seconds_stays_within_reach(rate, speed):
    buffer = FrameBuffer(capacity=24, max_age=5)
    for item in flight(rate, speed, duration=12):
        buffer.add(item)
    newest = buffer.frames[-1].T_world_cam[0, 3]
    baselines = np.array([newest - held.T_world_cam[0, 3] for held in buffer.frames[:-1]])
    assert baselines.max() > 3.5 * speed
    for wanted in np.geomspace(max(0.1, speed / rate), 3.5 * speed, 30):
        assert np.abs(np.log(baselines / wanted)).min() < np.log(1.5)


def test_hovering_does_not_push_out_the_frames_of_the_approach():
    buffer = FrameBuffer(capacity=12, max_age=60)
    for item in flight(20, 1, duration=2):
        buffer.add(item)
    noise = np.random.default_rng(0).normal(0, 0.005, 200)
    for i in range(200):
        buffer.add(frame(2.1 + i / 20, 2 + noise[i]))
    baselines = np.array([2 - held.T_world_cam[0, 3] for held in buffer.frames])
    for wanted in (0.3, 0.6, 1.2, 2):
        assert np.abs(np.log(np.maximum(baselines, 1e-3) / wanted)).min() < np.log(1.5)


def bimodal(near, far, share, rng):
    logs = np.where(
        rng.random((60, 80)) < share, rng.normal(np.log(near), 0.1, (60, 80)), rng.normal(np.log(far), 0.2, (60, 80))
    )
    return np.exp(logs).astype(np.float32)


@pytest.mark.parametrize('near, far, share', [(2, 20, 0.5), (3, 9, 0.2), (1, 40, 0.9)])
def test_two_ranges_are_the_best_cut_of_all(near, far, share):
    depth = bimodal(near, far, share, np.random.default_rng(0))
    # Brute force: of all places to cut the sorted logarithms, the one with the least squares.
    logs = np.sort(np.log(depth), axis=None)
    cuts = np.arange(50, logs.size - 50, 10)
    cut = min(cuts, key=lambda k: logs[:k].var() * k + logs[k:].var() * (logs.size - k))
    expected = np.exp([np.median(logs[:cut]), np.median(logs[cut:])])
    np.testing.assert_allclose(depth_ranges(depth, 2), expected, rtol=0.02)


def test_one_range_is_the_median():
    depth = bimodal(2, 20, 0.3, np.random.default_rng(0))
    assert depth_ranges(depth, 1) == pytest.approx((np.median(depth),), rel=0.01)


def test_ranges_know_nothing_of_what_has_no_depth():
    depth = np.full((10, 10), np.nan, np.float32)
    assert depth_ranges(depth, 2) == ()
    depth[:5] = np.inf
    depth[7:] = 4
    assert depth_ranges(depth, 3) == pytest.approx((4,))


def test_every_range_gets_the_frame_that_puts_it_on_target():
    frames = flight(60, 2)
    one = PairOptions(**{**vars(OPTIONS), 'max_sources': 1})
    near, far = choose_sources(frames[-1], frames[:-1], [2.5, 20], one)
    for depth, (source,) in ((2.5, near), (20, far)):
        # Brute force over all frames: parallax 100 px * way / depth against the target of 8 px.
        ways = np.array([frames[-1].T_world_cam[0, 3] - each.T_world_cam[0, 3] for each in frames[:-1]])
        best = np.abs(np.log(100 * ways / depth / 8)).argmin()
        assert source.frame is frames[best]
        assert source.parallax == pytest.approx(100 * ways[best] / depth)


def test_ranges_with_the_same_frames_are_one():
    frames = [frame(0, 0), frame(1, 0.5)]
    assert len(choose_sources(frames[-1], frames[:-1], [5, 6], OPTIONS)) == 1


def test_depth_is_aligned_with_frames_of_three_times_the_parallax():
    frames = flight(30, 2, duration=4)  # 8 px of 10 m are .8 m
    sources = chosen(frames)
    farther = farther_sources(frames[-1], frames[:-1], sources, OPTIONS)
    assert farther[0].parallax == pytest.approx(24, rel=0.05)
    assert len(farther) == 2
    for one, other in zip((*sources, *farther), farther[::-1], strict=False):
        assert one is other or abs(np.log(one.parallax / other.parallax)) > np.log(1.25)
    none = PairOptions(**{**vars(OPTIONS), 'alignment_sources': 0})
    assert farther_sources(frames[-1], frames[:-1], sources, none) == ()


def test_what_is_not_far_enough_or_looks_elsewhere_is_not_aligned_with():
    frames = [frame(0, -2.4, yaw=0.4), frame(1, -0.8), frame(2, -0.6), frame(3, 0)]
    assert farther_sources(frames[-1], frames[:-1], chosen(frames), OPTIONS) == ()


def test_a_range_too_far_for_any_baseline_is_left_out():
    frames = [frame(0, 0), frame(1, 0.5)]
    ((source,),) = choose_sources(frames[-1], frames[:-1], [5, 400], OPTIONS)
    assert source.parallax == pytest.approx(10)


@pytest.mark.parametrize('rate', [5, 30, 200])
def test_odometry_that_teleports_is_noticed(rate):
    frames = flight(rate, speed=8, duration=1)
    *earlier, last = frames
    assert not pose_jumped(earlier, last, max_speed=30)
    allowed = 0.2 + 50 / rate**2  # 10 cm for each position, and what 50 m/s^2 do twice
    for jump, jumped in ((0.9 * allowed, False), (1.1 * allowed, True)):
        moved = frame(last.stamp_ns / 1e9, last.T_world_cam[0, 3] + jump)
        assert pose_jumped(earlier, moved, max_speed=1000) == jumped


def test_no_drone_is_faster_than_the_limit():
    assert pose_jumped([frame(0, 0)], frame(1, 31), max_speed=30)
    assert not pose_jumped([frame(0, 0)], frame(1, 29), max_speed=30)
    assert not pose_jumped([], frame(1, 29), max_speed=30)


@pytest.mark.parametrize('rate', [5, 30])
def test_hard_manoeuvres_and_noisy_odometry_are_no_jumps(rate):
    rng = np.random.default_rng(0)
    seconds = np.arange(0, 4, 1 / rate)
    places = 10 * seconds**2 + rng.normal(0, 0.02, seconds.size)  # 2 g of acceleration, 2 cm of noise
    frames = [frame(t, x) for t, x in zip(seconds, places, strict=True)]
    assert not any(pose_jumped(frames[:i], frames[i], max_speed=200) for i in range(len(frames)))
