"""How unlike two images are, pixel by pixel, and which pixels may be asked (Zhou 2017, Godard 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

_C1, _C2 = 0.01**2, 0.03**2
_LEAST_CONTRAST = 1e-2


def _windowed(image):
    """Return means over 3 x 3 pixels, weighed 1 2 1 along each axis, edges repeated."""
    padded = F.pad(image, (1, 1, 1, 1), mode='replicate')
    across = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    return (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 16


def ssim(one, other):
    """Return the structural similarity (B, C, H, W), -1..1, of images (B, C, H, W) in 0..1 (Wang 2004)."""
    products = torch.stack([one, other, one * one, other * other, one * other], 1)
    mean_one, mean_other, *squares = _windowed(products.flatten(1, 2)).unflatten(1, products.shape[1:3]).unbind(1)
    variance_one, variance_other = squares[0] - mean_one**2, squares[1] - mean_other**2
    covariance = squares[2] - mean_one * mean_other
    return ((2 * mean_one * mean_other + _C1) * (2 * covariance + _C2)) / (
        (mean_one**2 + mean_other**2 + _C1) * (variance_one + variance_other + _C2)
    )


def difference(one, other, ssim_weight: float = 0.85):
    """Return how unlike images (B, C, H, W) in 0..1 are, (B, H, W): absolute difference and (1 - SSIM) / 2."""
    absolute = (one - other).abs().mean(1)
    return ssim_weight * ((1 - ssim(one, other)) / 2).clamp(0, 1).mean(1) + (1 - ssim_weight) * absolute


def exposed_alike(image, like, weight):
    """
    Return an image (B, C, H, W) with the brightness and contrast of another, over pixels of a weight (B, H, W).

    One gain and one offset an image: exposure differs from frame to frame, and must not look like motion
    (Yang 2020).
    """
    weight = weight[:, None] / (weight.sum((1, 2))[:, None, None, None] * image.shape[1] + 1e-6)

    def moments(values):
        mean = (weight * values).sum((1, 2, 3), keepdim=True)
        return mean, (weight * (values - mean) ** 2).sum((1, 2, 3), keepdim=True).sqrt()

    with torch.no_grad():
        mean, contrast = moments(image)
        wanted_mean, wanted_contrast = moments(like)
        gain = wanted_contrast / contrast.clamp_min(_LEAST_CONTRAST)
    return (image - mean) * gain + wanted_mean


def least(differences, seen):
    """
    Return the least of differences (B, S, H, W) over the sources, and whether any sees the pixel (B, H, W).

    What one source does not see, another may (Godard 2019). `seen` (B, S, H, W).
    """
    found = torch.where(seen, differences, torch.inf).amin(1)
    any_sees = seen.any(1)
    return torch.where(any_sees, found, 0.0), any_sees


def moves(reconstructed, unmoved):
    """
    Return which pixels look more alike once reconstructed than where they stand: the others teach nothing.

    Of differences (B, H, W). What stands still in the image flies along, is infinitely far, or plain (Godard 2019).
    """
    return reconstructed < unmoved
