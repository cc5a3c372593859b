"""From core's pinhole camera to sensor_msgs/CameraInfo."""

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from ros_depthnet.core.camera import Camera


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
