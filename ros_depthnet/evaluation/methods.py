"""The ways to get depth from a pair that are compared: classical baselines, and every shipped model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.evaluation.metrics import DepthAndDeviation

Method = Callable[[Frame, Frame], DepthAndDeviation]  # (reference, source) -> depth of the reference view

_SIDEWAYS = np.sin(np.radians(15))  # largest share of the displacement along the optical axis


_LEVELS = 4  # of the pyramid in which pixels are followed along their epipolar lines
_LEAST_PARALLAX = 0.05  # pixels
_LEAST_CONTRAST = 2.0  # grey levels per pixel along the line: less is noise


class NotApplicable(Exception):
    """This method has nothing to say about this pair; the message says why."""


@dataclass(frozen=True, eq=False)
class _Pair:
    """Grey images, the source stabilised; a point P of the reference is at P + displacement in the source."""

    reference: np.ndarray
    source: np.ndarray
    displacement: np.ndarray
    camera: Camera


def constant(truth: np.ndarray) -> Method:
    """Answer with the median of the truth: what a method must beat to be worth anything."""
    median = np.float32(np.median(truth))

    def method(reference: Frame, source: Frame) -> DepthAndDeviation:
        return DepthAndDeviation(np.full(reference.image.shape[:2], median))

    return method


def dis(reference: Frame, source: Frame) -> DepthAndDeviation:
    """Triangulate DIS optical flow (Kroeger 2016), medium preset, by least squares over both components."""
    pair = _grey_pair(reference, source)
    matcher = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = matcher.calc(pair.reference, pair.source, None)
    camera, (t_x, t_y, t_z) = pair.camera, pair.displacement
    moved = camera.rays_hw3()[..., :2] + flow / np.array([camera.fx, camera.fy], np.float32)
    a = flow.astype(np.float64) / [camera.fx, camera.fy]
    b = np.stack([t_x - moved[..., 0] * t_z, t_y - moved[..., 1] * t_z], -1)
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = (a * b).sum(-1) / (a * a).sum(-1)
    return _with_geometric_deviation(np.where(depth > 0, depth, np.inf), pair)


def sweep(reference: Frame, source: Frame) -> DepthAndDeviation:
    """
    Sweep fronto-parallel planes of constant lateral parallax; the best local correlation wins (no network).

    Correlation is zero-mean and normalised over 9x9 pixels, so exposure does not matter; the winner is
    refined by a parabola through its neighbours.
    """
    pair = _grey_pair(reference, source)
    baseline = np.linalg.norm(pair.displacement)
    parallax = _hypotheses(pair.camera.width)
    depths = pair.camera.fx * baseline / parallax
    in_front = depths + pair.displacement[2] > 0.05 * depths
    parallax, depths = parallax[in_front], depths[in_front]
    correlate = _Correlation(pair.reference)
    scores = np.stack([correlate(_seen_on_plane(pair, depth)) for depth in depths])
    refined = np.interp(_peak(scores), np.arange(len(parallax)), parallax)
    return _with_geometric_deviation(pair.camera.fx * baseline / refined, pair)


def sgbm(reference: Frame, source: Frame) -> DepthAndDeviation:
    """Rectify a pair whose motion is sideways and match it as a stereo pair (OpenCV's SGBM, 3-way)."""
    pair = _grey_pair(reference, source)
    baseline = np.linalg.norm(pair.displacement)
    if abs(pair.displacement[2]) > _SIDEWAYS * baseline:
        raise NotApplicable('the motion is not sideways')
    K, size = pair.camera.K, (pair.camera.width, pair.camera.height)
    R_rect_ref = _rotation_onto_x(-pair.displacement)  # the source's centre lies on the rectified x axis
    to_rectified, size = _fitted(K @ R_rect_ref @ np.linalg.inv(K), size)
    left, right = (cv2.warpPerspective(image, to_rectified, size) for image in (pair.reference, pair.source))
    range_px = 16 * int(np.ceil(pair.camera.width * 0.3 / 16))
    matcher = cv2.StereoSGBM_create(0, range_px, 5, 8 * 25, 32 * 25, 1, 0, 10, 100, 2, cv2.STEREO_SGBM_MODE_SGBM_3WAY)
    padding = ((0, 0), (range_px, 0))  # SGBM leaves the first `range_px` columns unmatched
    disparity = matcher.compute(np.pad(left, padding), np.pad(right, padding))[:, range_px:] / np.float32(16)
    rays_rect = pair.camera.rays_hw3() @ R_rect_ref.T.astype(np.float32)
    pixels = cv2.perspectiveTransform(_pixels(pair.camera), to_rectified).astype(np.float32)
    at_pixels = cv2.remap(disparity, pixels, None, cv2.INTER_NEAREST, borderValue=-1)
    focal = pair.camera.fx
    with np.errstate(divide='ignore'):
        depth = focal * baseline / at_pixels / rays_rect[..., 2]
    return _with_geometric_deviation(np.where(at_pixels > 0, depth, np.nan), pair)


def epipolar(reference: Frame, source: Frame) -> DepthAndDeviation:
    """
    Follow pixels along their epipolar lines from coarse to fine, and answer where there is contrast along them.

    In the manner of Garrigues and Manzanera 2017 (semi-dense epipolar flow); the details are our own: on the
    coarsest of four levels every pixel of parallax is tried, on the finer ones what pixels and their neighbours
    found, half a pixel and a pixel to either side; absolute differences over 7x7 pixels decide.
    """
    pair = _grey_pair(reference, source)
    baseline = float(np.linalg.norm(pair.displacement))
    parallax = np.empty((0, 0), np.float32)
    for halvings in reversed(range(_LEVELS)):
        size = tuple(max(16, length >> halvings) for length in pair.reference.shape[::-1])
        shrink = partial(cv2.resize, dsize=size, interpolation=cv2.INTER_AREA)
        level = _Pair(shrink(pair.reference), shrink(pair.source), pair.displacement, pair.camera.resized(*size))
        if not parallax.size:
            tried = [np.full(size[::-1], each, np.float32) for each in np.arange(0.25, size[0] / 3)]
        else:
            grown = cv2.resize(parallax, size) * np.float32(size[0] / parallax.shape[1])
            around = [np.roll(grown, shift, axis) for axis in (0, 1) for shift in (-4, 4)]
            tried = [grown, *around, *(grown + np.float32(step) for step in (-1, -0.5, 0.5, 1))]
        parallax = _best_of(level, tried)
    below, at, above = (_mismatch(pair, parallax + np.float32(step)) for step in (-0.5, 0, 0.5))
    curvature = below - 2 * at + above
    with np.errstate(divide='ignore', invalid='ignore'):
        parallax = parallax + np.where(curvature > 0, np.clip((below - above) / curvature / 4, -0.5, 0.5), 0)
        depth = np.where(_contrast_along(pair) > _LEAST_CONTRAST, pair.camera.fx * baseline / parallax, np.nan)
    return _with_geometric_deviation(np.where(depth > 0, depth, np.nan), pair)


def _best_of(pair: _Pair, tried: Iterable[np.ndarray]) -> np.ndarray:
    """Return, by pixel, the parallax (H, W) of those tried at which the source looks most alike."""
    candidates = (np.maximum(parallax, np.float32(_LEAST_PARALLAX)) for parallax in tried)
    best = next(candidates)
    least = _mismatch(pair, best)
    for parallax in candidates:
        mismatch = _mismatch(pair, parallax)
        better = mismatch < least
        best, least = np.where(better, parallax, best), np.where(better, mismatch, least)
    return best


def _mismatch(pair: _Pair, parallax_hw: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference (H, W), grey levels, over windows, if pixels have these parallaxes."""
    depth_hw = pair.camera.fx * np.linalg.norm(pair.displacement) / np.maximum(parallax_hw, _LEAST_PARALLAX)
    places = pair.camera.project(pair.camera.rays_hw3() * depth_hw[..., None] + pair.displacement)
    seen = cv2.remap(
        pair.source,
        np.nan_to_num(places, nan=-1e4).astype(np.float32),
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return cv2.blur(cv2.absdiff(pair.reference, seen).astype(np.float32), (7, 7))


def _contrast_along(pair: _Pair) -> np.ndarray:
    """Return the mean slope (H, W) of the reference along its epipolar lines, grey levels per pixel, over windows."""
    grey = cv2.GaussianBlur(pair.reference.astype(np.float32), (0, 0), 1)
    slopes = np.stack([cv2.Scharr(grey, cv2.CV_32F, x, 1 - x, scale=1 / 32) for x in (1, 0)], -1)
    line = pair.displacement[:2] - pair.displacement[2] * pair.camera.rays_hw3()[..., :2]
    line = line / np.maximum(np.linalg.norm(line, axis=-1, keepdims=True), 1e-9)
    return cv2.blur(np.abs((slopes * line).sum(-1)).astype(np.float32), (7, 7))


def _grey_pair(reference: Frame, source: Frame) -> _Pair:
    camera = reference.camera
    T_src_ref = motion.inverse(source.T_world_cam) @ reference.T_world_cam
    if not T_src_ref[:3, 3].any():
        raise NotApplicable('the camera did not move')
    pixels_src = camera.project(camera.rays_hw3().astype(np.float64) @ T_src_ref[:3, :3].T)
    grey, source_grey = (
        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (reference.image, _sampled(source.image, pixels_src))
    )
    return _Pair(grey, source_grey, motion.displacement(T_src_ref), camera)


def _sampled(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """
    Return the image (H, W, C) at pixels (..., 2), bilinear, black outside.

    OpenCV 4 rounds positions to 1/32 pixel, OpenCV 5 doesn't: baselines must score the same with both.
    """
    padded = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    height, width = padded.shape[:2]
    inside = np.nan_to_num(pixels, nan=-1.0)
    x, y = (np.clip(inside[..., axis] + 1, 0, size - 1.001) for axis, size in ((0, width), (1, height)))
    x0, y0 = x.astype(np.intp), y.astype(np.intp)
    right, down = (x - x0)[..., None].astype(np.float32), (y - y0)[..., None].astype(np.float32)
    corners = (
        np.take(padded.reshape(width * height, -1), y0 * width + x0 + step, 0).astype(np.float32)
        for step in (0, 1, width, width + 1)
    )
    upper_left, upper_right, lower_left, lower_right = corners
    upper = upper_left + (upper_right - upper_left) * right
    lower = lower_left + (lower_right - lower_left) * right
    return np.rint(upper + (lower - upper) * down).astype(np.uint8)


def _with_geometric_deviation(depth: np.ndarray, pair: _Pair) -> DepthAndDeviation:
    """Add the deviation that a matching noise of one pixel would cause."""
    return DepthAndDeviation(depth, depth_noise(depth, pair.camera, [pair.displacement], noise=1.0))


def depth_noise(depth_hw: np.ndarray, camera: Camera, displacements: Iterable[np.ndarray], noise: float) -> np.ndarray:
    """
    Return the deviation of depth (H, W), metres, that matching noise in pixels causes: `Z^2 s / (f D)`.

    f D: see `motion.squared_parallax`; at the focus of expansion the deviation has no bound, whatever the method.
    Several displacements (metres) add up by inverse variance.
    """
    squared = sum(motion.squared_parallax(camera, displacement) for displacement in displacements)
    with np.errstate(divide='ignore', invalid='ignore'):
        return depth_hw**2 * noise / np.sqrt(squared)


def _hypotheses(width: int) -> np.ndarray:
    """Return lateral parallaxes, pixels, half a pixel to a third of the width in steps of 1 px, later 4 %."""
    parallax = [0.5]
    while parallax[-1] < width / 3:
        parallax.append(parallax[-1] + max(1.0, 0.04 * parallax[-1]))
    return np.array(parallax)


def _seen_on_plane(pair: _Pair, depth: float) -> np.ndarray:
    """Return the source as the reference would see it if everything were at this depth."""
    shift = pair.camera.K @ pair.displacement
    scale = 1 / (depth + pair.displacement[2])
    reference_to_source = scale * np.array([[depth, 0, shift[0]], [0, depth, shift[1]]])
    return cv2.warpAffine(
        pair.source,
        reference_to_source,
        pair.source.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


class _Correlation:
    """Zero-mean normalised cross-correlation of every 9x9 window of one image with others."""

    def __init__(self, image: np.ndarray):
        self._image = image.astype(np.float32)
        self._mean = self._box(self._image)
        self._deviation = self._spread(self._image, self._mean)

    def __call__(self, other: np.ndarray) -> np.ndarray:
        other = other.astype(np.float32)
        mean = self._box(other)
        covariance = self._box(self._image * other) - self._mean * mean
        return covariance / (self._deviation * self._spread(other, mean))

    def _spread(self, image: np.ndarray, mean: np.ndarray) -> np.ndarray:
        sensor_noise = 4.0  # grey levels squared: flat windows correlate with nothing
        return np.sqrt(np.maximum(self._box(image * image) - mean * mean, 0) + sensor_noise)

    @staticmethod
    def _box(image: np.ndarray) -> np.ndarray:
        return cv2.blur(image, (9, 9))


def _peak(scores: np.ndarray) -> np.ndarray:
    """Return the index (H, W) of the best of (N, H, W) scores, to a fraction where it has two neighbours."""
    best = scores.argmax(0)
    inner = np.clip(best, 1, len(scores) - 2)
    before, at, after = (np.take_along_axis(scores, (inner + step)[None], 0)[0] for step in (-1, 0, 1))
    curvature = before - 2 * at + after
    with np.errstate(divide='ignore', invalid='ignore'):
        offset = np.where(curvature < 0, (before - after) / (2 * curvature), 0)
    return np.where(best == inner, inner + np.clip(offset, -0.5, 0.5), best)


def _rotation_onto_x(direction: np.ndarray) -> np.ndarray:
    """Return the rotation that turns a direction into the x axis and keeps the optical axis nearest to z."""
    x = direction / np.linalg.norm(direction)
    y = np.cross([0, 0, 1], x)
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)])


def _fitted(homography: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the homography shifted so that the whole warped image is seen, and the size that takes."""
    width, height = size
    corners = np.array([[[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]], np.float64)
    warped = cv2.perspectiveTransform(corners, homography)[0]
    low, high = warped.min(0), warped.max(0)
    width, height = (int(np.ceil(extent)) + 1 for extent in high - low)
    shift = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
    return shift @ homography, (width, height)


def _pixels(camera: Camera) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), -1).astype(np.float64)


CLASSICAL: dict[str, Method] = {'dis': dis, 'epipolar': epipolar, 'sgbm': sgbm, 'sweep': sweep}
