"""A textured plane seen by a moving camera: images by the plane's homography, depth by intersecting rays."""

import cv2
import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame

CAMERA = Camera(160, 120, 140.0, 138.0, 79.0, 61.0)
NORMAL = np.array([0.3, -0.6, 1.0])  # of the plane n . P = DISTANCE, in world axes
DISTANCE = 6.0


def turn(x=0.0, y=0.0, z=0.0):
    """Return the rotation by a vector of radians."""
    return cv2.Rodrigues(np.array([x, y, z]))[0]


def pose(translation, rotation=None):
    """Return T_world_cam."""
    T = np.eye(4)
    T[:3, 3] = translation
    if rotation is not None:
        T[:3, :3] = rotation
    return T


def texture():
    """Return what the camera at the origin sees, and a margin for what others see."""
    rng = np.random.default_rng(1)
    layers = [
        cv2.resize(
            rng.integers(0, 256, (40 * n, 60 * n, 3)).astype(np.float32), (480, 360), interpolation=cv2.INTER_CUBIC
        )
        for n in (1, 2, 4)
    ]
    return np.clip(sum(layers) / 3, 0, 255).astype(np.uint8)


TEXTURE = texture()
_MARGIN = 120


def frame(T_world_cam, seconds=0.0):
    """Return the frame of a camera; K (R + t n^T / d) K^-1 takes the origin's pixels to it."""
    K, R, t = CAMERA.K, T_world_cam[:3, :3].T, -T_world_cam[:3, :3].T @ T_world_cam[:3, 3]
    homography = K @ (R + np.outer(t, NORMAL) / DISTANCE) @ np.linalg.inv(K)
    from_texture = homography @ np.array([[1, 0, -_MARGIN], [0, 1, -_MARGIN], [0, 0, 1.0]])
    image = cv2.warpPerspective(TEXTURE, from_texture, (CAMERA.width, CAMERA.height), flags=cv2.INTER_LINEAR)
    return Frame(round(seconds * 1e9), image, CAMERA, T_world_cam)


def depth(T_world_cam):
    """Return the exact depth (H, W) of a camera's view."""
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width].astype(float)
    rays_cam = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones_like(u)], -1)
    rays_world = rays_cam @ T_world_cam[:3, :3].T
    return ((DISTANCE - NORMAL @ T_world_cam[:3, 3]) / (rays_world @ NORMAL)).astype(np.float32)
