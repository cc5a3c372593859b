"""
Points that keep their depth: whether odometry goes on moving as far as the images do.

Epipolar lines have no scale, but a static point has one depth. From an earlier pair of images it is known, in the
odometry's own metres, and says how far the point should move next. If most points move farther, or less far, then
odometry has jumped, changed its scale, stands still, or its clock is off in a turn; or the focal length is another.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.epipolar import TRACKING_NOISE, displacement_noise, rays_of
from ros_depthnet.core.tracks import Matches

_LEAST_WAY = 3.0  # pixels a point must move for its depth to be taken
_LEAST_POINTS = 16
_MOST_UNSURE = 0.5  # of the inverse depth
_CERTAIN = 1.3  # allowances: a single pair of images is enough
_HARMLESS = 0.85  # ratio, or one over it
_CONFIRMED_S = 3.0  # seconds for which other landmarks must agree; before, a velocity would have contradicted
_NEAREST = 0.1  # of the depth so far, that a point may come near; keeps what goes out of sight finite


@dataclass(frozen=True)
class Step:
    """
    How far landmarks moved in the images, seen from the key frame, and how far odometry let them expect.

    deviation: what they are off, in allowances, the middle one, positive where the images moved farther. ratio: how
    far odometry moved in proportion to the images.
    """

    deviation: float
    ratio: float

    @property
    def agrees(self) -> bool:
        """Whether that is within what is allowed."""
        return abs(self.deviation) < 1

    @property
    def contradicts(self) -> bool:
        """Whether it is surely not, and by so much that it makes a difference to depth."""
        return abs(self.deviation) > _CERTAIN and not _HARMLESS < self.ratio < 1 / _HARMLESS


@dataclass(frozen=True, eq=False)
class _Points:
    """Inverse depths, 1/m, of points by ascending id, in a frame's axes; unsure: an allowance of each, as a share."""

    ids: np.ndarray
    inverse: np.ndarray
    unsure: np.ndarray

    def where(self, chosen: np.ndarray) -> '_Points':
        return _Points(self.ids[chosen], self.inverse[chosen], self.unsure[chosen])

    def bettered(self, other: '_Points') -> '_Points':
        """Return all points of both; of those in both, what is less unsure."""
        ids = np.concatenate([self.ids, other.ids])
        unsure = np.concatenate([self.unsure, other.unsure])
        order = np.lexsort((unsure, ids))
        _, first = np.unique(ids[order], return_index=True)
        best = order[first]
        return _Points(ids[best], np.concatenate([self.inverse, other.inverse])[best], unsure[best])


_NONE = _Points(np.empty(0, int), np.empty(0), np.empty(0))


@dataclass(frozen=True, eq=False)
class _Seen:
    """
    Points seen in a key frame and in a later one, (N, 2) rays each, both in the key frame's axes.

    displacement: (3,) metres; a point P of the key frame is at P + displacement from the later one. way: metres flown
    from one to the other. focal: pixels.
    """

    rays_key: np.ndarray
    rays: np.ndarray
    displacement: np.ndarray
    way: float
    focal: float

    @classmethod
    def of(cls, matches: Matches, T_new_key: np.ndarray, way: float) -> '_Seen':
        turned = rays_of(matches.pixels_later, matches.camera) @ T_new_key[:3, :3]
        rays = turned[:, :2] / np.maximum(turned[:, 2:], _NEAREST)
        rays_key = rays_of(matches.pixels_earlier, matches.camera)[:, :2]
        return cls(rays_key, rays, motion.displacement(T_new_key), way, matches.camera.fx)

    def where(self, chosen: np.ndarray) -> '_Seen':
        return _Seen(self.rays_key[chosen], self.rays[chosen], self.displacement, self.way, self.focal)


class Landmarks:
    """The points that are followed at present, with what is known of their depth."""

    def __init__(self) -> None:
        """Begin without any."""
        self._key_ns = self._newest_ns = -1
        self._in_key = self._in_newest = _NONE

    def go_on_from(self, stamp_ns: int) -> None:
        """Take the frame of this time for the newest, though nothing tells the motion since the one before."""
        self._newest_ns = stamp_ns

    def look(self, matches: Matches, poses: Mapping[int, np.ndarray], way: float) -> Step | None:
        """
        Return how landmarks have moved; None where too few are known.

        matches: with a key frame, the last one or the last frame looked at. poses: T_world_cam by time. way: metres
        flown from one to the other.
        """
        if matches.earlier_ns == self._newest_ns:
            self._key_ns, self._in_key = self._newest_ns, self._in_newest
        elif matches.earlier_ns != self._key_ns:
            self._key_ns, self._in_key = matches.earlier_ns, _NONE
        self._matches, self._way = matches, way
        self._T_new_key = motion.inverse(poses[matches.later_ns]) @ poses[matches.earlier_ns]
        self._in_key = self._in_key.where(np.isin(self._in_key.ids, matches.ids))
        self._newest_ns = matches.later_ns
        self._carry()
        seen = _Seen.of(matches, self._T_new_key, way)
        return _step(seen.where(np.isin(matches.ids, self._in_key.ids)), self._in_key)

    def learn(self) -> None:
        """Believe the matches and poses looked at last."""
        seen = _Seen.of(self._matches, self._T_new_key, self._way)
        self._in_key = self._in_key.bettered(_measured(seen, self._matches.ids))
        self._carry()

    def _carry(self) -> None:
        known, R, t = self._in_key, self._T_new_key[:3, :3], self._T_new_key[:3, 3]
        rays = rays_of(self._matches.pixels_earlier, self._matches.camera)[np.isin(self._matches.ids, known.ids)]
        nearer = rays @ R[2] + t[2] * known.inverse  # what the depth becomes, as a share of what it is
        self._in_newest = _Points(known.ids, known.inverse / np.maximum(nearer, _NEAREST), known.unsure)


class Pace:
    """
    Whether odometry keeps the pace of the images, by landmarks.

    While it does not, what is seen is held against it by a second set of landmarks, which knows nothing of before.
    If those agree for some seconds the first were wrong, or odometry is to be believed in its new scale.
    """

    def __init__(self) -> None:
        """Begin without landmarks."""
        self._landmarks, self._rivals = Landmarks(), Landmarks()
        self._agree_since_ns: int | None = None

    def go_on_from(self, stamp_ns: int) -> None:
        """Take the frame of this time for the newest, though nothing tells the motion since the one before."""
        self._landmarks.go_on_from(stamp_ns)
        self._rivals.go_on_from(stamp_ns)

    def look(self, matches: Matches, poses: Mapping[int, np.ndarray], way: float, believable: bool) -> Step | None:
        """
        Return by how much odometry is off the pace, None where it is not, or nothing is known.

        matches, poses, way: see Landmarks. believable: whether the matches may be learned from.
        """
        step = self._landmarks.look(matches, poses, way)
        if step is None or not step.contradicts:
            self._rivals, self._agree_since_ns = Landmarks(), None
            if believable and (step is None or step.agrees):
                self._landmarks.learn()
            return None
        rival = self._rivals.look(matches, poses, way)
        if not believable or (rival and not rival.agrees):
            self._rivals, self._agree_since_ns = Landmarks(), None
            return step
        self._rivals.learn()
        self._agree_since_ns = self._agree_since_ns or matches.later_ns
        if matches.later_ns - self._agree_since_ns > _CONFIRMED_S * 1e9:
            self._landmarks, self._rivals = self._rivals, Landmarks()
            return None
        return step


def _step(seen: _Seen, known: _Points) -> Step | None:
    """Compare where landmarks are seen with where odometry wants them."""
    if len(known.ids) < _LEAST_POINTS:
        return None
    expected = seen.rays_key + known.inverse[:, None] * seen.displacement[:2]
    expected /= np.maximum(1 + known.inverse * seen.displacement[2], _NEAREST)[:, None]
    moved, wanted = seen.focal * (seen.rays - seen.rays_key), seen.focal * (expected - seen.rays_key)
    way = np.maximum(np.linalg.norm(moved, axis=1), 1e-6)
    along = (wanted * moved).sum(1) / way
    allowed = np.sqrt(
        TRACKING_NOISE**2
        + (seen.focal * known.inverse * displacement_noise(seen.way)) ** 2
        + known.unsure**2 * np.square(wanted).sum(1)
    )
    return Step(float(np.median((way - along) / allowed)), float(np.median(along / way)))


def _measured(seen: _Seen, ids: np.ndarray) -> _Points:
    """Return the inverse depths that this motion tells, of those points that have moved enough."""
    line = seen.displacement[:2] - seen.displacement[2] * seen.rays
    length = np.maximum(np.linalg.norm(line, axis=1), 1e-9)
    along = ((seen.rays - seen.rays_key) * line).sum(1) / length
    way = seen.focal * along
    base = np.maximum(np.linalg.norm(seen.displacement), 1e-6)
    unsure = np.hypot(TRACKING_NOISE / np.maximum(way, 1e-6), displacement_noise(seen.way) / base)
    told = (way > _LEAST_WAY) & (unsure < _MOST_UNSURE)
    return _Points(ids[told], (along / length)[told], unsure[told])
