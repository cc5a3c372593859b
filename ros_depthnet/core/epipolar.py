"""
How well matches fit a motion, whatever the depth.

A static point seen from two places lies, in the second image, on the epipolar line of the first, and beyond
the point at infinity in the direction of the motion. What is off that ray is nobody's depth.
"""

import numpy as np
import numpy.typing as npt

from ros_depthnet.core.camera import Camera

TRACKING_NOISE = 1.0  # pixels, what a match may be off
_WAY_NOISE = 0.05  # of the way flown, what a displacement may be off, beside
_POSITION_NOISE = 0.01  # metres, what each of its ends may be
_LEAST_SHARE = 0.6  # of a displacement that moves a point; ahead, where less does, the way it has moved tells no depth
_OFF = 50.0  # pixels, where the motion turns a point out of sight
_BEHIND = 0.05


def rays_of(pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """Return `K^-1 m`, (N, 3) float64 with z = 1, of pixels (N, 2)."""
    return np.column_stack([(pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy), np.ones(len(pixels))])


def displacement_noise(way: npt.ArrayLike) -> np.ndarray:
    """
    Return what a displacement may be off, metres, after a way of that many metres.

    An error of the velocity adds up on the way to a place and back: the displacement is none then, its error is not.
    """
    return np.hypot(_POSITION_NOISE, _WAY_NOISE * np.asarray(way))


def deviations(
    rays_ref: np.ndarray,
    rays_src: np.ndarray,
    R_src_ref: np.ndarray,
    t_src_ref: np.ndarray,
    way: npt.ArrayLike,
    focal: float,
) -> np.ndarray:
    """
    Return what each match is off from where a static point can be, in allowances, (N,); 1 is just allowed.

    rays_ref, rays_src: (N, 3), z = 1. R_src_ref: (N, 3, 3) and t_src_ref: (N, 3) metres, each match's own
    motion, that maps points of the reference into the source. way: metres flown from one to the other, of all or (N,).
    focal: pixels. Allowed are TRACKING_NOISE, and what `displacement_noise` makes of the way that the point has moved.
    """
    displacement = np.einsum('nji,nj->ni', R_src_ref, t_src_ref)
    turned = np.einsum('nji,nj->ni', R_src_ref, rays_src)
    with np.errstate(divide='ignore', invalid='ignore'):
        seen = np.where(turned[:, 2:] > _BEHIND, turned[:, :2] / turned[:, 2:], np.nan)
        line = displacement[:, :2] - displacement[:, 2:] * rays_ref[:, :2]
        length = np.linalg.norm(line, axis=1)  # metres, what of the displacement moves this point
        line = line / np.maximum(length, 1e-12)[:, None]
        moved = focal * (seen - rays_ref[:, :2])
        along = (moved * line).sum(1)
        across = moved[:, 0] * line[:, 1] - moved[:, 1] * line[:, 0]
        off = np.hypot(across, np.minimum(along, 0))
        # What the displacement is off moves a point that lies ahead as much as any, the displacement itself hardly.
        least = np.maximum(_LEAST_SHARE * np.linalg.norm(displacement, axis=1), 1e-6)
        unsure = displacement_noise(way) / np.maximum(length, least)
        return np.where(np.isfinite(off), off, _OFF) / np.hypot(TRACKING_NOISE, unsure * np.nan_to_num(np.abs(along)))
