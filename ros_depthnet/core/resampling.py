"""OpenCV's resizing and blurring as matrices, for those who resample by multiplying: `rows @ image @ columns.T`."""

import cv2
import numpy as np

from ros_depthnet.core import photometric, planes

_SIDES = 'rows', 'columns'


def matrices(size: tuple[int, int], detail: tuple[int, int]) -> dict[str, np.ndarray]:
    """
    Return what alignment resamples with, (H', H) float32 for `NAME_rows` and (W', W) for `NAME_columns`.

    size: (width, height) of the model's input; detail: of the images that are aligned. `cells` are those of
    alignment, `grid` that of planes.
    """
    cells = photometric.cells_of(detail)
    grid, window = planes.grid_of(cells)
    found = {
        'detail_of_input': _resized(size, detail, cv2.INTER_LINEAR),
        'cells_of_input': _resized(size, cells, cv2.INTER_AREA),
        'cells_of_detail': _resized(detail, cells, cv2.INTER_AREA),
        'detail_of_cells': _resized(cells, detail, cv2.INTER_LINEAR),
        'input_of_cells': _resized(cells, size, cv2.INTER_LINEAR),
        'cell_means': [_means(*lengths) for lengths in zip(detail, cells, strict=True)],
        'rough_cell_means': [_means(detail[0], cells[0]), _means(detail[1], cells[1], photometric.ROUGHLY)],
        'cell_window': [_blurred(length, photometric.WINDOW) for length in cells],
        'grid_of_cells': _resized(cells, grid, cv2.INTER_AREA),
        'cells_of_grid': _resized(grid, cells, cv2.INTER_LINEAR),
        'grid_window': [_blurred(length, window) for length in grid],
    }
    return {
        f'{name}_{side}': matrix
        for name, (columns, rows) in found.items()
        for side, matrix in zip(_SIDES, (rows, columns), strict=True)
    }


def _resized(before: tuple[int, int], after: tuple[int, int], how: int) -> list[np.ndarray]:
    return [
        cv2.resize(np.eye(one, dtype=np.float32), (one, other), interpolation=how)
        for one, other in zip(before, after, strict=True)
    ]


def _blurred(length: int, deviation: float) -> np.ndarray:
    weights = cv2.getGaussianKernel(round(8 * deviation + 1) | 1, deviation, cv2.CV_32F)
    return cv2.sepFilter2D(np.eye(length, dtype=np.float32), -1, np.ones(1, np.float32), weights)


def _means(length: int, number: int, step: int = 1) -> np.ndarray:
    """Return the means over cells of whole pixels, of which every step-th counts."""
    pixels = np.arange(length)
    of_cell = (pixels * number // length == np.arange(number)[:, None]) & (pixels % step == 0)
    return (of_cell / of_cell.sum(1, keepdims=True)).astype(np.float32)
