"""How far the rotations that odometry tells are off, learnt from the images of the flight itself."""

from collections import deque
from collections.abc import Mapping

import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.refine import residual_rotation
from ros_depthnet.flight.diagnosis import Pair

_PAIRS = 8  # the newest, that are learnt from
_TOLD_PAIRS = 4  # as many as these count what is told beforehand
_MOST = 0.02  # radians: what is off by more is a mistake to be told of, no noise to be lived with
_ROUNDS = 10  # of expectation-maximisation


class RotationNoise:
    """
    The standard deviation, about each axis, of the rotations between the frames of a flight.

    Empirical Bayes: each pair's residual rotation is taken for a draw of one normal distribution, whose variance
    expectation-maximisation finds. Odometry whose stamps are late is off by what the drone has begun to turn
    since, another amount at each pair: noise, to whoever corrects pairs one by one.
    """

    def __init__(self) -> None:
        """Begin without pairs."""
        # Of each pair, by the principal axes of what it shows: the information, and the rotation weighed by that.
        self._pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=_PAIRS)

    def look(self, pair: Pair, poses: Mapping[int, np.ndarray]) -> None:
        """Take the next pair, by poses T_world_cam at its stamps."""
        T_src_ref = motion.inverse(poses[pair.earlier_ns]) @ poses[pair.later_ns]
        stabilised = pair.rays_earlier @ T_src_ref[:3, :3]
        with np.errstate(divide='ignore', invalid='ignore'):  # such rays are no use, and not used
            stabilised = stabilised / stabilised[:, 2:]
        turn = residual_rotation(pair.rays_later, stabilised, pair.focal, motion.displacement(T_src_ref), _MOST)
        information, axes = np.linalg.eigh(turn.information)
        self._pairs.append((information, axes.T @ turn.shown))

    def at_least(self, told: float) -> float:
        """Return it, radians: at least what is told beforehand, more where the pairs show more; 0 stays 0."""
        if not told or not self._pairs:
            return told
        information, shown = map(np.array, zip(*self._pairs, strict=True))
        variance = told**2
        for _ in range(_ROUNDS):
            covariance = 1 / (information + 1 / variance)
            squares = (np.square(covariance * shown) + covariance).sum()
            variance = (3 * _TOLD_PAIRS * told**2 + squares) / (3 * _TOLD_PAIRS + information.size)
        return float(np.clip(np.sqrt(variance), told, max(told, _MOST)))
