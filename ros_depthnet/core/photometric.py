"""
Depth moved along its epipolar lines until the images agree, to a fraction of a pixel.

A network looks at images that have been shrunk to its input and answers from what it has learned. How well
its answer fits these very images, with all their pixels, it does not check; this does. Gauss-Newton steps in
ln(depth), windows that share one correction, and the network's own deviation as a prior (Lucas and Kanade
1981; gradients of both images as in Benhimane and Malis 2004), so that plain places, where images say
nothing, stay where the prediction and the planes round about (`core.planes`) have them.
"""
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Prediction, Views
from ros_depthnet.core.planes import towards_planes

_STRIDE = 4          # pixels a cell: corrections change slowly, edges are the prediction's
_WINDOW = 1.5        # cells, standard deviation of the window that shares a correction
_CONTRAST = 2.0      # pixels, standard deviation of the window in which contrast is evened out
_FAINT = 1.0         # grey levels added to the local contrast: less is noise
_GROSS = 1.5         # local contrasts: what differs by more shows something else
_SAME = 3.0          # standard deviations of the local difference: what differs by more counts for little
_LEAST_NOISE = 0.05  # local contrasts
_NOWHERE = 1e3       # local contrasts: what a source shows where it shows nothing, unlike anything
_PRIOR = 0.05        # weight of the prior: neighbouring pixels err alike, and a prediction's errors too
_LEAST_DEVIATION, _MOST_DEVIATION = 0.003, 1.0
_NEAREST = 0.001     # metres
_REACH = 3.0         # deviations that the images can correct by
_LEANING = 1         # the round before which depth leans on planes: images have their say before and after
_UNSEEN = 0.2        # relative deviation added, for leaning on planes, where the images show nothing
_LEAST_INVERSE = 1e-4   # per metre


@dataclass(frozen=True, eq=False)
class _Evened:
    """A grey image free of local brightness and contrast, (H, W) float32, and its slopes per pixel."""

    image: np.ndarray
    along_x: np.ndarray
    along_y: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray) -> '_Evened':
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        mean = cv2.GaussianBlur(grey, (0, 0), _CONTRAST)
        variance = cv2.GaussianBlur(grey * grey, (0, 0), _CONTRAST) - mean * mean
        evened = (grey - mean) / (np.sqrt(np.maximum(variance, 0)) + _FAINT)
        return cls(evened, *(cv2.Scharr(evened, cv2.CV_32F, x, 1 - x, scale=1 / 32) for x in (1, 0)))


def aligned(prediction: Prediction, views: Views, rounds: int) -> Prediction:
    """
    Return a prediction corrected by the planes round about and by what the images of its views show.

    The views may be of any size, of the same field of view as the prediction. rounds: Gauss-Newton steps;
    planes come in before the second.
    """
    camera = views.camera
    size = (camera.width, camera.height)
    cells = _cells(size)
    reference = _Evened.of(views.reference)
    sources = [_layers(*each) for each in zip(views.sources, views.valid, strict=True)]
    # What is unknown must not spread to its neighbours.
    known = np.maximum(np.nan_to_num(prediction.depth_hw, nan=np.inf, posinf=np.inf), np.float32(_NEAREST))
    predicted_inverse_hw = cv2.resize(1 / known, size)
    deviation = np.nan_to_num(prediction.deviation_hw, nan=_MOST_DEVIATION)
    deviation = np.clip(deviation, np.float32(_LEAST_DEVIATION), np.float32(_MOST_DEVIATION))
    deviation = _shrunk(deviation, cells)
    prior = np.float32(_PRIOR) / np.square(deviation)
    grey = cv2.cvtColor(_shrunk(views.reference, cells), cv2.COLOR_RGB2GRAY).astype(np.float32)
    ln_predicted = np.log(np.maximum(_shrunk(predicted_inverse_hw, cells), np.float32(_LEAST_INVERSE)))
    expected = correction = np.zeros_like(prior)   # of ln(inverse depth)
    information = np.zeros_like(prior)             # of the images about that
    for number in range(rounds):
        if number == _LEANING:
            # Where there is nothing to match, predictions are surer than they should be.
            doubt = np.sqrt(np.square(deviation) + 1 / (information + np.float32(_UNSEEN ** -2)))
            expected = correction + towards_planes(ln_predicted + correction, doubt, grey)
            correction = expected
        inverse_hw = predicted_inverse_hw * np.exp(cv2.resize(correction, size))
        information = pull = np.zeros_like(prior)
        for layers, displacement in zip(sources, views.displacements.astype(np.float32), strict=True):
            more, towards = _normal_equations(reference, layers, displacement, camera, inverse_hw)
            information, pull = information + more, pull + towards
        reach = _REACH * deviation
        correction = correction + (pull + prior * (expected - correction)) / (information + prior)
        correction = np.clip(correction, expected - reach, expected + reach)
    correction_hw = cv2.resize(correction, prediction.depth_hw.shape[::-1])
    return replace(prediction, depth_hw=prediction.depth_hw * np.exp(-correction_hw))


def _layers(image: np.ndarray, valid_hw: np.ndarray) -> np.ndarray:
    """Return what is looked up in a source, (H, W, 3) float32: its evened image and that one's slopes."""
    evened = _Evened.of(image)
    return cv2.merge([np.where(valid_hw, evened.image, np.float32(_NOWHERE)), evened.along_x, evened.along_y])


def _normal_equations(reference: _Evened, layers: np.ndarray, displacement: np.ndarray, camera: Camera,
                      inverse_hw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, by cell, how well a source determines ln(inverse depth), and where to it pulls times that."""
    fx, fy, cx, cy = np.float32((camera.fx, camera.fy, camera.cx, camera.cy))
    x, y, z = displacement
    rays = camera.rays_hw3()
    closer = 1 / np.maximum(1 + z * inverse_hw, np.float32(.05))
    ray_x, ray_y = ((rays[..., axis] + displacement[axis] * inverse_hw) * closer for axis in (0, 1))
    seen = cv2.remap(layers, ray_x * fx + cx, ray_y * fy + cy, cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_CONSTANT, borderValue=(_NOWHERE, 0, 0))
    # Pixels that the point moves in the source as ln(inverse depth) grows, times the slope there.
    speed = closer * inverse_hw / 2
    slope = ((seen[..., 1] + reference.along_x) * (fx * (x - z * ray_x)) +
             (seen[..., 2] + reference.along_y) * (fy * (y - z * ray_y))) * speed
    off = reference.image - seen[..., 0]
    like = (np.abs(off) < _GROSS).astype(np.float32)
    noise = _windowed(like * off * off) / (_windowed(like) + 1e-3) + _LEAST_NOISE ** 2
    shape = off.shape[::-1]
    weights = slope / np.square(1 + np.square(off) / (_SAME ** 2 * cv2.resize(noise, shape)))
    return _windowed(weights * slope) / noise, _windowed(weights * off) / noise


def _windowed(image_hw: np.ndarray) -> np.ndarray:
    """Return weighted means by cell."""
    return cv2.GaussianBlur(_shrunk(image_hw, _cells(image_hw.shape[::-1])), (0, 0), _WINDOW)


def _cells(size: tuple[int, int]) -> tuple[int, int]:
    """Return how many cells, across and down, an image (width, height) has."""
    return tuple(max(1, length // _STRIDE) for length in size)


def _shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
