"""The node that turns images and odometry into depth."""

import sys
import time
from collections import deque
from dataclasses import dataclass
from types import SimpleNamespace

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ros_depthnet.core.baseline import Drop
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.estimator import Estimate, Estimator, EstimatorOptions
from ros_depthnet.core.frames import BadImage, Frame
from ros_depthnet.engines.model import load_model
from ros_depthnet.ros import qos, topics
from ros_depthnet.ros.conversions.camera_info import NoCamera, from_camera, is_distorted, to_camera
from ros_depthnet.ros.conversions.image import compressed_to_rgb, from_depth, from_rgb, to_rgb
from ros_depthnet.ros.conversions.time import to_ns
from ros_depthnet.ros.diagnostics import Complaint
from ros_depthnet.ros.managed import ProcessingNode, milliseconds_since
from ros_depthnet.ros.mounting import check_mounting
from ros_depthnet.ros.parameters import options_from
from ros_depthnet.ros.poses import CameraPose, CameraPoses
from ros_depthnet.ros.running import run


@dataclass(frozen=True, eq=False)
class _Job:
    arrived: float
    image: Image | CompressedImage
    camera_info: CameraInfo
    pose: CameraPose


def _stamp_ns(job: _Job) -> int:
    return to_ns(job.image.header.stamp)


class DepthNode(ProcessingNode):
    """Images, camera_info and odometry in; depth with its deviation out."""

    def __init__(self, **node_options):
        """Declare the parameters."""
        super().__init__('depth_node', **node_options)

    def configure(self) -> None:
        """Load and warm the model, and advertise."""
        settings = self.settings
        self.get_logger().info(
            f'Loading the model {settings.model}; with TensorRT the first time takes minutes.'
        )
        self._model = load_model(
            settings.model,
            settings.provider,
            settings.threads,
            settings.input_width or None,
            settings.engine_cache or None,
        )
        width, height = settings.warm_up_size
        camera = Camera(width, height, width, width, width / 2, height / 2)
        self._model.warm_up(camera, settings.max_sources, settings.ranges)
        self._estimator = Estimator(self._model, options_from(settings, EstimatorOptions))
        self.health.facts.update(model=self._model.card.name, provider=self._model.engine.provider)
        self.get_logger().info(f'{self._model.card.name} is ready on {self._model.engine.provider}.')
        self._depth = self.advertise(topics.DEPTH, Image)
        self._depth_camera_info = self.advertise(topics.DEPTH_CAMERA_INFO, CameraInfo)
        self._deviation = self.advertise(topics.DEVIATION, Image)
        self._depth_rgb = self.advertise(topics.DEPTH_RGB, Image)

    def connect(self) -> None:
        """Subscribe to camera and odometry."""
        self._camera_info: CameraInfo | None = None
        self._passed_over: deque[_Job] = deque(maxlen=self.settings.buffer_size)
        if self.settings.image_transport == 'compressed':
            self._image_input = self.subscribe(topics.COMPRESSED, CompressedImage, self._on_image, qos.IMAGES)
        else:
            self._image_input = self.subscribe(topics.IMAGE, Image, self._on_image, qos.IMAGES)
        self.subscribe(topics.CAMERA_INFO, CameraInfo, self._on_camera_info, qos.SMALL_MESSAGES)
        self._poses = CameraPoses(self)

    def forget(self) -> None:
        """Forget the flight so far."""
        self._poses.close()
        self._estimator.reset()

    def check(self, settings: SimpleNamespace) -> None:
        """Refuse what the estimator refuses, and tf where there is none."""
        check_mounting(settings)
        options_from(settings, EstimatorOptions)

    def settings_changed(self) -> None:
        """Go on with an estimator of the new options."""
        if hasattr(self, '_estimator'):
            self._estimator = Estimator(self._model, options_from(self.settings, EstimatorOptions))

    def process(self, job: _Job) -> None:
        """Estimate depth for one image and publish it; keep those passed over as its possible partners."""
        while self._passed_over and _stamp_ns(self._passed_over[0]) < _stamp_ns(job):
            if frame := self._frame(self._passed_over.popleft()):
                self._estimator.hold(frame)
        frame = self._frame(job)
        if frame is None:
            return
        result = self._estimator.add(frame)
        if (result if isinstance(result, Drop) else result.carried) is Drop.BLANK:
            self.health.complain('blank', Complaint.warning(
                f'Images on {self._image_input.topic} show nothing at all: is the lens covered, or the '
                'exposure far off?'))
        if result is Drop.TIME_JUMP:
            self._passed_over.clear()
        if isinstance(result, Drop):
            self.health.dropped(result)
            return
        self._publish(result, job.image.header)
        self.health.published(milliseconds_since(job.arrived))

    def _frame(self, job: _Job) -> Frame | None:
        """Return the frame of a job; None, and the reason counted, if it has no usable image or camera."""
        message = job.image
        try:
            rgb = compressed_to_rgb(message) if isinstance(message, CompressedImage) else to_rgb(message)
            return Frame(_stamp_ns(job), rgb, to_camera(job.camera_info), job.pose.T_odom_cam)
        except BadImage as error:
            self.health.dropped(Drop.BAD_IMAGE, str(error))
        except NoCamera as error:
            self.health.dropped(Drop.NO_CAMERA_INFO, str(error))

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera_info = message
        if is_distorted(message) and 'rect' not in self._image_input.topic:
            self.health.complain('distorted', Complaint.warning(
                f'The camera on {self._image_input.topic} has lens distortion (D is not zero), but depth '
                "wants undistorted images: remap image_raw to image_rect of image_proc's rectify_node."))

    def _on_image(self, message: Image | CompressedImage) -> None:
        camera_info, arrived = self._camera_info, time.monotonic()
        if camera_info is None:
            # No sentence: the first image may well overtake it, and later the silent input is complained of.
            self.health.dropped(Drop.NO_CAMERA_INFO)
            return

        def work(pose: CameraPose) -> None:
            passed_over = self.work_on(_Job(arrived, message, camera_info, pose))
            if passed_over:
                self._passed_over.append(passed_over)
                self.health.dropped(Drop.BUSY)

        self._poses.request(to_ns(message.header.stamp), message.header.frame_id, work)

    def _publish(self, estimate: Estimate, header) -> None:
        if self._depth.wanted:
            self._depth.publish(from_depth(estimate.depth_hw, header, self.settings.depth_encoding))
        if self._deviation.wanted:
            self._deviation.publish(from_depth(estimate.deviation_hw, header, '32FC1'))
        if self._depth_rgb.wanted:
            self._depth_rgb.publish(from_rgb(estimate.image, header))
        self._depth_camera_info.publish(from_camera(estimate.camera, header))


def main(args=None) -> None:
    """Run the node."""
    sys.exit(run(DepthNode, args))


if __name__ == '__main__':
    main()
