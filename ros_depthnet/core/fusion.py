"""
What several depth maps of one scene say together, and what an old one says of the view now.

Everything is done in ln(depth), where the errors of depth from motion are alike near and far.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera

GATE = 3.0  # combined deviations: what differs by more shows something else
SAME_SURFACE = 1.1  # ratio of depths up to which points that fall on one pixel are averaged
TRANSLATION_NOISE = 0.05  # share of the way that odometry is off
PIXEL_NOISE = 0.4  # pixels that resampling and odometry's rotation move a point in the image
FORGETTING = 0.1  # deviation of ln(depth) that a second adds, for what moves by itself
COMMON = 0.75  # share of the variance of maps' errors that all of them have
_LEAST_WEIGHT = 0.1  # of a point's four neighbours, those it hardly touches are left to others


@dataclass(frozen=True, eq=False)
class DepthMap:
    """
    Depth of a view with its uncertainty, all (H, W) float32.

    depth_hw: metres along z. deviation_hw: one standard deviation of ln(depth). age_hw: seconds since it was
    measured, infinite where it never was. Where depth is unknown all are NaN.
    """

    depth_hw: np.ndarray
    deviation_hw: np.ndarray
    age_hw: np.ndarray

    @classmethod
    def fresh(cls, depth_hw: np.ndarray, deviation_hw: np.ndarray) -> 'DepthMap':
        """Return a map measured now; what has no finite depth or deviation is unknown."""
        known = np.isfinite(depth_hw) & np.isfinite(deviation_hw) & (depth_hw > 0)
        return cls(depth_hw, deviation_hw, np.zeros_like(depth_hw)).where(known)

    def where(self, known_hw: np.ndarray) -> 'DepthMap':
        """Return the map with the rest unknown."""
        if known_hw.all():
            return self
        nan = np.float32(np.nan)
        return DepthMap(*(np.where(known_hw, values, nan) for values in vars(self).values()))

    def or_else(self, other: 'DepthMap') -> 'DepthMap':
        """Return the map with another's values where it knows nothing."""
        unknown = np.isnan(self.depth_hw)
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return DepthMap(*(np.where(unknown, theirs, ours) for ours, theirs in pairs))


def fused(maps: Sequence[DepthMap]) -> DepthMap:
    """
    Return the mean of maps of one view, weighted by inverse variance of ln(depth).

    Where they contradict each other, those that agree with the most certain one count. Maps from the same
    network and much the same images err alike: of their variance, COMMON stays however many there are, and
    the rest averages out. How far they differ adds to it, by more than it shows, since what they have in
    common does not show in a difference. The age is that of the youngest.
    """
    if len(maps) == 1:
        return maps[0]
    logs = np.log(np.stack([each.depth_hw for each in maps]))
    deviations, ages = (np.stack(each) for each in zip(*((each.deviation_hw, each.age_hw) for each in maps)))
    results = np.full((3, *logs.shape[1:]), np.nan, np.float32)
    _fuse(logs, deviations, ages, results)
    np.exp(results[0], out=results[0])
    return DepthMap(*results)


@njit(nogil=True, cache=True, error_model='numpy')
def _fuse(logs, deviations, ages, results):
    """Write ln(depth), deviation and age (3, H, W) of maps, (N, H, W) each; what none knows is left as it is."""
    number, height, width = logs.shape
    zero, one, averaged = np.float32(0), np.float32(1), np.float32(1 - COMMON)
    weights = np.empty(number, np.float32)
    for y in range(height):
        for x in range(width):
            best, least = zero, np.float32(np.inf)
            for n in range(number):
                if deviations[n, y, x] < least and not np.isnan(logs[n, y, x]):
                    best, least = logs[n, y, x], deviations[n, y, x]
            total, mean, age = zero, zero, np.float32(np.inf)
            for n in range(number):
                log, deviation, weight = logs[n, y, x], deviations[n, y, x], zero
                if abs(log - best) <= np.float32(GATE) * np.sqrt(deviation * deviation + least * least):  # no NaN
                    weight = one / (deviation * deviation)
                    total += weight
                    mean += weight * log
                    age = min(age, ages[n, y, x])
                weights[n] = weight
            if total == zero:
                continue
            mean /= total
            common, apart, spread = zero, zero, zero
            for n in range(number):
                if weights[n] > zero:
                    weight = weights[n] / total
                    share, off = weight * deviations[n, y, x], logs[n, y, x] - mean
                    common += share
                    apart += share * share
                    spread += weight * off * off
            variance = (one - averaged) * common * common + averaged * apart + spread / averaged
            results[0, y, x], results[1, y, x], results[2, y, x] = mean, np.sqrt(variance), age


def updated(new: DepthMap, old: DepthMap) -> DepthMap:
    """Return a new map fused with a carried one; what the new one contradicts is dropped from the old."""
    gap = np.log(new.depth_hw / old.depth_hw)
    contradicted = np.square(gap) > GATE**2 * (np.square(new.deviation_hw) + np.square(old.deviation_hw))
    return fused([new, old.where(~contradicted)])


def carried(old: DepthMap, camera: Camera, T_new_old: np.ndarray, seconds: float) -> DepthMap:
    """
    Return what a map of an earlier view says of the view now: its points seen from there, the nearest first.

    T_new_old: (4, 4), maps points of the old view into the new. Every point is spread over the four pixels
    round it (bilinear splatting with a z-buffer, inverse depth averaged), so approaching up to twice leaves
    no holes; what was hidden is unknown. The deviation grows with the way, with time, and at depth edges.
    """
    way = float(np.linalg.norm(T_new_old[:3, 3]))
    log_hw = np.log(old.depth_hw)
    places_hw, nearest_hw = _seen_from(old, camera, T_new_old)
    sums = np.zeros((4, *log_hw.shape), np.float32)
    _splat(
        places_hw,
        nearest_hw,
        old.depth_hw,
        old.deviation_hw,
        old.age_hw,
        log_hw,
        np.float32((TRANSLATION_NOISE * way) ** 2),
        np.float32(FORGETTING**2 * seconds),
        sums,
    )
    known_hw = sums[0] > 0
    inverse, variance, age = sums[1:] / np.where(known_hw, sums[0], 1)
    with np.errstate(divide='ignore'):
        return DepthMap(1 / inverse, np.sqrt(variance), age + np.float32(seconds)).where(known_hw)


def hidden(depth_map: DepthMap, camera: Camera, T_src_ref: np.ndarray) -> np.ndarray:
    """Return, (H, W) bool, what of a map another view of this camera does not see for something nearer in the map."""
    places_hw, nearest_hw = _seen_from(depth_map, camera, T_src_ref)
    hidden_hw = np.empty(nearest_hw.shape, np.bool_)
    _behind(places_hw, cv2.erode(nearest_hw, np.ones((3, 3))), hidden_hw)  # points fall on some pixels only
    return hidden_hw


def _seen_from(depth_map: DepthMap, camera: Camera, T_new_old: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where points are seen from a new view, (3, H, W): x, y, z, and (H, W) the depth of the nearest there."""
    places_hw = np.empty((3, *depth_map.depth_hw.shape), np.float32)
    nearest_hw = np.full(depth_map.depth_hw.shape, np.inf, np.float32)
    _move(depth_map.depth_hw, motion.projection(camera, T_new_old), places_hw, nearest_hw)
    return places_hw, nearest_hw


@njit(nogil=True, cache=True, error_model='numpy')
def _behind(places_hw, nearest_hw, hidden_hw):
    """Write which places, as `_move` has them, are behind what is nearest at their pixel."""
    height, width = nearest_hw.shape
    for y in range(height):
        for x in range(width):
            u, v, z = places_hw[0, y, x] + 0.5, places_hw[1, y, x] + 0.5, places_hw[2, y, x]
            inside = 0 <= u < width and 0 <= v < height  # NaN is not
            hidden_hw[y, x] = inside and z > SAME_SURFACE * nearest_hw[int(v), int(u)]


@njit(nogil=True, cache=True, error_model='numpy')
def _move(depth_hw, P, places_hw, nearest_hw):
    """Write places and the nearest depth, as `_seen_from` has them; NaN where a point is unknown or not in view."""
    height, width = depth_hw.shape
    zero, one, nan = np.float32(0), np.float32(1), np.float32(np.nan)
    right, bottom = np.float32(width), np.float32(height)
    for y in range(height):
        at_y = np.float32(y)
        for x in range(width):  # without branches, so that several are done at once
            at_x, depth = np.float32(x), depth_hw[y, x]
            z = (P[2, 0] * at_x + P[2, 1] * at_y + P[2, 2]) * depth + P[2, 3]
            nearer = one / z
            u = ((P[0, 0] * at_x + P[0, 1] * at_y + P[0, 2]) * depth + P[0, 3]) * nearer
            v = ((P[1, 0] * at_x + P[1, 1] * at_y + P[1, 2]) * depth + P[1, 3]) * nearer
            known = (depth > zero) & (depth < np.inf) & (z > zero)
            inside = known & (u > -one) & (u < right) & (v > -one) & (v < bottom)
            places_hw[0, y, x] = u if inside else nan
            places_hw[1, y, x] = v if inside else nan
            places_hw[2, y, x] = z if inside else nan
        for x in range(width):
            u, v, z = places_hw[0, y, x], places_hw[1, y, x], places_hw[2, y, x]
            if not z > zero:
                continue
            left, top = int(np.floor(u)), int(np.floor(v))
            du, dv = u - np.float32(left), v - np.float32(top)
            for across in range(2):
                for down in range(2):
                    column, row = left + across, top + down
                    weight = (du if across else one - du) * (dv if down else one - dv)
                    if weight > np.float32(_LEAST_WEIGHT) and 0 <= column < width and 0 <= row < height:
                        nearest_hw[row, column] = min(nearest_hw[row, column], z)


@njit(nogil=True, cache=True, error_model='numpy')
def _splat(places_hw, nearest_hw, depth_hw, deviation_hw, age_hw, log_hw, way_variance, time_variance, sums):
    """Add up by pixel of the new view (4, H, W) weights, inverse depth, variance and age of the points in front."""
    height, width = depth_hw.shape
    zero, one, noise = np.float32(0), np.float32(1), np.float32(PIXEL_NOISE)
    least, same = np.float32(_LEAST_WEIGHT), np.float32(SAME_SURFACE)
    variances = np.empty(width, np.float32)
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):  # without branches, so that several are done at once
            here, steepest = log_hw[y, x], zero  # of the changes to neighbours; unknown ones don't count
            for row, column in ((y, max(x - 1, 0)), (y, min(x + 1, width - 1)), (above, x), (below, x)):
                change = abs(log_hw[row, column] - here)
                steepest = change if change > steepest and change < np.inf else steepest
            z = places_hw[2, y, x]
            ratio, edge = deviation_hw[y, x] * depth_hw[y, x] / z, noise * steepest
            variances[x] = ratio * ratio + way_variance / (z * z) + edge * edge + time_variance
        for x in range(width):
            u, v, z = places_hw[0, y, x], places_hw[1, y, x], places_hw[2, y, x]
            if not z > zero:
                continue
            left, top = int(np.floor(u)), int(np.floor(v))
            du, dv = u - np.float32(left), v - np.float32(top)
            for across in range(2):
                for down in range(2):
                    column, row = left + across, top + down
                    weight = (du if across else one - du) * (dv if down else one - dv)
                    if not (weight > least and 0 <= column < width and 0 <= row < height):
                        continue
                    if z <= same * nearest_hw[row, column]:
                        sums[0, row, column] += weight
                        sums[1, row, column] += weight / z
                        sums[2, row, column] += weight * variances[x]
                        sums[3, row, column] += weight * age_hw[y, x]
