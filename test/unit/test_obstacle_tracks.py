"""Obstacles over time: whose box is whose, how it moves, and when it comes nearest."""

import numpy as np
import pytest

from ros_depthnet.core.obstacle_tracks import ObstacleTracks
from ros_depthnet.core.obstacles import Box

STEP_NS = 100_000_000
STILL = np.zeros(3)


def box(centre, size=(0.5, 0.5, 1.0), drone=STILL):
    centre = np.array(centre, float)
    return Box(centre, np.array(size, float), float(np.linalg.norm(centre - drone)), 100)


def followed(places, frames, drone=lambda t: STILL, noise=0.0, tracks=None):
    """Return the obstacles of each frame; places: of each obstacle by time, seconds."""
    rng, tracks = np.random.default_rng(0), tracks or ObstacleTracks()
    return [
        tracks.update(
            round(i * STEP_NS), [box(place(0.1 * i) + rng.normal(0, noise, 3)) for place in places], drone(0.1 * i)
        )
        for i in range(frames)
    ]


def line(start, velocity):
    return lambda t: np.array(start, float) + t * np.array(velocity, float)


def test_numbers_stay_with_things_that_pass_each_other():
    frames = followed([line((5, -2, 0), (0, 2, 0)), line((6, 2, 0), (0, -2, 0))], 20, noise=0.02)
    numbers = [[each.number for each in obstacles] for obstacles in frames]
    assert numbers == [[0, 1]] * 20


def test_each_box_goes_to_the_thing_it_fits_best_whatever_their_order():
    tracks = ObstacleTracks()
    tracks.update(0, [box((5, 0, 0)), box((5, 0.6, 0))], STILL)
    later = tracks.update(STEP_NS, [box((5, 0.4, 0)), box((5, 0.05, 0))], STILL)
    assert [each.number for each in later] == [1, 0]


def test_velocity_comes_with_a_deviation_that_covers_its_error():
    last = followed([line((6, -3, 1), (0.5, 3, 0))], 15, noise=0.05)[-1][0]
    assert (np.abs(last.velocity - (0.5, 3, 0)) < 2 * last.deviation).all()
    assert last.velocity[1] == pytest.approx(3, abs=0.5)


def test_what_crosses_at_3_metres_a_second_is_announced_in_half_a_second():
    frames = followed([line((6, -3, 0), (0, 3, 0))], 6, noise=0.05)
    assert not frames[0][0].moving
    assert frames[5][0].moving


def test_how_likely_something_moves_is_the_share_of_draws_that_do():
    """Of velocities drawn about the estimate along itself."""
    last = followed([line((6, -3, 0), (0.1, 0.5, 0))], 6)[-1][0]
    rng = np.random.default_rng(0)
    drawn = last.speed + rng.normal(0, np.linalg.norm(last.velocity / last.speed * last.deviation), 200_000)
    assert last.probability_moving == pytest.approx((drawn > 0.3).mean(), abs=0.005)
    assert 0.55 < last.probability_moving < 0.95


def test_the_boxs_centre_is_as_sure_as_its_size_and_distance_allow():
    (first,) = ObstacleTracks().update(0, [box((6, 0, 0))], STILL)
    noise = 0.05**2 + (0.1 * np.array((0.5, 0.5, 1))) ** 2 + (0.02 * 6) ** 2
    np.testing.assert_allclose(first.centre_deviation, np.sqrt(noise))


def test_who_walks_is_announced_within_a_second():
    frames = followed([line((6, -1, 0), (0, 1.2, 0))], 11, noise=0.02)
    assert not frames[1][0].moving and frames[10][0].moving


def test_what_jumps_about_as_it_goes_is_not_surely_moving():
    """Far ground, of which the height band shows now this piece and now that, farther on as the drone flies."""
    moving = 0
    for seed in range(10):
        rng, tracks = np.random.default_rng(seed), ObstacleTracks()
        for i in range(20):
            centre = (10 + 0.2 * i, 0, 0) + rng.normal(0, 0.4, 3)
            (obstacle,) = tracks.update(i * STEP_NS, [box(centre, (0.7, 0.7, 0.1))], STILL)[:1]
            moving += obstacle.moving
    assert moving <= 4  # of 200


def test_what_stands_does_not_move_though_it_is_measured_with_noise():
    for seed in range(5):
        rng, tracks = np.random.default_rng(seed), ObstacleTracks()
        frames = [tracks.update(i * STEP_NS, [box((6, 0, 0) + rng.normal(0, 0.1, 3))], STILL) for i in range(50)]
        assert not any(obstacle.moving for obstacles in frames for obstacle in obstacles)


def test_a_long_wall_of_which_ever_another_piece_is_seen_does_not_move():
    tracks = ObstacleTracks()
    frames = [
        tracks.update(i * STEP_NS, [box((0.2 * i, 3, 0), (4, 0.3, 2))], np.array((0.2 * i, 0, 0))) for i in range(30)
    ]
    assert not any(obstacles[0].moving for obstacles in frames)


def test_a_thing_of_which_more_comes_into_view_does_not_move():
    """A post in front of which a wall draws back: one side of it stands, the other goes on."""
    tracks = ObstacleTracks()
    for i in range(15):
        shown = 0.2 + 0.15 * i
        (obstacle,) = tracks.update(i * STEP_NS, [box((6, shown / 2, 0), (0.2, shown, 1.0))], STILL)
        assert obstacle.velocity[1] < 0.1 and not obstacle.moving


def test_what_is_of_another_size_is_another_thing():
    tracks = ObstacleTracks()
    for i in range(5):
        tracks.update(i * STEP_NS, [box((6, 0, 0), (0.4, 0.4, 1.5))], STILL)
    wall, post = tracks.update(5 * STEP_NS, [box((6, 0, 0), (3, 3, 1.5)), box((6.1, 0.1, 0), (0.4, 0.4, 1.5))], STILL)
    assert (post.number, wall.number) == (0, 1)


def test_closest_approach_is_that_of_two_straight_lines():
    drone = line((0, 0, 0), (2, 0, 0))
    thing = line((10, -6, 0), (0, 2, 0))
    now = followed([thing], 30, drone=drone)[-1][0]
    times = np.linspace(0, 10, 100001)
    distances = np.linalg.norm([thing(2.9 + t) - drone(2.9 + t) for t in times[::100]], axis=1)
    assert now.closest_s == pytest.approx(times[::100][distances.argmin()], abs=0.1)
    assert now.closest_m == pytest.approx(distances.min(), abs=0.1)


def test_what_goes_away_is_nearest_now():
    now = followed([line((3, 0, 0), (2, 0, 0))], 10)[-1][0]
    assert (now.closest_s, now.closest_m) == (0, pytest.approx(now.box.distance))


def test_a_thing_hidden_for_a_moment_keeps_its_number_and_not_for_long():
    tracks = ObstacleTracks()
    place = line((5, -1, 0), (0, 1, 0))
    before = [tracks.update(i * STEP_NS, [box(place(0.1 * i))], STILL) for i in range(10)][-1][0].number
    for i in range(10, 15):
        tracks.update(i * STEP_NS, [], STILL)
    assert tracks.update(15 * STEP_NS, [box(place(1.5))], STILL)[0].number == before
    assert tracks.update(40 * STEP_NS, [box(place(4.0))], STILL)[0].number != before


def test_time_that_runs_back_starts_afresh_with_new_numbers():
    tracks = ObstacleTracks()
    tracks.update(10 * STEP_NS, [box((5, 0, 0))], STILL)
    assert tracks.update(0, [box((5, 0, 0))], STILL)[0].number == 1
