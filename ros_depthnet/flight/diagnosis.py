"""
Which one mistake makes odometry and images agree again.

Each candidate changes what is believed of the flight in one way: how the camera is mounted, when poses were
taken, how long the focal length is, in which order a quaternion's numbers come. The one under which the
matches of the last seconds fit best is named, if they fit well.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.epipolar import deviations, rays_of
from ros_depthnet.core.mounting import roll_pitch_yaw
from ros_depthnet.core.tracks import Matches

LEAST_STRETCHES = 4  # of the flight, to tell one mistake from another
_MATCHES = 40  # of a pair, at most
_FITS = 0.45  # allowances, the middle match: an explanation fits
_BETTER = 0.4  # of the cost as believed: an explanation is one
_SIMPLER = 1.25  # ratio of costs up to which a simpler explanation is preferred
_OFFSETS_S = np.linspace(-0.65, 0.65, 53)
_FOCAL_RATIOS = np.geomspace(1 / 3, 3, 45)
_REFINED = 6  # coarse mountings that are refined
_ROUNDS = 12
_DAMPING = 1e-3
_STEP = 1e-4
_NAMED_RAD = 0.2  # an attitude this near to a known one has its name
_SUBTLE_S = 0.02  # seconds of offset that an otherwise healthy flight is told of
_SUBTLE_RAD, _SUBTLE_ZOOM = 0.05, 0.06  # of the mounting; of ln(focal length)
_JUDGED = 0.4  # of the matches, at least, that an explanation must speak of
_WITHOUT_FAULT = 0.02  # cost below which nothing is looked for
_SUBTLE_BETTER = 0.45  # of the cost as believed
_BENDS = np.linspace(-0.5, 1.0, 31)  # what a ray's slope grows by at a slope of one, as a share
_SUBTLE_BEND = 0.1
_BEND_BETTER = 0.6  # of the cost as believed: a lens shows towards the edges only
_SAYING = 8  # stretches, at least, that say together what none does alone
_NEARBY = 0.88, 0.94, 1.0, 1.06, 1.12  # of the focal length: one a little off bends rays a little too
_SIGMAS = 3.5  # of the mean over stretches, from which on a gain is no chance
_GAIN = 0.2  # of the cost


@dataclass(frozen=True, eq=False)
class Pair:
    """Matches as rays: rays_earlier, rays_later (N, 3), z = 1; focal in pixels; way: metres flown between the two."""

    earlier_ns: int
    later_ns: int
    rays_earlier: np.ndarray
    rays_later: np.ndarray
    focal: float
    way: float

    @classmethod
    def of(cls, matches: Matches, way: float) -> 'Pair':
        """Take some of the matches."""
        step = max(1, len(matches.pixels_later) // _MATCHES)
        return cls(
            matches.earlier_ns,
            matches.later_ns,
            rays_of(matches.pixels_earlier[::step], matches.camera),
            rays_of(matches.pixels_later[::step], matches.camera),
            matches.camera.fx,
            way,
        )

    def deviations(self, poses: Mapping[int, np.ndarray]) -> np.ndarray:
        """Return what each match is off, in allowances, by poses T_world_cam at the two stamps."""
        T = motion.inverse(poses[self.earlier_ns]) @ poses[self.later_ns]
        count = len(self.rays_later)
        return deviations(
            self.rays_later,
            self.rays_earlier,
            np.broadcast_to(T[:3, :3], (count, 3, 3)),
            np.broadcast_to(T[:3, 3], (count, 3)),
            self.way,
            self.focal,
        )


@dataclass(frozen=True, eq=False)
class Evidence:
    """The pairs of the last seconds, T_world_cam by stamp as believed, and T_body_cam where known."""

    pairs: tuple[Pair, ...]
    poses: Mapping[int, np.ndarray]
    T_body_cam: np.ndarray | None = None

    @property
    def stretches(self) -> int:
        """How many parts of the flight the pairs are from: those with one earlier image say much the same."""
        return len({pair.earlier_ns for pair in self.pairs})


@dataclass(frozen=True)
class Finding:
    """
    What contradicts, in a sentence, and the parameters that mend it.

    subtle: it does not show in single pairs, so depth can live with it.
    """

    sentence: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    subtle: bool = False


class Trial:
    """The matches of all pairs side by side, to be judged under other beliefs."""

    def __init__(self, evidence: Evidence):
        self.evidence = evidence
        self.pairs = [pair for pair in evidence.pairs if pair.earlier_ns in evidence.poses]
        self._owner = np.repeat(np.arange(len(self.pairs)), [len(pair.rays_later) for pair in self.pairs])
        self._later = np.concatenate([pair.rays_later for pair in self.pairs])
        self._earlier = np.concatenate([pair.rays_earlier for pair in self.pairs])
        self._focal = self.pairs[0].focal
        self._way = np.array([pair.way for pair in self.pairs])[self._owner]
        self._T_earlier = np.stack([evidence.poses[pair.earlier_ns] for pair in self.pairs])
        self._T_later = np.stack([evidence.poses[pair.later_ns] for pair in self.pairs])
        self._stamps_ns = np.array([(pair.earlier_ns, pair.later_ns) for pair in self.pairs]).T
        self._track = motion.Track(evidence.poses)

    def believed(self) -> np.ndarray:
        """Return the deviations as things are believed."""
        return self._judged(self._T_earlier, self._T_later)

    def mounted(self, R_told_true: np.ndarray) -> np.ndarray:
        """Return the deviations with the camera turned by R on its mount."""
        T = motion.pose(R_told_true, np.zeros(3))
        return self._judged(self._T_earlier @ T, self._T_later @ T)

    def attitudes(self, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return the deviations with each T_world_body changed."""
        T_body_cam = self.evidence.T_body_cam
        assert T_body_cam is not None, 'Attitudes are those of the body.'
        T_cam_body = motion.inverse(T_body_cam)
        T_earlier, T_later = (
            np.stack([change(T @ T_cam_body) @ T_body_cam for T in Ts]) for Ts in (self._T_earlier, self._T_later)
        )
        return self._judged(T_earlier, T_later)

    def shifted(self, seconds: float) -> np.ndarray:
        """Return the deviations if poses had been taken so much before their stamps; NaN where unknown."""
        T_earlier, T_later = (self._track.at(stamps_ns + round(seconds * 1e9)) for stamps_ns in self._stamps_ns)
        return self._judged(T_earlier, T_later)

    def zoomed(self, ratio: float) -> np.ndarray:
        """Return the deviations if the focal length were `ratio` of what is believed."""
        return self._judged(self._T_earlier, self._T_later, ratio)

    def bent(self, bend: float) -> np.ndarray:
        """Return the deviations if rays were that much farther from the axis, in proportion to their slope cubed."""
        return self._judged(self._T_earlier, self._T_later, bend=bend)

    def _judged(self, T_earlier: np.ndarray, T_later: np.ndarray, zoom: float = 1.0, bend: float = 0.0) -> np.ndarray:
        R_earlier, t = T_earlier[:, :3, :3], T_later[:, :3, 3] - T_earlier[:, :3, 3]
        R = np.einsum('pji,pjk->pik', R_earlier, T_later[:, :3, :3])[self._owner]
        t = np.einsum('pji,pj->pi', R_earlier, t)[self._owner]
        later, earlier = (_bent(rays / (zoom, zoom, 1), bend) for rays in (self._later, self._earlier))
        return deviations(later, earlier, R, t, self._way, self._focal * zoom)


def _bent(rays: np.ndarray, bend: float) -> np.ndarray:
    grown = 1 + bend * np.square(rays[:, :2]).sum(1, keepdims=True)
    return rays * np.concatenate([grown, grown, np.ones_like(grown)], 1)


def cost_of(off: np.ndarray) -> float:
    """Return one number for many deviations: small where they are, and hardly moved by a few wild ones."""
    squares = np.square(off[np.isfinite(off)])
    return float(np.mean(squares / (1 + squares))) if len(squares) else 1.0


@dataclass(frozen=True)
class _Explanation:
    off: np.ndarray
    sentence: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    size: float = np.inf  # of the mistake, as a multiple of the least that is worth telling
    enough: float = _SUBTLE_BETTER  # of the cost as believed, where single pairs show nothing

    @property
    def cost(self) -> float:
        return cost_of(self.off)

    def better_than(self, believed: np.ndarray) -> float:
        """
        Return the cost as a share of that of what is believed, 1 or more where that was no worse.

        Both of the matches that can be judged under the mistake, enough of them: a time offset has no poses for
        those at the ends of the evidence, and leaving out those that are off explains nothing.
        """
        judged = np.isfinite(self.off)
        before = cost_of(believed[judged])
        return self.cost / before if judged.mean() > _JUDGED and before > _WITHOUT_FAULT else np.inf


def diagnose(evidence: Evidence, deviation: float) -> Finding:
    """Return what contradicts, and the mistake that explains it best if one explains it well."""
    if evidence.stretches < LEAST_STRETCHES:
        return Finding(
            f'The images contradict the odometry ({_times(deviation)}), so there is no depth; in a few '
            'seconds of motion it will show why.',
        )
    trial = Trial(evidence)
    believed = trial.believed()
    # From the simplest to the one with the most freedom.
    found = [*_misread_attitudes(trial), _offset(trial), _focal(trial), _mounting(trial)]
    good = [each for each in found if each.better_than(believed) < _BETTER and np.nanmedian(each.off) < _FITS]
    if not good:
        return Finding(
            f'The images contradict the odometry ({_times(deviation)}), so there is no depth, and no '
            'single mistake explains it: check odometry, calibration and mounting with `depthnet '
            'doctor`, or wait until less of what is seen moves by itself.',
        )
    least = min(each.cost for each in good)
    chosen = next(each for each in good if each.cost <= _SIMPLER * least + 1e-3)
    return Finding(
        f'The images contradict the odometry ({_times(deviation)}), so there is no depth: {chosen.sentence}',
        chosen.parameters,
    )


def lurking(evidence: Evidence, thorough: bool = False) -> Finding | None:
    """
    Return a mistake that shows over many pairs, though hardly any contradicts by itself.

    Looks for a time offset; thorough, which takes a hundred times as long, for a mounting, a focal length and a
    lens that are a little off as well.
    """
    trial = Trial(evidence)
    believed = trial.believed()
    if cost_of(believed) < _WITHOUT_FAULT:
        return None
    found = [_offset(trial), *((_focal(trial), _mounting(trial), _lens(trial)) if thorough else ())]
    good = [each for each in found if each.size > 1 and each.better_than(believed) < each.enough]
    if not good:
        return None
    least = min(each.cost for each in good)
    chosen = next(each for each in good if each.cost <= _SIMPLER * least)
    return Finding(
        f'The images contradict the odometry over time: {chosen.sentence}',
        chosen.parameters,
        subtle=True,
    )


def _times(deviation: float) -> str:
    return f'corners are {deviation:.1f} times what is allowed off from where a static point can be'


def _offset(trial: Trial) -> _Explanation:
    costs = np.array([cost_of(trial.shifted(seconds)) for seconds in _OFFSETS_S])
    # Where the motion tells many apart no better than that, as to and fro on a line does, the least is told.
    as_good = np.flatnonzero(costs <= _SIMPLER * costs.min() + 1e-3)
    place = int(as_good[np.argmin(np.abs(_OFFSETS_S[as_good]))])
    if place in (0, len(costs) - 1):  # it only gets better towards the end of what was tried
        return _Explanation(np.full_like(trial.believed(), np.nan), '')
    coarse = _OFFSETS_S[place]
    fine = coarse + np.linspace(-0.02, 0.02, 17)
    best = min(fine, key=lambda seconds: cost_of(trial.shifted(seconds)))
    late = 'late' if best > 0 else 'early'
    return _Explanation(
        trial.shifted(best),
        f'odometry seems {abs(best) * 1e3:.0f} ms {late}: its stamps, or those of the '
        f'images, are off; mend the clock, or set pose_delay to {best:.3f}.',
        {'pose_delay': round(float(best), 3)},
        abs(best) / _SUBTLE_S,
    )


def _focal(trial: Trial) -> _Explanation:
    ratio = min(_FOCAL_RATIOS, key=lambda ratio: cost_of(trial.zoomed(ratio)))
    ratio = min(ratio * np.geomspace(0.96, 1.04, 17), key=lambda ratio: cost_of(trial.zoomed(ratio)))
    return _Explanation(
        trial.zoomed(ratio),
        f'the images move as if fx were {ratio:.2f} times what camera_info says; calibrate '
        'the camera at the size of the images that it publishes.',
        size=abs(math.log(ratio)) / _SUBTLE_ZOOM,
    )


def _lens(trial: Trial) -> _Explanation:
    bend = float(min(_BENDS, key=lambda bend: cost_of(trial.bent(bend))))
    sentence, parameters = bent_otherwise(bend)
    enough = 1.0 if _adds_up(trial.evidence, bend) else _BEND_BETTER
    return _Explanation(trial.bent(bend), sentence, parameters, abs(bend) / _SUBTLE_BEND, enough)


def _adds_up(evidence: Evidence, bend: float) -> bool:
    """Tell whether a bend is better than any focal length nearby in one stretch after another, as no noise is."""
    lasts = {pair.earlier_ns: pair for pair in evidence.pairs}.values()
    if len(lasts) < _SAYING:
        return False
    stretches = [Trial(replace(evidence, pairs=(pair,))) for pair in lasts]
    rivals = np.array([[cost_of(stretch.zoomed(ratio)) for ratio in _NEARBY] for stretch in stretches])
    gains = rivals - np.array([[cost_of(stretch.bent(bend))] for stretch in stretches])
    chance = gains.std(0, ddof=1) / math.sqrt(len(gains))
    return bool((gains.mean(0) > np.maximum(_SIGMAS * chance, _GAIN * rivals.mean(0))).all())


def bent_otherwise(bend: float) -> tuple[str, dict[str, object]]:
    """Say in words that a lens bends more than is told, or less (negative); and which parameters mend that."""
    if bend > 0:
        return (
            'the images are bent as by a lens of which camera_info tells too little: calibrate it, so that D says '
            'what it does.'
        ), {}
    return (
        'the images are bent less than camera_info says, as where they are rectified already: set rectify to never, or '
        'calibrate the lens.'
    ), {'rectify': 'never'}


_ORDERS = {
    'its quaternions seem to be in the order w, x, y, z, but a message wants x, y, z, w': (1, 2, 3, 0),
    'its quaternions seem to be in the order x, y, z, w moved to w, x, y, z': (3, 0, 1, 2),
}


def _misread_attitudes(trial: Trial) -> list[_Explanation]:
    if trial.evidence.T_body_cam is None:
        return []
    found = []
    for sentence, order in _ORDERS.items():

        def reordered(T: np.ndarray, order: tuple[int, ...] = order) -> np.ndarray:
            return motion.from_quaternion(T[:3, 3], motion.quaternion(T)[list(order)])

        found.append(_Explanation(trial.attitudes(reordered), f'{sentence}; mend the source of the odometry.'))

    def turned_round(T: np.ndarray) -> np.ndarray:
        return motion.pose(T[:3, :3].T, T[:3, 3])

    found.append(
        _Explanation(
            trial.attitudes(turned_round),
            'its attitudes seem to be inverted (of the world in the '
            'body, not of the body in the world); mend the source of the odometry.',
        )
    )
    found.append(
        _Explanation(
            trial.attitudes(motion.inverse),
            'its poses seem to be inverted (of the world in '
            'the body, not of the body in the world); mend the source of the odometry.',
        )
    )
    return found


def _mounting(trial: Trial) -> _Explanation:
    coarse = sorted(_coarse_rotations(), key=lambda R: cost_of(trial.mounted(R)))[:_REFINED]
    best = min((_refined(trial, R) for R in coarse), key=lambda R: cost_of(trial.mounted(R)))
    T_body_cam = trial.evidence.T_body_cam
    parameters = {}
    if T_body_cam is not None:
        R_body_cam = T_body_cam[:3, :3] @ best
        parameters = {
            'camera_mounting': 'parameters',
            'camera_xyz': [round(float(x), 4) for x in T_body_cam[:3, 3]],
            'camera_rpy': [round(angle, 4) for angle in roll_pitch_yaw(R_body_cam)],
        }
    size = motion.rotation_angle(motion.pose(best, np.zeros(3))) / _SUBTLE_RAD
    return _Explanation(trial.mounted(best), _how_mounted(best, T_body_cam), parameters, size)


def _coarse_rotations() -> list[np.ndarray]:
    """Return rotations that are within some 25 degrees of any."""
    cube = []
    for columns in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            R = np.zeros((3, 3))
            R[columns, range(3)] = signs
            if np.linalg.det(R) > 0:
                cube.append(R)
    tilts = [np.eye(3)]
    for axis in itertools.product((-1, 0, 1), repeat=3):
        if any(axis):
            tilts.append(cv2.Rodrigues(np.array(axis, float) / np.linalg.norm(axis) * math.radians(38))[0])
    return [R @ tilt for R in cube for tilt in tilts]


def _refined(trial: Trial, R: np.ndarray) -> np.ndarray:
    """Return a mounting nearby under which the matches fit better, by reweighted least squares."""
    for _ in range(_ROUNDS):
        off = trial.mounted(R)
        weights = 1 / (1 + np.square(off / max(np.median(off), 0.3))) ** 2
        slopes = np.stack(
            [(trial.mounted(R @ cv2.Rodrigues(step)[0]) - off) / _STEP for step in _STEP * np.eye(3)], axis=1
        )
        # A wild slope is of a point that goes out of sight.
        weights = np.where(np.abs(slopes).max(1) < 1e3, weights, 0)
        normal = (slopes * weights[:, None]).T @ slopes
        step = -np.linalg.solve(
            normal + _DAMPING * np.trace(normal) * np.eye(3) + 1e-9 * np.eye(3), (slopes * weights[:, None]).T @ off
        )
        step *= min(1, 0.3 / max(float(np.linalg.norm(step)), 1e-12))
        moved = R @ cv2.Rodrigues(step)[0]
        if cost_of(trial.mounted(moved)) >= cost_of(off):
            step /= 4
            moved = R @ cv2.Rodrigues(step)[0]
            if cost_of(trial.mounted(moved)) >= cost_of(off):
                break
        R = moved
    return R


def _how_mounted(R_told_true: np.ndarray, T_body_cam: np.ndarray | None) -> str:
    """Say in words how a camera is turned on its mount."""
    if T_body_cam is not None:
        R_body_true = T_body_cam[:3, :3] @ R_told_true
        if _near(T_body_cam[:3, :3] @ R_told_true @ T_body_cam[:3, :3].T, np.diag([1, -1, -1])):
            return (
                'the body seems to have its axes forward, right, down (NED/FRD, as PX4 has them), but ROS wants '
                'forward, left, up: convert the odometry, as MAVROS does.'
            )
        if _near(R_body_true, np.eye(3)):
            return (
                'the odometry seems to be of the camera itself, in optical axes (x right, y down, z forward): '
                'name its child frame so, or set camera_rpy to [0, 0, 0].'
            )
    x, y, z = R_told_true[:, 2]
    right, down = math.degrees(math.atan2(x, z)), math.degrees(math.asin(max(-1, min(1, y))))
    roll = math.degrees(math.atan2(R_told_true[1, 0], R_told_true[1, 1]))
    parts = [
        f'{abs(angle):.0f} degrees {words[angle < 0]}'
        for angle, words in (
            (down, ('pitched down', 'pitched up')),
            (right, ('turned right', 'turned left')),
            (roll, ('rolled clockwise', 'rolled anticlockwise')),
        )
        if abs(angle) >= 2
    ]
    return (
        f'the camera seems to be {" and ".join(parts) or "slightly turned"} from what tf or the parameters '
        'say; correct its transform, or set camera_rpy.'
    )


def _near(R: np.ndarray, other: np.ndarray) -> bool:
    return motion.rotation_angle(motion.pose(R.T @ other, np.zeros(3))) < _NAMED_RAD
