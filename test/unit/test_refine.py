"""Residual rotation: from points whose motion is known, and from pictures of a plane."""

import dataclasses

import cv2
import numpy as np
import plane_world as world
import pytest
from tiny_models import red_is_parallax

from ros_depthnet.core import motion, refine
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.epipolar import rays_of
from ros_depthnet.core.measurer import Measurer
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.model import load_model

CAMERA = Camera(256, 192, 150.0, 150.0, 127.5, 95.5)
NOISE = np.radians(0.5)
AHEAD, SIDEWAYS, BACK, ASKEW = (0, 0, 0.5), (0.4, 0, 0), (0.05, 0, -0.5), (0.2, -0.1, 0.4)


def seen(displacement, rotation, count=200, seed=0):
    """Return pixels of random points in a reference and in a source turned by a rotation vector."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform((0, 0), (255, 191), (count, 2))
    rays = np.column_stack([(pixels - (CAMERA.cx, CAMERA.cy)) / CAMERA.fx, np.ones(count)])
    points = rays * rng.uniform(3, 20, (count, 1)) + displacement
    return pixels, CAMERA.project(points @ cv2.Rodrigues(np.array(rotation))[0].T)


def found_rotation(pixels_ref, pixels_src, displacement, noise=NOISE, camera=CAMERA):
    rays = (rays_of(pixels, camera) for pixels in (pixels_ref, pixels_src))
    return refine.residual_rotation(*rays, camera.fx, np.array(displacement), noise).rotation


@pytest.mark.parametrize('displacement', [AHEAD, SIDEWAYS, BACK, ASKEW])
def test_the_rotation_of_a_source_is_found_whatever_the_depths(displacement):
    rotation = np.radians([0.2, -0.15, 0.25])
    found = found_rotation(*seen(displacement, rotation), displacement)
    np.testing.assert_allclose(found, rotation, atol=np.radians(0.03))


def test_what_moves_by_itself_does_not_count():
    rotation = np.radians([0.2, -0.15, 0.25])
    reference, source = seen(ASKEW, rotation)
    source[::4] += (6, 9)
    found = found_rotation(reference, source, ASKEW)
    np.testing.assert_allclose(found, rotation, atol=np.radians(0.05))


def test_what_points_do_not_show_stays_with_odometry():
    # On one row, turning about the vertical axis looks like depth when the camera moves sideways.
    reference, source = seen(SIDEWAYS, np.radians([0, 0.3, 0]), count=600)
    row = np.abs(reference[:, 1] - CAMERA.cy) < 6
    assert row.sum() >= 12
    found = found_rotation(reference[row], source[row], SIDEWAYS)
    assert abs(found[1]) < np.radians(0.03)


def test_exact_odometry_is_not_spoilt_by_a_guess():
    # Sideways, turning about the vertical axis looks much like depth: points off by 0.3 pixels say little.
    rng, noise, found = np.random.default_rng(0), 0.002, []
    for seed in range(40):
        reference, source = seen(SIDEWAYS, (0.0, 0.0, 0.0), count=40, seed=seed)
        source += rng.normal(0, 0.3, source.shape)
        found.append(found_rotation(reference, source, SIDEWAYS, noise))
    about_vertical = np.array(found)[:, 1]
    assert np.sqrt(np.mean(about_vertical**2)) < 0.25 * noise


def test_too_few_points_change_nothing():
    reference, source = seen(AHEAD, (0, 0.01, 0), count=8)
    assert not found_rotation(reference, source, AHEAD).any()
    nothing = np.empty((0, 2), np.float32)
    assert not found_rotation(nothing, nothing, AHEAD).any()


def test_a_turned_pose_keeps_its_displacement():
    T_src_ref = motion.pose(world.turn(0.1, -0.2, 0.05), (0.3, 0.1, -0.4))
    turned = refine.turned(T_src_ref, np.array([0.01, 0.02, -0.03]))
    np.testing.assert_allclose(motion.displacement(turned), motion.displacement(T_src_ref), atol=1e-12)
    off = motion.inverse(T_src_ref)[:3, :3] @ turned[:3, :3]
    np.testing.assert_allclose(cv2.Rodrigues(off)[0][:, 0], [0.01, 0.02, -0.03], atol=1e-9)


@pytest.mark.parametrize('turn', [(0.0, 0.0, 0.0), (0.05, -0.08, 0.2)])
@pytest.mark.parametrize('way', [(0, 0, 0.5), (0.3, 0, 0.5), (-0.1, 0.1, -0.4)])
def test_pictures_correct_what_odometry_has_missed(way, turn):
    reference, source = world.frame(world.pose(way)), world.frame(world.pose((0, 0, 0), world.turn(*turn)))
    missed = np.radians([0.3, -0.2, 0.4])
    T_src_ref = refine.turned(motion.inverse(source.T_world_cam) @ reference.T_world_cam, -missed)
    found = refine.followed(reference, source, T_src_ref, refine.corners(reference.image, reference.seen_hw))
    rotation = found_rotation(*found, motion.displacement(T_src_ref), np.radians(0.3), world.CAMERA)
    np.testing.assert_allclose(rotation, missed, atol=np.radians(0.08))


@pytest.mark.parametrize('gain', [0.5, 2.0])
def test_a_change_of_exposure_is_no_rotation(gain):
    reference, source = world.frame(world.pose((0.3, 0, 0.5))), world.frame(world.pose((0, 0, 0)))
    exposed = dataclasses.replace(source, image=np.clip(gain * source.image.astype(float), 0, 255).astype(np.uint8))
    T_src_ref = motion.inverse(source.T_world_cam) @ reference.T_world_cam
    found = refine.followed(reference, exposed, T_src_ref, refine.corners(reference.image, reference.seen_hw))
    rotation = found_rotation(*found, motion.displacement(T_src_ref), np.radians(0.3), world.CAMERA)
    assert len(found[0]) > 50
    assert np.abs(rotation).max() < np.radians(0.03)


def test_a_source_is_corrected_once_whoever_asks(monkeypatch):
    poses = [world.pose((0, 0, 0.2 * i)) for i in range(4)]
    *sources, reference = (world.frame(T, 0.1 * i) for i, T in enumerate(poses))
    followed, follow = [], refine.followed
    monkeypatch.setattr(refine, 'followed', lambda *about: followed.append(about[1]) or follow(*about))
    comparing = refine.Comparing(reference, NOISE)
    first = comparing.with_sources(sources[:2])
    again = comparing.with_sources([sources[2], sources[1]])
    assert followed == sources
    np.testing.assert_array_equal(again.T_srcs_ref[1], first.T_srcs_ref[1])
    assert (again.T_srcs_ref[1] != motion.inverse(poses[1]) @ poses[3]).any()  # corrected it is


def test_a_picture_without_corners_has_nothing_to_follow():
    grey = dataclasses.replace(world.frame(np.eye(4)), image=np.full((120, 160, 3), 100, np.uint8))
    nowhere = refine.corners(grey.image, grey.seen_hw)
    T_src_ref = world.pose((0.1, 0, 0))
    assert all(len(pixels) == 0 for pixels in refine.followed(grey, grey, T_src_ref, nowhere))


def test_the_estimator_compares_with_corrected_sources(tmp_path):
    model = load_model(red_is_parallax(tmp_path))

    reference, source = world.frame(world.pose((0.1, 0, 0.4))), world.frame(world.pose((0, 0, 0)))
    wrong = dataclasses.replace(source, T_world_cam=world.pose((0, 0, 0), world.turn(0.004, -0.003, 0.005)))

    def off(**options):
        measurer = Measurer(model, EstimatorOptions(**options))
        seen, true, turned = map(measurer.sized, (reference, source, wrong))
        (T_src_ref,) = measurer.comparing(seen).with_sources([turned]).T_srcs_ref
        return motion.rotation_angle(motion.inverse(true.T_world_cam) @ seen.T_world_cam @ motion.inverse(T_src_ref))

    assert off(rotation_noise=0.005) < 0.4 * off(rotation_noise=0.0)
