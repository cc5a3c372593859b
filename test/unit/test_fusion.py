"""Fusion against the closed form, and carried maps against the exact depth of a plane."""

import numpy as np
import plane_world as world
import pytest

from ros_depthnet.core import fusion, motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.fusion import DepthMap, carried, fused, updated

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)


def pixel(depth, deviation, age=0.0):
    return DepthMap(*(np.full((1, 1), value, np.float32) for value in (depth, deviation, age)))


def wall(depth, deviation=0.05, camera=CAMERA):
    shape = camera.height, camera.width
    return DepthMap.fresh(np.full(shape, depth, np.float32), np.full(shape, deviation, np.float32))


def test_two_maps_are_weighted_by_inverse_variance_in_log_depth():
    result = fused([pixel(10, 0.1), pixel(11, 0.2)])
    assert result.depth_hw == pytest.approx(10**0.8 * 11**0.2, rel=1e-5)


def test_the_deviation_is_that_of_a_mean_of_partly_common_errors():
    # Drawn instead of derived: maps that err alike by COMMON of their variance, and their weighted mean.
    common, *own = np.random.default_rng(0).normal(size=(3, 200_000))
    first, second = (
        deviation * (np.sqrt(fusion.COMMON) * common + np.sqrt(1 - fusion.COMMON) * each)
        for deviation, each in zip((0.1, 0.2), own, strict=True)
    )
    measured = np.std(0.8 * first + 0.2 * second)
    assert fused([pixel(10, 0.1), pixel(10, 0.2)]).deviation_hw == pytest.approx(measured, rel=0.01)


def test_maps_that_differ_are_less_certain_than_maps_that_agree():
    # Half of a gap of .2 either way is a variance of .01, and a quarter of that of the error shows in it.
    agreeing = fused([pixel(10, 0.15), pixel(10, 0.15)]).deviation_hw
    differing = fused([pixel(10, 0.15), pixel(10 * np.exp(0.2), 0.15)]).deviation_hw
    assert differing**2 - agreeing**2 == pytest.approx(0.01 / 0.25, rel=1e-3)


def test_unknown_takes_no_part_in_fusion():
    nan = np.nan
    result = fused([pixel(nan, nan, nan), pixel(5, 0.1, 2)])
    assert (result.depth_hw, result.deviation_hw, result.age_hw) == pytest.approx((5, 0.1, 2))
    nothing = fused([pixel(nan, nan, nan)] * 2)
    assert np.isnan([nothing.depth_hw, nothing.deviation_hw, nothing.age_hw]).all()


def test_where_maps_contradict_the_most_certain_one_counts():
    result = fused([pixel(30, 0.2), pixel(10, 0.1), pixel(10.5, 0.1)])
    assert result.depth_hw == pytest.approx(np.sqrt(10 * 10.5), rel=1e-5)


def test_what_the_new_map_contradicts_is_dropped_from_the_old_however_certain():
    assert updated(pixel(10, 0.2), pixel(30, 0.01)).depth_hw == pytest.approx(10)
    assert updated(pixel(10, 0.2), pixel(11, 0.01)).depth_hw == pytest.approx(11, rel=0.01)


def test_the_old_map_fills_what_the_new_one_does_not_know():
    result = updated(pixel(np.nan, np.nan), pixel(7, 0.3, 1.5))
    assert (result.depth_hw, result.age_hw) == pytest.approx((7, 1.5))


@pytest.mark.parametrize(
    'way, turn',
    [((0.3, -0.1, 0), (0, 0)), ((0, 0, 0.8), (0, 0)), ((0, 0, -0.6), (0, 0)), ((0.2, 0.1, 0.5), (0.04, -0.06))],
)
def test_a_plane_carried_along_is_the_plane_seen_from_there(way, turn):
    T_world_old, T_world_new = np.eye(4), world.pose(way, world.turn(*turn))
    T_new_old = motion.inverse(T_world_new) @ T_world_old
    depth = world.depth(T_world_old)
    result = carried(DepthMap.fresh(depth, np.full_like(depth, 0.05)), world.CAMERA, T_new_old, 0.1)
    truth = world.depth(T_world_new)
    # What must be known: pixels whose place on the plane the old camera saw well inside its image.
    points_world = world.CAMERA.back_project(truth) @ T_world_new[:3, :3].T + T_world_new[:3, 3]
    u, v = np.moveaxis(world.CAMERA.project(points_world), -1, 0)
    inside = (u > 2) & (u < world.CAMERA.width - 3) & (v > 2) & (v < world.CAMERA.height - 3)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(result.depth_hw[inside], truth[inside], rtol=0.004)
    outside = (u < -2) | (u > world.CAMERA.width + 1) | (v < -2) | (v > world.CAMERA.height + 1)
    assert np.isnan(result.depth_hw[outside]).all()


def test_standing_still_changes_no_depth():
    rng = np.random.default_rng(0)
    depth = rng.uniform(2, 9, (48, 64)).astype(np.float32)
    result = carried(DepthMap.fresh(depth, np.full_like(depth, 0.05)), CAMERA, np.eye(4), 1)
    np.testing.assert_allclose(result.depth_hw, depth, rtol=1e-4)


def test_the_nearer_surface_hides_the_farther_and_uncovers_the_unseen():
    # A post at 2 m, columns 30 to 33, before a wall at 8 m; the camera moves .4 m to the right.
    scene = wall(8)
    scene.depth_hw[:, 30:34] = 2
    T_new_old = motion.pose(np.eye(3), [-0.4, 0, 0])
    result = carried(scene, CAMERA, T_new_old, 0.1).depth_hw[24]
    np.testing.assert_allclose(result[18:22], 2, rtol=1e-4)  # 60 px * .4 m / 2 m = 12 px to the left
    np.testing.assert_allclose(result[:17], 8, rtol=1e-4)  # 3 px to the left
    assert np.isnan(result[27:31]).all()  # where the post had hidden the wall
    np.testing.assert_allclose(result[31:61], 8, rtol=1e-4)
    assert np.isnan(result[61:]).all()  # nothing was seen there before


def test_what_is_behind_the_camera_is_gone():
    assert np.isnan(carried(wall(1), CAMERA, motion.pose(np.eye(3), [0, 0, -1.5]), 0.1).depth_hw).all()


def test_carried_maps_get_older_and_less_certain():
    old, still = wall(4), np.eye(4)
    after = [carried(old, CAMERA, still, seconds) for seconds in (0, 1, 2)]
    np.testing.assert_allclose([each.age_hw[0, 0] for each in after], [0, 1, 2], atol=1e-6)
    growth = np.diff([each.deviation_hw[0, 0] ** 2 for each in after])
    np.testing.assert_allclose(growth, fusion.FORGETTING**2, rtol=1e-3)
    moved = carried(old, CAMERA, motion.pose(np.eye(3), [0.2, 0, 0]), 0).deviation_hw
    expected = np.hypot(0.05, fusion.TRANSLATION_NOISE * 0.2 / 4)
    np.testing.assert_allclose(moved[:, 5:], expected, rtol=1e-3)


def test_the_deviation_in_metres_stays_when_coming_closer():
    result = carried(wall(4, 0.1), CAMERA, motion.pose(np.eye(3), [0, 0, -2]), 0)
    noise = fusion.TRANSLATION_NOISE * 2
    np.testing.assert_allclose(result.depth_hw * result.deviation_hw, np.hypot(0.4, noise), rtol=1e-4)


@pytest.mark.parametrize('near', [np.s_[:, 32:], np.s_[:, :32], np.s_[24:], np.s_[:24]])
def test_depth_edges_are_doubted_on_both_sides_when_carried(near):
    scene = wall(8)
    scene.depth_hw[near] = 2
    deviation = carried(scene, CAMERA, np.eye(4), 0).deviation_hw
    across = deviation[10] if scene.depth_hw[10, 0] != scene.depth_hw[10, -1] else deviation[:, 10]
    middle = len(across) // 2
    doubted = np.hypot(0.05, fusion.PIXEL_NOISE * np.log(4))
    assert across[middle - 1 : middle + 1] == pytest.approx(doubted, rel=1e-3)
    assert across[[5, -5]] == pytest.approx(0.05, rel=1e-3)


def test_what_something_nearer_covers_in_the_other_view_is_hidden():
    """A post at 3 m before a wall at 12 m; .5 m to the right it shifts by 10 pixels, the wall by 2.5."""
    depth_hw = np.full((48, 64), 12, np.float32)
    depth_hw[:, 30:36] = 3
    T_src_ref = motion.pose(np.eye(3), (-0.5, 0, 0))
    hidden_hw = fusion.hidden(DepthMap.fresh(depth_hw, np.full_like(depth_hw, 0.05)), CAMERA, T_src_ref)
    # The post comes to 20..25 in the source, which is where the wall shows at 22.5 to 27.5 in the reference.
    assert hidden_hw[:, 23:28].all()
    assert not hidden_hw[:, :21].any() and not hidden_hw[:, 30:].any()
