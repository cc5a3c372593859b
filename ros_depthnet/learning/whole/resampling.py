"""OpenCV's images in torch: resized, blurred, grey, differentiated; all (N, H, W) float32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import cv2
import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Resampling:
    """A separable linear map of images: `rows` (H', H) and `columns` (W', W), as `core.resampling` has them."""

    rows: torch.Tensor
    columns: torch.Tensor

    def __call__(self, images_nhw: torch.Tensor) -> torch.Tensor:
        """Return the images resampled, (N, H', W')."""
        return self.rows @ images_nhw @ self.columns.T


def resamplings_of(matrices: Mapping[str, torch.Tensor]) -> dict[str, Resampling]:
    """Return by name what `core.resampling.matrices` says of rows and columns."""
    names = {name.rpartition('_')[0] for name in matrices}
    return {name: Resampling(matrices[f'{name}_rows'], matrices[f'{name}_columns']) for name in names}


def grey_of(rgb_n3hw: torch.Tensor) -> torch.Tensor:
    """Return whole grey levels (N, H, W) of whole levels of RGB, in OpenCV's fixed-point arithmetic."""
    red, green, blue = rgb_n3hw.unbind(1)
    return ((9798 * red + 19235 * green + 3735 * blue + 2**14) / 2**15).floor()


def mirrored(images_nhw: torch.Tensor, by: int) -> torch.Tensor:
    """Return the images with their mirror images round about, `by` pixels wide."""
    return F.pad(images_nhw[:, None], 4 * [by], mode='reflect')[:, 0]


def filtered(images_nhw: torch.Tensor, rows: list[float], columns: list[float], step: int = 1) -> torch.Tensor:
    """
    Return every `step`-th pixel of the images correlated with an odd number of weights down and across.

    Sums of shifted images, because convolutions of GPUs round to 11 bits where nobody forbids it.
    """
    by = len(rows) // 2
    padded = mirrored(images_nhw, by)
    height, width = images_nhw.shape[-2:]
    down = reduce(torch.add, [weight * padded[:, i : i + height : step] for i, weight in enumerate(rows) if weight])
    return reduce(torch.add, [weight * down[..., i : i + width : step] for i, weight in enumerate(columns) if weight])


def blurred(images_nhw: torch.Tensor, deviation: float) -> torch.Tensor:
    """Return the images blurred by a Gaussian, of which OpenCV takes four standard deviations."""
    size = round(8 * deviation + 1) | 1
    weights = cv2.getGaussianKernel(size, deviation, cv2.CV_32F)[:, 0].tolist()
    return filtered(images_nhw, weights, weights)


def slopes(images_nhw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the slopes per pixel across and down (Scharr)."""
    along, beside = [-0.5, 0.0, 0.5], [3 / 16, 10 / 16, 3 / 16]
    return filtered(images_nhw, beside, along), filtered(images_nhw, along, beside)


def halved(images_nhw: torch.Tensor) -> torch.Tensor:
    """Return the next level of OpenCV's pyramid, in whole grey levels."""
    weights = [1.0, 4.0, 6.0, 4.0, 1.0]
    return ((filtered(images_nhw, weights, weights, 2) + 128) / 256).floor()


def sampled(images_nchw: torch.Tensor, x: torch.Tensor, y: torch.Tensor, **how) -> torch.Tensor:
    """Return what images show at pixels x, y (N, H', W'): (N, C, H', W'). how: as for grid_sample."""
    height, width = images_nchw.shape[-2:]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
    return F.grid_sample(images_nchw, grid, align_corners=True, **how)
