"""
Depth that leans on planes where it is unsure.

Walls, floors and roads are planes, and inverse depth of a plane is linear in the image. A network that finds
nothing to match on a plain wall guesses there; what it is sure of round about says more. Planes are fitted to
inverse depth in large windows, sure places counting most, for each level of brightness by itself, as a wall
and what stands before it seldom are equally bright (the bilateral grid of Chen, Paris and Durand 2007, with a
plane in each cell).
"""

import math

import cv2
import numpy as np

WINDOW = 0.1  # of the image's size, standard deviation of the window of a plane
STRIDE = 3  # pixels a cell of the grid
LEVELS = 10  # of brightness
LEAST_RANGE = 12  # grey levels from dark to bright: less is noise
SURE = 0.01  # relative deviation: what is surer counts no more
FLAT = 0.02  # relative: how far from a plane planes are
RIDGE = 0.15  # of the window: a fit to less than that is level
OWN = 8.0  # weight of what a pixel says itself
ELSEWHERE = 0.7  # ln(depth): what is farther from the plane is not of it


def towards_planes(ln_inverse_hw: np.ndarray, deviation_hw: np.ndarray, grey_hw: np.ndarray) -> np.ndarray:
    """
    Return what to add to ln(inverse depth) so that unsure pixels lie on the planes round about.

    deviation_hw: of ln_inverse_hw. grey_hw: brightness, 0 to 255. All (H, W) float32, as is what is returned.
    """
    grid = _Grid(grey_hw)
    inverse = np.exp(ln_inverse_hw - np.mean(ln_inverse_hw))
    weight = np.square(SURE**2 / (np.square(deviation_hw) + SURE**2)) / np.square(inverse)
    plane, variance = grid.planes(inverse, weight)
    in_front = np.maximum(plane, inverse * math.exp(-2 * ELSEWHERE))  # a plane may pass through the camera
    shift = np.log(in_front / inverse)
    own = OWN / np.square(deviation_hw)
    planes = (np.abs(shift) < ELSEWHERE) / (variance / np.square(in_front) + FLAT**2)
    return shift * planes / (own + planes)


def grid_of(size: tuple[int, int]) -> tuple[tuple[int, int], float]:
    """Return how many cells, across and down, the grid of an image (width, height) has, and their window's."""
    width, height = size
    return (max(1, width // STRIDE), max(1, height // STRIDE)), WINDOW * math.sqrt(width * height) / STRIDE


class _Grid:
    """A bilateral grid: coarse cells of the image by levels of its brightness."""

    def __init__(self, grey_hw: np.ndarray):
        self._height, self._width = grey_hw.shape
        self._cells, self._window = grid_of((self._width, self._height))
        dark, bright = np.percentile(grey_hw, (2, 98))
        level = np.clip((grey_hw - dark) / max(bright - dark, LEAST_RANGE), 0, 1) * (LEVELS - 1)
        self._share = np.maximum(1 - np.abs(level[..., None] - np.arange(LEVELS)), 0).astype(np.float32)

    def planes(self, values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return, per pixel, the plane that fits values (H, W) best, and the variance of values about it."""
        columns, rows = self._cells
        x = np.arange(columns, dtype=np.float32)[None, :, None] - columns / 2
        y = np.arange(rows, dtype=np.float32)[:, None, None] - rows / 2
        moments = cv2.merge([weight, weight * values, weight * values * values])
        sums = [
            cv2.resize(share[..., None] * moments, self._cells, interpolation=cv2.INTER_AREA)
            for share in np.moveaxis(self._share, -1, 0)
        ]
        w, wz, wzz = np.moveaxis(np.stack(sums, -1), -2, 0)
        total = self._windowed(w) + 1e-12  # there may be nothing of this brightness
        mean_x, mean_y, mean_z = (self._windowed(each) / total for each in (w * x, w * y, wz))
        ridge = (RIDGE * self._window) ** 2
        xx = self._windowed(w * x * x) / total - mean_x * mean_x + ridge
        yy = self._windowed(w * y * y) / total - mean_y * mean_y + ridge
        xy = self._windowed(w * x * y) / total - mean_x * mean_y
        xz = self._windowed(wz * x) / total - mean_x * mean_z
        yz = self._windowed(wz * y) / total - mean_y * mean_z
        zz = self._windowed(wzz) / total - mean_z * mean_z
        determinant = xx * yy - xy * xy
        along_x, along_y = (xz * yy - yz * xy) / determinant, (yz * xx - xz * xy) / determinant
        level = mean_z - along_x * mean_x - along_y * mean_y
        variance = np.maximum(zz - along_x * xz - along_y * yz, 0)
        at_x = (np.arange(self._width, dtype=np.float32) + 0.5) * columns / self._width - 0.5 - columns / 2
        at_y = (np.arange(self._height, dtype=np.float32) + 0.5) * rows / self._height - 0.5 - rows / 2
        plane = self._sliced(level) + self._sliced(along_x) * at_x + self._sliced(along_y) * at_y[:, None]
        return plane, self._sliced(variance)

    def _windowed(self, cells: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(cells, (0, 0), self._window)

    def _sliced(self, cells: np.ndarray) -> np.ndarray:
        """Return the grid at each pixel's place and brightness."""
        return (cv2.resize(cells, (self._width, self._height)) * self._share).sum(-1)
