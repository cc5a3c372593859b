"""What cloud_node and obstacle_node share: anybody's depth, what belongs to it, and the camera's pose."""

import time
from dataclasses import dataclass, replace
from types import SimpleNamespace

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image

from ros_depthnet.core.frames import BadImage
from ros_depthnet.core.motion import InvalidPose, inverse
from ros_depthnet.core.reasons import Drop, Refusal
from ros_depthnet.flight.messages.camera_info import NoCamera, to_calibration
from ros_depthnet.flight.messages.image import ImageReader, to_depth, to_deviation
from ros_depthnet.flight.messages.pose import to_pose
from ros_depthnet.flight.messages.stamp import to_ns
from ros_depthnet.flight.poses import CameraPose, CameraPoses, Located, PoseOptions
from ros_depthnet.ros import qos, topics
from ros_depthnet.ros.depth_link import DepthFrame, DepthLink
from ros_depthnet.ros.mounting import Mounting, check_mounting
from ros_depthnet.ros.parameters import options_from
from ros_depthnet.ros.pose_input import check_pose_source
from ros_depthnet.ros.processing_node import ProcessingNode, milliseconds_since
from ros_depthnet.ros.synchroniser import Synchroniser

_PERIOD = 0.05  # seconds between looks at which depth has waited too long
DEPTH_TYPES = {
    topics.DEPTH: Image,
    topics.DEPTH_CAMERA_INFO: CameraInfo,
    topics.DEVIATION: Image,
    topics.DEPTH_RGB: Image,
    topics.DEPTH_CAMERA_POSE: PoseStamped,
    topics.DEPTH_BODY_POSE: Odometry,
}
"""What depth_node publishes for each depth image, and the classes of the messages."""


@dataclass(frozen=True, eq=False)
class _Job:
    """A frame handed over, or the messages that will make one, with the pose that belongs to it."""

    arrived: float
    source: DepthFrame | dict
    pose: CameraPose | None

    def frame(self) -> DepthFrame:
        """Return the frame; raises BadImage, NoCamera."""
        if isinstance(self.source, DepthFrame):
            return replace(self.source, pose=self.pose)
        return frame_of(self.source, self.pose)


class DepthConsumer(ProcessingNode):
    """
    A node that gets depth frames, in the worker's thread, in `use`.

    The messages of one frame have one stamp, or nearly. The deviation, and where `wants_rgb` the colours, are
    waited for only while somebody publishes them, so that other people's depth will do. So are the poses that
    depth_node publishes with its depth; with other people's depth they come from odometry and mounting.
    """

    wants_rgb = False

    def __init__(self, name: str, link: DepthLink | None, **node_options):
        """Declare the parameters; depth comes by the link, where there is one, and else by topics."""
        self._link = link
        self._poses: CameraPoses[_Job] | None = None
        super().__init__(name, **node_options)

    def use(self, frame: DepthFrame) -> None:
        """Compute and publish."""

    def check(self, settings: SimpleNamespace) -> None:
        """Refuse tf where there is none."""
        check_mounting(settings)
        check_pose_source(settings)

    def connect(self) -> None:
        """Subscribe to depth and, for output in the odometry's frame, poses."""
        options = options_from(self.settings, PoseOptions)
        self._mounting = Mounting(self, options)
        self.on_disconnect(self._mounting.close)
        if self._link:
            self.inputs.append(self._link.subscribe(self._on_frame))
            return
        in_odom = self.settings.output_frame == 'odom'
        optional = (
            topics.DEVIATION,
            *((topics.DEPTH_RGB,) if self.wants_rgb else ()),
            *(topics.DEPTH_POSES if in_odom else ()),
        )
        self._synchroniser = Synchroniser(topics.DEPTH, self._required, self._on_complete_set, self._on_incomplete)
        self._depth_inputs = {}
        for topic in (topics.DEPTH, topics.DEPTH_CAMERA_INFO, *optional):
            profile = qos.IMAGES if DEPTH_TYPES[topic] is Image else qos.SMALL_MESSAGES
            self._depth_inputs[topic] = self.subscribe(
                topic,
                DEPTH_TYPES[topic],
                lambda message, topic=topic: self._on_message(topic, message),
                profile,
                optional=topic in optional,
            )
        self._poses = None
        if in_odom:
            poses = CameraPoses[_Job](options, self._mounting)
            self._poses = poses
            self.subscribe_poses(
                lambda message, kind: self._settle(poses.take(message, kind)), poses.begin_anew, optional=True
            )
            self.every(_PERIOD, lambda: self._settle(poses.expire(time.monotonic())))

    def process(self, job: _Job) -> None:
        """Convert one set of messages and use it."""
        try:
            frame = job.frame()
        except BadImage as error:
            self.health.refused(Refusal(Drop.BAD_IMAGE, {'why': str(error)}))
        except NoCamera as error:
            self.health.refused(Refusal(Drop.BAD_CAMERA_INFO, {'why': str(error)}))
        else:
            self.use(frame)
            self.health.published(milliseconds_since(job.arrived))

    def settings_changed(self) -> None:
        """Wait for poses as long as is said now."""
        if self._poses:
            self._poses.use(options_from(self.settings, PoseOptions))

    def _on_frame(self, frame: DepthFrame) -> None:
        self._work(_Job(time.monotonic(), frame, frame.pose if self.settings.output_frame == 'odom' else None))

    def _required(self) -> list[topics.Topic]:
        return [topic for topic, source in self._depth_inputs.items() if not source.optional or source.has_publisher]

    def _on_message(self, topic: topics.Topic, message) -> None:
        self._synchroniser.add(topic, to_ns(message.header.stamp), message)

    def _on_incomplete(self, missing: list[topics.Topic]) -> None:
        self.health.refused(
            Refusal(Drop.UNMATCHED, {'missing': ', '.join(self._depth_inputs[topic].topic for topic in missing)})
        )

    def _on_complete_set(self, stamp_ns: int, messages: dict) -> None:
        now = time.monotonic()
        try:
            pose = published_pose(messages)
        except InvalidPose as error:
            self.health.refused(Refusal(Drop.BAD_POSE, {'why': str(error)}))
            return
        job = _Job(now, messages, pose)
        if self._poses and pose is None:
            self._settle(self._poses.request(stamp_ns, messages[topics.DEPTH].header.frame_id, job, now))
        else:
            self._work(job)

    def _settle(self, outcomes: list[Located[_Job] | Refusal]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                self.health.refused(outcome)
            else:
                self._work(replace(outcome.asker, pose=outcome.pose))

    def _work(self, job: _Job) -> None:
        if self.work_on(job):
            self.health.dropped(Drop.BUSY)


def frame_of(messages: dict, pose: CameraPose | None) -> DepthFrame:
    """Return what the messages of one depth image hold; raises BadImage, NoCamera."""
    depth_hw = to_depth(messages[topics.DEPTH])
    camera = to_calibration(messages[topics.DEPTH_CAMERA_INFO]).pinhole
    deviation_hw = to_deviation(messages[topics.DEVIATION]) if topics.DEVIATION in messages else None
    rgb = ImageReader().rgb(messages[topics.DEPTH_RGB]) if topics.DEPTH_RGB in messages else None
    images = {topics.DEPTH: depth_hw, topics.DEVIATION: deviation_hw, topics.DEPTH_RGB: rgb}
    for topic, image in images.items():
        if image is not None and image.shape[:2] != (camera.height, camera.width):
            raise BadImage(
                f'{topic.name} has {image.shape[1]} x {image.shape[0]} pixels, but '
                f'{topics.DEPTH_CAMERA_INFO.name} says {camera.width} x {camera.height}.'
            )
    return DepthFrame(messages[topics.DEPTH].header, depth_hw, deviation_hw, rgb, camera, pose)


def published_pose(messages: dict) -> CameraPose | None:
    """Return the pose that depth_node has published with its depth, None where it has not; raises InvalidPose."""
    if not messages.keys() >= set(topics.DEPTH_POSES):
        return None
    camera, body = (messages[topic] for topic in topics.DEPTH_POSES)
    T_odom_cam, T_odom_body = to_pose(camera.pose), to_pose(body.pose.pose)
    return CameraPose(T_odom_cam, inverse(T_odom_body) @ T_odom_cam, body.header.frame_id, body.child_frame_id)
