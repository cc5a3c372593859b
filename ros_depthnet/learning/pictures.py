"""Normals and optical flow as pictures; all (H, W, 3) uint8 RGB."""

from __future__ import annotations

import cv2
import numpy as np

_NOTHING = (52, 52, 56)


def normal_picture(normals_hw3: np.ndarray) -> np.ndarray:
    """Show unit normals of the optical frame: red to the right, green up, blue towards the camera."""
    colours = normals_hw3 * (0.5, -0.5, -0.5) + 0.5
    return _filled(colours, np.isnan(normals_hw3).any(-1))


def flow_picture(flow_hw2: np.ndarray, longest: float) -> np.ndarray:
    """Show flow in pixels: hue is the direction (red: right), brightness the length up to `longest`."""
    u, v = np.nan_to_num(flow_hw2.astype(np.float32)).transpose(2, 0, 1)
    length, degrees = cv2.cartToPolar(u, v, angleInDegrees=True)
    hsv = np.stack([degrees, np.ones_like(u), np.clip(length / longest, 0, 1) ** 0.5], -1)
    return _filled(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.isnan(flow_hw2).any(-1))


def _filled(colours: np.ndarray, nothing: np.ndarray) -> np.ndarray:
    picture = (255 * np.nan_to_num(np.clip(colours, 0, 1))).astype(np.uint8)
    picture[nothing] = _NOTHING
    return picture
