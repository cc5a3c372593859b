"""
Cast rays at scenes of simple solids: exact depth, surface normals and identities.

The world's axes are x right, y down, z forward, in metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import reduce

import torch

from ros_depthnet.learning.still_box.tube import Tube

NEAR = 0.02

# Terrain in its own space: frequencies along x and z, height, phase. Heights sum to 1; the periods have no
# common multiple, so that it looks different everywhere.
_WAVES = (
    (0.71, 0.55, 0.42, 0.0),
    (-0.62, 1.13, 0.25, 1.3),
    (1.73, -0.41, 0.16, 2.1),
    (0.9, 2.6, 0.09, 4.0),
    (-3.7, 1.9, 0.05, 0.7),
    (4.1, 5.3, 0.03, 2.9),
)
_FAR = 200.0  # terrain farther along a ray than so many units of its own space is not seen
_MARCH = 300  # most steps along a ray; 19 of 20 need fewer than 24, those along a far crest many


class Kind(IntEnum):
    """
    A solid in its own space, where it fills [-1, 1]^3.

    A plane is y = 0 and a terrain y = relief(x, z), both without end and with their inside below. A tube is seen
    from within: its inside is the wall.
    """

    BOX = 0
    ELLIPSOID = 1
    CYLINDER = 2
    CONE = 3
    PLANE = 4
    TERRAIN = 5
    TUBE = 6


UNBOUNDED = (Kind.PLANE, Kind.TERRAIN, Kind.TUBE)


@dataclass(frozen=True, eq=False)
class Solids:
    """
    N solids: `local_from_world` (N, 3, 3) and `centre` (N, 3) map a world point p to M (p - c).

    `size` (N, 3) are the half extents in metres, so that textures keep their scale on any solid. `velocity`
    (N, 3), metres a second, moves the centres; `centre` is where they are at time 0. `tube` is the shape of all
    that are tubes.
    """

    kind: list[Kind]
    local_from_world: torch.Tensor
    centre: torch.Tensor
    size: torch.Tensor
    velocity: torch.Tensor
    tube: Tube | None = None

    @classmethod
    def build(cls, kind, rotation_world_local, size, centre, velocity=None, tube=None) -> Solids:
        """
        Place unit solids by rotation (N, 3, 3), half extents (N, 3) and centre (N, 3), in metres.

        They stand still unless they have a velocity (N, 3) in metres a second.
        """
        local_from_world = rotation_world_local.transpose(1, 2) / size[:, :, None]
        still = torch.zeros_like(centre)
        return cls(list(kind), local_from_world, centre, size, still if velocity is None else velocity, tube)

    def __add__(self, other: Solids) -> Solids:
        """Return these solids and then the others."""
        return Solids(
            self.kind + other.kind,
            torch.cat([self.local_from_world, other.local_from_world]),
            torch.cat([self.centre, other.centre]),
            torch.cat([self.size, other.size]),
            torch.cat([self.velocity, other.velocity]),
            self.tube or other.tube,
        )

    @property
    def kinds(self) -> torch.Tensor:
        """Return the kinds (N,) as numbers."""
        return torch.tensor(self.kind, device=self.centre.device)

    def centres(self, times: torch.Tensor) -> torch.Tensor:
        """Return the centres (F, N, 3) at times (F,) in seconds."""
        return self.centre + times[:, None, None] * self.velocity


@dataclass(frozen=True, eq=False)
class Viewpoints:
    """
    F views of one pinhole `K` (3, 3), pixel centres at integers, height x width pixels.

    `origins` (F, 3) metres, `rotation_world_cam` (F, 3, 3) and `times` (F,) seconds.
    """

    K: torch.Tensor
    height: int
    width: int
    origins: torch.Tensor
    rotation_world_cam: torch.Tensor
    times: torch.Tensor

    def rays_cam(self, subpixels: torch.Tensor) -> torch.Tensor:
        """Return rays (J, H, W, 3) with z = 1 through the pixels moved by `subpixels` (J, 2)."""
        y, x = torch.meshgrid(
            torch.arange(self.height, device=self.K.device),
            torch.arange(self.width, device=self.K.device),
            indexing='ij',
        )
        x = (x + subpixels[:, :1, None] - self.K[0, 2]) / self.K[0, 0]
        y = (y + subpixels[:, 1:, None] - self.K[1, 2]) / self.K[1, 1]
        return torch.stack([x, y, torch.ones_like(x)], -1)


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


def _intersect(kind: Kind, o, d, tube: Tube | None):
    """Return t where rays o + t d (tuples of x, y, z, in the solid's space) first cross the solid."""
    (ox, oy, oz), (dx, dy, dz) = o, d
    if kind == Kind.PLANE:
        t = -oy / torch.where(dy.abs() < 1e-9, torch.full_like(dy, 1e-9), dy)
        return torch.where(t > NEAR, t, torch.inf)
    if kind == Kind.TERRAIN:
        return _intersect_terrain(o, d)
    if kind == Kind.TUBE:
        assert tube is not None, 'A tube has a shape.'
        return tube.first_wall(o, d)
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


def relief(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Return y, within [-1, 1], of the ground of a terrain at x and z, all in its own space."""
    return reduce(torch.add, [height * torch.sin(kx * x + kz * z + phase) for kx, kz, height, phase in _WAVES])


def _relief_slopes(x, z):
    """Return the derivatives of the relief along x and along z."""
    slopes = [(kx, kz, height * torch.cos(kx * x + kz * z + phase)) for kx, kz, height, phase in _WAVES]
    return sum(kx * slope for kx, _, slope in slopes), sum(kz * slope for _, kz, slope in slopes)


def _intersect_terrain(o, d):
    """
    March along rays to the ground, each step as long as can be proved to be free.

    Along a ray the clearance is a sum of sines, so its slope and curvature have bounds. With either bound the
    clearance cannot end before the step; the one with curvature becomes Newton's at the ground, so the march
    ends there as exactly as numbers can say. Rays that creep along a crest to the end of the march miss.
    """
    entry, exit_ = _interval_slab(o[1], d[1])
    shape = torch.broadcast_shapes(o[0].shape, d[0].shape)
    start = entry.clamp_min(NEAR).expand(shape)
    reach = exit_.expand(shape).clamp_max(_FAR / torch.hypot(d[0], d[2]).clamp_min(1e-6))
    found = torch.full(shape, torch.inf, device=start.device)
    ray = (start < reach).reshape(-1).nonzero()[:, 0]
    (ox, oy, oz), (dx, dy, dz) = ([v.expand(shape).reshape(-1)[ray] for v in vector] for vector in (o, d))
    kx, kz, height, phase = torch.tensor(_WAVES, device=start.device).T[..., None]
    t, reach = start.reshape(-1)[ray], reach.reshape(-1)[ray]
    turning, phases = kx * dx + kz * dz, kx * ox + kz * oz + phase
    below = oy + t * dy > (height * torch.sin(phases + turning * t)).sum(0)
    up = torch.where(below, -1.0, 1.0)
    steepest = up * dy + (height * turning.abs()).sum(0)
    curvature = (height * turning.square()).sum(0).clamp_min(1e-9)
    for _ in range(_MARCH):
        angle = phases + turning * t
        clearance = up * ((height * torch.sin(angle)).sum(0) - oy - t * dy)
        falling = up * (dy - (height * turning * torch.cos(angle)).sum(0))
        root = (falling.square() + 2 * curvature * clearance).clamp_min(0).sqrt()
        step = torch.where(falling > 0, 2 * clearance / (falling + root), (root - falling) / curvature)
        step = torch.where(steepest > 0, torch.maximum(step, clearance / steepest), torch.inf)
        t = t + step
        arrived = step < 2e-6 * t
        found.view(-1)[ray[arrived]] = t[arrived]
        going = ~arrived & (t < reach)
        if not going.any():
            break
        ray, t, reach, oy, dy, up, steepest, curvature = (
            v[going] for v in (ray, t, reach, oy, dy, up, steepest, curvature)
        )
        turning, phases = turning[:, going], phases[:, going]
    return found


def _windows(solids: Solids, views: Viewpoints):
    """Return for each solid the pixel rectangle (top, bottom, left, right) that holds it in every view."""
    K, height, width, origins = views.K, views.height, views.width, views.origins
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], device=origins.device)] * 3)
    world = (
        torch.einsum('nij,kj->nki', torch.linalg.inv(solids.local_from_world), corners)
        + solids.centres(views.times)[:, :, None]
    )
    camera = torch.einsum('fij,fnki->fnkj', views.rotation_world_cam, world - origins[:, None, None])
    depth = camera[..., 2]
    x = K[0, 0] * camera[..., 0] / depth + K[0, 2]
    y = K[1, 1] * camera[..., 1] / depth + K[1, 2]
    crosses = (depth.amin((0, 2)) < 2 * NEAR).tolist()
    behind = (depth.amax((0, 2)) < 2 * NEAR).tolist()
    bounds = torch.stack([y.amin((0, 2)), y.amax((0, 2)), x.amin((0, 2)), x.amax((0, 2))], 1).tolist()
    windows = []
    for kind, cut, gone, (top, bottom, left, right) in zip(solids.kind, crosses, behind, bounds):
        if kind in UNBOUNDED or (cut and not gone):
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


def cast(solids: Solids, views: Viewpoints, rays_cam: torch.Tensor) -> Hits:
    """
    Intersect the rays of F views with all solids.

    `rays_cam` (J, H, W, 3) with z = 1 are those of J sub-pixel positions; so t is the depth along the optical
    axis in metres. Each solid is tested only inside the rectangle it can be seen in. Hits are (F, J, H, W).
    """
    t_best = torch.full((len(views.origins), *rays_cam.shape[:3]), torch.inf, device=rays_cam.device)
    solid_best = torch.full_like(t_best, -1, dtype=torch.int16)
    rotations = views.rotation_world_cam
    if torch.equal(rotations, rotations[:1].expand_as(rotations)):
        rotations = rotations[:1]
    centres = solids.centres(views.times)
    for index, (top, bottom, left, right) in enumerate(_windows(solids, views)):
        if top >= bottom or left >= right:
            continue
        local_cam = solids.local_from_world[index] @ rotations
        window = rays_cam[:, top:bottom, left:right]
        d = torch.einsum('jhwc,fkc->kfjhw', window, local_cam)
        offset = views.origins - centres[:, index]
        o = (offset @ solids.local_from_world[index].T).T[..., None, None, None]
        t = _intersect(solids.kind[index], tuple(o), tuple(d), solids.tube)
        best = t_best[:, :, top:bottom, left:right]
        nearer = t < best
        torch.where(nearer, t, best, out=best) if best.is_contiguous() else best.copy_(torch.where(nearer, t, best))
        solid_best[:, :, top:bottom, left:right].masked_fill_(nearer, index)
    return Hits(t_best, solid_best)


def inside(solids: Solids, positions: torch.Tensor, times: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
    """
    Tell for positions (F, 3) at times (F,) in which solids they are, (F, N); below is inside a ground.

    What has a size is taken as its box, larger by `margin` metres; a tube's inside is its wall.
    """
    local = torch.einsum('nij,fnj->fni', solids.local_from_world, positions[:, None] - solids.centres(times))
    x, y, z = local.unbind(-1)

    answer = (local.abs() < 1 + margin / solids.size).all(-1)
    answer = torch.where(solids.kinds == Kind.PLANE, y > -margin / solids.size[:, 1], answer)
    answer = torch.where(solids.kinds == Kind.TERRAIN, y > relief(x, z) - margin / solids.size[:, 1], answer)
    if solids.tube:
        answer = torch.where(
            solids.kinds == Kind.TUBE, solids.tube.clearance(x, y, z) < margin / solids.size[:, 1], answer
        )
    return answer


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """Points (P, 3) in their solids, normals (P, 3) there of any length, in the world of unit length."""

    local: torch.Tensor
    normal_local: torch.Tensor
    normal_world: torch.Tensor


def surface_at(solids: Solids, centres: torch.Tensor, solid: torch.Tensor, points: torch.Tensor) -> SurfacePoints:
    """Return the surfaces of solids (P,), centred at `centres` (N, 3), at world points (P, 3) on them."""
    M = solids.local_from_world[solid]
    local = (M * (points - centres[solid])[:, None]).sum(-1)
    kind = solids.kinds[solid]
    normal_local = local_normals(kind, local)
    if solids.tube:
        normal_local = torch.where((kind == Kind.TUBE)[:, None], solids.tube.outward(local), normal_local)
    normal_world = torch.nn.functional.normalize((M * normal_local[:, :, None]).sum(1), dim=-1)
    return SurfacePoints(local, normal_local, normal_world)


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
    normal = torch.where(kind == Kind.PLANE, -up.expand_as(point), normal)
    if (kind == Kind.TERRAIN).any():
        slope_x, slope_z = _relief_slopes(x, z)
        ground = torch.stack([slope_x, -torch.ones_like(x), slope_z], -1)
        normal = torch.where(kind == Kind.TERRAIN, ground, normal)
    return normal
