"""Leaning on planes: a tilted wall that is known round about and guessed in the middle."""

import numpy as np
import pytest

from ros_depthnet.core.planes import towards_planes

V, U = np.mgrid[:96, :128].astype(np.float32)
WALL = np.log(0.2 + 0.001 * U + 0.0005 * V)  # inverse depth of a plane is linear in the image
GREY = np.full_like(WALL, 128)
MIDDLE = np.s_[40:56, 56:72]


def unsure_in_the_middle(sure=0.01, unsure=0.3):
    deviation = np.full_like(WALL, sure)
    deviation[MIDDLE] = unsure
    return deviation


def off_in_the_middle(off):
    guessed = WALL.copy()
    guessed[MIDDLE] += off
    return guessed


@pytest.mark.parametrize('off', [-0.4, -0.1, 0.1, 0.4])
def test_a_guess_on_a_wall_moves_onto_the_wall(off):
    guessed = off_in_the_middle(off)
    leaned = guessed + towards_planes(guessed, unsure_in_the_middle(), GREY)
    assert np.abs(leaned - WALL)[MIDDLE].mean() < 0.2 * abs(off)


def test_what_lies_on_a_plane_stays():
    for deviation in (0.003, 0.1, 1.0):
        shift = towards_planes(WALL, np.full_like(WALL, deviation), GREY)
        assert np.abs(shift)[8:-8, 8:-8].max() < 0.01


def test_what_is_sure_stays():
    bumpy = off_in_the_middle(0.1)
    shift = towards_planes(bumpy, unsure_in_the_middle(unsure=0.003), GREY)
    assert np.abs(shift[MIDDLE]).max() < 0.005


def test_what_is_far_from_the_plane_is_something_else():
    shift = towards_planes(off_in_the_middle(1.5), unsure_in_the_middle(), GREY)
    assert not shift[MIDDLE].any()


def test_a_thing_of_another_brightness_is_no_part_of_the_wall():
    beside = np.s_[30:66, 72:100]  # a dark thing at less than the wall's distance, next to the guess
    guessed = off_in_the_middle(0.1)
    guessed[beside] += 0.5

    def error(grey):
        leaned = guessed + towards_planes(guessed, unsure_in_the_middle(), grey)
        return np.abs(leaned - WALL)[MIDDLE].mean()

    dark = GREY.copy()
    dark[beside] = 40
    assert error(dark) < 0.03
    assert error(dark) < 0.5 * error(GREY)


@pytest.mark.parametrize('shape', [(1, 1), (1, 40), (3, 2), (34, 50)])
def test_images_of_any_size(shape):
    rng = np.random.default_rng(0)
    noise, deviation, grey = rng.normal(0, 1, shape), rng.uniform(0.003, 1, shape), rng.uniform(0, 255, shape)
    shift = towards_planes(*map(np.float32, (noise, deviation, grey)))
    assert shift.shape == shape
    assert shift.dtype == np.float32
    assert np.isfinite(shift).all()
