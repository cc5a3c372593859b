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

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import cv2
import numpy as np
from numba import njit
from numba.extending import register_jitable

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Views
from ros_depthnet.core.fusion import TRANSLATION_NOISE, DepthMap, hidden

MOVES = 0.5  # probability from which something counts as moving
GAPS_S = 0.1, 0.4  # seconds to the frames compared with: fast things soon, slow ones surely
_FINEST = 0, 1  # scale down to which flow to them is sought: what is small moves, and farther in more time
_WINDOW = 9  # pixels that one flow vector was found from
_SMOOTHING = 2.0  # pixels, standard deviation of the window in which evidence is shared
_MATCHING_NOISE = 0.15  # pixels, of flow where the image shows all one could wish
_FLOW_NOISE = 0.02  # share of the rigid flow that flow may be off
_LEAST_DEVIATION = 0.03  # of ln(depth)
_NOWHERE = 100.0  # metres, where depth is not known
_NEAREST = 1e-3  # metres: OpenCV's flow crashes when sought at infinity
_MOST_CORRECTION = 1.0  # of ln(depth), that flow is allowed to suggest
_REACH = 3.0  # deviations, likewise
_GROSS = 20.0  # grey levels: what differs by more differs
_OTHER_NOISE = 2.0  # grey levels, beside the images' noise
_MOST_LEFT = 50.0  # variances
_FILLING = 8  # pixels to each side, within which
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
    How flow differs from rigid flow, and which of them the images are on the side of; all (H, W) float32.

    surprise_hw: what is left of the squared Mahalanobis distance of flow from rigid flow, over all sources, once
    depth has been corrected as far as its deviation allows. gains: by source, the difference of mean squared
    photometric errors, in variances of the images' noise; what a source does not see for something nearer gains
    nothing. lefts: by source, the flow's own error, likewise. Of a source that there is not there is nothing.
    flow_hw2, rigid_hw2: (H, W, 2) pixels, to the newest source.
    """

    surprise_hw: np.ndarray
    gains: list[np.ndarray]
    lefts: list[np.ndarray]
    flow_hw2: np.ndarray
    rigid_hw2: np.ndarray


@dataclass(frozen=True, eq=False)
class Motion:
    """
    What of a view moves by itself.

    log_odds_hw: (H, W) float32, of moving against still. flow_hw2: (H, W, 2) float32 pixels, to the newest of
    the frames compared with.
    """

    log_odds_hw: np.ndarray
    flow_hw2: np.ndarray

    @property
    def probability_hw(self) -> np.ndarray:
        """The probability that what a pixel shows moves, (H, W) float32."""
        return probability(self.log_odds_hw)


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


def motion_evidence(views: Views, comparison: Comparison, before: Motion | None) -> Motion:
    """
    Return what moves in a reference, by a comparison with its sources and what was found in the newest of them.

    before: None if nothing is known of it. Sources (newest first) are taken to differ from the reference by less
    than a second.
    """
    clues = [comparison.surprise_hw, *comparison.gains, *comparison.lefts]
    log_odds_hw = _WEIGHTS[-1] + sum(
        weight * np.log1p(_shared(clue)) for weight, clue in zip(_WEIGHTS, clues, strict=False)
    )
    log_odds_hw = _filled(log_odds_hw, _grey(views.reference))
    if before is not None:
        seconds = (views.reference.stamp_ns - views.sources[0].stamp_ns) / 1e9
        log_odds_hw = log_odds_hw + np.float32(np.exp(-seconds / _FORGETTING_S)) * _carried(before, comparison.flow_hw2)
    return Motion(np.clip(log_odds_hw, -_MOST, _MOST), comparison.flow_hw2)


def clues(views: Views, depth_map: DepthMap, comparison: Comparison, found: Motion) -> np.ndarray:
    """
    Return what a MovingNetwork is shown, (CLUES, H / 2, W / 2) float32, each about -2 to 2.

    The comparison's numbers by their logarithms, grey, ln(inverse depth) and its deviation, what flow and rigid
    flow differ by and rigid flow itself, across and down, and what was found without a network.
    """
    off_hw2 = comparison.flow_hw2 - comparison.rigid_hw2
    channels = [
        _logarithm(_halved(np.clip(comparison.surprise_hw, 0, 1000))),
        *(_logarithm(_halved(np.clip(gain, -100, 100))) for gain in comparison.gains),
        *(_logarithm(_halved(left)) for left in comparison.lefts),
        _halved(_grey(views.reference)) / np.float32(128) - 1,
        np.log(_halved(1 / np.nan_to_num(depth_map.depth_hw, nan=_NOWHERE))) / 2 + 1,
        _halved(np.clip(np.nan_to_num(depth_map.deviation_hw, nan=1), 0, 1)),
        *(np.clip(_halved(off_hw2[..., axis]) / 4, -_MOST_OFF, _MOST_OFF) for axis in (0, 1)),
        *(np.clip(_halved(comparison.rigid_hw2[..., axis]) / 8, -_MOST_OFF, _MOST_OFF) for axis in (0, 1)),
        _halved(found.log_odds_hw) / np.float32(4),
    ]
    return np.stack(channels).astype(np.float32)


def compare(views: Views, depth_map: DepthMap) -> Comparison:
    """Compare the flow to each source with what the reference's depth and the motion predict."""
    grey = _grey(views.reference)
    scene = _Scene(views.camera, grey, _noise(grey), depth_map)
    uncertain = _flow_covariance(grey, scene.noise)
    motions = views.T_srcs_ref.astype(np.float32)
    with ThreadPoolExecutor(len(motions)) as pool:  # numba and OpenCV leave the interpreter to others
        matches = list(pool.map(partial(_matched, scene, uncertain), views.sources, motions, _FINEST))
        squares, pull, information = np.sum([match.sums for match in matches], axis=0)
        deviation_hw = np.maximum(np.nan_to_num(depth_map.deviation_hw, nan=1), np.float32(_LEAST_DEVIATION))
        information = information + 1 / np.square(deviation_hw)
        reach_hw = np.minimum(_REACH * deviation_hw, np.float32(_MOST_CORRECTION))
        corrected_hw = scene.inverse_hw * np.exp(np.clip(pull / information, -reach_hw, reach_hw))
        gains, lefts = zip(*pool.map(partial(_gained, scene, corrected_hw), matches), strict=True)
    missing = (np.zeros_like(pull),) * (len(GAPS_S) - len(matches))
    return Comparison(
        squares - np.square(pull) / information,
        [*gains, *missing],
        [*lefts, *missing],
        matches[0].flow_hw2,
        matches[0].rigid_hw2,
    )


@dataclass(frozen=True, eq=False)
class _Scene:
    """What is looked at: a reference's image, its noise in grey levels, and its depth."""

    camera: Camera
    grey: np.ndarray
    noise: float
    depth_map: DepthMap

    @cached_property
    def inverse_hw(self) -> np.ndarray:
        return 1 / np.maximum(np.nan_to_num(self.depth_map.depth_hw, nan=_NOWHERE), np.float32(_NEAREST))

    @cached_property
    def intrinsics(self) -> np.ndarray:
        return np.array((self.camera.fx, self.camera.fy, self.camera.cx, self.camera.cy), np.float32)


@dataclass(frozen=True, eq=False)
class _Match:
    """A source with the reference's exposure, (H, W) uint8, the flow to it, and `_weigh`'s sums (3, H, W)."""

    T_src_ref: np.ndarray
    image: np.ndarray
    flow_hw2: np.ndarray
    rigid_hw2: np.ndarray
    sums: np.ndarray


def _matched(
    scene: _Scene,
    uncertain: tuple[np.ndarray, np.ndarray, np.ndarray],
    source: Frame,
    T_src_ref: np.ndarray,
    finest: int,
) -> _Match:
    image = _grey(source)
    image = cv2.convertScaleAbs(image, alpha=float(scene.grey.mean()) / max(float(image.mean()), 1))
    rigid_hw2 = np.empty((*image.shape, 2), np.float32)
    _rigid_flow(scene.inverse_hw, T_src_ref, scene.intrinsics, rigid_hw2)
    flow_hw2 = _flow(scene.grey, image, rigid_hw2, finest)
    sums = np.zeros((3, *image.shape), np.float32)
    _weigh(flow_hw2, scene.inverse_hw, T_src_ref, scene.intrinsics, *uncertain, sums)
    return _Match(T_src_ref, image, flow_hw2, rigid_hw2, sums)


def _gained(scene: _Scene, corrected_hw: np.ndarray, match: _Match) -> tuple[np.ndarray, np.ndarray]:
    """Return what flow gains over depth in a source, and what it leaves, in variances of the images' noise."""
    errors = np.empty((*scene.grey.shape, 3), np.float32)
    _errors(
        scene.grey,
        match.image,
        match.flow_hw2,
        scene.inverse_hw,
        corrected_hw,
        match.T_src_ref,
        scene.intrinsics,
        np.float32(_GROSS**2),
        errors,
    )
    as_said, corrected, flowing = cv2.split(cv2.blur(errors, (_WINDOW, _WINDOW)))
    unit = np.float32(scene.noise**2 + _OTHER_NOISE**2)
    gain = (np.minimum(as_said, corrected) - flowing) / unit
    return gain * ~hidden(scene.depth_map, scene.camera, match.T_src_ref), np.minimum(flowing / unit, _MOST_LEFT)


def _carried(before: Motion, flow_hw2: np.ndarray) -> np.ndarray:
    """Return what was known of the places that the flow leads to, 0 outside."""
    height, width = flow_hw2.shape[:2]
    places = flow_hw2 + np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    return cv2.remap(before.log_odds_hw, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


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


def _flow_covariance(grey: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the covariance of flow that an image's noise causes: xx, xy and yy, (H, W) float32 pixels squared."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1)
    x, y = (cv2.Scharr(smooth, cv2.CV_32F, axis, 1 - axis, scale=1 / 32) for axis in (1, 0))
    # Smoothed noise has a slope as well, and makes neighbours alike.
    per_pixel = _WINDOW**2 / 8 / (2 * (0.3 * noise) ** 2)
    of_noise = np.float32((0.12 * noise) ** 2)
    xx, xy, yy = (per_pixel * cv2.blur(each, (_WINDOW, _WINDOW)) for each in (x * x, x * y, y * y))
    xx, yy = (np.maximum(each - per_pixel * of_noise, 0) + np.float32(1e-3) for each in (xx, yy))
    determinant = np.maximum(xx * yy - xy * xy, np.float32(1e-6))
    return yy / determinant, -xy / determinant, xx / determinant


def _filled(values_hw: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Return values spread over what is of one brightness (guided filter, He 2010): plain things have edges only."""

    def mean(image):
        return cv2.blur(image, (2 * _FILLING + 1, 2 * _FILLING + 1))

    guide = grey.astype(np.float32)
    at, of = mean(guide), mean(values_hw)
    slope = (mean(guide * values_hw) - at * of) / (mean(guide * guide) - at * at + np.float32(_EVEN**2))
    return mean(slope) * guide + mean(of - slope * at)


def _halved(values_hw: np.ndarray) -> np.ndarray:
    height, width = values_hw.shape
    return cv2.resize(
        np.ascontiguousarray(values_hw, np.float32), (width // 2, height // 2), interpolation=cv2.INTER_AREA
    )


def _logarithm(values_hw: np.ndarray) -> np.ndarray:
    return np.copysign(np.log1p(np.abs(values_hw)), values_hw)


def _shared(values_hw: np.ndarray) -> np.ndarray:
    return np.maximum(cv2.GaussianBlur(np.minimum(values_hw, np.float32(100)), (0, 0), _SMOOTHING), 0)


@register_jitable
def _place(x, y, inverse, T, intrinsics):
    """Return where a source shows what the reference has at x, y and an inverse depth: u, v, and 1 / z there."""
    fx, fy, cx, cy = intrinsics
    ray_x, ray_y = (np.float32(x) - cx) / fx, (np.float32(y) - cy) / fy
    z = T[2, 0] * ray_x + T[2, 1] * ray_y + T[2, 2] + T[2, 3] * inverse
    nearer = np.float32(1) / max(z, np.float32(0.05))
    u = (T[0, 0] * ray_x + T[0, 1] * ray_y + T[0, 2] + T[0, 3] * inverse) * nearer * fx + cx
    v = (T[1, 0] * ray_x + T[1, 1] * ray_y + T[1, 2] + T[1, 3] * inverse) * nearer * fy + cy
    return u, v, nearer


@njit(nogil=True, cache=True, error_model='numpy')
def _rigid_flow(inverse_hw, T_src_ref, intrinsics, flow_hw2):
    """Write the flow (H, W, 2) that a still scene would show."""
    height, width = inverse_hw.shape
    for y in range(height):
        for x in range(width):
            u, v, _ = _place(x, y, inverse_hw[y, x], T_src_ref, intrinsics)
            flow_hw2[y, x, 0], flow_hw2[y, x, 1] = u - x, v - y


@njit(nogil=True, cache=True, error_model='numpy')
def _weigh(flow_hw2, inverse_hw, T_src_ref, intrinsics, xx_hw, xy_hw, yy_hw, sums):
    """
    Add to sums (3, H, W) the terms of a Gauss-Newton step in ln(inverse depth) that would explain the flow.

    Squared distance of flow from rigid flow, its pull on ln(inverse depth), and the information about that.
    """
    height, width = inverse_hw.shape
    fx, fy, cx, cy = intrinsics
    T, focal = T_src_ref, intrinsics[0]
    way = math.sqrt(T[0, 3] ** 2 + T[1, 3] ** 2 + T[2, 3] ** 2)
    for y in range(height):
        for x in range(width):
            inverse = inverse_hw[y, x]
            u, v, nearer = _place(x, y, inverse, T, intrinsics)
            to_x, to_y = x + flow_hw2[y, x, 0], y + flow_hw2[y, x, 1]
            inside = 0 <= u <= width - 1 and 0 <= v <= height - 1 and 0 <= to_x <= width - 1 and 0 <= to_y <= height - 1
            if not inside:
                continue
            along_x = fx * (T[0, 3] - T[2, 3] * (u - cx) / fx) * inverse * nearer
            along_y = fy * (T[1, 3] - T[2, 3] * (v - cy) / fy) * inverse * nearer
            off_x, off_y = to_x - u, to_y - v
            moved = (u - x) ** 2 + (v - y) ** 2
            variance = (
                np.float32(_MATCHING_NOISE**2)
                + np.float32(_FLOW_NOISE**2) * moved
                + (np.float32(TRANSLATION_NOISE) * focal * way * inverse) ** 2
            )
            xx, xy, yy = xx_hw[y, x] + variance, xy_hw[y, x], yy_hw[y, x] + variance
            determinant = xx * yy - xy * xy
            pull_x, pull_y = (yy * along_x - xy * along_y) / determinant, (xx * along_y - xy * along_x) / determinant
            sums[0, y, x] += (yy * off_x * off_x - 2 * xy * off_x * off_y + xx * off_y * off_y) / determinant
            sums[1, y, x] += pull_x * off_x + pull_y * off_y
            sums[2, y, x] += pull_x * along_x + pull_y * along_y


@register_jitable
def _looked_up(image, u, v):
    left, top = int(u), int(v)
    du, dv = u - np.float32(left), v - np.float32(top)
    upper = image[top, left] * (1 - du) + image[top, left + 1] * du
    return upper * (1 - dv) + (image[top + 1, left] * (1 - du) + image[top + 1, left + 1] * du) * dv


@njit(nogil=True, cache=True, error_model='numpy')
def _errors(grey, image, flow_hw2, inverse_hw, corrected_hw, T_src_ref, intrinsics, gross, errors):
    """Write squared differences, at most `gross`, (H, W, 3): by depth, by corrected depth, and by flow; 0 outside."""
    height, width = inverse_hw.shape
    for y in range(height):
        for x in range(width):
            errors[y, x] = 0
            a, b, _ = _place(x, y, inverse_hw[y, x], T_src_ref, intrinsics)
            c, d, _ = _place(x, y, corrected_hw[y, x], T_src_ref, intrinsics)
            e, f = x + flow_hw2[y, x, 0], y + flow_hw2[y, x, 1]
            if not (min(a, c, e) >= 0 and max(a, c, e) < width - 1 and min(b, d, f) >= 0 and max(b, d, f) < height - 1):
                continue
            here = np.float32(grey[y, x])
            errors[y, x, 0] = min(np.square(_looked_up(image, a, b) - here), gross)
            errors[y, x, 1] = min(np.square(_looked_up(image, c, d) - here), gross)
            errors[y, x, 2] = min(np.square(_looked_up(image, e, f) - here), gross)
