"""
parallaxnet's matching cost in one pass over memory: positions, taps, differences and sums, pixel by pixel.

As operators of a graph the same takes ten times as long: each of them writes a tensor of sources x channels x
hypotheses x pixels, which none of the caches holds, for the next to read. The result is that of
`learning.networks.parallaxnet.matching_cost`, from which the names are taken.
"""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numba.extending import register_jitable

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


@register_jitable(inline='always')
def _taps(displacement, ray_y, rays_x, rho, focal, centre, height, taps, weights):
    """
    Find the four pixels of a source round about where each pixel of a row lies, and the weight of each.

    Beyond the edge everything is 0: such a tap is any pixel, with a weight of 0.
    """
    width = len(rays_x)
    zero, one, nearest = np.float32(0), np.float32(1), np.float32(0.05)
    first, last_x, last_y = np.int32(0), np.int32(width - 1), np.int32(height - 1)
    for x in range(width):
        inverse = rho[x] / focal[0]
        closer = one / max(one + displacement[2] * inverse, nearest)
        u = (rays_x[x] + displacement[0] * inverse) * closer * focal[0] + centre[0]
        v = (ray_y + displacement[1] * inverse) * closer * focal[1] + centre[1]
        u, v = min(max(u, -one), np.float32(width)), min(max(v, -one), np.float32(height))
        left, top = np.int32(np.floor(u)), np.int32(np.floor(v))
        right, bottom = left + np.int32(1), top + np.int32(1)
        du, dv = u - np.float32(left), v - np.float32(top)
        w0 = one - du if first <= left <= last_x else zero
        w1 = du if right <= last_x else zero
        v0 = one - dv if first <= top <= last_y else zero
        v1 = dv if bottom <= last_y else zero
        left, right = min(max(left, first), last_x), min(max(right, first), last_x)
        top, bottom = min(max(top, first), last_y) * np.int32(width), min(max(bottom, first), last_y) * np.int32(width)
        taps[0, x], taps[1, x], taps[2, x], taps[3, x] = top + left, top + right, bottom + left, bottom + right
        weights[0, x], weights[1, x], weights[2, x], weights[3, x] = w0 * v0, w1 * v0, w0 * v1, w1 * v1


@register_jitable(inline='always')
def _add_differences(reference, source, taps, weights, channels, differences, total):
    """Add up, channel by channel, what a row of the reference differs by from what a source shows at the taps."""
    width, lanes = differences.shape
    for x in range(width):
        wa, wb, wc, wd = weights[0, x], weights[1, x], weights[2, x], weights[3, x]
        a, b, c, d = source[taps[0, x]], source[taps[1, x]], source[taps[2, x]], source[taps[3, x]]
        weight = wa * a[channels] + wb * b[channels] + wc * c[channels] + wd * d[channels]
        here, off = reference[x], differences[x]
        for i in range(lanes):
            off[i] += abs(wa * a[i] + wb * b[i] + wc * c[i] + wd * d[i] - here[i] * weight)
        total[x] += weight


# Sums may be reordered and multiplications contracted, but NaN stays NaN.
@njit(nogil=True, cache=True, error_model='numpy', fastmath={'contract', 'reassoc', 'nsz', 'arcp'})
def _rows(reference, sources, displacements, rays_x, rays_y, focal, centre, rho, ends, cost, seen, first, last):
    number, lanes = len(sources), reference.shape[2]
    hypotheses, height, width = rho.shape
    pixels = sources.reshape(number, height * width, lanes)
    taps, weights = np.empty((4, width), np.uint32), np.empty((4, width), np.float32)
    differences, total = np.empty((width, lanes), np.float32), np.empty(width, np.float32)
    scale = np.empty(width, np.float32)
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    share = np.float32(1 / (number * hypotheses))
    for y in range(first, last):
        seen[y] = 0
        for hypothesis in range(hypotheses):
            differences[:] = 0
            total[:] = 0
            for s in range(number):
                _taps(displacements[s], rays_y[y], rays_x, rho[hypothesis, y], focal, centre, height, taps, weights)
                _add_differences(reference[y], pixels[s], taps, weights, ends[-1], differences, total)
            for x in range(width):
                seen[y, x] += total[x] * share
                scale[x] = one / (two * (total[x] + np.float32(1e-3))) if total[x] > np.float32(0.01) else -one
            begin = 0
            for group in range(len(ends)):
                line, mean = cost[group, hypothesis, y], one / np.float32(ends[group] - begin)
                line[:] = 0
                for i in range(begin, ends[group]):
                    for x in range(width):
                        line[x] += differences[x, i]
                for x in range(width):
                    line[x] = min(line[x] * mean * scale[x], one) if scale[x] >= zero else np.float32(0.4)
                begin = ends[group]


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
        references: np.ndarray,
        sources: np.ndarray,
        displacements: np.ndarray,
        intrinsics: np.ndarray,
        stride: int,
        groups: Sequence[int],
        rho: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Return what hypotheses of references cost (B, G D, h, w), 0..1, and what share is in sight (B, 1, h, w).

        All float32. references: packed (B, h, w, P). sources: packed (B, S, h, w, P). displacements: (B, S, 3),
        over the unit length. intrinsics: (B, 4), fx, fy, cx, cy in pixels of the input, of which a pixel of descriptors
        has `stride`. groups: sizes of what is compared as one, (G,). rho: lateral parallax, pixels of the input,
        (B, D, h, w).
        """
        batch, number, height, width = rho.shape
        costs = np.empty((batch, len(groups), number, height, width), np.float32)
        seen = np.empty((batch, 1, height, width), np.float32)
        bounds = np.linspace(0, height, _CHUNKS * self._threads + 1).astype(int)
        ends, scaled = np.cumsum(groups), np.float32(1 / stride) * rho
        for each in range(batch):
            # (pixel + 1/2) / stride - 1/2 is where a pixel of the input lies among the descriptors.
            focal, centre = intrinsics[each, :2] / stride, (intrinsics[each, 2:] + 0.5) / stride - 0.5
            rays_x, rays_y = (
                (np.arange(size, dtype=np.float32) - c) / f
                for size, f, c in zip((width, height), focal, centre, strict=True)
            )
            rows = functools.partial(
                _rows,
                references[each],
                sources[each],
                displacements[each],
                rays_x,
                rays_y,
                focal,
                centre,
                scaled[each],
                ends,
                costs[each],
                seen[each, 0],
            )
            list(self._pool.map(rows, bounds[:-1], bounds[1:]))
        return costs.reshape(batch, -1, height, width), seen
