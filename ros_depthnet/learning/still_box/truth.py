"""What follows exactly from a rendering besides depth: normals, contours, optical flow, what moves by itself."""

from __future__ import annotations

import math

import torch

from ros_depthnet.learning.still_box.raycast import surface_at
from ros_depthnet.learning.still_box.render import Rendering


def normals_cam(rendering: Rendering, view: int) -> torch.Tensor:
    """Return unit normals (H, W, 3) of what a view sees, in its optical frame, facing it; NaN for sky."""
    views, solid = rendering.views, rendering.solid[view].long()
    met = solid >= 0
    rays_cam = _rays_cam(rendering)[met]
    R_world_cam = views.rotation_world_cam[view]
    points = views.origins[view] + rendering.depth[view][met][:, None] * (rays_cam @ R_world_cam.T)
    centres = rendering.solids.centres(views.times)[view]
    normal = surface_at(rendering.solids, centres, solid[met], points).normal_world @ R_world_cam
    away = (normal * rays_cam).sum(-1, keepdim=True) > 0
    normals = torch.full((*solid.shape, 3), torch.nan, device=normal.device)
    normals[met] = torch.where(away, -normal, normal)
    return normals


def contours(rendering: Rendering, view: int, jump: float = 0.05, crease: float = 20.0) -> torch.Tensor:
    """
    Tell for the pixels (H, W) of a view whether a contour passes between them and the next, right or below.

    Depth jumps where each of the two points is off the plane of the other, by more than `jump` of its depth, or one is
    sky: then the nearer pixel is on the contour. The surface has a crease where its normals differ by more than
    `crease` degrees: then the first of the two is.
    """
    normals, rays_cam = normals_cam(rendering, view), _rays_cam(rendering)
    depth = rendering.depth[view]
    points = rays_cam * depth[..., None]
    found = torch.zeros_like(depth, dtype=torch.bool)
    for axis in (0, 1):
        (point, next_point), (normal, next_normal), (z, next_z) = (
            _neighbours(values, axis) for values in (points, normals, depth)
        )
        way = next_point - point
        off_both = ((normal * way).sum(-1).abs() > jump * z) & ((next_normal * way).sum(-1).abs() > jump * next_z)
        jumps = off_both | (z.isinf() != next_z.isinf())
        turns = (normal * next_normal).sum(-1) < math.cos(math.radians(crease))
        of_here, of_next = _neighbours(found, axis)
        of_here |= jumps & (z <= next_z) | turns & ~jumps
        of_next |= jumps & (z > next_z)
    return found


def optical_flow(rendering: Rendering, view: int, other: int) -> torch.Tensor:
    """
    Return the flow (H, W, 2) in pixels, right and down, that takes pixels of one view to the other.

    It is that of the surface seen, which may be hidden in the other view or outside its image; what moves by
    itself takes its motion along, and sky is infinitely far. NaN is what the other view has behind it.
    """
    views = rendering.views
    depth, solid = rendering.depth[view].double(), rendering.solid[view].long()
    rotations, origins, K = (v.double() for v in (views.rotation_world_cam, views.origins, views.K))
    rays_cam = _rays_cam(rendering).double()
    sky = solid < 0
    way = origins[view] - origins[other]
    moved = (views.times[other] - views.times[view]) * rendering.solids.velocity[solid]
    shift = torch.where(sky[..., None], 0.0, way + moved)
    points_world = rays_cam * torch.where(sky, 1.0, depth)[..., None] @ rotations[view].T + shift
    projected = points_world @ rotations[other] @ K.T
    in_front = projected[..., 2:] > 0
    pixels = torch.where(in_front, projected[..., :2] / projected[..., 2:], torch.nan)
    return (pixels - (rays_cam @ K.T)[..., :2]).float()


def moving(rendering: Rendering, view: int) -> torch.Tensor:
    """Tell for the pixels (H, W) of a view whether what they see moves by itself."""
    solid = rendering.solid[view].long()
    return (solid >= 0) & (rendering.solids.velocity != 0).any(-1)[solid]


def _rays_cam(rendering: Rendering) -> torch.Tensor:
    return rendering.views.rays_cam(torch.zeros(1, 2, device=rendering.depth.device))[0]


def _neighbours(values: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return views of what stands at each pixel but the last of an axis, and at the next."""
    size = values.shape[axis] - 1
    return values.narrow(axis, 0, size), values.narrow(axis, 1, size)
