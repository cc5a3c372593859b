"""Turn rendered flights into training samples: pick frames, crop, flip, spoil what reality spoils."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ros_depthnet.learning.still_box.sensor import blurred_and_noisy
from ros_depthnet.learning.still_box.sequences import Sequence


@dataclass(frozen=True)
class AugmentOptions:
    """
    How much to spoil.

    `exposure` is the standard deviation of log gain between frames, `noise` that of pixels in 0..1;
    `rotation_noise` degrees and `direction_noise` (share of the displacement) are standard deviations of the
    odometry's error; `stabilised` is the share of sources with a border missing, as after undoing a rotation
    of up to 8 degrees.
    """

    exposure: float = 0.15
    noise: float = 0.02
    blur: float = 0.3
    grey: float = 0.15
    stabilised: float = 0.5
    rotation_noise: float = 0.05
    direction_noise: float = 0.015


@dataclass(frozen=True, eq=False)
class Sample:
    """One reference with S sources, as ParallaxNet takes them, and the true rho (H, W) in pixels."""

    reference: np.ndarray
    sources: np.ndarray
    valid: np.ndarray
    displacements: np.ndarray
    intrinsics: np.ndarray
    parallax: np.ndarray


def _rotate(image, K, angles, border):
    """Turn the camera by small angles (3,) in radians."""
    R, _ = cv2.Rodrigues(np.asarray(angles, float))
    H = K @ R @ np.linalg.inv(K)
    size = image.shape[1::-1]
    return cv2.warpPerspective(
        image, H, size, flags=cv2.INTER_CUBIC if image.ndim == 3 else cv2.INTER_LINEAR, borderMode=border
    )


@dataclass(frozen=True, eq=False)
class Look:
    """What cameras make of the images of one sample: colours, contrast, and how far exposures differ."""

    options: AugmentOptions
    mix: np.ndarray
    gamma: float
    gain: float
    spread: float

    @classmethod
    def draw(cls, rng: np.random.Generator, options: AugmentOptions) -> Look:
        """Draw one."""
        mix = np.eye(3, dtype=np.float32)
        if rng.random() < options.grey:
            mix = np.full((3, 3), 1 / 3, np.float32)
        elif rng.random() < 0.5:
            mix = np.clip(mix + rng.normal(0, 0.15, (3, 3)), 0, 1).astype(np.float32)
            mix /= mix.sum(0)
        gamma, gain = np.exp(rng.normal(0, 0.25)), np.exp(rng.normal(0, 0.25))
        return cls(options, mix, gamma, gain, options.exposure * rng.choice([0.2, 1, 2.5]))

    def at(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return an image of uint8 RGB as one of the cameras sees it, float32 in 0..1."""
        curve = (np.arange(256) / 255) ** self.gamma * self.gain * np.exp(rng.normal(0, self.spread))
        image = curve.astype(np.float32)[image] @ self.mix
        blur = rng.uniform(0.3, 1.0) if rng.random() < self.options.blur else 0.0
        return blurred_and_noisy(rng, image, blur, self.options.noise * rng.random())


def sample(
    sequence: Sequence,
    number: int,
    crop: tuple[int, int],
    rng: np.random.Generator,
    options: AugmentOptions,
    median_parallax: tuple[float, float] = (0, np.inf),
) -> Sample | None:
    """
    Return a sample of `number` sources, cropped to (width, height) pixels.

    None, if the median of the parallax drawn is not in this range, pixels.
    """
    frames = len(sequence.images)
    reference, *drawn = rng.permutation(frames)[: number + 1]
    displacements = sequence.positions[reference] - sequence.positions[drawn]
    order = np.argsort(-np.linalg.norm(displacements, axis=1))
    sources, displacements = np.array(drawn)[order], displacements[order]
    unit = np.linalg.norm(displacements[0])
    fx, fy, cx, cy = sequence.intrinsics

    width, height = crop
    full_height, full_width = sequence.depth.shape[1:]
    left, top = int(rng.integers(full_width - width + 1)), int(rng.integers(full_height - height + 1))
    window = np.s_[top : top + height, left : left + width]
    cx, cy = cx - left, cy - top
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    parallax = (fx * unit / sequence.depth[reference].astype(np.float32))[window]
    if not median_parallax[0] <= np.median(parallax[::2, ::2]) <= median_parallax[1]:
        return None

    look = Look.draw(rng, options)
    images, valid = [], []
    for index in sources:
        image, seen = look.at(sequence.images[index][window], rng), np.ones((height, width), np.float32)
        if rng.random() < options.stabilised:
            seen = _rotate(seen, K, rng.normal(0, np.radians([3, 3, 2])), cv2.BORDER_CONSTANT)
            seen = (seen > 0.99).astype(np.float32)
        noise = np.radians(rng.normal(0, options.rotation_noise, 3)) * rng.choice([0, 1, 2])
        images.append(np.clip(_rotate(image, K, noise, cv2.BORDER_REPLICATE), 0, 1) * seen[..., None])
        valid.append(seen)
    displacements = misjudged(displacements / unit, rng, options)
    reference = look.at(sequence.images[reference][window], rng)
    return mirrored(rng, reference, np.stack(images), np.stack(valid), displacements, (fx, fy, cx, cy), parallax)


def misjudged(displacements: np.ndarray, rng: np.random.Generator, options: AugmentOptions) -> np.ndarray:
    """Return displacements (S, 3) as odometry might have them."""
    error = rng.normal(0, options.direction_noise, displacements.shape) * rng.choice([0, 1, 2])
    return displacements + error * np.linalg.norm(displacements, axis=1, keepdims=True)


def mirrored(rng: np.random.Generator, reference, sources, valid, displacements, intrinsics, parallax) -> Sample:
    """
    Return a sample, the world mirrored left to right or upside down now and then.

    `reference` (H, W, 3), `sources` (S, H, W, 3), `valid` (S, H, W), `displacements` (S, 3), of which the
    longest has length one, `intrinsics` fx, fy, cx, cy, `parallax` (H, W).
    """
    arrays, flips = [reference, sources, valid, parallax], np.array([1.0, 1.0, 1.0])
    height, width = parallax.shape
    fx, fy, cx, cy = intrinsics
    if rng.random() < 0.5:
        arrays = [_flip(array, horizontal=True) for array in arrays]
        flips[0], cx = -1, width - 1 - cx
    if rng.random() < 0.3:
        arrays = [_flip(array, horizontal=False) for array in arrays]
        flips[1], cy = -1, height - 1 - cy
    reference, sources, valid, parallax = arrays
    return Sample(
        np.ascontiguousarray(reference.transpose(2, 0, 1)),
        np.ascontiguousarray(sources.transpose(0, 3, 1, 2)),
        valid[:, None].copy(),
        (displacements * flips).astype(np.float32),
        np.array([fx, fy, cx, cy], np.float32),
        parallax.copy(),
    )


def _flip(array, horizontal: bool):
    """Mirror (H, W), (H, W, 3), (S, H, W) or (S, H, W, 3)."""
    colours = array.shape[-1] == 3
    axis = array.ndim - (2 if colours else 1) - (0 if horizontal else 1)
    return np.flip(array, axis)
