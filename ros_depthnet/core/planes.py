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
from numba import njit
from numba.extending import register_jitable

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
        level_hw = np.clip((grey_hw - dark) / max(bright - dark, LEAST_RANGE), 0, 1) * (LEVELS - 1)
        self._level_hw = level_hw.astype(np.float32)

    def planes(self, values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return, per pixel, the plane that fits values (H, W) best, and the variance of values about it."""
        columns, rows = self._cells
        x = np.arange(columns, dtype=np.float32)[None, :, None] - columns / 2
        y = np.arange(rows, dtype=np.float32)[:, None, None] - rows / 2
        moments = np.stack([weight, weight * values, weight * values * values])
        by_level = np.zeros((LEVELS, self._height, self._width, 3), np.float32)
        _share_out(moments, self._level_hw, by_level)
        sums = [cv2.resize(each, self._cells, interpolation=cv2.INTER_AREA) for each in by_level]
        w, wz, wzz = np.ascontiguousarray(np.moveaxis(np.stack(sums), (3, 0), (0, 3)))
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
        plane_hw, variance_hw = np.empty((2, self._height, self._width), np.float32)
        cells = np.stack([level, along_x, along_y, variance], -1).astype(np.float32, copy=False)
        _slice(cells, self._level_hw, plane_hw, variance_hw)
        return plane_hw, variance_hw

    def _windowed(self, cells: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(cells, (0, 0), self._window)


@register_jitable
def _below(level):
    """Return the level of the grid at or below a level of brightness, and how far above it that is."""
    lower = min(max(int(level), 0), LEVELS - 2)  # of NaN too
    return lower, level - np.float32(lower)


@njit(nogil=True, cache=True, error_model='numpy')
def _share_out(moments, level_hw, by_level):
    """Write moments (M, H, W) to the two levels of brightness nearest to each pixel's, (LEVELS, H, W, M)."""
    number, height, width = moments.shape
    for y in range(height):
        for x in range(width):
            lower, above = _below(level_hw[y, x])
            for m in range(number):
                by_level[lower, y, x, m] = moments[m, y, x] * (np.float32(1) - above)
                by_level[lower + 1, y, x, m] = moments[m, y, x] * above


@register_jitable
def _between(place, number):
    """Return the two of a number of cells that a place lies between, and how far it is from the first."""
    place = min(max(place, np.float32(0)), np.float32(number - 1))
    first = min(int(place), max(number - 2, 0))
    return first, min(first + 1, number - 1), place - np.float32(first)


@njit(nogil=True, cache=True, error_model='numpy')
def _slice(cells, level_hw, plane_hw, variance_hw):
    """
    Write the planes and variances (H, W) that a grid holds for each pixel's place and brightness.

    cells: (h, w, LEVELS, 4): a plane's value at the image's middle, its slopes across and down per cell, variance.
    """
    rows, columns = cells.shape[:2]
    height, width = level_hw.shape
    half, one = np.float32(0.5), np.float32(1)
    across, down = np.float32(columns) / np.float32(width), np.float32(rows) / np.float32(height)
    found = np.empty(4, np.float32)
    for y in range(height):
        at_y = (np.float32(y) + half) * down - half
        top, bottom, dy = _between(at_y, rows)
        for x in range(width):
            at_x = (np.float32(x) + half) * across - half
            left, right, dx = _between(at_x, columns)
            lower, above = _below(level_hw[y, x])
            for i in range(4):
                found[i] = 0
            for step in range(2):
                share = above if step else one - above
                for i in range(4):
                    upper_row = (one - dx) * cells[top, left, lower + step, i] + dx * cells[top, right, lower + step, i]
                    lower_row = (one - dx) * cells[bottom, left, lower + step, i]
                    lower_row += dx * cells[bottom, right, lower + step, i]
                    found[i] += share * ((one - dy) * upper_row + dy * lower_row)
            from_middle_x = at_x - np.float32(columns) * half
            from_middle_y = at_y - np.float32(rows) * half
            plane_hw[y, x] = found[0] + found[1] * from_middle_x + found[2] * from_middle_y
            variance_hw[y, x] = found[3]
