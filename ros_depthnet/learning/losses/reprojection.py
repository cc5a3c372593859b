"""Where pixels of one image are in another, and what that one shows there (Zhou 2017)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

_NEAREST = 1e-3


def reprojected(depth, T_src_ref, intrinsics):
    """
    Return where the pixels of a reference lie in a source, (B, H, W, 2) pixels, and how deep there, (B, H, W).

    `depth` (B, H, W) along z; `T_src_ref` (B, 4, 4) in its unit; `intrinsics` (B, 4) fx, fy, cx, cy, of both.
    What is behind the source is at its image's edge of the world, far outside.
    """
    height, width = depth.shape[-2:]
    focal, centre = intrinsics[:, None, None, :2], intrinsics[:, None, None, 2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=depth.device), torch.arange(width, device=depth.device), indexing='ij'
    )
    rays = F.pad((torch.stack([x, y], -1) - centre) / focal, (0, 1), value=1.0)
    points_ref = rays * depth[..., None]
    points_src = (points_ref.flatten(1, 2) @ T_src_ref[:, :3, :3].mT + T_src_ref[:, None, :3, 3]).view_as(points_ref)
    depth_src = points_src[..., 2]
    return points_src[..., :2] / depth_src.clamp_min(_NEAREST)[..., None] * focal + centre, depth_src


def sampled(image, pixels):
    """
    Return what an image (B, C, H, W) shows at pixels (B, h, w, 2), bilinear, and whether they are in it (B, h, w).

    Outside, it is the nearest pixel of the edge.
    """
    size = torch.tensor(image.shape[:1:-1], device=image.device)
    grid = (2 * pixels + 1) / size - 1
    inside = ((pixels >= 0) & (pixels <= size - 1)).all(-1)
    return F.grid_sample(image, grid, padding_mode='border', align_corners=False), inside


def stabilised_motion(displacements):
    """Return T_src_ref (B, 4, 4) of sources whose rotation has been undone, displaced by (B, 3)."""
    T_src_ref = torch.eye(4, device=displacements.device).repeat(len(displacements), 1, 1)
    T_src_ref[:, :3, 3] = displacements
    return T_src_ref


def occluded(depth_ref, depth_src, T_src_ref, intrinsics, tolerance: float = 0.1):
    """
    Return which pixels of a reference (B, H, W) something hides from the source: there and back is elsewhere.

    `depth_src` (B, H, W) is the source's own depth. Where it is nearer than the point by more than the
    tolerance, a share of the depth, something is between (Godard 2017's left-right check, for any motion).
    """
    pixels, expected = reprojected(depth_ref, T_src_ref, intrinsics)
    found, inside = sampled(depth_src[:, None], pixels)
    return inside & (found[:, 0] < expected * (1 - tolerance))
