"""What is believed without comparing images: smooth surfaces, and labels as far as they are sure."""

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


def label_loss(log_depth, label, relative_deviation):
    """
    Return the mean robust distance of ln(depth) (B, H, W) to labels (B, H, W) metres, NaN where there is none.

    In units of the labels' relative deviations, (B, H, W): quadratic below one, linear above (Huber 1964), so
    that a label that is wrong pulls no harder than one that is a little off.
    """
    known = label.isfinite()
    error = (log_depth - torch.where(known, label, 1.0).log()).abs()
    units = error / torch.where(known, relative_deviation, 1.0)
    robust = torch.where(units < 1, 0.5 * units.square(), units - 0.5)
    return (robust * known).sum() / known.sum().clamp_min(1)
