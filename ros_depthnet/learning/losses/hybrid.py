"""
What moves by itself must not teach depth: flow explains it, and depth with odometry does not.

After CoopNet (Hariat, Manzanera and Filliat, WACV 2023): the photometric errors of both reconstructions are compared,
and what they strongly disagree on moves. Its text could not be had: how disagreement is distributed, and that depth is
weighed by it, is our own. Flow is not learned here but DIS's (Kroeger 2016), so there is nothing that could starve.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

SURE = 3.0
"""Deviations of disagreement from which a pixel moves rather than not."""
_QUARTILE = 0.6745  # deviations of a normal distribution that half of one side is within
_LEAST_DEVIATION = 0.01  # of photometric differences


def moving_share(disagreement, counts):
    """
    Return how likely a pixel moves, (B, H, W), where it counts (B, H, W): sigmoid(disagreement in deviations - SURE).

    The middle of what is still is the image's median. How far it is spread, the half below it tells: what moves is
    above. So while depth knows little yet, and disagrees with flow everywhere, it still learns everywhere.
    """
    known = torch.where(counts, disagreement, torch.nan).flatten(1)
    middle = known.nanmedian(1, keepdim=True).values
    below = torch.where(known < middle, middle - known, torch.nan)
    deviation = (below.nanmedian(1, keepdim=True).values / _QUARTILE).nan_to_num().clamp_min(_LEAST_DEVIATION)
    return ((known - middle) / deviation - SURE).sigmoid().nan_to_num().view_as(disagreement)


def flowing_to(reference, sources, pixels) -> torch.Tensor:
    """
    Return where optical flow leads from a reference (B, 3, H, W) in each source (B, S, 3, H, W), (B, S, H, W, 2).

    It is sought from the pixels expected.
    """
    there = torch.stack(torch.meshgrid(*(torch.arange(n) for n in reference.shape[:1:-1]), indexing='xy'), -1)
    start = (pixels.cpu() - there).numpy()
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    found = np.stack(
        [
            [dis.calc(_grey(one), _grey(other), from_here) for other, from_here in zip(others, starts)]
            for one, others, starts in zip(reference, sources, start)
        ]
    )
    return (torch.from_numpy(found) + there).to(pixels.device)


def _grey(image) -> np.ndarray:
    return (255 * image.mean(0)).round().byte().cpu().numpy()
