"""Between sensor_msgs/CameraInfo and core's pinhole camera."""

from dataclasses import replace

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from ros_depthnet.core.camera import Camera


class NoCamera(ValueError):
    """A camera_info that describes no camera; the text says why in one sentence."""


def to_camera(message: CameraInfo) -> Camera:
    """
    Return the pinhole camera of the rectified image: P where it is given, K else; raises NoCamera.

    A region of interest and binning are applied, so that the camera is that of the published image.
    """
    P, K = np.reshape(message.p, (3, 4)), np.reshape(message.k, (3, 3))
    matrix = P if P[0, 0] > 0 else K
    fx, fy, cx, cy = (float(x) for x in (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]))
    if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
        raise NoCamera(
            'The camera_info has no focal length (K is zero): calibrate the camera, or give its '
            'driver the calibration file.'
        )
    if message.width == 0 or message.height == 0:
        raise NoCamera(
            f'The camera_info says that images are {message.width} x {message.height} pixels: '
            'calibrate the camera, or give its driver the calibration file.'
        )
    camera = Camera(message.width, message.height, fx, fy, cx, cy)
    roi = message.roi
    if roi.width and roi.height:
        camera = replace(
            camera, width=roi.width, height=roi.height, cx=cx - roi.x_offset, cy=cy - roi.y_offset
        )
    if message.binning_x > 1 or message.binning_y > 1:
        camera = camera.resized(
            camera.width // max(message.binning_x, 1), camera.height // max(message.binning_y, 1)
        )
    return camera


def is_distorted(message: CameraInfo) -> bool:
    """Tell whether the lens bends straight lines, so that only a rectified image fits a pinhole."""
    return any(coefficient != 0 for coefficient in message.d)


def from_camera(camera: Camera, header: Header) -> CameraInfo:
    """Return the camera_info of an undistorted image."""
    P = np.zeros((3, 4))
    P[:, :3] = camera.K
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=camera.K.ravel().tolist(),
        r=np.eye(3).ravel().tolist(),
        p=P.ravel().tolist(),
    )
