"""Where the camera sits on the body, in a running graph: from tf where it knows, else from the parameters."""

import time

import numpy as np
from rclpy.time import Time

from ros_depthnet.flight.messages.pose import transform_to_pose
from ros_depthnet.flight.mounting import MountingOptions
from ros_depthnet.ros.managed import ManagedNode

try:
    import tf2_ros
except ImportError:
    tf2_ros = None

_PATIENCE = 2.0  # seconds that `auto` waits for a static transform


def check_mounting(settings) -> None:
    """Raise ValueError with a sentence when tf is demanded but not installed."""
    if settings.camera_mounting == 'tf' and tf2_ros is None:
        raise ValueError(
            'camera_mounting is tf, but tf2_ros is not installed: install it, or set camera_xyz '
            'and camera_rpy, and camera_mounting to parameters.'
        )


class Mounting:
    """Tells T_body_cam, decided once: a mounting that changes in flight would bend every baseline."""

    def __init__(self, node: ManagedNode, options: MountingOptions):
        """Go by options that `check_mounting` has found good."""
        self._node, self._options = node, options
        self._T_body_cam: np.ndarray | None = None
        self._waiting_since: float | None = None
        self.origin = ''
        if options.camera_mounting == 'parameters':
            self._settle(options.T_body_cam, 'parameters')
        elif tf2_ros is not None:
            self._buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(self._buffer, node)

    def T_body_cam(self, body_frame: str, camera_frame: str) -> np.ndarray | None:
        """Return the camera's pose on the body, None while tf has not told."""
        if self._T_body_cam is None:
            if body_frame == camera_frame:
                self._settle(np.eye(4), f'the poses are those of {camera_frame} itself')
            elif tf2_ros is None:
                self._settle(self._options.T_body_cam, 'parameters')
            else:
                self._ask_tf(body_frame, camera_frame)
        return self._T_body_cam

    def close(self) -> None:
        """Stop listening to tf."""
        if getattr(self, '_listener', None) is not None:
            self._listener.unregister()
            self._listener = None

    def _ask_tf(self, body_frame: str, camera_frame: str) -> None:
        self._waiting_since = self._waiting_since or time.monotonic()
        try:
            transform = self._buffer.lookup_transform(body_frame, camera_frame, Time()).transform
        except tf2_ros.TransformException as error:
            waited = time.monotonic() - self._waiting_since
            if self._options.camera_mounting == 'auto' and waited > _PATIENCE:
                self._node.get_logger().warning(
                    f'camera_xyz and camera_rpy are used, as tf does not know {camera_frame} in {body_frame}: {error}'
                )
                self._settle(self._options.T_body_cam, 'parameters')
            return
        self._settle(transform_to_pose(transform), f'tf ({body_frame} to {camera_frame})')

    def _settle(self, T_body_cam: np.ndarray, origin: str) -> None:
        self._T_body_cam, self.origin = T_body_cam, origin
        self._node.health.facts['camera_mounting'] = origin
