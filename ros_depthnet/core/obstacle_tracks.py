"""
Obstacles over time: which box is the one of before, whether it moves and how, and when it comes nearest.

One Kalman filter per face of a box, constant velocity. What moves takes both faces of an axis along; where more comes
into view, or less, one face moves and the other stands. What is seen of a long thing may slide along it as the camera
flies by, so its velocity along an axis is never surer than half its length there per second.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ros_depthnet.core.obstacles import Box

_CENTRE_NOISE = 0.05  # metres, of a box's centre, and
_SIZE_NOISE = 0.1  # of its size beside, as its faces are not all seen
_RANGE_NOISE = 0.02  # of its distance
_ACCELERATION = 1.0  # metres per second squared, what things do
_FIRST_SPEED = 2.0  # metres per second, standard deviation of what a new thing may do
_SLIDING = 0.5  # of the size, per second
_NEWEST = 0.4  # share of the newest sight in how far a thing is off its way
_SETTLING_S = 0.15  # seconds in which what is off so far would be a velocity
_GATE = 3.0  # standard deviations within which a box is the one of before
_LOST_S = 1.0  # seconds without being seen
_SURE = 3.0  # standard deviations from which something is said to move
_SLOWEST = 0.3  # metres per second: slower things stand


@dataclass(frozen=True, eq=False)
class Obstacle:
    """
    A box that is followed: `number` stays its own for as long as it is.

    velocity, deviation: (3,) metres per second and one standard deviation along the axes of the box's frame.
    centre_deviation: (3,) metres, likewise of the box's centre.
    closest_s, closest_m: in how many seconds it will be nearest to the drone, if both go on as they do, and how
    near its centre is then, metres; 0 s where it goes away.
    """

    number: int
    box: Box
    velocity: np.ndarray
    deviation: np.ndarray
    centre_deviation: np.ndarray
    closest_s: float
    closest_m: float

    @property
    def speed(self) -> float:
        """Metres per second."""
        return float(np.linalg.norm(self.velocity))

    @property
    def moving(self) -> bool:
        """Whether it surely moves by itself."""
        return self.speed > _SLOWEST and float(np.linalg.norm(self.velocity / self.deviation)) > _SURE

    @property
    def speed_deviation(self) -> float:
        """One standard deviation of the speed, metres per second: of velocity, along itself."""
        return float(np.linalg.norm(self.velocity * self.deviation)) / max(self.speed, 1e-9)

    @property
    def probability_moving(self) -> float:
        """The probability that it is faster than what stands."""
        sure = (self.speed - _SLOWEST) / max(self.speed_deviation, 1e-9)
        return (1 + math.erf(sure / math.sqrt(2))) / 2


@dataclass(frozen=True, eq=False)
class _Track:
    """
    States (2, 3, 2), place and velocity of both faces by axis, and covariances of each (3, 2, 2), at a stamp.

    scatter: (3,) square metres, how far faces have been off their way of late.
    """

    number: int
    states: np.ndarray
    covariances: np.ndarray
    seen_ns: int
    stamp_ns: int
    scatter: np.ndarray

    def at(self, stamp_ns: int) -> '_Track':
        seconds = (stamp_ns - self.stamp_ns) / 1e9
        on = np.array([[1, seconds], [0, 1]])
        pushed = np.array([seconds**2 / 2, seconds]) * _ACCELERATION
        return replace(
            self,
            states=self.states @ on.T,
            stamp_ns=stamp_ns,
            covariances=on @ self.covariances @ on.T + np.outer(pushed, pushed),
        )

    def seen(self, box: Box) -> '_Track':
        noise = _variance(box)
        gain = self.covariances[:, :, 0] / (self.covariances[:, 0, 0] + noise)[:, None]
        states = self.states + gain * (box.faces - self.states[..., 0])[..., None]
        covariances = self.covariances - gain[:, :, None] * self.covariances[:, None, 0]
        off = np.square(box.faces - states[..., 0]).mean(0)
        scatter = self.scatter + _NEWEST * (off - self.scatter)
        return replace(self, states=states, covariances=covariances, seen_ns=self.stamp_ns, scatter=scatter)

    def off(self, box: Box) -> float:
        """Return how far a box is from where this should be, standard deviations."""
        variance = self.covariances[:, 0, 0] + _variance(box)
        return float(np.sqrt(np.mean(np.square(box.faces - self.states[..., 0]) / variance)))

    @property
    def velocity(self) -> np.ndarray:
        """That of the slower face, (3,); none where they move apart."""
        low, high = self.states[..., 1]
        return np.where(low * high > 0, np.where(np.abs(low) < np.abs(high), low, high), 0.0)


class ObstacleTracks:
    """Follows the boxes of one frame of reference from image to image."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.reset()

    def reset(self) -> None:
        """Forget every obstacle; numbers are not used again."""
        self._tracks: list[_Track] = []
        self._place: tuple[int, np.ndarray] | None = None
        self._next = getattr(self, '_next', 0)

    def update(self, stamp_ns: int, boxes: Sequence[Box], drone: np.ndarray) -> list[Obstacle]:
        """
        Return the boxes as obstacles, in their order.

        drone: (3,) metres, where it is in the frame of the boxes. A stamp that is no newer starts afresh.
        """
        if self._place is not None and stamp_ns <= self._place[0]:
            self.reset()
        flying = np.zeros(3)
        if self._place is not None:
            flying = (drone - self._place[1]) / ((stamp_ns - self._place[0]) / 1e9)
        self._place = stamp_ns, drone
        expected = [track.at(stamp_ns) for track in self._tracks if stamp_ns - track.seen_ns <= _LOST_S * 1e9]
        matched = self._matched(expected, boxes)
        found = [
            expected[matched[i]].seen(box) if i in matched else self._new(stamp_ns, box) for i, box in enumerate(boxes)
        ]
        self._tracks = found + [track for j, track in enumerate(expected) if j not in matched.values()]
        return [_obstacle(track, box, drone, flying) for track, box in zip(found, boxes, strict=True)]

    @staticmethod
    def _matched(tracks: Sequence[_Track], boxes: Sequence[Box]) -> dict[int, int]:
        """Return the track of each box that has one, the best fits first."""
        fits = sorted((track.off(box), i, j) for i, box in enumerate(boxes) for j, track in enumerate(tracks))
        matched: dict[int, int] = {}
        for off, i, j in fits:
            if off <= _GATE and i not in matched and j not in matched.values():
                matched[i] = j
        return matched

    def _new(self, stamp_ns: int, box: Box) -> _Track:
        self._next += 1
        covariances = np.zeros((3, 2, 2))
        covariances[:, 0, 0], covariances[:, 1, 1] = _variance(box), _FIRST_SPEED**2
        states = np.stack([box.faces, np.zeros((2, 3))], 2)
        return _Track(self._next - 1, states, covariances, stamp_ns, stamp_ns, np.zeros(3))


def _variance(box: Box) -> np.ndarray:
    """Return the variance (3,) of where a box's centre is measured, square metres."""
    return _CENTRE_NOISE**2 + np.square(_SIZE_NOISE * box.size) + (_RANGE_NOISE * box.distance) ** 2


def _obstacle(track: _Track, box: Box, drone: np.ndarray, flying: np.ndarray) -> Obstacle:
    velocity = track.velocity
    variance = track.covariances[:, 1, 1] + np.square(_SLIDING * box.size) + track.scatter / _SETTLING_S**2
    deviation = np.sqrt(variance)
    way, approach = box.centre - drone, velocity - flying
    closing = float(approach @ approach)
    seconds = max(0.0, -float(way @ approach) / closing) if closing > 0 else 0.0
    nearest = float(np.linalg.norm(way + seconds * approach))
    return Obstacle(track.number, box, velocity, deviation, np.sqrt(_variance(box)), seconds, nearest)
