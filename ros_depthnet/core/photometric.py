"""
Depth moved along its epipolar lines until the images agree, to a fraction of a pixel.

A network looks at images that have been shrunk to its input and answers from what it has learned. How well
its answer fits these very images, with all their pixels, it does not check; this does. Gauss-Newton steps in
ln(depth), windows that share one correction, and the network's own deviation as a prior (Lucas and Kanade
1981; gradients of both images as in Benhimane and Malis 2004), so that plain places, where images say
nothing, stay where the prediction and the planes round about (`core.planes`) have them.
"""

import functools
import threading
from dataclasses import replace

import cv2
import numpy as np
from numba import njit
from numba.extending import register_jitable

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Prediction, Views, once_per_frame
from ros_depthnet.core.lasting_threads import as_many_as_opencv, threads
from ros_depthnet.core.planes import towards_planes

STRIDE = 4  # pixels a cell: corrections change slowly, edges are the prediction's
WINDOW = 1.5  # cells, standard deviation of the window that shares a correction
CONTRAST = 2.0  # pixels, standard deviation of the window in which contrast is evened out
FAINT = 1.0  # grey levels added to the local contrast: less is noise
GROSS = 1.5  # local contrasts: what differs by more shows something else
SAME = 3.0  # standard deviations of the local difference: what differs by more counts for little
LEAST_NOISE = 0.05  # local contrasts
NOWHERE = 1e3  # local contrasts: what a source shows where it shows nothing, unlike anything
PRIOR = 0.025  # weight of the prior: neighbouring pixels err alike, and a prediction's errors too
LEAST_DEVIATION, MOST_DEVIATION = 0.003, 1.0
NEAREST = 0.001  # metres
REACH = 3.0  # deviations that the images can correct by
ROUGHLY = 2  # every so many-th row is compared before the last round, which need not be exact
LEANING = 1  # the round before which depth leans on planes: images have their say before and after
UNSEEN = 0.2  # relative deviation added, for leaning on planes, where the images show nothing
LEAST_INVERSE = 1e-4  # per metre


@once_per_frame
def _evened(frame: Frame) -> np.ndarray:
    """Return a grey image free of local brightness and contrast, (H, W) float32."""
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.GaussianBlur(grey, (0, 0), CONTRAST)
    variance = cv2.GaussianBlur(grey * grey, (0, 0), CONTRAST) - mean * mean
    return (grey - mean) / (np.sqrt(np.maximum(variance, 0)) + FAINT)


def _sloped(frame: Frame, planes: np.ndarray) -> np.ndarray:
    """Write a frame as `_evened`, NOWHERE where it shows no scene, and its slopes per pixel to (3, H, W) float32."""
    planes[0] = evened = _evened(frame)
    for slope, axes in zip(planes[1:], ((1, 0), (0, 1)), strict=True):
        cv2.Scharr(evened, cv2.CV_32F, *axes, dst=slope, scale=1 / 32)
    if frame.masked_hw is not None:
        planes[0, ~frame.seen_hw] = NOWHERE
    return planes


class _Workspace(threading.local):
    """Memory that a thread keeps from image to image: to be given new pages costs as much as what is done in them."""

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []

    def arrays(self, number: int, shape: tuple[int, ...]) -> list[np.ndarray]:
        """Return so many arrays of float32, whose content is anything."""
        if self._arrays and self._arrays[0].shape != shape:
            self._arrays.clear()
        while len(self._arrays) < number:
            self._arrays.append(np.empty(shape, np.float32))
        return self._arrays[:number]


_workspace = _Workspace()


def aligned(prediction: Prediction, views: Views, rounds: int) -> Prediction:
    """
    Return a prediction corrected by the planes round about and by what the images of its views show.

    The views may be of any size, of the same field of view as the prediction. rounds: Gauss-Newton steps;
    planes come in before the second.
    """
    camera = views.camera
    size = (camera.width, camera.height)
    cells = cells_of(size)
    frames, pool = (views.reference, *views.sources), threads(as_many_as_opencv())
    (predicted_inverse_hw, ratio_hw, inverse_hw), *planes = _workspace.arrays(
        1 + len(frames), (3, camera.height, camera.width)
    )
    # What is unknown must not spread to its neighbours.
    known = np.maximum(np.nan_to_num(prediction.depth_hw, nan=np.inf, posinf=np.inf), np.float32(NEAREST))
    cv2.resize(1 / known, size, dst=predicted_inverse_hw)
    deviation = np.nan_to_num(prediction.deviation_hw, nan=MOST_DEVIATION)
    deviation = np.clip(deviation, np.float32(LEAST_DEVIATION), np.float32(MOST_DEVIATION))
    deviation = _shrunk(deviation, cells)
    prior = np.float32(PRIOR) / np.square(deviation)
    grey = cv2.cvtColor(_shrunk(views.reference.image, cells), cv2.COLOR_RGB2GRAY).astype(np.float32)
    ln_predicted = np.log(np.maximum(_shrunk(predicted_inverse_hw, cells), np.float32(LEAST_INVERSE)))
    expected = correction = np.zeros_like(prior)  # of ln(inverse depth)
    information = np.zeros_like(prior)  # of the images about that
    reference, *sources = pool.map(_sloped, frames, planes)
    for number in range(rounds):
        if number == LEANING:
            # Where there is nothing to match, predictions are surer than they should be.
            doubt = np.sqrt(np.square(deviation) + 1 / (information + np.float32(UNSEEN**-2)))
            expected = correction + towards_planes(ln_predicted + correction, doubt, grey)
            correction = expected
        cv2.exp(cv2.resize(correction, size, dst=ratio_hw), dst=ratio_hw)
        np.multiply(predicted_inverse_hw, ratio_hw, out=inverse_hw)
        step = 1 if number == rounds - 1 else ROUGHLY
        equations = pool.map(
            functools.partial(_normal_equations, reference, camera, inverse_hw, step), sources, views.T_srcs_ref
        )
        information, pull = (sum(each) for each in zip(*equations, strict=True))
        reach = REACH * deviation
        correction = correction + (pull + prior * (expected - correction)) / (information + prior)
        correction = np.clip(correction, expected - reach, expected + reach)
    correction_hw = cv2.resize(correction, prediction.depth_hw.shape[::-1])
    return replace(prediction, depth_hw=prediction.depth_hw * np.exp(-correction_hw))


@register_jitable(inline='always')
def _positions(T_src_ref, ray_y, fx, fy, cx, cy, inverse, width, height, taps, weights, growth):
    """
    Find the four pixels of a source round about where each pixel of a row lies, and the weight of each.

    taps: the upper left one. growth: the pixels that a place moves as ln(inverse depth) grows, over inverse depth.
    Where the source shows nothing the weights are 0.
    """
    T = T_src_ref
    zero, one, least = np.float32(0), np.float32(1), np.float32(0.05)
    from_x, from_y, from_z = T[0, 1] * ray_y + T[0, 2], T[1, 1] * ray_y + T[1, 2], T[2, 1] * ray_y + T[2, 2]
    last_x, last_y = np.float32(width - 1), np.float32(height - 1)
    for x in range(width):
        ray_x = (np.float32(x) - cx) / fx
        closer = one / max(from_z + T[2, 0] * ray_x + T[2, 3] * inverse[x], least)
        there_x = (from_x + T[0, 0] * ray_x + T[0, 3] * inverse[x]) * closer
        there_y = (from_y + T[1, 0] * ray_x + T[1, 3] * inverse[x]) * closer
        u, v = there_x * fx + cx, there_y * fy + cy
        shown = one if zero <= u < last_x and zero <= v < last_y else zero
        u, v = min(max(u, zero), last_x), min(max(v, zero), last_y)
        left = max(min(np.int32(u), np.int32(width - 2)), np.int32(0))  # of NaN too
        top = max(min(np.int32(v), np.int32(height - 2)), np.int32(0))
        du, dv = u - np.float32(left), v - np.float32(top)
        taps[x] = top * np.int32(width) + left
        weights[0, x], weights[1, x] = shown * (one - du) * (one - dv), shown * du * (one - dv)
        weights[2, x], weights[3, x] = shown * (one - du) * dv, shown * du * dv
        growth[0, x] = fx * (T[0, 3] - T[2, 3] * there_x) * closer
        growth[1, x] = fy * (T[1, 3] - T[2, 3] * there_y) * closer


@register_jitable(inline='always')
def _add_to_cells(of_row, column_of, cells):
    """Add what a row of cells holds by the column of pixels to its cells, and begin anew."""
    for x in range(len(of_row)):
        cells[column_of[x]] += of_row[x]
        of_row[x] = np.float32(0)


@njit(nogil=True, cache=True, error_model='numpy', fastmath={'contract', 'reassoc', 'nsz', 'arcp'})
def _look_up(
    reference,
    source,
    T_src_ref,
    displacement,
    camera,
    inverse_hw,
    step,
    row_of,
    column_of,
    off_hw,
    slope_hw,
    like,
    squares,
):
    """
    Compare every step-th row of a reference with what a source shows where its depth says; both `_sloped`.

    Writes what they differ by (H, W), by how much that grows with ln(inverse depth) (H, W), and sums by cell,
    (h, w), of what is alike at all and of squared differences there. A row at a time, and in loops that each
    do one thing without a branch, so that several pixels are done at once.
    """
    height, width = inverse_hw.shape
    fx, fy, cx, cy = camera
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    nowhere, least, gross = np.float32(NOWHERE), np.float32(0.05), np.float32(GROSS)
    planes = source.reshape(3, height * width)
    right, below = np.uint32(min(1, width - 1)), np.uint32(width * min(1, height - 1))
    taps, weights = np.empty(width, np.int32), np.empty((4, width), np.float32)
    growth, shown = np.empty((2, width), np.float32), np.empty((3, width), np.float32)
    like_of_row, squares_of_row = np.zeros((2, width), np.float32)
    for y in range(0, height, step):
        ray_y, inverse_of = (np.float32(y) - cy) / fy, inverse_hw[y]
        _positions(T_src_ref, ray_y, fx, fy, cx, cy, inverse_of, width, height, taps, weights, growth)
        for plane in range(3):
            pixels = planes[plane]
            for x in range(width):
                tap = np.uint32(taps[x])
                shown[plane, x] = (
                    weights[0, x] * pixels[tap]
                    + weights[1, x] * pixels[tap + right]
                    + weights[2, x] * pixels[tap + below]
                    + weights[3, x] * pixels[tap + below + right]
                )
        for x in range(width):
            inverse, ray_x = inverse_of[x], (np.float32(x) - cx) / fx
            # Pixels that the point moves as ln(inverse depth) grows, in the source and in the stabilised one.
            there = shown[1, x] * growth[0, x] + shown[2, x] * growth[1, x]
            closer = one / max(one + displacement[2] * inverse, least)
            here_x = (ray_x + displacement[0] * inverse) * closer
            here_y = (ray_y + displacement[1] * inverse) * closer
            here = (
                reference[1, y, x] * fx * (displacement[0] - displacement[2] * here_x)
                + reference[2, y, x] * fy * (displacement[1] - displacement[2] * here_y)
            ) * closer
            inside = weights[0, x] + weights[1, x] + weights[2, x] + weights[3, x] > zero
            off = reference[0, y, x] - (shown[0, x] if inside else nowhere)
            alike = one if abs(off) < gross else zero
            like_of_row[x] += alike
            squares_of_row[x] += alike * off * off
            off_hw[y, x] = off
            slope_hw[y, x] = (there + here) * inverse / two
        if y + step >= height or row_of[y + step] != row_of[y]:
            _add_to_cells(like_of_row, column_of, like[row_of[y]])
            _add_to_cells(squares_of_row, column_of, squares[row_of[y]])


@njit(nogil=True, cache=True, error_model='numpy', fastmath={'contract', 'reassoc', 'nsz', 'arcp'})
def _weigh(off_hw, slope_hw, noise_hw, step, row_of, column_of, information, pull):
    """Add up by cell (h, w) what the differences say of ln(inverse depth), the unlike counting for little."""
    height, width = off_hw.shape
    one, same = np.float32(1), np.float32(SAME**2)
    information_of_row, pull_of_row = np.zeros((2, width), np.float32)
    for y in range(0, height, step):
        for x in range(width):
            off, slope = off_hw[y, x], slope_hw[y, x]
            doubt = one + off * off / (same * noise_hw[y, x])
            weight = slope / (doubt * doubt)
            information_of_row[x] += weight * slope
            pull_of_row[x] += weight * off
        if y + step >= height or row_of[y + step] != row_of[y]:
            _add_to_cells(information_of_row, column_of, information[row_of[y]])
            _add_to_cells(pull_of_row, column_of, pull[row_of[y]])


def _normal_equations(
    reference: np.ndarray,
    camera: Camera,
    inverse_hw: np.ndarray,
    step: int,
    source: np.ndarray,
    T_src_ref: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return, by cell, how well a source determines ln(inverse depth), and where to it pulls times that.

    step: every so many-th row is looked at.
    """
    size = camera.width, camera.height
    of_rows, of_columns, pixels = _cells(size, step)
    ((off_hw, slope_hw, noise_hw),) = _workspace.arrays(1, reference.shape)
    like, squares, information, pull = np.zeros((4, *pixels.shape), np.float32)
    _look_up(
        reference,
        source,
        T_src_ref.astype(np.float32),
        motion.displacement(T_src_ref).astype(np.float32),
        np.array((camera.fx, camera.fy, camera.cx, camera.cy), np.float32),
        inverse_hw,
        step,
        of_rows,
        of_columns,
        off_hw,
        slope_hw,
        like,
        squares,
    )
    noise = _windowed(squares / pixels) / (_windowed(like / pixels) + 1e-3) + LEAST_NOISE**2
    cv2.resize(noise, size, dst=noise_hw)
    _weigh(off_hw, slope_hw, noise_hw, step, of_rows, of_columns, information, pull)
    return _windowed(information / pixels) / noise, _windowed(pull / pixels) / noise


@functools.lru_cache(maxsize=8)
def _cells(size: tuple[int, int], step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the cell that each row is in, (H,), and each column, (W,), and the pixels looked at of each, (h, w)."""
    of_columns, of_rows = (
        np.arange(length) * number // length for length, number in zip(size, cells_of(size), strict=True)
    )
    return of_rows, of_columns, np.outer(np.bincount(of_rows[::step]), np.bincount(of_columns)).astype(np.float32)


def _windowed(cells: np.ndarray) -> np.ndarray:
    """Return weighted means over the cells of a window."""
    return cv2.GaussianBlur(cells, (0, 0), WINDOW)


def cells_of(size: tuple[int, int]) -> tuple[int, int]:
    """Return how many cells, across and down, an image (width, height) has."""
    width, height = size
    return max(1, width // STRIDE), max(1, height // STRIDE)


def _shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
