"""Contours of a picture: thinned to lines, and how far pixels are from them."""

import cv2
import numpy as np

LIKELY = 0.3
"""Probability from which on a pixel of a thinned map is a contour: F1 was best at .24 and .36 on two sets of scenes."""
_SMOOTHING = 1.0  # pixels, standard deviation of the blur before directions are taken
_ACROSS = 1.0  # pixels


def thinned(probability_hw: np.ndarray) -> np.ndarray:
    """
    Return a map of contours (H, W) float32 in 0..1 with only the ridges left, 0 elsewhere.

    Of pixels across a contour the most likely one stays: it is on no side less likely than one pixel on
    (Canny 1986). Across is where the smoothed map bends most.
    """
    probability_hw = np.ascontiguousarray(probability_hw, np.float32)
    smooth = cv2.GaussianBlur(probability_hw, (0, 0), _SMOOTHING)
    along_x, along_y = (cv2.Sobel(smooth, cv2.CV_32F, x, 1 - x) for x in (1, 0))
    xx, xy, yy = (
        cv2.Sobel(along_x, cv2.CV_32F, 1, 0),
        cv2.Sobel(along_x, cv2.CV_32F, 0, 1),
        cv2.Sobel(along_y, cv2.CV_32F, 0, 1),
    )
    # The direction of the most negative curvature, of the two that the Hessian has.
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.float32(np.pi / 2)
    step_x, step_y = np.float32(_ACROSS) * np.cos(angle), np.float32(_ACROSS) * np.sin(angle)
    height, width = probability_hw.shape
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    either_side = (
        cv2.remap(smooth, x + side * step_x, y + side * step_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for side in (np.float32(-1), np.float32(1))
    )
    return np.where(smooth >= np.maximum(*either_side), probability_hw, np.float32(0))


def distance(thinned_hw: np.ndarray, likely: float = LIKELY) -> np.ndarray:
    """Return how far pixels are from the nearest contour of a thinned map, (H, W) float32 pixels; none: the longest."""
    apart = np.uint8(thinned_hw < likely)
    if apart.all():
        return np.full(thinned_hw.shape, np.hypot(*thinned_hw.shape), np.float32)
    return cv2.distanceTransform(apart, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
