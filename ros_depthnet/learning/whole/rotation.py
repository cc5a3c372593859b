"""`core.refine` in torch: the small rotation that odometry has missed, seen in the images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ros_depthnet.core import refine as cpu
from ros_depthnet.learning.whole.resampling import halved, mirrored, sampled, slopes
from ros_depthnet.learning.whole.views import Intrinsics, displacements

_FAINT = 0.1024  # of squared slopes, least over the window: OpenCV's minEigThreshold in grey levels
_NOTHING = 1e-12
_LEVEL_STEPS = 32  # of a grey level, that OpenCV's fixed-point arithmetic tells apart


def corrected(grey, source_greys, seen_nhw, T_srcs_ref, camera: Intrinsics, corners, rotation_noise):
    """
    Return T_srcs_ref (N, 4, 4) with the rotation that the images show, as `core.measurer` has it.

    grey: the reference (1, H, W), source_greys (N, H, W), whole grey levels; seen_nhw: 1 where sources show the
    scene. camera: of all of them. corners: (P, 3), pixels x, y of what can be found again in the reference, and 1
    where there is one. rotation_noise: radians, positive.
    """
    pixels, present = corners[:, :2], corners[:, 2]
    found, usable = _followed(grey, source_greys, seen_nhw, T_srcs_ref, camera, pixels, present)
    rotation = _residual_rotation(
        pixels, found, usable * present, displacements(T_srcs_ref), T_srcs_ref, camera, rotation_noise
    )
    R = T_srcs_ref[:, :3, :3] @ _rotations(rotation)
    t = R @ displacements(T_srcs_ref)[..., None]
    return torch.cat([torch.cat([R, t], 2), T_srcs_ref[:, 3:]], 1)


def _followed(grey, source_greys, seen_nhw, T_srcs_ref, camera, pixels, present):
    """Return where pixels (P, 2) of the reference are in the sources (N, P, 2), and 1 where that is known (N, P)."""
    expected = _turned(pixels, T_srcs_ref[:, :3, :3], camera)
    ours = _brightness(grey, pixels[None], present)
    theirs = _brightness(source_greys, expected, present)
    gain = ours / theirs.clamp_min(1.0)
    alike = (source_greys * gain[:, None, None]).round().clamp(0, 255)
    found, usable = _tracked(_pyramid(grey), _pyramid(alike), pixels, expected)
    column, row = found.round().unbind(-1)
    height, width = grey.shape[-2:]
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    seen = sampled(seen_nhw[:, None], column[:, None], row[:, None], mode='nearest', padding_mode='border')
    return found, usable * inside.float() * seen[:, 0, 0]


def _turned(pixels, R, camera: Intrinsics):
    """Return where rotations R (N, 3, 3) take pixels (P, 2) or (N, P, 2): (N, P, 2)."""
    x, y = camera.ray_of(pixels[..., 0], pixels[..., 1])
    ray = torch.stack([x, y, torch.ones_like(x)], -1) @ R.transpose(1, 2)
    return torch.stack(camera.pixel_of(ray[..., 0] / ray[..., 2], ray[..., 1] / ray[..., 2]), -1)


def _brightness(greys, pixels, present):
    """Return the mean of images (N, H, W) round about pixels (N, P, 2): (N,)."""
    around = mirrored(greys, cpu.PATCH // 2)[:, None]
    for window in ((cpu.PATCH, 1), (1, cpu.PATCH)):
        around = F.avg_pool2d(around, window, 1)
    column, row = pixels.unbind(-1)
    there = sampled(around.round(), column[:, None], row[:, None], mode='nearest', padding_mode='border')[:, 0, 0]
    return (there * present).sum(1) / present.sum().clamp_min(1)


def _pyramid(greys) -> list[torch.Tensor]:
    levels = [greys]
    while len(levels) <= cpu.LEVELS:
        levels.append(halved(levels[-1]))
    return levels


def _tracked(reference, sources, pixels, expected):
    """Follow by pyramidal Lucas-Kanade (Bouguet 2000); as `_followed`."""
    found, usable = expected / 2**cpu.LEVELS, torch.ones_like(expected[..., 0])
    for level in range(cpu.LEVELS, -1, -1):
        look = _Looking.at(reference[level])
        centres = pixels[None] / 2**level
        patch = look.round_about(reference[level][:, None], centres, 'reflection')[:, 0]
        slopes_pw2 = look.round_about(torch.stack(slopes(reference[level]), 1), centres, 'zeros')[0].permute(1, 2, 0)
        towards, sharp = _solved(slopes_pw2)
        source = sources[level][:, None]
        moving, before = usable * sharp, torch.full_like(found, 1e3)
        for _ in range(cpu.STEPS):
            inside = look.inside(found)
            moving = moving * inside
            off = look.round_about(source, found, 'reflection')[:, 0] - patch
            step = (towards * (off[..., None] * slopes_pw2).sum(-2, keepdim=True)).sum(-1)
            far = (step.square().sum(-1) > cpu.ARRIVED**2).float()
            to_and_fro = far * ((step + before).abs().amax(-1) < cpu.ARRIVED).float()
            found = found + step * (moving * (1 - to_and_fro / 2))[..., None]
            moving, before = moving * far * (1 - to_and_fro), step
        if level == 0:
            return found, usable * sharp * inside
        found = 2 * found


def _solved(slopes_pw2):
    """Return what turns the sums of differences times slopes into steps (P, 2, 2), and 1 where it can (P,)."""
    xx, yy = slopes_pw2.square().sum(1).unbind(-1)
    xy = slopes_pw2.prod(-1).sum(1)
    least = (xx + yy - ((xx - yy).square() + 4 * xy * xy).sqrt()) / 2
    sharp = (least / cpu.TRACKED**2 > _FAINT).float()
    inverse = sharp / (xx * yy - xy * xy).clamp_min(_NOTHING)
    towards = torch.stack([-yy, xy, xy, -xx], -1) * inverse[:, None]
    return towards.reshape(-1, 2, 2), sharp


@dataclass(frozen=True)
class _Looking:
    """Where grid_sample finds pixels of images of one size: `scale` (2,) and `reach` (window, 2); `size` (2,)."""

    size: torch.Tensor
    scale: torch.Tensor
    reach: torch.Tensor

    @classmethod
    def at(cls, images):
        height, width = images.shape[-2:]
        size = torch.stack([torch.ones(1) * width, torch.ones(1) * height], 1)[0]
        scale = 2 / (size - 1)
        way = torch.arange(cpu.TRACKED) - cpu.TRACKED // 2
        reach = torch.stack([way.repeat(cpu.TRACKED), way.repeat_interleave(cpu.TRACKED)], -1)
        return cls(size, scale, reach * scale - 1)

    def round_about(self, images, pixels, padding: str):
        """Return what images (N, C, H, W) show round pixels (N, P, 2), in OpenCV's steps: (N, C, P, window)."""
        grid = pixels[:, :, None] * self.scale + self.reach
        shown = F.grid_sample(images, grid, mode='bilinear', padding_mode=padding, align_corners=True)
        return (shown * _LEVEL_STEPS + 0.5).floor() / _LEVEL_STEPS

    def inside(self, pixels):
        """Return 1 where OpenCV still looks for pixels (N, P, 2)."""
        corner = pixels - cpu.TRACKED // 2
        beyond = torch.maximum(-cpu.TRACKED - corner, corner - self.size)
        return (beyond.amax(-1) < 0).float()


def _residual_rotation(pixels, found, usable, displacement, T_srcs_ref, camera, rotation_noise):
    """Return `core.refine.residual_rotation` of each source, (N, 3); usable: (N, P), 1 for pixels that count."""
    back = _turned(found, T_srcs_ref[:, :3, :3].transpose(1, 2), camera)
    rays_ref, rays_src = (
        torch.stack([*camera.ray_of(each[..., 0], each[..., 1]), torch.ones_like(each[..., 0])], -1)
        for each in (pixels.expand_as(back), back)
    )
    lines = _cross(displacement[:, None], rays_ref)
    length = lines[..., :2].square().sum(-1).sqrt()
    usable = usable * (length > _NOTHING).float()
    to_noise = usable * camera.values[0] / length.clamp_min(_NOTHING) / cpu.TRACKING_NOISE
    usual = usable[..., None]
    rows = torch.where(usual > 0, to_noise[..., None] * _cross(rays_src, lines), 0.0)
    off = torch.where(usable > 0, to_noise * (rays_src * lines).sum(-1), 0.0)
    count = usable.sum(1)
    share = (cpu.INDEPENDENT / count.clamp_min(1)).clamp(max=1)[:, None]
    rotation = torch.zeros_like(displacement)
    variance = rotation_noise.square() * torch.ones_like(count)
    largest = _median(off.abs(), usable)
    for step in range(cpu.ROUNDS):
        scale = (largest / 2**step).clamp_min(1.0)[:, None]
        left = off - (rows * rotation[:, None]).sum(-1)
        weights = usable * share / (1 + (left / (3 * scale)).square()).square()
        normal = (weights[..., None] * rows).transpose(1, 2) @ rows
        pull = (weights * off)[:, None] @ rows
        covariance = _inverse(normal + torch.eye(3) / variance[:, None, None])
        rotation = (covariance @ pull[:, 0, :, None])[..., 0]
        trace = covariance[:, 0, 0] + covariance[:, 1, 1] + covariance[:, 2, 2]
        squares = rotation_noise.square() + rotation.square().sum(1) + trace
        variance = torch.minimum(rotation_noise.square(), squares / 4)
    return rotation * (count >= cpu.LEAST_POINTS).float()[:, None]


def _median(values, usable):
    """Return the medians over usable values (N, P): ranked by counting, as sorting takes shapes from data."""
    values = torch.where(usable > 0, values, 1e30)
    place = torch.arange(values.shape[1])
    before = values[:, None] < values[..., None]
    tied = (values[:, None] == values[..., None]) & (place < place[:, None])
    rank = (before | tied).float().sum(-1)
    middle = ((usable.sum(1, keepdim=True) - 1) / 2).clamp_min(0)
    lower, upper = (torch.where(rank == at, values, 0.0).sum(1) for at in (middle.floor(), middle.ceil()))
    return (lower + upper) / 2


def _inverse(matrices):
    """Return the inverses of matrices (N, 3, 3) by their cofactors."""
    a, b, c = matrices.unbind(1)
    cofactors = torch.stack([_cross(b, c), _cross(c, a), _cross(a, b)], 2)
    return cofactors / (a * cofactors[..., 0]).sum(1)[:, None, None]


def _cross(a, b):
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def _rotations(vectors):
    """Return the rotations (N, 3, 3) by small vectors (N, 3), radians, to the third order."""
    x, y, z = vectors.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    square = cross @ cross
    return torch.eye(3) + cross + square / 2 + cross @ square / 6
