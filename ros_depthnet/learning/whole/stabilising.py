"""`core.motion.stabilise` in torch: sources turned into the reference's axes."""

from __future__ import annotations

import torch

from ros_depthnet.learning.whole.resampling import sampled
from ros_depthnet.learning.whole.views import Intrinsics

_STEPS = 32  # of a pixel, between which OpenCV's positions lie
_AT_THE_SIDE = 1e-6  # z of a ray: what is nearer to 0 is not in front


def stabilised(images: torch.Tensor, T_srcs_ref: torch.Tensor, camera: Intrinsics):
    """
    Return sources (N, 3, h, w) in whole grey levels, 0 where not valid, and where they are valid (N, h, w), 0 or 1.

    images: (N, 4, h, w), RGB in grey levels and 1 where the scene is seen.
    """
    ray_x, ray_y = camera.rays(*images.shape[-2:])
    x, y, z = (row[:, 0] * ray_x + row[:, 1] * ray_y + row[:, 2] for row in T_srcs_ref[:, :3, :3, None, None].unbind(1))
    in_front = z > _AT_THE_SIDE
    z = torch.where(in_front, z, 1.0)
    u, v = camera.pixel_of(x / z, y / z)
    height, width = images.shape[-2:]
    column, row = u.round(), v.round()
    inside = in_front & (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
    seen = sampled(images[:, 3:], column, row, mode='nearest', padding_mode='border')[:, 0]
    valid = inside.float() * seen
    fine_u, fine_v = (u * _STEPS).round() / _STEPS, (v * _STEPS).round() / _STEPS
    warped = sampled(images[:, :3], fine_u, fine_v, mode='bicubic', padding_mode='border')
    return warped.round().clamp(0, 255) * valid[:, None], valid
