"""What a camera makes of the light that reaches it: vignetting, gain, blur and noise."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np

from ros_depthnet.learning.still_box.options import IDEAL, SensorOptions

_GAIN_MEMORY = 2.0  # seconds after which automatic exposure has forgotten where it was
_READ_NOISE = 0.2  # share of a white pixel's variance that a black one has too; the rest is of the photons


def blurred_and_noisy(
    rng: np.random.Generator, image: np.ndarray, blur: float, noise: float | np.ndarray
) -> np.ndarray:
    """Return an image (H, W, 3) in 0..1, blurred by `blur` pixels and with noise of deviation `noise`."""
    if blur:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    return np.clip(image + noise * _grain(rng, image.shape), 0, 1)


def _grain(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return white noise of deviation 1, float32: a random stretch of a store, which is quick."""
    store, size = _store_of_grain(), math.prod(shape)
    if size > len(store):
        return rng.standard_normal(shape, np.float32)
    start = rng.integers(len(store) - size + 1)
    return store[start : start + size].reshape(shape)


@functools.lru_cache(maxsize=1)
def _store_of_grain() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(1 << 22, np.float32)


class Sensor:
    """A camera of frames in the order of time, `rate` of them a second; its seed decides its noise."""

    def __init__(self, options: SensorOptions, rate: float, seed: int):
        self._options, self._rng = options, np.random.default_rng((seed, 1))
        self._kept = np.exp(-1 / rate / _GAIN_MEMORY)
        self._drift = self._rng.normal()

    def take(self, image: np.ndarray) -> np.ndarray:
        """Return what becomes of the light (H, W, 3) float32 in 0..1, as uint8."""
        options = self._options
        if options != IDEAL:
            image = image * np.exp(options.exposure * self._drift).astype(np.float32)
            image = image * _vignette(image.shape, options.vignetting)
            noise = options.noise * np.sqrt(_READ_NOISE + (1 - _READ_NOISE) * np.clip(image, 0, 1))
            image = blurred_and_noisy(self._rng, image, options.blur, noise)
            change = np.sqrt(1 - self._kept**2) * self._rng.normal()
            self._drift = self._kept * self._drift + change
        return (image * 255).round().astype(np.uint8)


def _vignette(shape: tuple[int, int, int], loss: float) -> np.ndarray:
    """Return the share of light (H, W, 1) that is left: all in the centre, `1 - loss` in the corners."""
    y, x = (np.linspace(-1, 1, extent, dtype=np.float32) for extent in shape[:2])
    return 1 - loss * ((y[:, None] ** 2 + x**2) / 2)[..., None]
