"""`core.photometric` in torch: depth moved along its epipolar lines until the images agree."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ros_depthnet.core import photometric as cpu
from ros_depthnet.learning.whole.planes import towards_planes
from ros_depthnet.learning.whole.resampling import Resampling, blurred, grey_of, sampled, slopes
from ros_depthnet.learning.whole.views import Intrinsics, displacements


def evened(grey_nhw, seen_nhw) -> torch.Tensor:
    """Return grey images free of local brightness and contrast, and their slopes, (N, 3, H, W)."""
    mean = blurred(grey_nhw, cpu.CONTRAST)
    variance = blurred(grey_nhw * grey_nhw, cpu.CONTRAST) - mean * mean
    even = (grey_nhw - mean) / (variance.clamp_min(0).sqrt() + cpu.FAINT)
    return torch.stack([torch.where(seen_nhw > 0, even, cpu.NOWHERE), *slopes(even)], 1)


def correction(
    inverse_hw,
    deviation_hw,
    details: torch.Tensor,
    T_srcs_ref: torch.Tensor,
    weights: torch.Tensor,
    camera: Intrinsics,
    rounds: int,
    resampling: Mapping[str, Resampling],
) -> torch.Tensor:
    """
    Return what to subtract from the ln(depth) of a prediction (h, w), as `core.photometric.aligned` does.

    inverse_hw: 1 / depth, and deviation_hw of its logarithm, at the model's size. details: (1 + N, 4, H, W), RGB in
    grey levels and 1 where the scene is seen, the reference first. T_srcs_ref: (N, 4, 4). weights: (N,), 0 for
    sources that do not count. camera: of the details.
    """
    images = evened(grey_of(details[:, :3]), details[:, 3])
    reference, sources = images[0], images[1:]
    detailed = resampling['detail_of_input'](_known(inverse_hw, 0.0).clamp(0, 1 / cpu.NEAREST)[None])
    deviation = _known(deviation_hw, cpu.MOST_DEVIATION).clamp(cpu.LEAST_DEVIATION, cpu.MOST_DEVIATION)
    deviation = resampling['cells_of_input'](deviation[None])[0]
    prior = cpu.PRIOR / deviation.square()
    shrunk = resampling['cells_of_detail'](details[0, :3]).round()
    grey = grey_of(shrunk[None])[0]
    ln_predicted = resampling['cells_of_detail'](detailed)[0].clamp_min(cpu.LEAST_INVERSE).log()
    expected = found = information = torch.zeros_like(prior)
    for number in range(rounds):
        if number == cpu.LEANING:
            doubt = (deviation.square() + 1 / (information + cpu.UNSEEN**-2)).sqrt()
            expected = found + towards_planes(ln_predicted + found, doubt, grey, resampling)
            found = expected
        inverse = detailed[0] * resampling['detail_of_cells'](found[None])[0].exp()
        off, slope = _looked_up(reference, sources, T_srcs_ref, camera, inverse)
        mean = resampling['cell_means' if number == rounds - 1 else 'rough_cell_means']
        information, pull = _equations(off, slope, weights, mean, resampling)
        reach = cpu.REACH * deviation
        found = found + (pull + prior * (expected - found)) / (information + prior)
        found = torch.minimum(torch.maximum(found, expected - reach), expected + reach)
    return resampling['input_of_cells'](found[None])[0]


def _known(values, otherwise: float):
    return torch.where(values == values, values, otherwise)


def _looked_up(reference, sources, T_srcs_ref, camera: Intrinsics, inverse_hw):
    """
    Return what a reference and each source show where its depth says, differ by, and the slope of that.

    Both (N, H, W), the slope over ln(inverse depth).
    """
    height, width = inverse_hw.shape
    ray_x, ray_y = camera.rays(height, width)
    fx, fy = camera.values[0], camera.values[1]
    T = T_srcs_ref[:, :3, :, None, None].unbind(1)
    x, y, z = (row[:, 0] * ray_x + row[:, 1] * ray_y + row[:, 2] + row[:, 3] * inverse_hw for row in T)
    closer = 1 / z.clamp_min(0.05)
    there_x, there_y = x * closer, y * closer
    u, v = camera.pixel_of(there_x, there_y)
    inside = (u >= 0) & (u < width - 1) & (v >= 0) & (v < height - 1)
    image, along_x, along_y = sampled(sources, u, v, padding_mode='border').unbind(1)
    image = torch.where(inside, image, cpu.NOWHERE)
    t_x, t_y, t_z = (row[:, 3] for row in T)
    there = (along_x * fx * (t_x - t_z * there_x) + along_y * fy * (t_y - t_z * there_y)) * closer
    there = torch.where(inside, there, 0.0)
    d_x, d_y, d_z = displacements(T_srcs_ref)[:, :, None, None].unbind(1)
    closer = 1 / (1 + d_z * inverse_hw).clamp_min(0.05)
    here_x, here_y = (ray_x + d_x * inverse_hw) * closer, (ray_y + d_y * inverse_hw) * closer
    here = (reference[1] * fx * (d_x - d_z * here_x) + reference[2] * fy * (d_y - d_z * here_y)) * closer
    return reference[0] - image, (there + here) * inverse_hw / 2


def _equations(off, slope, weights, mean: Resampling, resampling: Mapping[str, Resampling]):
    """Return, by cell (h, w), how well sources determine ln(inverse depth), and where to they pull times that."""
    window = resampling['cell_window']
    like = (off.abs() < cpu.GROSS).float()
    noise = window(mean(like * off * off)) / (window(mean(like)) + 1e-3) + cpu.LEAST_NOISE**2
    weight = slope / (1 + off * off / (cpu.SAME**2 * resampling['detail_of_cells'](noise))).square()
    counted = weights[:, None, None] / noise
    information, pull = (window(mean(weight * each)) * counted for each in (slope, off))
    return information.sum(0), pull.sum(0)
