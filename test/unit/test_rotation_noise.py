"""How far told rotations are off: learnt from pairs whose rotations are off by a known amount."""

import cv2
import numpy as np
import pytest
from test_diagnosis import badly_followed, evidence

from ros_depthnet.flight.rotation_noise import RotationNoise

TOLD = 0.0005


def learnt(found):
    noise = RotationNoise()
    for pair in found.pairs:
        noise.look(pair, found.poses)
    return noise.at_least(TOLD)


def off_by(radians, seed=0):
    """Return the evidence of a flight whose relative rotations are off by this deviation about each axis."""
    rng = np.random.default_rng(seed)

    def noisy(T_world_body):
        T = T_world_body.copy()
        T[:3, :3] = T[:3, :3] @ cv2.Rodrigues(rng.normal(0, radians / np.sqrt(2), 3))[0]
        return T

    return evidence(noisy)


def test_before_there_is_a_pair_it_is_what_is_told():
    assert RotationNoise().at_least(TOLD) == TOLD


def test_exact_odometry_is_not_taken_for_noisy_though_corners_are_found_badly():
    assert learnt(evidence()) == TOLD
    assert learnt(badly_followed(evidence())) < 2 * TOLD


@pytest.mark.parametrize('radians', [0.002, 0.005, 0.01])
def test_noisy_attitudes_are_taken_for_as_noisy_as_they_are(radians):
    assert np.mean([learnt(off_by(radians, seed)) for seed in range(5)]) == pytest.approx(radians, rel=0.3)


def test_late_odometry_is_noise_too():
    on_time, late = learnt(evidence()), learnt(evidence(shift=0.03))
    assert late > 1.5 * on_time


def test_it_is_forgotten_within_eight_pairs():
    noise, before, after = RotationNoise(), off_by(0.01), evidence()
    for pair in before.pairs[:8]:
        noise.look(pair, before.poses)
    assert noise.at_least(TOLD) > 0.004
    for pair in after.pairs[8:16]:
        noise.look(pair, after.poses)
    assert noise.at_least(TOLD) == TOLD


def test_what_no_noise_can_be_is_not_taken_for_it():
    assert learnt(off_by(0.1)) <= 0.02


def test_who_wants_no_correction_gets_none():
    noise, found = RotationNoise(), off_by(0.01)
    noise.look(found.pairs[0], found.poses)
    assert noise.at_least(0) == 0
