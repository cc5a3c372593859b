"""Cast rays at scenes of simple solids: exact depth, surface normals and identities."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch

NEAR = 0.02


class Kind(IntEnum):
    """A solid in its own space, where it fills [-1, 1]^3 (a plane is y = 0)."""

    BOX = 0
    ELLIPSOID = 1
    CYLINDER = 2
    CONE = 3
    PLANE = 4


@dataclass(frozen=True, eq=False)
class Solids:
    """
    N solids: `local_from_world` (N, 3, 3) and `centre` (N, 3) map a world point p to M (p - c).

    `size` (N, 3) are the half extents in metres, so that textures keep their scale on any solid.
    """

    kind: list[Kind]
    local_from_world: torch.Tensor
    centre: torch.Tensor
    size: torch.Tensor

    @classmethod
    def build(cls, kind, rotation_world_local, size, centre) -> Solids:
        """Place unit solids by rotation (N, 3, 3), half extents (N, 3) and centre (N, 3), in metres."""
        return cls(list(kind), rotation_world_local.transpose(1, 2) / size[:, :, None], centre, size)


@dataclass(frozen=True, eq=False)
class Hits:
    """What rays met: `t` ray parameter (+Inf: nothing) and `solid` index (-1: nothing), same shape."""

    t: torch.Tensor
    solid: torch.Tensor


def _interval_quadratic(a, b, c):
    """Return where a t^2 + 2 b t + c <= 0 for a > 0, as (entry, exit); entry > exit where never."""
    root = b * b - a * c
    hit = root >= 0
    root = root.clamp_min(0).sqrt()
    a = a.clamp_min(1e-12)
    infinity = torch.full((), torch.inf, device=a.device)
    return torch.where(hit, (-b - root) / a, infinity), torch.where(hit, (-b + root) / a, -infinity)


def _interval_slab(o, d):
    inverse = 1 / torch.where(d.abs() < 1e-9, torch.full_like(d, 1e-9), d)
    t0, t1 = (-1 - o) * inverse, (1 - o) * inverse
    return torch.minimum(t0, t1), torch.maximum(t0, t1)


def _first(entry, exit_):
    """Return the first crossing in front of the camera of a convex solid, +Inf where there is none."""
    t = torch.where(entry > NEAR, entry, exit_)
    return torch.where((entry <= exit_) & (t > NEAR), t, torch.inf)


def _intersect(kind: Kind, o, d):
    """Return t where rays o + t d (tuples of x, y, z, in the solid's space) first cross the solid."""
    (ox, oy, oz), (dx, dy, dz) = o, d
    if kind == Kind.PLANE:
        t = -oy / torch.where(dy.abs() < 1e-9, torch.full_like(dy, 1e-9), dy)
        return torch.where(t > NEAR, t, torch.inf)
    if kind == Kind.ELLIPSOID:
        return _first(
            *_interval_quadratic(
                dx * dx + dy * dy + dz * dz, ox * dx + oy * dy + oz * dz, ox * ox + oy * oy + oz * oz - 1
            )
        )
    y_entry, y_exit = _interval_slab(oy, dy)
    if kind == Kind.BOX:
        x_entry, x_exit = _interval_slab(ox, dx)
        z_entry, z_exit = _interval_slab(oz, dz)
        return _first(
            torch.maximum(torch.maximum(x_entry, z_entry), y_entry),
            torch.minimum(torch.minimum(x_exit, z_exit), y_exit),
        )
    if kind == Kind.CYLINDER:
        entry, exit_ = _interval_quadratic(dx * dx + dz * dz, ox * dx + oz * dz, ox * ox + oz * oz - 1)
        return _first(torch.maximum(entry, y_entry), torch.minimum(exit_, y_exit))
    return _intersect_cone(ox, oy, oz, dx, dy, dz)


def _intersect_cone(ox, oy, oz, dx, dy, dz):
    """Cone with its apex at y = -1 and a base of radius 1 at y = 1: r(y) = (y + 1) / 2."""
    h, k = (oy + 1) / 2, dy / 2
    a = dx * dx + dz * dz - k * k
    b = ox * dx + oz * dz - h * k
    c = ox * ox + oz * oz - h * h
    a = torch.where(a.abs() < 1e-9, torch.full_like(a, 1e-9), a)
    root = b * b - a * c
    real = root >= 0
    root = root.clamp_min(0).sqrt()
    best = torch.full_like(root, torch.inf)
    for t in ((-b - root) / a, (-b + root) / a):
        y = oy + t * dy
        best = torch.where(real & (t > NEAR) & (y.abs() <= 1) & (t < best), t, best)
    t = (1 - oy) / torch.where(dy.abs() < 1e-9, torch.full_like(dy, 1e-9), dy)
    on_base = (t > NEAR) & ((ox + t * dx) ** 2 + (oz + t * dz) ** 2 <= 1) & (t < best)
    return torch.where(on_base, t, best)


def _windows(solids: Solids, origins, rotation_world_cam, K, height, width):
    """Return for each solid the pixel rectangle (top, bottom, left, right) that holds it in every view."""
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], device=origins.device)] * 3)
    world = (
        torch.einsum('nij,kj->nki', torch.linalg.inv(solids.local_from_world), corners)
        + solids.centre[:, None]
    )
    camera = torch.einsum('fij,fnki->fnkj', rotation_world_cam, world - origins[:, None, None])
    depth = camera[..., 2]
    x = K[0, 0] * camera[..., 0] / depth + K[0, 2]
    y = K[1, 1] * camera[..., 1] / depth + K[1, 2]
    crosses = (depth.amin((0, 2)) < 2 * NEAR).tolist()
    behind = (depth.amax((0, 2)) < 2 * NEAR).tolist()
    bounds = torch.stack([y.amin((0, 2)), y.amax((0, 2)), x.amin((0, 2)), x.amax((0, 2))], 1).tolist()
    windows = []
    for kind, cut, gone, (top, bottom, left, right) in zip(solids.kind, crosses, behind, bounds):
        if kind == Kind.PLANE or (cut and not gone):
            windows.append((0, height, 0, width))
        elif gone:
            windows.append((0, 0, 0, 0))
        else:
            windows.append(
                (
                    max(int(top) - 1, 0),
                    min(int(bottom) + 3, height),
                    max(int(left) - 1, 0),
                    min(int(right) + 3, width),
                )
            )
    return windows


def cast(solids: Solids, origins, rotation_world_cam, rays_cam, K) -> Hits:
    """
    Intersect the rays of F views with all solids.

    `origins` (F, 3) and `rotation_world_cam` (F, 3, 3) are the views; `rays_cam` (J, H, W, 3) with z = 1, J
    sub-pixel positions; so t is the depth along the optical axis in metres. Each solid is tested only inside
    the rectangle it can be seen in. Hits are (F, J, H, W).
    """
    _, height, width, _ = rays_cam.shape
    views = len(origins)
    t_best = torch.full((views, *rays_cam.shape[:3]), torch.inf, device=rays_cam.device)
    solid_best = torch.full_like(t_best, -1, dtype=torch.int16)
    turned = not torch.equal(rotation_world_cam, rotation_world_cam[:1].expand_as(rotation_world_cam))
    rotations = rotation_world_cam if turned else rotation_world_cam[:1]
    windows = _windows(solids, origins, rotation_world_cam, K, height, width)
    for index, (top, bottom, left, right) in enumerate(windows):
        if top >= bottom or left >= right:
            continue
        local_cam = solids.local_from_world[index] @ rotations
        window = rays_cam[:, top:bottom, left:right]
        d = torch.einsum('jhwc,fkc->kfjhw', window, local_cam)
        o = ((origins - solids.centre[index]) @ solids.local_from_world[index].T).T[..., None, None, None]
        t = _intersect(solids.kind[index], tuple(o), tuple(d))
        best = t_best[:, :, top:bottom, left:right]
        nearer = t < best
        torch.where(nearer, t, best, out=best) if best.is_contiguous() else best.copy_(
            torch.where(nearer, t, best)
        )
        solid_best[:, :, top:bottom, left:right].masked_fill_(nearer, index)
    return Hits(t_best, solid_best)


def local_normals(kind: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
    """Return outward normals (P, 3), not of unit length, in the solid's space at surface points (P, 3)."""
    x, y, z = point.unbind(-1)
    axis = point.abs().argmax(-1)
    box = torch.nn.functional.one_hot(axis, 3) * point.sign()
    up = torch.tensor([0.0, 1.0, 0.0], device=point.device)
    on_cap = (y.abs() > 0.9999)[:, None]
    cylinder = torch.where(on_cap, up * y.sign()[:, None], point * (1 - up))
    radius = torch.hypot(x, z)
    on_base = ((y > 0.9999) & (radius < 0.9999))[:, None]
    cone = torch.where(on_base, up, torch.stack([x, -radius / 2, z], -1))
    kind = kind[:, None]
    normal = torch.where(kind == Kind.BOX, box, point)
    normal = torch.where(kind == Kind.CYLINDER, cylinder, normal)
    normal = torch.where(kind == Kind.CONE, cone, normal)
    return torch.where(kind == Kind.PLANE, -up.expand_as(point), normal)
