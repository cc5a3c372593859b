"""
What several depth maps of one scene say together, and what an old one says of the view now.

Everything is done in ln(depth), where the errors of depth from motion are alike near and far.
"""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ros_depthnet.core.camera import Camera

GATE = 3.0                # combined deviations: what differs by more shows something else
SAME_SURFACE = 1.1        # ratio of depths up to which points that fall on one pixel are averaged
TRANSLATION_NOISE = 0.05  # share of the way that odometry is off
PIXEL_NOISE = 0.4         # pixels that resampling and odometry's rotation move a point in the image
FORGETTING = 0.1          # deviation of ln(depth) that a second adds, for what moves by itself
COMMON = 0.75             # share of the variance of maps' errors that all of them have
_LEAST_WEIGHT = 0.1       # of a point's four neighbours, those it hardly touches are left to others


@dataclass(frozen=True, eq=False)
class DepthMap:
    """
    Depth of a view with its uncertainty, all (H, W) float32.

    depth_hw: metres along z. deviation_hw: one standard deviation of ln(depth). age_hw: seconds since it was
    measured. Where depth is unknown all are NaN.
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
        nan = np.float32(np.nan)
        return DepthMap(*(np.where(known_hw, values, nan) for values in vars(self).values()))


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
    deviations = np.stack([each.deviation_hw for each in maps])
    ages = np.stack([each.age_hw for each in maps])
    certain = np.where(np.isnan(logs), np.inf, deviations).argmin(0)[None]
    gap = np.abs(logs - np.take_along_axis(logs, certain, 0))
    agree = gap <= GATE * np.hypot(deviations, np.take_along_axis(deviations, certain, 0))
    weights = np.where(agree, 1 / np.square(deviations), 0)   # NaN agrees with nothing
    total = weights.sum(0)
    with np.errstate(invalid='ignore'):
        weights = weights / total
        mean = np.where(agree, weights * logs, 0).sum(0)
    spread = np.where(agree, weights * np.square(logs - mean), 0).sum(0) / (1 - COMMON)
    shares = np.where(agree, weights * deviations, 0)
    variance = COMMON * np.square(shares.sum(0)) + (1 - COMMON) * np.square(shares).sum(0) + spread
    age = np.where(agree, ages, np.inf).min(0)
    return DepthMap(np.exp(mean), np.sqrt(variance), age).where(total > 0)


def updated(new: DepthMap, old: DepthMap) -> DepthMap:
    """Return a new map fused with a carried one; what the new one contradicts is dropped from the old."""
    gap = np.abs(np.log(new.depth_hw / old.depth_hw))
    contradicted = gap > GATE * np.hypot(new.deviation_hw, old.deviation_hw)
    return fused([new, old.where(~contradicted)])


def carried(old: DepthMap, camera: Camera, T_new_old: np.ndarray, seconds: float) -> DepthMap:
    """
    Return what a map of an earlier view says of the view now: its points seen from there, the nearest first.

    T_new_old: (4, 4), maps points of the old view into the new. Every point is spread over the four pixels
    round it (bilinear splatting with a z-buffer, inverse depth averaged), so approaching up to twice leaves
    no holes; what was hidden is unknown. The deviation grows with the way, with time, and at depth edges.
    """
    shape = old.depth_hw.shape
    R_new_old, t_new_old = T_new_old[:3, :3].astype(np.float32), T_new_old[:3, 3].astype(np.float32)
    points_new = camera.back_project(old.depth_hw) @ R_new_old.T + t_new_old
    z = points_new[..., 2]
    with np.errstate(invalid='ignore'):
        x = points_new[..., 0] / z * np.float32(camera.fx) + np.float32(camera.cx)
        y = points_new[..., 1] / z * np.float32(camera.fy) + np.float32(camera.cy)
        seen = (z > 0) & (x > -1) & (x < camera.width) & (y > -1) & (y < camera.height)
    way, slope_hw = float(np.linalg.norm(t_new_old)), _slope(np.log(old.depth_hw))
    x, y, z, depth, deviation, age, slope = (
        values[seen] for values in (x, y, z, old.depth_hw, old.deviation_hw, old.age_hw, slope_hw))
    variance = (np.square(deviation * depth / z) + np.square(TRANSLATION_NOISE * way / z)
                + np.square(PIXEL_NOISE * slope) + FORGETTING ** 2 * seconds)
    far_to_near = np.argsort(-z)
    x, y, z, variance, age = (values[far_to_near] for values in (x, y, z, variance, age))
    corners = [_corner(x, y, right, down, camera) for right in (0, 1) for down in (0, 1)]
    nearest = np.full(shape[0] * shape[1], np.inf, np.float32)
    for pixel, _, inside in corners:
        front = np.full_like(nearest, np.inf)
        front[pixel[inside]] = z[inside]   # the last one written to a pixel stays
        np.minimum(nearest, front, out=nearest)
    sums = np.zeros((4, nearest.size))
    for pixel, weight, inside in corners:
        visible = inside.copy()
        visible[inside] = z[inside] <= SAME_SURFACE * nearest[pixel[inside]]
        pixel, weight = pixel[visible], weight[visible]
        for total, values in zip(sums, (1, 1 / z[visible], variance[visible], age[visible]), strict=True):
            total += np.bincount(pixel, weight * values, nearest.size)
    known = sums[0] > 0
    weights = np.where(known, sums[0], 1)
    inverse, variance, age = sums[1:] / weights
    with np.errstate(divide='ignore'):
        values = (1 / inverse, np.sqrt(variance), age + seconds)
    images = (each.astype(np.float32).reshape(shape) for each in values)
    return DepthMap(*images).where(known.reshape(shape))


def _corner(x: np.ndarray, y: np.ndarray, right: int, down: int,
            camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return one neighbour of positions: its pixel's flat index, bilinear weight, and whether it counts."""
    column, row = np.floor(x) + right, np.floor(y) + down
    weight = (1 - np.abs(x - column)) * (1 - np.abs(y - row))
    inside = ((weight > _LEAST_WEIGHT) & (column >= 0) & (column < camera.width) &
              (row >= 0) & (row < camera.height))
    return (row * camera.width + column).astype(np.intp), weight, inside


def _slope(log_hw: np.ndarray) -> np.ndarray:
    """Return the steepest change of ln(depth) to the four neighbours, per pixel; unknown ones don't count."""
    steepest = np.zeros_like(log_hw)
    for axis in (0, 1):
        change = np.nan_to_num(np.abs(np.diff(log_hw, axis=axis)))
        before, after = ((slice(None),) * axis + (part,) for part in (slice(1, None), slice(None, -1)))
        for side in (before, after):
            steepest[side] = np.maximum(steepest[side], change)
    return steepest
