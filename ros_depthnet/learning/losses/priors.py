"""What is believed without comparing images: smooth surfaces."""

from __future__ import annotations

import torch

EDGE = 0.1


def smoothness(inverse_depth, image, edge: float = EDGE):
    """
    Return how far inverse depth (B, H, W) is from planes, where the image (B, 3, H, W) in 0..1 has no edge.

    mean((g d2)^2) with g = exp(-(|dI| / edge)^2): inverse depth is affine on a plane, so its second
    differences vanish there (Pinard 2018, and its code).
    """
    total = 0.0
    for axis in (-1, -2):
        second = inverse_depth.diff(n=2, dim=axis)
        slope = image.mean(1).diff(dim=axis)
        size = second.shape[axis]
        # The slope across the three pixels of a second difference.
        across = torch.maximum(slope.narrow(axis, 0, size).abs(), slope.narrow(axis, 1, size).abs())
        total = total + (torch.exp(-((across / edge) ** 2)) * second).square().mean()
    return total
