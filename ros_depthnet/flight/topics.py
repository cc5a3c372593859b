"""What a flight is made of, as topics: name, type, meaning."""

from dataclasses import dataclass

from ros_depthnet.flight.messages.pose import READERS


@dataclass(frozen=True)
class Topic:
    """
    A topic's relative name, which users remap, its message type, and one sentence on what is in it.

    others: types that are taken in place of it.
    """

    name: str
    type: str
    description: str
    others: tuple[str, ...] = ()


IMAGE = Topic('image_raw', 'sensor_msgs/msg/Image', 'Image of the camera, colour or grey.')
COMPRESSED = Topic(
    'image_raw/compressed',
    'sensor_msgs/msg/CompressedImage',
    'The same as JPEG or PNG, taken instead when `image_transport` is `compressed`.',
)
CAMERA_INFO = Topic('camera_info', 'sensor_msgs/msg/CameraInfo', "The camera's calibration, lens distortion included.")
ODOM = Topic(
    'odom',
    'nav_msgs/msg/Odometry',
    'Pose of the body (forward, left, up) in a level frame, at 20 Hz or more.',
    tuple(kind for kind in READERS if kind != 'nav_msgs/msg/Odometry'),
)
