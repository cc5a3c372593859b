"""What flies along with the camera is found, and nothing else, and gets no depth."""

from dataclasses import replace

import cv2
import numpy as np
import plane_world as world
import pytest
from tiny_models import red_is_parallax

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, seen
from ros_depthnet.core.measurer import Measurer
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.core.tracks import Tracker
from ros_depthnet.engines.model import load_model
from ros_depthnet.flight.attached import AttachedParts
from ros_depthnet.flight.masks import MaskError, read_mask
from ros_depthnet.flight.session import Session


def sway(count=40):
    """Return poses that swing about two axes while they move on, as hand and drone do."""
    for i in range(count):
        yield world.pose((0.05 * i, 0.02 * np.sin(i), 0), world.turn(0.06 * np.sin(0.9 * i), 0.08 * np.sin(0.6 * i)))


def bars(image):
    image[:, :20] = image[:, -20:] = 0


def gear(image):
    cv2.line(image, (30, 119), (50, 70), (40, 40, 45), 7)


def grey_band(image):
    image[-18:] = 128


def flown(spoil=lambda image: None, poses=None):
    frames = [world.frame(T, i / 10) for i, T in enumerate(poses or sway())]
    for frame in frames:
        spoil(frame.image)
    return frames


def found_in(frames):
    parts = AttachedParts()
    for frame in frames:
        parts.look(frame)
    camera = world.CAMERA
    return ~seen(parts.mask_hw, camera.width, camera.height)


@pytest.mark.parametrize('spoil', [bars, gear, grey_band])
def test_what_flies_along_is_found_and_hardly_more(spoil):
    true_hw = np.zeros((120, 160, 3), np.uint8) + 255
    spoil(true_hw)
    true_hw = true_hw[..., 0] < 255
    found_hw = found_in(flown(spoil))
    assert found_hw[true_hw].mean() > 0.95
    near_hw = cv2.dilate(true_hw.astype(np.uint8), np.ones((11, 11))).astype(bool)
    assert not (found_hw & ~near_hw).any()


def test_nothing_is_found_in_a_scene_that_fills_the_picture():
    assert not found_in(flown()).any()


def test_a_camera_that_does_not_turn_tells_nothing():
    # What is infinitely far would stay in place as well.
    assert not found_in(flown(bars, [world.pose((0.1 * i, 0, 0)) for i in range(40)])).any()


def test_what_the_drone_circles_stays_in_place_too_and_is_no_part_of_it():
    # Round the point 6 m ahead at which the camera keeps looking: the way there undoes what the turning does.
    centre = np.array([0, 0, world.DISTANCE])
    poses = []
    for angle in np.radians(np.arange(40) * 1.5 - 30):
        R = world.turn(0, angle)
        poses.append(world.pose(centre - R @ centre, R))
    frames = flown(poses=poses)
    middle = np.zeros((120, 160), bool)
    middle[40:80, 60:100] = True
    for frame in frames:  # a pole on the axis, which looks alike from all sides
        frame.image[:, 77:83] = 20
    assert not found_in(frames)[middle].any()


def test_images_that_repeat_while_odometry_turns_are_not_taken_for_one_large_overlay():
    first, *others = flown()
    assert not found_in([first, *(replace(frame, image=first.image) for frame in others)]).any()


def test_gear_that_is_retracted_is_forgotten():
    long = list(sway(200))
    parts = AttachedParts()
    for i, frame in enumerate(flown(poses=long)):
        if i < 60:
            gear(frame.image)
        parts.look(frame)
        if i == 59:
            assert parts.mask_hw.any()
    assert parts.mask_hw is None


def test_attached_parts_have_no_depth(tmp_path):
    model = load_model(red_is_parallax(tmp_path))
    options = EstimatorOptions(rotation_noise=0, alignment_rounds=0, memory=False, min_range=0.001)
    masking, blind = (Session(model, replace(options, find_mask=find)) for find in (True, False))

    def readable(image):  # by that model: parallax in red, deviation in green
        image[..., 0] = 20 + image[..., 0] // 8
        image[..., 1] = 4
        bars(image)

    for frame in flown(readable):
        found, believed = masking.add(frame), blind.add(frame)
    width = found.camera.width
    bar, scene = np.s_[:, : width // 10], np.s_[:, width // 4 : -width // 4]
    assert np.isnan(found.depth_hw[bar]).all() and np.isnan(found.deviation_hw[bar]).all()
    np.testing.assert_array_equal(found.depth_hw[scene], believed.depth_hw[scene])
    assert np.isfinite(found.depth_hw[scene]).mean() > 0.5
    assert 0.25 < masking.masked_share < 0.4 and not blind.masked_share


def test_a_masked_source_is_not_valid_where_it_shows_no_scene():
    camera = world.CAMERA
    T_src_ref = world.pose((0, 0, 0), world.turn(0, 0.1))
    source = world.frame(world.pose((0, 0, 0)))
    masked_hw = np.zeros((120, 160), bool)
    masked_hw[:, :20] = True
    view = motion.stabilise(source.image, camera, T_src_ref, seen(masked_hw, 160, 120))
    plain = motion.stabilise(source.image, camera, T_src_ref)
    # Where each pixel of the stabilised view comes from, ray by ray.
    u = np.arange(160.0)
    x, z = (u - camera.cx) / camera.fx, 1.0
    turned = T_src_ref[:3, :3] @ np.stack([x, np.zeros(160), np.full(160, z)])
    from_u = turned[0] / turned[2] * camera.fx + camera.cx
    row = round(camera.cy)
    clear = np.abs(from_u - 19.5) > 1.5
    np.testing.assert_array_equal(view.valid_hw[row][clear], (plain.valid_hw[row] & (from_u > 19.5))[clear])


def test_no_corners_are_followed_on_what_is_masked():
    masked_hw = np.zeros((120, 160), bool)
    masked_hw[:, :80] = True
    tracker = Tracker()
    frames = [replace(frame, masked_hw=masked_hw) for frame in flown(poses=list(sway(3)))]
    matches = [tracker.follow(frame) for frame in frames][1]
    scale = matches.camera.width / 160
    assert len(matches.pixels_later) and matches.pixels_earlier[:, 0].min() > 79 * scale
    assert matches.pixels_later[:, 0].min() > 79 * scale


def test_one_frame_alone_may_say_where_it_shows_no_scene(tmp_path):
    model = load_model(red_is_parallax(tmp_path))
    frames = flown(poses=[world.pose((0, 0, 0)), world.pose((0.3, 0, 0))])
    masked_hw = np.zeros((60, 80), bool)  # of another size than the image
    masked_hw[:30] = True
    estimate = Measurer(model, EstimatorOptions(rotation_noise=0, alignment_rounds=0)).estimate(
        replace(frames[1], image=np.full((120, 160, 3), 4, np.uint8), masked_hw=masked_hw), frames[:1]
    )
    half = estimate.depth_hw.shape[0] // 2
    assert np.isnan(estimate.depth_hw[:half]).all() and np.isfinite(estimate.depth_hw[half + 2 :]).mean() > 0.9


def test_a_mask_file_is_white_where_the_scene_is_seen(tmp_path):
    picture = np.full((12, 16), 255, np.uint8)
    picture[-3:] = 0
    cv2.imwrite(str(tmp_path / 'mask.png'), picture)
    np.testing.assert_array_equal(read_mask(tmp_path / 'mask.png'), picture == 0)


def test_masks_that_cannot_be_used_say_so(tmp_path):
    with pytest.raises(MaskError, match='no readable picture'):
        read_mask(tmp_path / 'missing.png')
    cv2.imwrite(str(tmp_path / 'black.png'), np.zeros((12, 16), np.uint8))
    with pytest.raises(MaskError, match='black all over'):
        read_mask(tmp_path / 'black.png')


def test_a_frame_resized_keeps_its_mask():
    frame = Frame(
        0,
        np.zeros((8, 16, 3), np.uint8),
        Camera(16, 8, 9.0, 9.0, 8.0, 4.0),
        np.eye(4),
        masked_hw=np.eye(8, 16, dtype=bool),
    )
    assert not frame.resized(8, 4).seen_hw[np.eye(4, 8, dtype=bool)].any() and frame.resized(8, 4).seen_hw.any()
