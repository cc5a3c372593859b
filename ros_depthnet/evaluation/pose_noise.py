"""Odometry as it is: poses of a sequence degraded by a known amount, repeatably."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.flight.posed_sequence import PosedSequence

_MEMORY = 1.0  # seconds for which the error of the velocity stays much the same


@dataclass(frozen=True)
class PoseNoise:
    """
    How far odometry is off.

    rotation: standard deviation of the angle between the true and the given relative rotation of any two
    frames, degrees: every attitude is off on its own. translation: root mean square of the error of the way
    between two frames less than a second apart, percent of it: the velocity is off in length and direction,
    and forgets its error over a second, so that positions drift.
    """

    rotation: float
    translation: float
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> 'PoseNoise':
        """Read `DEGREES,PERCENT`; raise ValueError with a sentence."""
        try:
            rotation, translation = map(float, text.split(','))
        except ValueError:
            raise ValueError(f'Pose noise is DEGREES,PERCENT such as 0.1,3, not {text!r}.') from None
        return cls(rotation, translation)

    def degraded(self, sequence: PosedSequence) -> PosedSequence:
        """Return the sequence with noisy poses and the noise in its name; images and depth stay."""
        name = f'{sequence.name}+{self.rotation:g}deg,{self.translation:g}%'
        frames = sequence.frames
        poses = self.of_poses([frame.stamp_ns for frame in frames], [frame.T_world_cam for frame in frames])
        noisy = tuple(replace(frame, T_world_cam=T_world_cam) for frame, T_world_cam in zip(frames, poses))
        return replace(sequence, name=name, frames=noisy)

    def of_poses(self, stamps_ns: Sequence[int], T_world_cams: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return poses 4x4 with noise, taken at these stamps."""
        rng = np.random.default_rng(self.seed)
        # Two attitudes make a relative rotation, and three axes an angle.
        scale = np.radians(self.rotation) / np.sqrt(2 * 3)
        drift, error = np.zeros(3), rng.normal(size=3)
        noisy: list[np.ndarray] = []
        for i, T_world_cam in enumerate(T_world_cams):
            if i > 0:
                kept = np.exp(-(stamps_ns[i] - stamps_ns[i - 1]) / 1e9 / _MEMORY)
                error = kept * error + np.sqrt(1 - kept**2) * rng.normal(size=3)
                step = T_world_cam[:3, 3] - T_world_cams[i - 1][:3, 3]
                drift = drift + self.translation / 100 / np.sqrt(3) * np.linalg.norm(step) * error
            turn = cv2.Rodrigues(rng.normal(size=3) * scale)[0]
            noisy.append(motion.pose(T_world_cam[:3, :3] @ turn, T_world_cam[:3, 3] + drift))
        return noisy
