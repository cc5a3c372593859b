"""
parallaxnet's matching cost in one pass over memory: positions, taps, differences and sums, pixel by pixel.

As operators of a graph the same takes ten times as long: each of them writes a tensor of sources x channels x
hypotheses x pixels, which none of the caches holds, for the next to read. The result is that of
`learning.networks.parallaxnet.matching_cost`, from which the names are taken.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

_CHUNKS = 2  # of rows for each thread: some see less than others
_LANES = 8  # channels that processors take at once: descriptors are padded to a multiple


@njit(nogil=True, cache=True, error_model='numpy')
def _pack(descriptors, seen, packed):
    channels, height, width = descriptors.shape
    for y in range(height):
        for x in range(width):
            weight = seen[y, x]
            for c in range(channels):
                packed[y, x, c] = descriptors[c, y, x] * weight
            packed[y, x, channels] = weight
            packed[y, x, channels + 1 :] = 0


# Sums may be reordered and multiplications contracted, but NaN stays NaN.
@njit(nogil=True, cache=True, error_model='numpy', fastmath={'contract', 'reassoc', 'nsz', 'arcp'})
def _rows(first, last, reference, sources, displacements, rays_x, rays_y, focal, centre, rho, ends, cost, seen):
    number, height, width, lanes = sources.shape
    hypotheses, groups = rho.shape[0], len(ends)
    channels = ends[-1]
    difference = np.empty(lanes, np.float32)
    share = np.float32(1 / (number * hypotheses))
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    for y in range(first, last):
        seen[y] = 0
        for d in range(hypotheses):
            for x in range(width):
                inverse = rho[d, y, x] / focal[0]
                difference[:] = 0
                total = zero
                for s in range(number):
                    closer = one / max(one + displacements[s, 2] * inverse, np.float32(0.05))
                    u = (rays_x[x] + displacements[s, 0] * inverse) * closer * focal[0] + centre[0]
                    v = (rays_y[y] + displacements[s, 1] * inverse) * closer * focal[1] + centre[1]
                    if not (-one < u < width and -one < v < height):
                        continue
                    left, top = int(np.floor(u)), int(np.floor(v))
                    du, dv = u - np.float32(left), v - np.float32(top)
                    # Beyond the edge everything is 0: such a tap is any pixel, with a weight of 0.
                    w0 = (one - du) if left >= 0 else zero
                    w1 = du if left + 1 < width else zero
                    v0 = (one - dv) if top >= 0 else zero
                    v1 = dv if top + 1 < height else zero
                    x0, x1 = np.uint32(max(left, 0)), np.uint32(min(left + 1, width - 1))
                    y0, y1 = np.uint32(max(top, 0)), np.uint32(min(top + 1, height - 1))
                    a, b = sources[s, y0, x0], sources[s, y0, x1]
                    c, e = sources[s, y1, x0], sources[s, y1, x1]
                    wa, wb, wc, we = w0 * v0, w1 * v0, w0 * v1, w1 * v1
                    weight = wa * a[channels] + wb * b[channels] + wc * c[channels] + we * e[channels]
                    if weight == zero:
                        continue
                    here = reference[y, x]
                    for i in range(lanes):
                        warped = wa * a[i] + wb * b[i] + wc * c[i] + we * e[i]
                        difference[i] += abs(warped - here[i] * weight)
                    total += weight
                seen[y, x] += total * share
                begin = 0
                for g in range(groups):
                    part = zero
                    for i in range(begin, ends[g]):
                        part += difference[i]
                    part /= np.float32(ends[g] - begin) * (total + np.float32(1e-3))
                    cost[g, d, y, x] = min(part, two) / two if total > np.float32(0.01) else np.float32(0.4)
                    begin = ends[g]


class Matching:
    """Matching costs with a number of threads."""

    def __init__(self, threads: int):
        """Keep a pool of threads."""
        self._threads, self._pool = threads, ThreadPoolExecutor(threads, 'matching')

    def packed(self, descriptors: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """
        Return descriptors (N, C, h, w) float32 and what of them is seen (N, h, w), 0..1, as `costs` reads them.

        Side by side for each pixel (N, h, w, P), P > C, the descriptors times what is seen, which is channel C.
        """
        number, channels, height, width = descriptors.shape
        packed = np.empty((number, height, width, -(-(channels + 1) // _LANES) * _LANES), np.float32)
        list(self._pool.map(_pack, descriptors, seen, packed))
        return packed

    def costs(
        self,
        reference: np.ndarray,
        sources: np.ndarray,
        displacements: np.ndarray,
        intrinsics: np.ndarray,
        stride: int,
        groups: Sequence[int],
        rho: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Return what hypotheses of one reference cost (G D, h, w), 0..1, and what share is in sight (1, h, w).

        All float32. reference: packed (h, w, P). sources: packed (S, h, w, P). displacements: (S, 3),
        over the unit length. intrinsics: fx, fy, cx, cy in pixels of the input, of which a pixel of descriptors
        has `stride`. groups: sizes of what is compared as one, (G,). rho: lateral parallax, pixels of the input,
        (D, h, w).
        """
        height, width = rho.shape[1:]
        # (pixel + 1/2) / stride - 1/2 is where a pixel of the input lies among the descriptors.
        focal, centre = intrinsics[:2] / stride, (intrinsics[2:] + 0.5) / stride - 0.5
        rays_x, rays_y = (
            (np.arange(size, dtype=np.float32) - c) / f
            for size, f, c in zip((width, height), focal, centre, strict=True)
        )
        costs = np.empty((len(groups), *rho.shape), np.float32)
        seen = np.empty((1, height, width), np.float32)
        arguments = (
            reference,
            sources,
            displacements,
            rays_x,
            rays_y,
            focal,
            centre,
            np.float32(1 / stride) * rho,
            np.cumsum(groups),
            costs,
            seen[0],
        )
        bounds = np.linspace(0, height, _CHUNKS * self._threads + 1).astype(int)
        list(self._pool.map(lambda first, last: _rows(first, last, *arguments), bounds[:-1], bounds[1:]))
        return costs.reshape(-1, height, width), seen
