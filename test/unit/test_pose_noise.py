"""Degraded poses: by as much as asked for, measured over many pairs of frames."""

from pathlib import Path

import numpy as np
import pytest

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.evaluation.pose_noise import PoseNoise
from ros_depthnet.flight.posed_sequence import PosedSequence, SequenceFrame


@pytest.fixture(scope='module')
def circle():
    """Return a long flight in a circle, looking ahead, 2 m/s and 10 frames a second."""
    frames = []
    for i in range(5000):
        angle = 0.01 * i
        rotation = motion.from_quaternion([0, 0, 0], [0, 0, np.sin(angle / 2), np.cos(angle / 2)])[:3, :3]
        T = motion.pose(rotation, [20 * np.cos(angle), 20 * np.sin(angle), 0])
        frames.append(SequenceFrame(Path(f'{i}.png'), i * 100_000_000, T, None))
    return PosedSequence(
        Path('.'), 'circle', '', '', '', Camera(8, 8, 8, 8, 4, 4), 0.001, 20.0, True, tuple(frames), ()
    )


def relative(sequence, apart):
    poses = [frame.T_world_cam for frame in sequence.frames]
    return [motion.inverse(source) @ reference for source, reference in zip(poses, poses[apart:], strict=False)]


@pytest.mark.parametrize('apart', [1, 5])
def test_relative_rotations_are_off_by_the_angle(circle, apart):
    noisy = PoseNoise(rotation=0.5, translation=0).degraded(circle)
    angles = [
        motion.rotation_angle(motion.inverse(true) @ given)
        for true, given in zip(relative(circle, apart), relative(noisy, apart), strict=True)
    ]
    assert np.degrees(np.sqrt(np.mean(np.square(angles)))) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize('apart, least', [(1, 0.95), (5, 0.75)])
def test_the_way_is_off_by_the_share(circle, apart, least):
    noisy = PoseNoise(rotation=0, translation=10).degraded(circle)
    ways = [np.array([frame.T_world_cam[:3, 3] for frame in each.frames]) for each in (circle, noisy)]
    true, given = (way[apart:] - way[:-apart] for way in ways)
    shares = np.linalg.norm(given - true, axis=1) / np.linalg.norm(true, axis=1)
    assert 0.1 * least < np.sqrt(np.mean(shares**2)) < 0.105


def test_the_same_seed_gives_the_same_noise_and_the_name_says_how_much(circle):
    once, again, other = (PoseNoise(0.1, 3, seed).degraded(circle) for seed in (0, 0, 1))
    assert once.name == 'circle+0.1deg,3%'
    same, different = (
        all(np.array_equal(a.T_world_cam, b.T_world_cam) for a, b in zip(once.frames, each.frames, strict=True))
        for each in (again, other)
    )
    assert same
    assert not different


@pytest.mark.parametrize('text', ['', '1', 'a,b', '1,2,3'])
def test_noise_that_cannot_be_read_is_refused(text):
    with pytest.raises(ValueError, match='0.1,3'):
        PoseNoise.parse(text)
