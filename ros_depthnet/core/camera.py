"""The pinhole camera: intrinsics, scaling, rays, back-projection and projection."""

import functools
import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """
    An undistorted pinhole camera: image size, focal lengths and principal point in pixels.

    Pixel centres lie at integers, so the image covers [-0.5, width - 0.5]. Axes of the optical frame: x
    right, y down, z forward (REP-103). Raises ValueError for an empty image or a focal length that is not
    positive.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        numbers = (self.fx, self.fy, self.cx, self.cy)
        if self.width < 1 or self.height < 1:
            raise ValueError(f'The camera image is empty ({self.width} x {self.height} pixels).')
        if not all(math.isfinite(number) for number in numbers) or min(self.fx, self.fy) <= 0:
            raise ValueError(f'The camera is not calibrated: fx, fy, cx, cy are {numbers}.')

    @property
    def K(self) -> np.ndarray:
        """The (3, 3) float64 matrix from rays to homogeneous pixels."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    def resized(self, width: int, height: int) -> 'Camera':
        """Return the camera of the image resized to width x height pixels, both axes on their own."""
        sx, sy = width / self.width, height / self.height
        return Camera(width, height, self.fx * sx, self.fy * sy, (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5)

    @functools.lru_cache(maxsize=16)  # noqa: B019 (frozen: equal cameras share their rays)
    def rays_hw3(self) -> np.ndarray:
        """Return `K^-1 m` of every pixel, (H, W, 3) float32 with z = 1; shared, so read-only."""
        rays = np.ones((self.height, self.width, 3), np.float32)
        rays[..., 0] = (np.arange(self.width) - self.cx) / self.fx
        rays[..., 1] = ((np.arange(self.height) - self.cy) / self.fy)[:, None]
        rays.flags.writeable = False
        return rays

    def back_project(self, depth_hw: np.ndarray) -> np.ndarray:
        """
        Return the points `Z(m) K^-1 m` of a depth image in metres, (H, W, 3) float32, optical frame.

        A depth that is NaN or infinite gives a NaN point.
        """
        if depth_hw.shape != (self.height, self.width):
            raise ValueError(
                f'A depth image of shape {depth_hw.shape} does not fit a camera of {self.width} x {self.height} pixels.'
            )
        known = np.where(np.isfinite(depth_hw), depth_hw, np.float32(np.nan)).astype(np.float32, copy=False)
        return self.rays_hw3() * known[..., None]

    def project(self, points_cam: np.ndarray) -> np.ndarray:
        """Return the pixels (..., 2) of points (..., 3) in the optical frame; NaN for points not in front."""
        z = points_cam[..., 2:]
        in_front = np.where(z > 0, z, np.nan)
        return points_cam[..., :2] / in_front * (self.fx, self.fy) + (self.cx, self.cy)
