"""
The small rotation that odometry has missed, seen in the images.

Between a reference and its stabilised source every static point moves along its epipolar line, by an amount
that only its depth knows. What moves it off that line is rotation, whatever the depth: a linear equation in
three angles for each point that can be followed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.epipolar import rays_of
from ros_depthnet.core.frames import Frame, Views, once_per_frame

POINTS = 150  # corners followed, at most
PATCH = 25  # pixels round a corner whose brightness counts
TRACKED = 13  # pixels round a corner that are found again
STEPS = 10  # towards it on each level: who has not arrived by then is lost
ARRIVED = 0.01  # pixels: a smaller step is none
LEVELS = 3  # that images are halved, to find again what has moved far
LEAST_POINTS = 12  # fewer say nothing reliable
TRACKING_NOISE = 0.2  # pixels, one standard deviation of where a corner is found again
INDEPENDENT = 15  # neighbouring corners err alike: however many, they count as this many
ROUNDS = 8  # of reweighting, each halving what outliers still pull


class Comparing:
    """
    A reference beside any sources: whoever asks, each source's rotation is corrected by the images once.

    rotation_noise: as for `residual_rotation`; 0: motions are what odometry says.
    """

    def __init__(self, reference: Frame, rotation_noise: float):
        """Begin with no source."""
        self.reference, self.rotation_noise = reference, rotation_noise
        self._T_src_ref: dict[Frame, np.ndarray] = {}
        self._corners: np.ndarray | None = None

    def with_sources(self, sources: Sequence[Frame]) -> Views:
        """Return the reference and these sources."""
        for source in sources:
            if source not in self._T_src_ref:
                self._T_src_ref[source] = self._corrected(source)
        T_srcs_ref = [self._T_src_ref[source] for source in sources]
        return Views(self.reference, tuple(sources), np.reshape(T_srcs_ref, (-1, 4, 4)))

    def _corrected(self, source: Frame) -> np.ndarray:
        T_src_ref = motion.inverse(source.T_world_cam) @ self.reference.T_world_cam
        if not self.rotation_noise:
            return T_src_ref
        detailed = Views(self.reference, (source,), T_src_ref[None]).detailed()
        reference = detailed.reference
        if self._corners is None:
            self._corners = corners(reference.image, reference.seen_hw)
        pixels_ref, pixels_src = followed(reference, detailed.sources[0], T_src_ref, self._corners)
        rays_ref, rays_src = (rays_of(pixels, detailed.camera) for pixels in (pixels_ref, pixels_src))
        left = residual_rotation(
            rays_ref, rays_src, detailed.camera.fx, motion.displacement(T_src_ref), self.rotation_noise
        )
        return turned(T_src_ref, left.rotation)


def corners(image: np.ndarray, seen_hw: np.ndarray) -> np.ndarray:
    """Return the pixels (N, 2) float32 of an RGB image (H, W, 3) uint8, where seen, that can be found again."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    found = cv2.goodFeaturesToTrack(grey, POINTS, 0.01, max(4, grey.shape[1] // 40), mask=seen_hw.astype(np.uint8))
    return np.empty((0, 2), np.float32) if found is None else found[:, 0]


def followed(
    reference: Frame, source: Frame, T_src_ref: np.ndarray, pixels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the pixels (M, 2) of a reference that were found in a source, and where in the stabilised one (M, 2).

    pixels: (N, 2) float32. Pyramidal Lucas-Kanade from where rotation alone would take them, after both images
    have been brought to the same brightness: it would take a change of exposure for motion.
    """
    camera = reference.camera
    if not len(pixels):
        return pixels, pixels
    R_src_ref = T_src_ref[:3, :3]
    expected = cv2.perspectiveTransform(pixels[None], camera.K @ R_src_ref @ np.linalg.inv(camera.K))[0]
    (grey, around), (source_grey, source_around) = map(_grey, (reference, source))
    gain = _brightness(around, pixels) / max(_brightness(source_around, expected), 1.0)
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        grey,
        cv2.convertScaleAbs(source_grey, alpha=gain),
        pixels,
        expected,
        winSize=(TRACKED, TRACKED),
        maxLevel=LEVELS,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, STEPS, ARRIVED),
    )
    column, row = np.rint(found.T).astype(int)
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height) & (status[:, 0] == 1)
    inside[inside] = source.seen_hw[row[inside], column[inside]]
    stabilised = cv2.perspectiveTransform(found[None], camera.K @ R_src_ref.T @ np.linalg.inv(camera.K))[0]
    return pixels[inside], stabilised[inside]


@once_per_frame
def _grey(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Return the brightness of each pixel and its mean round about each, both (H, W) uint8."""
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
    return grey, cv2.blur(grey, (PATCH, PATCH))


def _brightness(around: np.ndarray, pixels: np.ndarray) -> float:
    """Return the mean round about pixels (N, 2), as far as they are in the image."""
    there = cv2.remap(around, pixels[None], None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return float(there.mean())


@dataclass(frozen=True, eq=False)
class Turn:
    """
    A residual rotation, radians, and what the points alone say of it.

    rotation: (3,), a rotation vector, after the prior. information: (3, 3), the inverse of the covariance of what
    the points show, by axis. shown: (3,), information times the rotation that fits them best.
    """

    rotation: np.ndarray
    information: np.ndarray
    shown: np.ndarray


def residual_rotation(
    rays_ref: np.ndarray, rays_src: np.ndarray, focal: float, displacement: np.ndarray, rotation_noise: float
) -> Turn:
    """
    Return the rotation that a stabilised source is still turned by.

    rays_ref, rays_src: (N, 3), z = 1, of the same points. focal: pixels. displacement: (3,) metres.
    A point P of the reference is seen at `exp(w) (P + displacement)`, so with its rays r and r' the epipolar
    line is `n = displacement x r` and `r' . n = w . (r' x n)`. Solved by least squares, reweighted so that
    points that move by themselves or were lost do not count (Geman-McClure), with a prior that keeps w at 0
    where the points say nothing. Its standard deviation of the angle about an axis, radians, is at most
    rotation_noise, and less where what the points do say is small: sideways, turning about the vertical axis
    looks much like depth, and exact odometry must not be spoilt by a guess.
    """
    lines = np.cross(displacement, rays_ref)
    with np.errstate(divide='ignore', invalid='ignore'):
        to_pixels = focal / np.hypot(lines[:, 0], lines[:, 1])[:, None]
        rows, off = to_pixels * np.cross(rays_src, lines), (to_pixels[:, 0] * (rays_src * lines).sum(1))
    usable = np.isfinite(rows).all(1)  # at the focus of expansion there is no line
    rows, off = rows[usable] / TRACKING_NOISE, off[usable] / TRACKING_NOISE
    if len(rows) < LEAST_POINTS:
        return Turn(np.zeros(3), np.zeros((3, 3)), np.zeros(3))
    share, variance = min(1, INDEPENDENT / len(rows)), rotation_noise**2
    rotation, largest = np.zeros(3), np.median(np.abs(off))
    for step in range(ROUNDS):
        # What counts as an outlier shrinks, from what is off more than most to what tracking's noise allows.
        scale = max(1.0, largest / 2**step)
        weighted = rows * (share / (1 + np.square((off - rows @ rotation) / (3 * scale))) ** 2)[:, None]
        information, shown = weighted.T @ rows, weighted.T @ off
        covariance = np.linalg.inv(information + np.eye(3) / variance)
        rotation = covariance @ shown
        # Expectation-maximisation, in which rotation_noise counts like the angle about one more axis.
        squares = rotation_noise**2 + rotation @ rotation + np.trace(covariance)
        variance = min(rotation_noise**2, squares / 4)
    return Turn(rotation, information, shown)


def turned(T_src_ref: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return T_src_ref with a residual rotation (3,), radians, added; the displacement stays as it is."""
    R_src_ref = T_src_ref[:3, :3] @ cv2.Rodrigues(rotation)[0]
    return motion.pose(R_src_ref, R_src_ref @ motion.displacement(T_src_ref))
