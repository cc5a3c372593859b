"""Rendered flights: their sensors, what moves in them, and that a seed decides them."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.core.cloud import CloudOptions, make_cloud  # noqa: E402
from ros_depthnet.core.obstacle_tracks import ObstacleTracks  # noqa: E402
from ros_depthnet.core.obstacles import ObstacleOptions, cluster_obstacles  # noqa: E402
from ros_depthnet.learning.still_box.flights import flight, frame_stamps, odom_poses, scene_poses  # noqa: E402
from ros_depthnet.learning.still_box.options import IDEAL, FlightOptions, SensorOptions  # noqa: E402
from ros_depthnet.learning.still_box.sensor import Sensor  # noqa: E402
from ros_depthnet.learning.still_box.textures import TextureAtlas  # noqa: E402

SMALL = FlightOptions('terrain', seconds=0.4, width=64, height=48, samples=1)
GREY = np.full((40, 60, 3), 0.5, np.float32)


@pytest.fixture(scope='module')
def atlas():
    return TextureAtlas(procedural=8, photo_tiles=0)


def taken(options, number=1, image=GREY, seed=0):
    sensor = Sensor(options, rate=10.0, seed=seed)
    return np.stack([sensor.take(image) for _ in range(number)]).astype(float)


def test_without_flaws_the_light_is_what_is_taken():
    image = np.random.default_rng(0).random((8, 9, 3)).astype(np.float32)
    assert np.array_equal(taken(IDEAL, image=image)[0], np.round(image * 255))


def test_noise_has_the_deviation_asked_for_at_white_and_less_in_the_dark():
    options = SensorOptions(noise=0.03)
    assert taken(options, 30, GREY * 1.6).std() == pytest.approx(0.03 * 255 * np.sqrt(0.84), rel=0.05)
    assert taken(options, 30, GREY * 0.4).std() == pytest.approx(0.03 * 255 * np.sqrt(0.36), rel=0.05)


def test_exposure_drifts_with_the_deviation_asked_for():
    gains = np.log(taken(SensorOptions(exposure=0.2), 4000, GREY[:2, :2]).mean((1, 2, 3)) / 127.5)
    assert gains.std() == pytest.approx(0.2, rel=0.2)
    assert np.abs(np.diff(gains)).mean() < 0.08  # from frame to frame much less than over time


def test_corners_lose_the_share_of_light_asked_for():
    image = taken(SensorOptions(vignetting=0.4))[0]
    assert image[0, 0, 0] == pytest.approx(0.6 * 127.5, abs=1)
    assert image[20, 30, 0] == pytest.approx(127.5, abs=1.5)


def test_blur_spreads_a_point_by_the_deviation_asked_for():
    image = np.zeros((41, 41, 3), np.float32)
    image[20, 20] = 1
    blurred = taken(SensorOptions(blur=1.5), image=image)[0, ..., 0]
    spread = (blurred.sum(0) * (np.arange(41) - 20) ** 2).sum() / blurred.sum()
    assert np.sqrt(spread) == pytest.approx(1.5, abs=0.15)


def test_a_seed_decides_a_flight_with_all_its_flaws(atlas):
    options = dataclasses.replace(SMALL, movers=3)
    sensor = SensorOptions(noise=0.02, blur=0.5, exposure=0.1, vignetting=0.2)

    def images(options):
        return np.stack([moment.frame.image for moment in flight(options, atlas, sensor=sensor)])

    first = images(options)
    assert np.array_equal(first, images(options))
    assert not np.array_equal(first, images(dataclasses.replace(options, seed=1)))


def test_what_moves_is_marked_and_nothing_else_changes(atlas):
    with_movers = list(flight(dataclasses.replace(SMALL, movers=4), atlas))
    without = list(flight(SMALL, atlas))
    assert np.any([moment.moving_hw.any() for moment in with_movers])
    for moment, still in zip(with_movers, without):
        assert not still.moving_hw.any()
        rest = ~moment.moving_hw
        # How products of matrices round depends on their size and on the processor.
        np.testing.assert_allclose(moment.depth_hw[rest], still.depth_hw[rest], rtol=1e-3)
        assert (moment.depth_hw[moment.moving_hw] < still.depth_hw[moment.moving_hw]).all()


def test_what_crosses_at_3_metres_a_second_is_announced_half_a_second_after_it_came_into_view(atlas):
    """By exact depth; it is in view from one percent of the image on."""
    options = FlightOptions(
        'street', seed=3, seconds=2.4, crossing=3.0, width=96, height=72, field_of_view=60, samples=1
    )
    tracks, first_ns = ObstacleTracks(), None
    for moment in flight(options, atlas):
        frame = moment.frame
        place = frame.T_world_cam[:3, 3]
        cloud = make_cloud(moment.depth_hw, None, None, frame.camera, frame.T_world_cam, CloudOptions(stride=1))
        boxes = cluster_obstacles(cloud.points, place, np.array([0.0, 0, 1]), ObstacleOptions())
        obstacles = tracks.update(frame.stamp_ns, boxes, place)
        if first_ns is None and moment.moving_hw.mean() >= 0.01:
            first_ns = frame.stamp_ns
        if any(obstacle.moving for obstacle in obstacles):
            break
    assert first_ns is not None and frame.stamp_ns - first_ns <= 0.5e9
    (announced,) = (obstacle for obstacle in obstacles if obstacle.moving)
    np.testing.assert_allclose(announced.velocity[:2], (0, -3), atol=0.8)  # from the left to the right


def test_frames_are_posed_on_the_smooth_path(atlas):
    stamps = frame_stamps(SMALL)
    moments = list(flight(SMALL, atlas))
    for moment, T_odom_cam, stamp in zip(moments, odom_poses(SMALL, stamps), stamps):
        assert moment.frame.stamp_ns == round(stamp * 1e9)
        assert np.array_equal(moment.frame.T_world_cam, T_odom_cam)
    fine = np.array(odom_poses(SMALL, np.arange(0, 10, 0.02)))
    speed = np.linalg.norm(np.diff(fine[:, :3, 3], axis=0), axis=1) / 0.02
    assert np.abs(np.diff(speed)).max() < 0.05  # metres a second, from one to the next
    assert speed.min() > 0.95 * SMALL.speed


def test_a_way_that_no_scene_leaves_free_is_a_sentence(atlas):
    with pytest.raises(ValueError, match='room leaves 600 m free'):
        next(flight(FlightOptions('room', seconds=300.0, width=64, height=48), atlas))


@pytest.mark.parametrize('heading', [0, 90, 180, -135])
def test_the_way_lies_at_the_heading_from_where_the_camera_looks(heading):
    options = FlightOptions(weave=0.0, sway=0.0, seconds=1.0, heading=heading)
    places, R_scene_cam = scene_poses(options, frame_stamps(options))
    ways_cam = np.einsum('nji,nj->ni', R_scene_cam[1:], np.diff(places, axis=0))
    angles = np.degrees(np.arctan2(ways_cam[:, 0], ways_cam[:, 2])) - heading
    np.testing.assert_allclose((angles + 180) % 360 - 180, 0, atol=1e-6)


def test_a_flight_ends_hovering_if_asked_to():
    def places(hover):
        options = FlightOptions(seconds=4.0, rate=10.0, hover=hover)
        return scene_poses(options, frame_stamps(options))[0]

    np.testing.assert_array_equal(places(1.0)[:31], places(0.0)[:31])
    np.testing.assert_array_equal(places(1.0)[31:], np.tile(places(0.0)[30], (9, 1)))


def test_a_flight_turns_on_the_spot_to_the_left_if_asked_to():
    options = FlightOptions(seconds=4.0, rate=10.0, hover=2.0, turn=90.0, sway=0.0, weave=0.0)
    _, R_scene_cam = scene_poses(options, np.array([2.0, 3.0, 4.0]))
    np.testing.assert_allclose(R_scene_cam[0], np.eye(3), atol=1e-9)
    np.testing.assert_allclose(R_scene_cam[1] @ [0, 0, 1], [-np.sqrt(0.5), 0, np.sqrt(0.5)], atol=1e-9)
    np.testing.assert_allclose(R_scene_cam[2] @ [0, 0, 1], [-1, 0, 0], atol=1e-9)
