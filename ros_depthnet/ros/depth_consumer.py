"""What cloud_node and obstacle_node share: anybody's depth, what belongs to it, and the camera's pose."""
import time
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from ros_depthnet.core.baseline import Drop
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import BadImage
from ros_depthnet.ros import qos, topics
from ros_depthnet.ros.conversions.camera_info import NoCamera, to_camera
from ros_depthnet.ros.conversions.image import to_depth, to_deviation, to_rgb
from ros_depthnet.ros.conversions.time import to_ns
from ros_depthnet.ros.managed import ProcessingNode, milliseconds_since
from ros_depthnet.ros.mounting import check_mounting
from ros_depthnet.ros.poses import CameraPose, CameraPoses
from ros_depthnet.ros.synchroniser import ExactSynchroniser


@dataclass(frozen=True, eq=False)
class DepthFrame:
    """
    A depth image and what belongs to it; `pose` is None where the output is wanted in the camera's frame.

    depth_hw, deviation_hw: (H, W) float32 metres. rgb: (H, W, 3) uint8. Optional parts may be None.
    """

    header: Header
    depth_hw: np.ndarray
    deviation_hw: np.ndarray | None
    rgb: np.ndarray | None
    camera: Camera
    pose: CameraPose | None


@dataclass(frozen=True, eq=False)
class _Job:
    arrived: float
    messages: dict
    pose: CameraPose | None


class DepthConsumer(ProcessingNode):
    """
    A node that gets depth frames, in the worker's thread, in `use`.

    The messages of one frame have one stamp. The deviation, and where `wants_rgb` the colours, are waited for
    only while somebody publishes them, so that other people's depth will do.
    """

    wants_rgb = False

    def use(self, frame: DepthFrame) -> None:
        """Compute and publish."""

    def check(self, settings: SimpleNamespace) -> None:
        """Refuse tf where there is none."""
        check_mounting(settings)

    def connect(self) -> None:
        """Subscribe to depth and, for output in the odometry's frame, odometry."""
        optional = (topics.DEVIATION, topics.DEPTH_RGB) if self.wants_rgb else (topics.DEVIATION,)
        self._synchroniser = ExactSynchroniser(self._required, self._on_complete_set)
        self._depth_inputs = {}
        for topic, message_type in ((topics.DEPTH, Image), (topics.DEPTH_CAMERA_INFO, CameraInfo),
                                    *((topic, Image) for topic in optional)):
            profile = qos.IMAGES if message_type is Image else qos.SMALL_MESSAGES
            self._depth_inputs[topic] = self.subscribe(
                topic, message_type, lambda message, topic=topic: self._on_message(topic, message), profile,
                optional=topic in optional)
        self._poses = CameraPoses(self) if self.settings.output_frame == 'odom' else None

    def forget(self) -> None:
        """Forget poses and incomplete sets."""
        if self._poses:
            self._poses.close()

    def process(self, job: _Job) -> None:
        """Convert one set of messages and use it."""
        try:
            frame = self._frame(job)
        except BadImage as error:
            self.health.dropped(Drop.BAD_IMAGE, str(error))
        except NoCamera as error:
            self.health.dropped(Drop.NO_CAMERA_INFO, str(error))
        else:
            self.use(frame)
            self.health.published(milliseconds_since(job.arrived))

    def _required(self) -> list[topics.Topic]:
        return [topic for topic, source in self._depth_inputs.items()
                if not source.optional or source.has_publisher]

    def _on_message(self, topic: topics.Topic, message) -> None:
        self._synchroniser.add(topic, to_ns(message.header.stamp), message)

    def _on_complete_set(self, stamp_ns: int, messages: dict) -> None:
        arrived = time.monotonic()

        def work(pose: CameraPose | None) -> None:
            if self.work_on(_Job(arrived, messages, pose)):
                self.health.dropped(Drop.BUSY)

        if self._poses:
            self._poses.request(stamp_ns, messages[topics.DEPTH].header.frame_id, work)
        else:
            work(None)

    def _frame(self, job: _Job) -> DepthFrame:
        messages = job.messages
        depth_hw = to_depth(messages[topics.DEPTH])
        camera = to_camera(messages[topics.DEPTH_CAMERA_INFO])
        deviation_hw = to_deviation(messages[topics.DEVIATION]) if topics.DEVIATION in messages else None
        rgb = to_rgb(messages[topics.DEPTH_RGB]) if topics.DEPTH_RGB in messages else None
        images = {topics.DEPTH: depth_hw, topics.DEVIATION: deviation_hw, topics.DEPTH_RGB: rgb}
        for topic, image in images.items():
            if image is not None and image.shape[:2] != (camera.height, camera.width):
                raise BadImage(f'{topic.name} has {image.shape[1]} x {image.shape[0]} pixels, but '
                               f'{topics.DEPTH_CAMERA_INFO.name} says {camera.width} x {camera.height}.')
        return DepthFrame(messages[topics.DEPTH].header, depth_hw, deviation_hw, rgb, camera, job.pose)
