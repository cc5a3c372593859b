"""Rendered flights: where they go and where they look, by their poses."""
import numpy as np
import pytest

pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.learning.still_box.flights import FlightOptions, scene_poses  # noqa: E402


@pytest.mark.parametrize('heading', [0, 90, 180, -135])
def test_the_way_lies_at_the_heading_from_where_the_camera_looks(heading):
    _, places, R_scene_cam = scene_poses(FlightOptions(weave=0., sway=0., seconds=1., heading=heading))
    ways_cam = np.einsum('nji,nj->ni', R_scene_cam[1:], np.diff(places, axis=0))
    angles = np.degrees(np.arctan2(ways_cam[:, 0], ways_cam[:, 2])) - heading
    np.testing.assert_allclose((angles + 180) % 360 - 180, 0, atol=1e-6)


def test_a_flight_ends_hovering_if_asked_to():
    flown, hovered = (scene_poses(FlightOptions(seconds=4., rate=10., hover=hover))[1] for hover in (0., 1.))
    np.testing.assert_array_equal(hovered[:31], flown[:31])
    np.testing.assert_array_equal(hovered[31:], np.tile(flown[30], (9, 1)))
