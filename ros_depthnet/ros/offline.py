"""The frames of a rosbag2 as the estimator takes them, without any node."""
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

from rosbags.typesys import Stores, get_typestore

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import BadImage, Frame
from ros_depthnet.core.motion import InvalidPose, NoPose, PoseBuffer, TimeJump
from ros_depthnet.core.mounting import FORWARD_RPY, mounting
from ros_depthnet.ros.conversions.camera_info import NoCamera, to_camera
from ros_depthnet.ros.conversions.image import compressed_to_rgb, to_rgb
from ros_depthnet.ros.conversions.pose import to_pose
from ros_depthnet.ros.conversions.time import to_ns
from ros_depthnet.ros.parameters import REPLAY_NODE
from ros_depthnet.ros.recording import BagRecording, RecordingError
from ros_depthnet.ros.topics import CAMERA_INFO, COMPRESSED, IMAGE, ODOM


def bag_frames(path: Path, leave_out: Callable[[str], None]) -> Iterator[Frame]:
    """
    Return the frames of a bag, in the order of time, with a camera that looks ahead from the body's origin.

    `leave_out` is told the reason, as in diagnostics, for each image that makes no frame. Raises
    RecordingError where images, camera_info or odometry are missing.
    """
    settings = SimpleNamespace(**{parameter.name: parameter.default for parameter in REPLAY_NODE})
    bag = BagRecording(path, settings, lambda sentence: leave_out('damaged'))
    for topic in (CAMERA_INFO, ODOM):
        if topic not in bag.topics:
            raise RecordingError(f'{path} has no topic of type {topic.type}, which depth from motion needs.')
    types = get_typestore(Stores.LATEST)
    poses, T_body_cam = PoseBuffer(duration=1e9), mounting((0, 0, 0), FORWARD_RPY)
    for event in bag.events():
        if event.topic is ODOM:
            message = types.deserialize_cdr(event.message, ODOM.type)
            try:
                poses.add(to_ns(message.header.stamp), to_pose(message.pose.pose))
            except (TimeJump, InvalidPose):
                leave_out('bad_pose')
    camera: Camera | None = None
    wanted = IMAGE if IMAGE in bag.topics else COMPRESSED
    for event in bag.events():
        if event.topic not in (CAMERA_INFO, wanted):
            continue
        message = types.deserialize_cdr(event.message, event.topic.type)
        try:
            if event.topic is CAMERA_INFO:
                camera = to_camera(message)
                continue
            if camera is None:
                raise NoCamera
            image = to_rgb(message) if wanted is IMAGE else compressed_to_rgb(message)
            stamp_ns = to_ns(message.header.stamp)
            yield Frame(stamp_ns, image, camera, poses.at(stamp_ns) @ T_body_cam)
        except NoCamera:
            leave_out('no_camera_info')
        except BadImage:
            leave_out('bad_image')
        except NoPose:
            leave_out('no_pose')
