"""`core.planes` in torch: depth that leans on planes where it is unsure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from ros_depthnet.core import planes
from ros_depthnet.learning.whole.resampling import Resampling


def towards_planes(ln_inverse_hw, deviation_hw, grey_hw, resampling: Mapping[str, Resampling]) -> torch.Tensor:
    """Return what `core.planes.towards_planes` does; grey_hw: whole grey levels."""
    inverse = (ln_inverse_hw - ln_inverse_hw.mean()).exp()
    sure = planes.SURE**2
    weight = (sure / (deviation_hw.square() + sure)).square() / inverse.square()
    plane, variance = _planes(inverse, weight, _shares(grey_hw), resampling)
    in_front = torch.maximum(plane, inverse * math.exp(-2 * planes.ELSEWHERE))
    shift = (in_front / inverse).log()
    own = planes.OWN / deviation_hw.square()
    pull = (shift.abs() < planes.ELSEWHERE).float() / (variance / in_front.square() + planes.FLAT**2)
    return shift * pull / (own + pull)


def _shares(grey_hw):
    """Return how much of a pixel belongs to each level of brightness (L, h, w)."""
    dark, bright = _percentile(grey_hw, 0.02), _percentile(grey_hw, 0.98)
    level = (grey_hw - dark) / (bright - dark).clamp_min(planes.LEAST_RANGE)
    level = level.clamp(0, 1) * (planes.LEVELS - 1)
    return (1 - (level - torch.arange(planes.LEVELS)[:, None, None]).abs()).clamp_min(0)


def _percentile(grey_hw, share: float):
    """Return numpy's percentile of whole grey levels: counted, not sorted, which no GPU likes."""
    not_above = (grey_hw.flatten() <= torch.arange(256)[:, None]).float().sum(1)
    place = share * (torch.ones_like(grey_hw).sum() - 1)
    lower, upper = ((not_above <= at).float().sum() for at in (place.floor(), place.floor() + 1))
    return lower + (upper - lower) * (place - place.floor())


def _planes(values_hw, weight_hw, shares_lhw, resampling):
    """Return, per pixel, the plane that fits values best, and the variance of values about it."""

    def windowed(cells):
        return resampling['grid_window'](cells)

    def sliced(cells):
        return (resampling['cells_of_grid'](cells) * shares_lhw).sum(0)

    moments = torch.stack([weight_hw, weight_hw * values_hw, weight_hw * values_hw * values_hw])
    sums = resampling['grid_of_cells']((moments[:, None] * shares_lhw).flatten(0, 1))
    rows, columns = sums.shape[-2:]
    w, wz, wzz = sums.reshape(3, planes.LEVELS, rows, columns).unbind(0)
    x = torch.arange(columns) - columns / 2
    y = (torch.arange(rows) - rows / 2)[:, None]
    total = windowed(w) + 1e-12
    mean_x, mean_y, mean_z = (windowed(each) / total for each in (w * x, w * y, wz))
    window = planes.WINDOW / planes.STRIDE * (torch.ones_like(values_hw).sum()).sqrt()
    ridge = (planes.RIDGE * window) ** 2
    xx = windowed(w * x * x) / total - mean_x * mean_x + ridge
    yy = windowed(w * y * y) / total - mean_y * mean_y + ridge
    xy = windowed(w * x * y) / total - mean_x * mean_y
    xz = windowed(wz * x) / total - mean_x * mean_z
    yz = windowed(wz * y) / total - mean_y * mean_z
    zz = windowed(wzz) / total - mean_z * mean_z
    determinant = xx * yy - xy * xy
    along_x, along_y = (xz * yy - yz * xy) / determinant, (yz * xx - xz * xy) / determinant
    level = mean_z - along_x * mean_x - along_y * mean_y
    variance = (zz - along_x * xz - along_y * yz).clamp_min(0)
    height, width = values_hw.shape
    at_x = (torch.arange(width) + 0.5) * columns / width - 0.5 - columns / 2
    at_y = (torch.arange(height) + 0.5) * rows / height - 0.5 - rows / 2
    plane = sliced(level) + sliced(along_x) * at_x + sliced(along_y) * at_y[:, None]
    return plane, sliced(variance)
