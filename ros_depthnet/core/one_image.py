"""
Depth where nothing can be measured: what one image tells, at the scale of what is remembered.

A single image says which things are farther than others and roughly by how much, never how far in metres (Eigen
2014). What was measured before, seen from where the camera is now, has metres; a line between the logarithms of
both makes metres of the guess (Ranftl 2022 aligns predictions with truth that way), and what the guess is off where
both are known corrects it near by.
"""

from typing import Protocol

import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.frames import Frame, Prediction
from ros_depthnet.core.fusion import DepthMap

LEAST_KNOWN = 0.35  # share of the view from which metres are taken: with less, a wall close by was guessed far off
RELIED_UPON = 0.5  # deviation of ln(depth) up to which they are
LEAST_DEVIATION = 0.25  # of ln(depth): a guess is never as sure as what is measured
_STRETCH_PRIOR = 0.25  # deviation of the factor that differences of ln(depth) are stretched by, round 1
_STRETCH = (0.5, 1.6)
_INDEPENDENT = 40.0  # patches of an image whose errors have nothing to do with each other
_ROUNDS = 5  # of reweighting
_GROSS = 2.0  # deviations: what is off by more counts for less than a quarter
_CELL = 4  # pixels a cell of the correction
_REACH = 0.07  # of the image's width, standard deviation of the window that shares a correction
_PRIOR = 0.1  # weight of no correction
_SMOOTH = 1.5  # pixels, of images before they are compared: odometry turns them by less
_WINDOW = 9  # pixels in which they are
_NOISE = 6.0  # grey levels of contrast that may be noise
_ALIKE = 0.6  # likeness of structure (Wang 2004) from which two windows show one thing
_BRIGHTNESS = 12.0  # grey levels by which they may differ, and
_SHARE_OF_CONTRAST = 0.3  # of their contrast
_OUTSIDE = -1e4


class SingleViewModel(Protocol):
    """What guesses depth from one image: `engines.single_view.SingleViewModel` is one."""

    def predict(self, image_hw3: np.ndarray) -> Prediction:
        """Return depth up to an unknown factor, at the size of an RGB image (H, W, 3) uint8."""


def unchanged(now: Frame, depth_hw: np.ndarray, then: Frame) -> np.ndarray:
    """
    Return where a frame shows what an earlier one of its camera did, (H, W) bool.

    depth_hw: of the frame now, metres; where it is unknown, or was not in view, nothing is called unchanged.
    Exposure may have changed.
    """
    T_then_now = motion.inverse(then.T_world_cam) @ now.T_world_cam
    points_then = now.camera.back_project(depth_hw) @ T_then_now[:3, :3].T + T_then_now[:3, 3]
    pixels = np.nan_to_num(now.camera.project(points_then), nan=_OUTSIDE).astype(np.float32)
    here, there = (cv2.GaussianBlur(_grey(frame), (0, 0), _SMOOTH) for frame in (now, then))
    border = {'borderMode': cv2.BORDER_CONSTANT, 'borderValue': _OUTSIDE}
    expected = cv2.remap(there, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR, **border)
    known = np.isfinite(depth_hw) & (expected >= 0)
    if not known.any():
        return known
    exposure = np.median((here[known] + 1) / (expected[known] + 1))
    expected = np.where(known, exposure * expected, here)
    mean_here, mean_there = _windowed(here), _windowed(expected)
    variances = _windowed(here * here) - mean_here**2 + _windowed(expected * expected) - mean_there**2
    covariance = _windowed(here * expected) - mean_here * mean_there
    alike = (2 * covariance + _NOISE**2) / (np.maximum(variances, 0) + _NOISE**2)
    brightness = _BRIGHTNESS + _SHARE_OF_CONTRAST * np.sqrt(np.maximum(variances, 0))
    return known & (alike > _ALIKE) & (np.abs(mean_here - mean_there) < brightness)


def filled(known: DepthMap, guess: Prediction) -> DepthMap:
    """
    Return a map with a guess, up to an unknown factor, where it knows nothing; its age there is infinite.

    Where too little is known to tell the factor, the map stays as it is.
    """
    metric = _in_metres(guess, known)
    if metric is None:
        return known
    never = np.full_like(metric.depth_hw, np.inf)
    guessed = DepthMap(metric.depth_hw, metric.deviation_hw, never)
    return known.or_else(guessed)


def _in_metres(guess: Prediction, known: DepthMap) -> Prediction | None:
    """Return a guess stretched, shifted and corrected in ln(depth) to agree with what is known; None: too little is."""
    relied_upon = known.deviation_hw <= RELIED_UPON
    share = float(relied_upon.mean())
    if share < LEAST_KNOWN:
        return None
    guessed_hw = np.log(guess.depth_hw)
    x, y = guessed_hw[relied_upon], np.log(known.depth_hw[relied_upon])
    deviation = np.hypot(guess.deviation_hw, known.deviation_hw)[relied_upon]
    stretch, middle_guessed, middle_known = _line(x, y, deviation, share)
    line_hw = middle_known + stretch * (guessed_hw - middle_guessed)
    off = y - line_hw[relied_upon]
    off_hw, weight_hw = np.zeros((2, *guessed_hw.shape), np.float32)
    off_hw[relied_upon], weight_hw[relied_upon] = off, _weights(off / deviation)
    correction_hw, surer_hw = _correction(off_hw, weight_hw)
    common = float(np.mean(np.square(deviation))) / (_INDEPENDENT * share)
    variance_hw = np.square(stretch * guess.deviation_hw) * (1 - surer_hw) + np.float32(common)
    deviation_hw = np.maximum(np.sqrt(variance_hw), np.float32(LEAST_DEVIATION))
    return Prediction(np.exp(line_hw + correction_hw), deviation_hw)


def _line(x: np.ndarray, y: np.ndarray, deviation: np.ndarray, share: float) -> tuple[float, float, float]:
    """
    Return the slope of the line from x to y (N,), and a point of it; what is far off it counts for little.

    deviation: (N,), of y. share: of the image that was looked at; neighbours err alike, so it, not N, says how much
    the slope is worth against its prior.
    """
    stretch, middle_x, middle_y = 1.0, float(np.median(x)), float(np.median(y))
    for _ in range(_ROUNDS):
        off = (y - middle_y - stretch * (x - middle_x)) / deviation
        weights = _weights(off) / np.square(deviation) * (_INDEPENDENT * share / len(x))
        middle_x, middle_y = float(np.average(x, weights=weights)), float(np.average(y, weights=weights))
        dx, dy = x - middle_x, y - middle_y
        prior = _STRETCH_PRIOR**-2
        stretch = float(((weights * dx * dy).sum() + prior) / ((weights * dx * dx).sum() + prior))
        stretch = min(max(stretch, _STRETCH[0]), _STRETCH[1])
    return stretch, middle_x, middle_y


def _weights(off: np.ndarray) -> np.ndarray:
    """Return what counts by how many deviations it is off (Geman and McClure 1987)."""
    return 1 / np.square(1 + np.square(off / _GROSS))


def _correction(off_hw: np.ndarray, weight_hw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what is known to be off, spread to what is near, and the share of variance that this takes away."""
    height, width = off_hw.shape
    size = max(1, width // _CELL), max(1, height // _CELL)
    off, weight = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (off_hw * weight_hw, weight_hw))
    reach = _REACH * size[0]
    off, weight = (cv2.GaussianBlur(each, (0, 0), reach) for each in (off, weight))
    total = weight + np.float32(_PRIOR)
    correction, share = off / total, weight / total
    return cv2.resize(correction, (width, height)), cv2.resize(np.square(share), (width, height))


def _windowed(image_hw: np.ndarray) -> np.ndarray:
    return cv2.blur(image_hw, (_WINDOW, _WINDOW))


def _grey(frame: Frame) -> np.ndarray:
    return cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
