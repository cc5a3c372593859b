"""sensor_msgs/CameraInfo as the pinhole camera of the image that is used, and the lens before it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import seen
from ros_depthnet.core.lens import Lens, UnknownLens


class NoCamera(ValueError):
    """A camera_info that describes no camera; the text says why in one sentence."""


@dataclass(frozen=True)
class Calibration:
    """
    What camera_info says of images as they are published: the region of interest and binning are applied.

    pinhole: the camera of the rectified image (P where it is given, K else). lens: None where the image is
    not distorted. oddity: what had to be made sense of, a sentence, or empty.
    """

    pinhole: Camera
    lens: Lens | None = None
    oddity: str = ''

    def rectified(self, image: np.ndarray) -> np.ndarray:
        """Return a raw image (H, W, 3) as the pinhole camera sees it."""
        return self.lens.straightened(image, self.pinhole) if self.lens else image

    def rectified_mask(self, masked_hw: np.ndarray | None) -> np.ndarray | None:
        """
        Return where the rectified image shows no scene: a mask of the raw image, and beyond the lens' edge.

        masked_hw: (h, w) bool of the raw image at any size, or None; so is the result.
        """
        if not self.lens:
            return masked_hw
        raw = self.lens.raw
        seen_hw = seen(masked_hw, raw.width, raw.height)
        masked_hw = self.rectified(255 * seen_hw.astype(np.uint8)) < 255
        return masked_hw if masked_hw.any() else None


def to_calibration(message: Any) -> Calibration:
    """Return what a camera_info says; raises NoCamera."""
    try:
        return _calibration(message)
    except NoCamera:
        raise
    except UnknownLens as error:
        raise NoCamera(str(error)) from error
    except ValueError as error:
        raise NoCamera(f'The camera_info makes no sense: {error}') from error


def _calibration(message: Any) -> Calibration:
    K, P = np.reshape(message.k, (3, 3)), np.reshape(message.p, (3, 4))
    R = np.reshape(message.r, (3, 3))
    K = K if K[0, 0] > 0 else P[:, :3]
    matrix = P if P[0, 0] > 0 else K
    if message.width == 0 or message.height == 0:
        raise NoCamera(
            f'The camera_info says that images are {message.width} x {message.height} pixels: '
            'calibrate the camera, or give its driver the calibration file.'
        )
    pinhole, oddity = _published(message, matrix)
    D = tuple(float(coefficient) for coefficient in message.d)
    turned = np.isfinite(R).all() and abs(np.linalg.det(R)) > 0.5 and not np.allclose(R, np.eye(3))
    if not any(D) and not turned:
        return Calibration(pinhole, None, oddity)
    raw, _ = _published(message, K)
    lens = Lens(raw, message.distortion_model or 'plumb_bob', D, tuple(R.ravel() if turned else np.eye(3).ravel()))
    return Calibration(pinhole, lens, oddity)


def _published(message: Any, matrix: np.ndarray) -> tuple[Camera, str]:
    """Return the pinhole camera of the published image by one matrix, and what is odd about it."""
    fx, fy, cx, cy = (float(x) for x in (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]))
    if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
        raise NoCamera(
            'The camera_info has no focal length (K is zero): calibrate the camera, or give its '
            'driver the calibration file.'
        )
    camera, roi = Camera(message.width, message.height, fx, fy, cx, cy), message.roi
    if roi.width and roi.height:
        camera = replace(camera, width=roi.width, height=roi.height, cx=cx - roi.x_offset, cy=cy - roi.y_offset)
    if message.binning_x <= 1 and message.binning_y <= 1:
        return camera, ''
    width, height = (camera.width // max(message.binning_x, 1), camera.height // max(message.binning_y, 1))
    binned = camera.resized(width, height)
    already = replace(camera, width=width, height=height)
    # Drivers should give K and P of the full sensor, but some give them of the binned image. The principal
    # point tells: read the wrong way it lies half-way to a corner.
    if _off_centre(already) < _off_centre(binned):
        return already, (
            'camera_info states a binning, but K and P seem to be of the binned image already, '
            'as their principal point says; they are taken so.'
        )
    return binned, ''


def _off_centre(camera: Camera) -> float:
    return float(np.hypot(camera.cx / camera.width - 0.5, camera.cy / camera.height - 0.5))
