"""How far log depth is from the truth, when its scale counts for little or nothing (Eigen 2014)."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def scale_invariant(log_depth, log_truth, weight, invariance: float = 0.5):
    """
    Return the scale-invariant log error of log depths (B, H, W): mean d^2 - invariance * (mean d)^2.

    d is the difference to the truth, the means are over an image's pixels by their `weight` (B, H, W), 0 where the
    truth is unknown, and then over images. With `invariance` 1 the scale of an image counts for nothing, with 0 as
    much as all else; Eigen 2014 trains with 0.5 and scores with 1.
    """
    error = log_depth - log_truth
    return (_mean(error.square(), weight) - invariance * _mean(error, weight).square()).mean()


def gradients(log_depth, log_truth, weight, scales: int = 4):
    """
    Return how far the slopes of log depth (B, H, W) are from those of the truth, over strides 1, 2, 4, ...

    Mean absolute, which lets depth jump where the truth does (Li 2018); where both pixels of a difference are known.
    """
    error, total = (log_depth - log_truth)[:, None], 0.0
    weight = weight[:, None]
    for _ in range(scales):
        for axis in (-1, -2):
            size = error.shape[axis] - 1
            both = torch.minimum(weight.narrow(axis, 0, size), weight.narrow(axis, 1, size))
            total = total + (both * error.diff(dim=axis).abs()).sum() / both.sum().clamp_min(1)
        known = F.avg_pool2d(weight, 2, ceil_mode=True)
        error = F.avg_pool2d(error * weight, 2, ceil_mode=True) / known.clamp_min(1e-6)
        weight = known
    return total / scales


def shifted_likelihood(log_depth, log_deviation, log_truth, weight):
    """
    Return the negative log Laplace likelihood of the truth, log depths (B, H, W) moved by an image's mean error.

    `log_deviation` (B, H, W): ln of the standard deviation of ln(depth), given the scale.
    """
    error = log_depth - log_truth
    error = (error - _mean(error, weight)[:, None, None]).abs()
    log_scale = log_deviation - 0.5 * torch.log(torch.tensor(2.0))
    return _mean(error * (-log_scale).exp() + log_scale, weight).mean()


def _mean(values, weight):
    """Return the weighted mean of each image, (B,)."""
    return (values * weight).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1e-6)
