"""
The small rotation that odometry has missed, seen in the images.

Between a reference and its stabilised source every static point moves along its epipolar line, by an amount
that only its depth knows. What moves it off that line is rotation, whatever the depth: a linear equation in
three angles for each point that can be followed.
"""
import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera

_POINTS = 300           # corners followed, at most
_LEAST_POINTS = 12      # fewer say nothing reliable
_TRACKING_NOISE = 0.2   # pixels, one standard deviation of where a corner is found again
_INDEPENDENT = 15       # neighbouring corners err alike: however many, they count as this many
_ROUNDS = 8             # of reweighting, each halving what outliers still pull


def corners(image: np.ndarray, seen_hw: np.ndarray) -> np.ndarray:
    """Return the pixels (N, 2) float32 of an RGB image (H, W, 3) uint8, where seen, that can be found again."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    found = cv2.goodFeaturesToTrack(grey, _POINTS, 0.01, max(4, grey.shape[1] // 40), mask=seen_hw.astype(np.uint8))
    return np.empty((0, 2), np.float32) if found is None else found[:, 0]


def followed(reference: np.ndarray, source: motion.Stabilised,
             pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the pixels (M, 2) of a reference that were found in its stabilised source, and where (M, 2).

    reference: (H, W, 3) uint8 RGB. pixels: (N, 2) float32. Pyramidal Lucas-Kanade, after both have been
    brought to the same brightness: it would take a change of exposure for motion.
    """
    if not len(pixels):
        return pixels, pixels
    valid_hw = source.valid_hw
    grey, source_grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (reference, source.image))
    if valid_hw.any():
        gain = grey[valid_hw].mean() / max(source_grey[valid_hw].mean(), 1.0)
        source_grey = cv2.convertScaleAbs(source_grey, alpha=gain)
    moved, status, _ = cv2.calcOpticalFlowPyrLK(grey, source_grey, pixels, None, winSize=(13, 13), maxLevel=3)
    height, width = valid_hw.shape
    column, row = np.rint(moved.T).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (status[:, 0] == 1)
    inside[inside] = valid_hw[row[inside], column[inside]]
    return pixels[inside], moved[inside]


def residual_rotation(pixels_ref: np.ndarray, pixels_src: np.ndarray, camera: Camera,
                      displacement: np.ndarray, rotation_noise: float) -> np.ndarray:
    """
    Return the rotation vector (3,), radians, that a stabilised source is still turned by.

    A point P of the reference is seen at `exp(w) (P + displacement)`, so with its rays r and r' the epipolar
    line is `n = displacement x r` and `r' . n = w . (r' x n)`. Solved by least squares, reweighted so that
    points that move by themselves or were lost do not count (Geman-McClure), with a prior that keeps w at 0
    where the points say nothing. Its standard deviation of the angle about an axis, radians, is at most
    rotation_noise, and less where what the points do say is small: sideways, turning about the vertical axis
    looks much like depth, and exact odometry must not be spoilt by a guess.
    """
    rays_ref, rays_src = (np.column_stack([(pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy),
                                           np.ones(len(pixels))]) for pixels in (pixels_ref, pixels_src))
    lines = np.cross(displacement, rays_ref)
    with np.errstate(divide='ignore', invalid='ignore'):
        to_pixels = camera.fx / np.hypot(lines[:, 0], lines[:, 1])[:, None]
        rows, off = to_pixels * np.cross(rays_src, lines), (to_pixels[:, 0] * (rays_src * lines).sum(1))
    usable = np.isfinite(rows).all(1)   # at the focus of expansion there is no line
    rows, off = rows[usable] / _TRACKING_NOISE, off[usable] / _TRACKING_NOISE
    if len(rows) < _LEAST_POINTS:
        return np.zeros(3)
    share, variance = min(1, _INDEPENDENT / len(rows)), rotation_noise ** 2
    rotation, largest = np.zeros(3), np.median(np.abs(off))
    for step in range(_ROUNDS):
        # What counts as an outlier shrinks, from what is off more than most to what tracking's noise allows.
        scale = max(1.0, largest / 2 ** step)
        weighted = rows * (share / (1 + np.square((off - rows @ rotation) / (3 * scale))) ** 2)[:, None]
        covariance = np.linalg.inv(weighted.T @ rows + np.eye(3) / variance)
        rotation = covariance @ weighted.T @ off
        # Expectation-maximisation, in which rotation_noise counts like the angle about one more axis.
        squares = rotation_noise ** 2 + rotation @ rotation + np.trace(covariance)
        variance = min(rotation_noise ** 2, squares / 4)
    return rotation


def turned(T_src_ref: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return T_src_ref with a residual rotation (3,), radians, added; the displacement stays as it is."""
    R_src_ref = T_src_ref[:3, :3] @ cv2.Rodrigues(rotation)[0]
    return motion.pose(R_src_ref, R_src_ref @ motion.displacement(T_src_ref))
