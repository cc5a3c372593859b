"""`core.measurer` in torch: the deviation that matching and odometry cause at best."""

from __future__ import annotations

import torch

from ros_depthnet.learning.whole.views import Intrinsics, displacements


def geometric_deviation(depth_hw, valid_nhw, T_srcs_ref, camera: Intrinsics, matching_noise) -> torch.Tensor:
    """Return `core.measurer.geometric_deviation` over depth, (H, W); valid_nhw: 1 where a source shows the scene."""
    ray_x, ray_y = camera.rays(*depth_hw.shape)
    fx, fy = camera.values[0], camera.values[1]
    x, y, z = displacements(T_srcs_ref)[:, :, None, None].unbind(1)
    information = valid_nhw * ((fx * (x - z * ray_x)).square() + (fy * (y - z * ray_y)).square())
    return depth_hw * matching_noise / information.sum(0).sqrt()


def joined_deviation(deviation_hw, depth_hw, geometric_hw, longest, camera: Intrinsics, parallax, position_noise):
    """
    Return the deviation of ln(depth) (H, W) as `core.measurer.Measurer` joins it.

    deviation_hw: the model's. geometric_hw: as above. longest: metres, of the displacements. parallax: (2,), least
    and most that it is relied upon for, pixels.
    """
    seen = camera.values[0] * longest / depth_hw
    doubt = torch.maximum(parallax[0] / seen, seen / parallax[1]).clamp_min(1)
    squares = (deviation_hw * doubt).square() + geometric_hw.square() + (position_noise / longest).square()
    return squares.sqrt()
