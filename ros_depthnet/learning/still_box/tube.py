"""A tube seen from inside, as an endoscope sees a colon: it bends, folds narrow it, and both ends are closed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

_SHARPNESS = 6  # of folds: a cosine to this power, so that they are ridges and the wall between them is wide
_FOLDED_EVERYWHERE = 0.3  # share of a fold that goes all the way round; the rest stands in three crescents
_STEP = 3e-3  # radii; a wall that a ray enters for less may be missed, if it bulges by less than a ten-thousandth
_MARCH = 5_000


@dataclass(frozen=True)
class Tube:
    """
    The space inside a tube, its mean radius 1, along z from 0 to `length`, where it closes like a bowl.

    `bends`: of the centre line, for x and for y, waves of (amplitude, frequency, phase). `folds`: how deep, how
    far apart; `phases` of the folds along z, of their distances, of their crescents and of the corners.
    `tilt`: of the folds' planes, radians of phase a radius. `corners`: how far the three sides between a
    colon's bands of muscle (taeniae) are flattened.
    """

    length: float
    bends: tuple[tuple[tuple[float, float, float], ...], ...]
    folds: tuple[float, float]
    phases: tuple[float, float, float, float]
    tilt: tuple[float, float]
    corners: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Tube:
        """Draw one with folds and bends."""
        bends = tuple(
            tuple(
                (rng.uniform(*amplitude), 2 * math.pi / rng.uniform(*wavelength), rng.uniform(0, 2 * math.pi))
                for amplitude, wavelength in (((0.4, 1.1), (6.5, 11)), ((0, 0.2), (3, 5)))
            )
            for _ in range(2)
        )
        return cls(
            rng.uniform(9, 16),
            bends,
            (rng.uniform(0.22, 0.42), rng.uniform(0.8, 1.5)),
            tuple(rng.uniform(0, 2 * math.pi, 4)),
            tuple(rng.uniform(-0.7, 0.7, 2)),
            rng.uniform(0.05, 0.15),
        )

    def straight(self) -> Tube:
        """Return it without bends."""
        return replace(self, bends=((), ()))

    def smooth(self) -> Tube:
        """Return it round and without folds."""
        return replace(self, folds=(0.0, self.folds[1]), corners=0.0)

    def centre_line(self, z):
        """Return x and y of the centre line at z."""
        return tuple(
            sum((a * torch.sin(k * z + phase) for a, k, phase in axis), torch.zeros_like(z)) for axis in self.bends
        )

    def direction(self, z: float) -> np.ndarray:
        """Return where the centre line goes at z, (3,) with z = 1."""
        return np.array([*(sum(a * k * math.cos(k * z + phase) for a, k, phase in axis) for axis in self.bends), 1.0])

    def clearance(self, x, y, z):
        """Return by how much the wall is farther from the centre line than points of the tube's space are."""
        centre_x, centre_y = self.centre_line(z)
        u, v = x - centre_x, y - centre_y
        cube_re, cube_im = u * (u * u - 3 * v * v), v * (3 * u * u - v * v)

        def thrice_round(cosine, sine):
            """Return 0 to 1, a wave of that phase with three crests round the wall and 1/2 on the centre line."""
            return 0.5 + 0.5 * (cube_re * cosine + cube_im * sine).clamp(-1, 1)

        along, apart, crescents, corners = self.phases
        depth, pitch = self.folds
        phase = 2 * math.pi / pitch * z + 0.8 * torch.sin(0.9 * z + apart) + self.tilt[0] * u + self.tilt[1] * v
        ridge = (0.5 + 0.5 * torch.cos(phase + along)) ** _SHARPNESS
        turned = math.pi / pitch * z + crescents  # half a crescent from fold to fold
        crescent = thrice_round(torch.cos(turned), torch.sin(turned))
        fold = depth * ridge * (_FOLDED_EVERYWHERE + (1 - _FOLDED_EVERYWHERE) * crescent)
        flat = self.corners * thrice_round(math.cos(corners), math.sin(corners))
        beyond = torch.maximum(-z, z - self.length).clamp_min(0)
        return 1 - fold - flat - beyond.square() - torch.hypot(u, v)

    def _steepest(self, across, along):
        """Return the most that clearance can fall on a way of (across, along) z, both positive, inside."""
        depth, pitch = self.folds
        n = 2 * _SHARPNESS
        ridge = 0.5 * n * ((n - 1) / n) ** ((n - 1) / 2) / math.sqrt(n)  # steepest slope of the cosine's power
        crescent = 1 - _FOLDED_EVERYWHERE
        bend = math.hypot(*(sum(a * k for a, k, _ in axis) for axis in self.bends))
        radial = 1 + 1.5 * (self.corners + depth * crescent) + depth * ridge * math.hypot(*self.tilt)
        axial = depth * (ridge * (2 * math.pi / pitch + 0.72) + 0.5 * crescent * math.pi / pitch) + 2
        return radial * (across + bend * along) + axial * along

    def first_wall(self, o, d):
        """
        Return t where rays o + t d (tuples of x, y, z) that start inside meet the wall; +Inf from outside.

        Steps are as long as the steepest clearance allows, but never below three thousandths of the radius; the wall
        between the last two is found by bisection.
        """
        shape = torch.broadcast_shapes(o[0].shape, d[0].shape)
        o, d = ([v.expand(shape).reshape(-1) for v in vector] for vector in (o, d))

        def clearance(t, o, d):
            return self.clearance(*(a + t * b for a, b in zip(o, d)))

        across = torch.hypot(d[0], d[1])
        steepest = self._steepest(across, d[2].abs())
        least = _STEP / torch.hypot(across, d[2])
        found, before = torch.full_like(across, torch.inf), torch.zeros_like(across)
        ray = (clearance(before, o, d) > 0).nonzero()[:, 0]
        going_o, going_d = ([v[ray] for v in vector] for vector in (o, d))
        t, steepest, least = before[ray], steepest[ray], least[ray]
        clear = clearance(t, going_o, going_d)
        for _ in range(_MARCH):
            before[ray], t = t, t + torch.maximum(clear / steepest, least)
            clear = clearance(t, going_o, going_d)
            going = clear > 0
            found[ray[~going]] = t[~going]
            if not going.any():
                break
            ray, t, clear, steepest, least = (v[going] for v in (ray, t, clear, steepest, least))
            going_o, going_d = ([v[going] for v in vector] for vector in (going_o, going_d))
        for _ in range(12):
            middle = (before + found) / 2
            free = clearance(middle, o, d) > 0
            before, found = torch.where(free, middle, before), torch.where(free, found, middle)
        return found.reshape(shape)

    @torch.enable_grad()
    def outward(self, points):
        """Return normals (P, 3), not of unit length, that point into the wall at points (P, 3) on it."""
        points = points.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.clearance(*points.unbind(-1)).sum(), points)
        return -slope

    def unrolled(self, points):
        """Return uv (P, 2) of points (P, 3): the way round the wall, 2 pi in all, and the way along."""
        x, y, z = points.unbind(-1)
        centre_x, centre_y = self.centre_line(z)
        return torch.stack([torch.atan2(y - centre_y, x - centre_x), z], -1)
