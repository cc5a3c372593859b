"""
What teaches contours without labels: depth's jumps and creases, and the distance to the nearest contour.

That edges belong where depth has an inflection and where the surface turns is CoopNet2's idea (Hariat 2025);
how both are measured, joined and turned into a loss is our own, as its text could not be had.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

STRONGEST = 9.0
"""Evidence that counts no more."""
EDGE = 0.04
"""Slope of brightness, 0..1 a pixel, that is an edge."""
_LEAST_INVERSE = 1e-6
_TURNING_REACH = 2  # pixels to either side
_FAINTEST = 1e-9


@dataclass(frozen=True)
class Resolution:
    """
    What of depth can be told from its noise.

    `jump`: of inverse depth, as a share, that is an edge as likely as not; `turn`: change of the unit normal
    that is. Both are looked for in inverse depth averaged over squares of so many pixels.
    """

    jump: float
    turn: float
    jump_stride: int
    turn_stride: int


EXACT = Resolution(0.1, 0.4, 1, 1)
MEASURED = Resolution(0.1, 4.0, 1, 4)
"""Of depth from motion: its jumps are sure, its normals are not. Found best of several on rendered scenes."""


def inflection(inverse_depth):
    """
    Return how far inverse depth (B, H, W) jumps at a pixel, as a share of what is nearer there, (B, H, W).

    The second difference vanishes on planes, has one sign along a crease, and two signs to the sides of a
    jump: sqrt(-d2 d2) across a pixel, along rows or columns, whichever is more. Pixels at the image's border
    have none. Inverse depth is blurred by 1-2-1 before, so that a jump between two pixels shows at both.
    """
    nearest = F.max_pool2d(inverse_depth[:, None], 5, 1, 2)[:, 0].clamp_min(_LEAST_INVERSE)
    jumps = []
    for axis in (-1, -2):
        second = _blurred(inverse_depth).diff(n=2, dim=axis)
        size = second.shape[axis] - 2
        opposed = (-second.narrow(axis, 0, size) * second.narrow(axis, 2, size)).clamp_min(0)
        jumps.append(_padded(4 * opposed.sqrt(), axis, 2))
    return torch.maximum(*jumps) / nearest


def normals(inverse_depth, intrinsics):
    """
    Return unit normals (B, 3, H, W) of the surface, in the optical frame and towards it.

    `intrinsics` (B, 4) fx, fy, cx, cy. A plane n P = -d has the inverse depth -n K^-1 m / d, so its slopes along
    x and y (Sobel's) are those of n, exactly on planes.
    """
    height, width = inverse_depth.shape[-2:]
    along_x, along_y = _slopes(inverse_depth)
    fx, fy, cx, cy = intrinsics[:, :, None, None].unbind(1)
    x = torch.arange(width, device=inverse_depth.device) - cx
    y = torch.arange(height, device=inverse_depth.device)[:, None] - cy
    plane = torch.stack([fx * along_x, fy * along_y, inverse_depth - x * along_x - y * along_y], 1)
    return -F.normalize(plane, dim=1, eps=1e-12)


def turning(normals_b3hw):
    """
    Return how much unit normals (B, 3, H, W) differ across a pixel, 0..2, (B, H, W).

    Between two pixels to the left and two to the right, or above and below, whichever is more; none at the border.
    """
    turns = []
    for axis in (-1, -2):
        size = normals_b3hw.shape[axis] - 2 * _TURNING_REACH
        ends = (normals_b3hw.narrow(axis, start, size) for start in (0, 2 * _TURNING_REACH))
        turns.append(_padded(torch.linalg.vector_norm(torch.sub(*ends), dim=1), axis, _TURNING_REACH))
    return torch.maximum(*turns)


def evidence(inverse_depth, intrinsics, resolution: Resolution = MEASURED):
    """
    Return the evidence (B, H, W), 0..STRONGEST, that inverse depth (B, H, W) has a contour at a pixel.

    (jump / its unit)^2 + (turn / its unit)^2; height and width are multiples of the strides. Where depth is not
    known (NaN), and next to that, it is NaN.
    """
    unknown = F.max_pool2d(inverse_depth.isnan()[:, None].float(), 7, 1, 3)[:, 0] > 0
    inverse_depth = inverse_depth.nan_to_num()
    jump = inflection(_pooled(inverse_depth, resolution.jump_stride))
    stride = resolution.turn_stride
    focal, centre = intrinsics.split(2, 1)
    of_squares = torch.cat([focal / stride, (centre + 0.5) / stride - 0.5], 1)
    turn = turning(normals(_pooled(inverse_depth, stride), of_squares))
    jumps, turns = (
        F.interpolate((each / unit)[:, None], inverse_depth.shape[1:], mode='bilinear')[:, 0].square()
        for each, unit in ((jump, resolution.jump), (turn, resolution.turn))
    )
    return (jumps + turns).clamp_max(STRONGEST).masked_fill(unknown, torch.nan)


def at_image_edges(found, image):
    """
    Return evidence (B, H, W) moved to where an image (B, 3, H, W) in 0..1 has an edge, up to two pixels away.

    Measured depth knows what is a contour, but not to the pixel; the image knows where its edges are, but not what
    they are. The most evidence within reach, times the square of brightness's slope, up to EDGE.
    """
    unknown = found.isnan()
    near = F.max_pool2d(found.nan_to_num()[:, None], 5, 1, 2)[:, 0]
    slope = torch.hypot(*_slopes(_blurred(image.mean(1))))
    return (near * (slope / EDGE).clamp_max(1).square()).masked_fill(unknown, torch.nan)


def contour_loss(contours, found):
    """
    Return the mean of (1 - c)^2 e + c^2 over contours (B, H, W) in 0..1, where the evidence e (B, H, W) is known.

    Of all that look alike the best answer is mean(e) / (1 + mean(e)): a half where the mean evidence is one.
    """
    known = found.isfinite()
    found = torch.where(known, found, 0.0)
    each = (1 - contours).square() * found + contours.square()
    return (each * known).sum() / known.sum().clamp_min(1)


def soft_distance(contours, reach: int = 16, softness: float = 0.5):
    """
    Return the distance (B, H, W), pixels, up to `reach`, to the nearest contour of a map (B, H, W) in 0..1.

    -h ln sum c exp(-d^2 / h), differentiable in every contour within reach (Pham 2021), of squared distances d^2:
    those are separable, so that there is no cascade of small windows and the distance is Euclid's. `softness`
    h, square pixels: a contour of probability c counts as farther, its d^2 as larger by -h ln c.
    """
    there = contours > _FAINTEST
    logarithm = torch.where(there, contours, 1.0).log().masked_fill(~there, -torch.inf)
    offsets = torch.arange(-reach, reach + 1, device=contours.device)
    penalty = offsets.square() / softness
    for _ in range(2):  # along rows, then along columns
        padded = F.pad(logarithm, (reach, reach), value=-torch.inf)
        logarithm = (padded.unfold(-1, 2 * reach + 1, 1) - penalty).logsumexp(-1).mT
    farthest = torch.full_like(logarithm, -(reach**2) / softness)
    return (-softness * torch.logaddexp(logarithm, farthest)).clamp_min(1e-6).sqrt()


def eikonal(distance, reach: int = 16):
    """
    Return the mean of (|grad D| - 1)^2 of distances (B, H, W), where they are neither at a contour nor at `reach`.

    A distance to something grows by one a pixel; where two contours are equally far it does not, so specks cost
    more than lines. Central differences.
    """
    inner = distance[:, 1:-1, 1:-1]
    along_x = (distance[:, 1:-1, 2:] - distance[:, 1:-1, :-2]) / 2
    along_y = (distance[:, 2:, 1:-1] - distance[:, :-2, 1:-1]) / 2
    off = ((along_x.square() + along_y.square()).clamp_min(1e-12).sqrt() - 1).square()
    counts = (inner > 1.5) & (inner < reach - 1.5)
    return (off * counts).sum() / counts.sum().clamp_min(1)


def _pooled(values, stride: int):
    return F.avg_pool2d(values[:, None], stride)[:, 0]


def _slopes(values):
    """Return Sobel's slopes along x and y, per pixel."""
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=values.device) / 8
    return F.conv2d(_extended(values)[:, None], torch.stack([kernel, kernel.T])[:, None]).unbind(1)


def _blurred(values):
    kernel = torch.tensor([0.25, 0.5, 0.25], device=values.device)
    return F.conv2d(_extended(values)[:, None], torch.outer(kernel, kernel)[None, None])[:, 0]


def _extended(values):
    """Return values (B, H, W) with a pixel more on every side, in which a plane goes on."""
    for axis in (-1, -2):
        ends = [2 * values.select(axis, end) - values.select(axis, inner) for end, inner in ((0, 1), (-1, -2))]
        values = torch.cat([ends[0].unsqueeze(axis), values, ends[1].unsqueeze(axis)], axis)
    return values


def _padded(values, axis: int, margin: int):
    """Return values with a margin of zeros at both ends of an axis."""
    return F.pad(values, (margin, margin) if axis == -1 else (0, 0, margin, margin))
