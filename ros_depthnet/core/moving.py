"""
What moves by itself: where the images do not do what depth and motion of the camera predict of a still scene.

Optical flow is compared with rigid flow `K (R Z(m) K^-1 m + t) - m` (Hariat, Manzanera and Filliat, WACV 2023),
each with what it may be off: flow by what noise makes of it where the image shows little (the aperture problem
included), rigid flow by the deviation of depth along the epipolar line and by odometry's noise. Flow goes astray
too, so it must also explain the images better than the best depth does: their difference of photometric errors.
How the two are weighed was fitted on rendered flights (docs/moving.md); the construction is our own.

A network that has learned what moving things look like in these clues judges better than their weighted sum
(`MovingNetwork`); it is shown that sum as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from typing import Protocol

import cv2
import numpy as np
from numba import njit
from numba.extending import register_jitable

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Views
from ros_depthnet.core.fusion import TRANSLATION_NOISE, DepthMap, hidden
from ros_depthnet.core.lasting_threads import threads

MOVES = 0.5  # probability from which something counts as moving
GAPS_S = 0.1, 0.4  # seconds to the frames compared with: fast things soon, slow ones surely
_FINEST = 0, 1  # scale down to which flow to them is sought: what is small moves, and farther in more time
_WINDOW = 9  # pixels that one flow vector was found from
_HALF = 2  # what is compared pixel by pixel is judged at half the size
_SMOOTHING = 1.0  # halves, standard deviation of the window in which evidence is shared
_MATCHING_NOISE = 0.15  # pixels, of flow where the image shows all one could wish
_FLOW_NOISE = 0.02  # share of the rigid flow that flow may be off
_LEAST_DEVIATION = 0.03  # of ln(depth)
_NOWHERE = 100.0  # metres, where depth is not known
_NEAREST = 1e-3  # metres: OpenCV's flow crashes when sought at infinity
_MOST_CORRECTION = 1.0  # of ln(depth), that flow is allowed to suggest
_REACH = 3.0  # deviations, likewise
_GROSS = 20.0  # grey levels: what differs by more differs
_OTHER_NOISE = 2.0  # grey levels, beside the images' noise
_MOST_SURPRISE, _MOST_GAIN, _MOST_LEFT = 1000.0, 100.0, 50.0  # variances
_FILLING = 4  # halves to each side, within which
_EVEN = 8.0  # grey levels of difference are one thing
_MOST = 8.0  # log odds that are carried on
CLUES = 13
_MOST_OFF = 5.0  # fours of pixels that flow differs from rigid flow, and eights that this moves: more is no more
_FORGETTING_S = 0.2  # seconds after which evidence counts for 1/e
# Of surprise, gains, what is left, and nothing at all.
_WEIGHTS = np.array((0.37, 1.13, 0.19, -0.75, 0.57, -3.8), np.float32)


@dataclass(frozen=True, eq=False)
class Comparison:
    """
    How flow differs from rigid flow, and which of them the images are on the side of; (h, w) float32, at half the size.

    surprise_hw: what is left of the squared Mahalanobis distance of flow from rigid flow, over all sources, once
    depth has been corrected as far as its deviation allows. gains: by source, the difference of mean squared
    photometric errors, in variances of the images' noise; what a source does not see for something nearer gains
    nothing. lefts: by source, the flow's own error, likewise. Of a source that there is not there is nothing.
    flow_hw2, rigid_hw2: (h, w, 2) pixels of the whole size, to the newest source. grey: the reference.
    """

    grey: np.ndarray
    surprise_hw: np.ndarray
    gains: list[np.ndarray]
    lefts: list[np.ndarray]
    flow_hw2: np.ndarray
    rigid_hw2: np.ndarray


class MovingNetwork(Protocol):
    """A network that judges clues: `engines.moving_model.MovingModel` is one."""

    def log_odds(self, clues: np.ndarray) -> np.ndarray:
        """Return the log odds of moving against still, (h, w) float32, of clues (CLUES, h, w) float32."""


def probability(log_odds_hw: np.ndarray) -> np.ndarray:
    """Return the probabilities that log odds stand for."""
    return 1 / (1 + np.exp(-log_odds_hw))


def companions(reference: Frame, earlier: Sequence[Frame], before: Frame | None = None) -> tuple[Frame, ...]:
    """
    Return the earlier frames, newest first, to compare a reference with: those nearest to GAPS_S.

    before: the frame that was looked at before; it is preferred to others while it is near enough.
    """
    ages = {id(frame): (reference.stamp_ns - frame.stamp_ns) / 1e9 for frame in earlier}
    usable = [frame for frame in earlier if 0 < ages[id(frame)] <= 2 * GAPS_S[-1]]
    chosen = [min(usable, key=lambda frame: abs(ages[id(frame)] - gap)) for gap in GAPS_S if usable]  # noqa: B023
    if before is not None and any(before is frame for frame in usable) and ages[id(before)] < np.mean(GAPS_S):
        chosen[0] = before
    return tuple(sorted(dict.fromkeys(chosen), key=lambda frame: -frame.stamp_ns))


def evidence(comparison: Comparison, seconds: float, before_hw: np.ndarray | None) -> np.ndarray:
    """
    Return the log odds of moving against still, (h, w) float32, by a comparison and what was found before.

    before_hw: this of the newest source, so many seconds ago; None if nothing is known of it.
    """
    clues = [comparison.surprise_hw, *comparison.gains, *comparison.lefts]
    log_odds_hw = _WEIGHTS[-1] + sum(
        weight * np.log1p(_shared(clue)) for weight, clue in zip(_WEIGHTS, clues, strict=False)
    )
    log_odds_hw = _filled(log_odds_hw, comparison.grey)
    if before_hw is not None:
        log_odds_hw = log_odds_hw + np.float32(np.exp(-seconds / _FORGETTING_S)) * _carried(
            before_hw, comparison.flow_hw2
        )
    return np.clip(log_odds_hw, -_MOST, _MOST)


def clues(depth_map: DepthMap, comparison: Comparison, found_hw: np.ndarray) -> np.ndarray:
    """
    Return what a MovingNetwork is shown, (CLUES, h, w) float32, each about -2 to 2.

    The comparison's numbers by their logarithms, grey, ln(inverse depth) and its deviation, what flow and rigid
    flow differ by and rigid flow itself, across and down, and the log odds found without a network.
    """
    off_hw2 = np.clip((comparison.flow_hw2 - comparison.rigid_hw2) / 4, -_MOST_OFF, _MOST_OFF)
    rigid_hw2 = np.clip(comparison.rigid_hw2 / 8, -_MOST_OFF, _MOST_OFF)
    channels = [
        *map(_logarithm, (comparison.surprise_hw, *comparison.gains, *comparison.lefts)),
        comparison.grey / np.float32(128) - 1,
        np.log(_halved(1 / np.nan_to_num(depth_map.depth_hw, nan=_NOWHERE))) / 2 + 1,
        _halved(np.clip(np.nan_to_num(depth_map.deviation_hw, nan=1), 0, 1)),
        *cv2.split(off_hw2),
        *cv2.split(rigid_hw2),
        found_hw / np.float32(4),
    ]
    return np.stack(channels).astype(np.float32)


def compare(views: Views, depth_map: DepthMap) -> Comparison:
    """Compare the flow to each source with what the reference's depth and the motion predict."""
    scene = _Scene.of(views, depth_map)
    pool = threads(len(views.sources))  # numba and OpenCV leave the interpreter to others
    matches = list(pool.map(partial(_matched, scene), views.sources, views.T_srcs_ref, _FINEST))
    squares, pull, information = reduce(np.add, [match.sums for match in matches])
    deviation_hw = np.maximum(np.nan_to_num(depth_map.deviation_hw, nan=1), np.float32(_LEAST_DEVIATION))
    information = information + 1 / np.square(deviation_hw)
    reach_hw = np.minimum(_REACH * deviation_hw, np.float32(_MOST_CORRECTION))
    corrected_hw = scene.inverse_hw * np.exp(np.clip(pull / information, -reach_hw, reach_hw))
    gains, lefts = zip(*pool.map(partial(_gained, scene, corrected_hw), matches), strict=True)
    surprise_hw = _halved(np.clip(squares - np.square(pull) / information, 0, _MOST_SURPRISE))
    missing = (np.zeros_like(surprise_hw),) * (len(GAPS_S) - len(matches))
    return Comparison(
        _halved(scene.grey.astype(np.float32)),
        surprise_hw,
        [*gains, *missing],
        [*lefts, *missing],
        _halved(matches[0].flow_hw2),
        _halved(matches[0].rigid_hw2),
    )


@dataclass(frozen=True, eq=False)
class _Scene:
    """
    What is looked at: a reference's image, its noise in grey levels, its depth, everywhere some inverse depth.

    covariance_hw: (3, H, W) float32, of flow, xx, xy and yy, pixels squared.
    """

    camera: Camera
    grey: np.ndarray
    noise: float
    covariance_hw: np.ndarray
    depth_map: DepthMap
    inverse_hw: np.ndarray

    @classmethod
    def of(cls, views: Views, depth_map: DepthMap) -> '_Scene':
        grey = _grey(views.reference)
        noise = _noise(grey)
        inverse_hw = 1 / np.maximum(np.nan_to_num(depth_map.depth_hw, nan=_NOWHERE), np.float32(_NEAREST))
        return cls(views.camera, grey, noise, _flow_covariance(grey, noise), depth_map, inverse_hw)

    def seen_from(self, inverse_hw: np.ndarray, T_src_ref: np.ndarray) -> np.ndarray:
        """Return where a source shows what has an inverse depth, (3, H, W): column, row, and how much nearer it is."""
        places_hw = np.empty((3, *inverse_hw.shape), np.float32)
        _see(inverse_hw, motion.projection(self.camera, T_src_ref), places_hw)
        return places_hw


@dataclass(frozen=True, eq=False)
class _Match:
    """A source with the reference's exposure, (H, W) uint8, places in it, flow to it, and `_weigh`'s sums (3, H, W)."""

    T_src_ref: np.ndarray
    image: np.ndarray
    places_hw: np.ndarray
    flow_hw2: np.ndarray
    rigid_hw2: np.ndarray
    sums: np.ndarray


def _matched(scene: _Scene, source: Frame, T_src_ref: np.ndarray, finest: int) -> _Match:
    image = _grey(source)
    image = cv2.convertScaleAbs(image, alpha=float(scene.grey.mean()) / max(float(image.mean()), 1))
    places_hw = scene.seen_from(scene.inverse_hw, T_src_ref)
    rigid_hw2 = _flow_to(places_hw)
    flow_hw2 = _flow(scene.grey, image, rigid_hw2, finest)
    sums = np.empty_like(places_hw)
    P = motion.projection(scene.camera, T_src_ref)
    off_way = np.float32((TRANSLATION_NOISE * scene.camera.fx) ** 2 * T_src_ref[:3, 3] @ T_src_ref[:3, 3])
    _weigh(flow_hw2, scene.inverse_hw, places_hw, P[:, 3], off_way, scene.covariance_hw, sums)
    return _Match(T_src_ref, image, places_hw, flow_hw2, rigid_hw2, sums)


def _gained(scene: _Scene, corrected_hw: np.ndarray, match: _Match) -> tuple[np.ndarray, np.ndarray]:
    """Return what flow gains over depth in a source, and what it leaves, in variances of the images' noise."""
    errors = np.empty_like(match.places_hw)
    grey, image = (each.astype(np.float32) for each in (scene.grey, match.image))
    corrected_places_hw = scene.seen_from(corrected_hw, match.T_src_ref)
    _compare(grey, image, match.flow_hw2, match.places_hw, corrected_places_hw, np.float32(_GROSS**2), errors)
    as_said, corrected, flowing = (cv2.blur(each, (_WINDOW, _WINDOW)) for each in errors)
    unit = np.float32(scene.noise**2 + _OTHER_NOISE**2)
    gain = np.clip((np.minimum(as_said, corrected) - flowing) / unit, -_MOST_GAIN, _MOST_GAIN)
    gain[hidden(scene.depth_map, scene.camera, match.T_src_ref)] = 0
    return _halved(gain), _halved(np.minimum(flowing / unit, _MOST_LEFT))


def _carried(before_hw: np.ndarray, flow_hw2: np.ndarray) -> np.ndarray:
    """Return what was known of the places that the flow leads to, 0 outside."""
    places = flow_hw2 / np.float32(_HALF) + _grid(flow_hw2.shape[:2])
    return cv2.remap(before_hw, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _flow_to(places_hw: np.ndarray) -> np.ndarray:
    """Return how far places (3, H, W) are from where they are in the reference, (H, W, 2) pixels."""
    return cv2.merge(places_hw[:2]) - _grid(places_hw.shape[1:])


@lru_cache(maxsize=4)
def _grid(size: tuple[int, int]) -> np.ndarray:
    """Return column and row of every pixel, (H, W, 2) float32; shared, so read-only."""
    grid = cv2.merge(np.indices(size, np.float32)[::-1])
    grid.flags.writeable = False
    return grid


def _grey(frame: Frame) -> np.ndarray:
    return cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)


def _flow(grey: np.ndarray, other: np.ndarray, expected: np.ndarray, finest: int) -> np.ndarray:
    """Return DIS optical flow (Kroeger 2016) to another image, (H, W, 2) float32 pixels, sought from the expected."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(finest)
    # Finer strides, more iterations and variational refinement take three quarters of its time and find nothing more.
    dis.setPatchStride(5)
    dis.setGradientDescentIterations(12)
    dis.setVariationalRefinementIterations(0)
    return dis.calc(grey, other, expected.copy())


def _noise(grey: np.ndarray) -> float:
    """Return the standard deviation of an image's noise, grey levels (Immerkaer 1996, the median of it)."""
    second = cv2.filter2D(grey.astype(np.float32), -1, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32))
    return max(0.5, float(np.median(np.abs(second[::2, ::2]))) / 0.6745 / 6)


def _flow_covariance(grey: np.ndarray, noise: float) -> np.ndarray:
    """Return the covariance of flow that an image's noise causes: xx, xy and yy, (3, H, W) float32 pixels squared."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1)
    x, y = (cv2.Scharr(smooth, cv2.CV_32F, axis, 1 - axis, scale=1 / 32) for axis in (1, 0))
    # Smoothed noise has a slope as well, and makes neighbours alike.
    per_pixel = _WINDOW**2 / 8 / (2 * (0.3 * noise) ** 2)
    of_noise = np.float32((0.12 * noise) ** 2)
    xx, xy, yy = (per_pixel * cv2.blur(each, (_WINDOW, _WINDOW)) for each in (x * x, x * y, y * y))
    xx, yy = (np.maximum(each - per_pixel * of_noise, 0) + np.float32(1e-3) for each in (xx, yy))
    covariance_hw, determinant = np.empty((3, *grey.shape), np.float32), np.maximum(xx * yy - xy * xy, np.float32(1e-6))
    for part, of_inverse in zip(covariance_hw, (yy, -xy, xx), strict=True):
        np.divide(of_inverse, determinant, out=part)
    return covariance_hw


def _filled(values_hw: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Return values spread over what is of one brightness (guided filter, He 2010): plain things have edges only."""

    def mean(image):
        return cv2.blur(image, (2 * _FILLING + 1, 2 * _FILLING + 1))

    at, of = mean(guide), mean(values_hw)
    slope = (mean(guide * values_hw) - at * of) / (mean(guide * guide) - at * at + np.float32(_EVEN**2))
    return mean(slope) * guide + mean(of - slope * at)


def _halved(values_hw: np.ndarray) -> np.ndarray:
    height, width = values_hw.shape[:2]
    return cv2.resize(values_hw, (width // _HALF, height // _HALF), interpolation=cv2.INTER_AREA)


def _logarithm(values_hw: np.ndarray) -> np.ndarray:
    return np.copysign(np.log1p(np.abs(values_hw)), values_hw)


def _shared(values_hw: np.ndarray) -> np.ndarray:
    return np.maximum(cv2.GaussianBlur(np.minimum(values_hw, np.float32(100)), (0, 0), _SMOOTHING), 0)


@njit(nogil=True, cache=True, error_model='numpy')
def _see(inverse_hw, P, places_hw):
    """Write what `_Scene.seen_from` returns, by `motion.projection`."""
    height, width = inverse_hw.shape
    for y in range(height):
        at_y = np.float32(y)
        for x in range(width):
            at_x, inverse = np.float32(x), inverse_hw[y, x]
            z = P[2, 0] * at_x + P[2, 1] * at_y + P[2, 2] + P[2, 3] * inverse
            nearer = np.float32(1) / max(z, np.float32(0.05))
            places_hw[0, y, x] = (P[0, 0] * at_x + P[0, 1] * at_y + P[0, 2] + P[0, 3] * inverse) * nearer
            places_hw[1, y, x] = (P[1, 0] * at_x + P[1, 1] * at_y + P[1, 2] + P[1, 3] * inverse) * nearer
            places_hw[2, y, x] = nearer


@njit(nogil=True, cache=True, error_model='numpy')
def _weigh(flow_hw2, inverse_hw, places_hw, way, off_way, covariance_hw, sums):
    """
    Write (3, H, W) the terms of a Gauss-Newton step in ln(inverse depth) that would explain the flow.

    Squared distance of flow from rigid flow, its pull on ln(inverse depth), and the information about that; 0 where
    either leads out of the source. way: (3,), by which homogeneous pixels move per inverse metre. off_way: squared
    pixels per squared inverse metre, of odometry's noise.
    """
    height, width = inverse_hw.shape
    zero, one = np.float32(0), np.float32(1)
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    least, share = np.float32(_MATCHING_NOISE**2), np.float32(_FLOW_NOISE**2)
    for y in range(height):
        at_y = np.float32(y)
        for x in range(width):  # without branches, so that several are done at once
            at_x, inverse = np.float32(x), inverse_hw[y, x]
            u, v = places_hw[0, y, x], places_hw[1, y, x]
            to_x, to_y = at_x + flow_hw2[y, x, 0], at_y + flow_hw2[y, x, 1]
            inside = (u >= zero) & (u <= right) & (v >= zero) & (v <= bottom)
            inside = inside & (to_x >= zero) & (to_x <= right) & (to_y >= zero) & (to_y <= bottom)
            growth = inverse * places_hw[2, y, x]
            along_x, along_y = (way[0] - way[2] * u) * growth, (way[1] - way[2] * v) * growth
            off_x, off_y = to_x - u, to_y - v
            moved = (u - at_x) * (u - at_x) + (v - at_y) * (v - at_y)
            variance = least + share * moved + off_way * inverse * inverse
            xx, xy, yy = covariance_hw[0, y, x] + variance, covariance_hw[1, y, x], covariance_hw[2, y, x] + variance
            per = one / (xx * yy - xy * xy)
            pull_x, pull_y = (yy * along_x - xy * along_y) * per, (xx * along_y - xy * along_x) * per
            square = ((yy * off_x - xy * off_y) * off_x + (xx * off_y - xy * off_x) * off_y) * per
            sums[0, y, x] = square if inside else zero
            sums[1, y, x] = pull_x * off_x + pull_y * off_y if inside else zero
            sums[2, y, x] = pull_x * along_x + pull_y * along_y if inside else zero


@register_jitable
def _looked_up(image, u, v):
    left, top = int(u), int(v)
    du, dv = u - np.float32(left), v - np.float32(top)
    upper = image[top, left] + du * (image[top, left + 1] - image[top, left])
    lower = image[top + 1, left] + du * (image[top + 1, left + 1] - image[top + 1, left])
    return upper + dv * (lower - upper)


@njit(nogil=True, cache=True, error_model='numpy')
def _compare(grey, image, flow_hw2, places_hw, corrected_places_hw, gross, errors):
    """Write squared differences, at most `gross`, (3, H, W): by depth, by corrected depth, and by flow; 0 outside."""
    _, height, width = places_hw.shape
    for y in range(height):
        for x in range(width):
            errors[0, y, x] = errors[1, y, x] = errors[2, y, x] = 0
            a, b = places_hw[0, y, x], places_hw[1, y, x]
            c, d = corrected_places_hw[0, y, x], corrected_places_hw[1, y, x]
            e, f = np.float32(x) + flow_hw2[y, x, 0], np.float32(y) + flow_hw2[y, x, 1]
            if not (min(a, c, e) >= 0 and max(a, c, e) < width - 1 and min(b, d, f) >= 0 and max(b, d, f) < height - 1):
                continue
            here = grey[y, x]
            errors[0, y, x] = min(np.square(_looked_up(image, a, b) - here), gross)
            errors[1, y, x] = min(np.square(_looked_up(image, c, d) - here), gross)
            errors[2, y, x] = min(np.square(_looked_up(image, e, f) - here), gross)
