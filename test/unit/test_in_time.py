"""Depth that comes late, as a planner has it."""

import plane_world as world
import pytest

from ros_depthnet.evaluation.in_time import newest, scores_in_time
from ros_depthnet.evaluation.moments import Moments
from ros_depthnet.flight.posed_sequence import NewFrame, PosedSequence, write_posed_sequence

PLACES = [world.pose((0.3 * i, 0, 0)) for i in range(3)]
STAMPS_NS = [0, 10**8, 2 * 10**8]


@pytest.fixture
def flight(tmp_path):
    frames = [NewFrame(world.frame(place, i / 10), world.depth(place)) for i, place in enumerate(PLACES)]
    about = {'name': 'plane', 'source': 'homographies', 'licence': 'Apache-2.0', 'kind': 'rendered'}
    return PosedSequence.load(write_posed_sequence(tmp_path / 'flight', frames, [(1, 0)], max_depth=50.0, **about))


@pytest.fixture
def moments(tmp_path, flight):
    """Return exact depth of the first two frames."""
    found = Moments(tmp_path / 'moments')
    for i in (0, 1):
        found.add_image(STAMPS_NS[i], flight.image(i))
        found.add_camera(STAMPS_NS[i], flight.camera)
        found.add_depth(STAMPS_NS[i], flight.depth(i))
        found.add_deviation(STAMPS_NS[i], 0.05 * flight.depth(i))
        found.add_pose(STAMPS_NS[i], PLACES[i])
    return found


def test_the_newest_is_the_latest_stamp_of_what_has_arrived():
    arrivals = {10: 1.0, 20: 3.0, 30: 2.5}
    assert [newest(arrivals, now) for now in (0.9, 1.0, 2.6, 9.0)] == [None, 10, 30, 30]


def test_late_depth_is_scored_from_where_the_image_is_taken(flight, moments):
    images = dict(zip(STAMPS_NS, (0.0, 0.1, 0.2), strict=True))
    prompt, late = (
        list(scores_in_time(flight, moments, images, dict(zip(STAMPS_NS[:2], arrivals, strict=True))))
        for arrivals in ((0.05, 0.15), (0.15, 0.25))
    )
    assert len(prompt) == 2  # as the second and the third image come
    (score,) = late  # only the first depth has come, two steps ago
    assert score.mae_log < 0.01
    assert score.coverage < prompt[-1].coverage < 1
    assert score.delta_125 == pytest.approx(score.coverage)


def test_depth_that_never_comes_in_time_scores_nothing(flight, moments):
    assert list(scores_in_time(flight, moments, dict.fromkeys(STAMPS_NS, 0.0), dict.fromkeys(STAMPS_NS, 1.0))) == []
