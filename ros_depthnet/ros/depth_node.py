"""The node that turns images and odometry into depth."""

import functools
import time
from collections import deque
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry, Path
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.contours import thinned
from ros_depthnet.core.frames import BadImage
from ros_depthnet.core.measurer import Estimate, Measurer
from ros_depthnet.core.motion import inverse
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.core.reasons import Drop, Refusal
from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.contour_model import ContourModel, load_contour_model
from ros_depthnet.engines.model import load_model
from ros_depthnet.engines.moving_model import load_moving_model
from ros_depthnet.engines.providers import GPUS
from ros_depthnet.engines.single_view import load_single_view
from ros_depthnet.evaluation.pictures import depth_picture, deviation_picture
from ros_depthnet.evaluation.precision import check_answers
from ros_depthnet.flight.intake import Arrival, Intake, IntakeOptions
from ros_depthnet.flight.key_frames import KeyFrames
from ros_depthnet.flight.masks import read_mask
from ros_depthnet.flight.movers import Movers
from ros_depthnet.flight.poses import CameraPose
from ros_depthnet.flight.session import Session, rehearse
from ros_depthnet.ros import qos, topics
from ros_depthnet.ros.conversions.camera_info import from_camera
from ros_depthnet.ros.conversions.image import from_depth, from_labels, from_probability, from_rgb
from ros_depthnet.ros.conversions.pose import from_odometry, from_pose
from ros_depthnet.ros.depth_link import DepthFrame, DepthLink
from ros_depthnet.ros.diagnostics import Complaint
from ros_depthnet.ros.mounting import Mounting, check_mounting
from ros_depthnet.ros.parameters import options_from
from ros_depthnet.ros.picture_output import PictureOutput
from ros_depthnet.ros.pose_input import check_pose_source
from ros_depthnet.ros.processing_node import ProcessingNode, milliseconds_since
from ros_depthnet.ros.running import run
from ros_depthnet.ros.transform_output import TransformOutput, check_transform_output

_PERIOD = 0.05  # seconds between looks at which images have waited too long
_PATH_LENGTH = 1000  # poses


class DepthNode(ProcessingNode):
    """Images, camera_info and odometry in; depth with its deviation out."""

    def __init__(self, link: DepthLink | None = None, **node_options):
        """Declare the parameters; depth also goes into the link, where there is one."""
        self._link = link
        self._camera_info: CameraInfo | None = None
        self._contour_model: ContourModel | None = None
        super().__init__('depth_node', **node_options)

    def configure(self) -> None:
        """Load and warm the model, and advertise."""
        settings = self.settings
        name = 'the default model' if settings.model == 'default' else settings.model
        self.get_logger().info(f'Loading {name}; where TensorRT runs it, the first time takes minutes.')
        self._model = load_model(
            settings.model,
            settings.provider,
            settings.threads,
            settings.input_width or None,
            settings.engine_cache or None,
            settings.precision,
        )
        width, height = settings.warm_up_size
        camera = Camera(width, height, width, width, width / 2, height / 2)
        options = options_from(settings, EstimatorOptions)
        if self._model.engine.provider in GPUS:
            self._model.warm_up(camera, options)
        check_answers(self._model, camera)
        rehearse(self._model, options, camera)
        single_view = (
            load_single_view(settings.single_view, settings.provider, settings.threads)
            if settings.single_view
            else None
        )
        self._session = Session(
            self._model,
            options,
            KeyFrames() if settings.every_image else None,
            single_view,
            Movers(functools.partial(load_moving_model, threads=settings.threads)),
        )
        engine, name = self._model.engine, self._model.card.name
        self.health.facts.update(model=name, provider=engine.provider, precision=engine.precision)
        self.get_logger().info(f'{name} is ready on {engine.provider} in {engine.precision}.')
        self._depth = self.advertise(topics.DEPTH, Image)
        self._depth_camera_info = self.advertise(topics.DEPTH_CAMERA_INFO, CameraInfo)
        self._deviation = self.advertise(topics.DEVIATION, Image)
        self._depth_rgb = self.advertise(topics.DEPTH_RGB, Image)
        self._origin = self.advertise(topics.ORIGIN, Image)
        self._moving = self.advertise(topics.MOVING, Image)
        self._contours = self.advertise(topics.CONTOURS, Image)
        self._camera_pose = self.advertise(topics.DEPTH_CAMERA_POSE, PoseStamped)
        self._body_pose = self.advertise(topics.DEPTH_BODY_POSE, Odometry)
        self._depth_coloured = PictureOutput(self, topics.DEPTH_COLOURED, topics.DEPTH_COLOURED_COMPRESSED)
        self._deviation_coloured = PictureOutput(self, topics.DEVIATION_COLOURED, topics.DEVIATION_COLOURED_COMPRESSED)
        self._path = self.advertise(topics.PATH, Path)
        if self._link:
            self.link_to(self._link)

    def clean_up(self) -> None:
        """Stop advertising, and let go of the model and the flight."""
        super().clean_up()
        self._contour_model = None
        for loaded in ('_session', '_model'):  # which are there once configured
            vars(self).pop(loaded, None)

    def connect(self) -> None:
        """Subscribe to camera and odometry."""
        options = options_from(self.settings, IntakeOptions)
        mounting = Mounting(self, options)
        self.on_disconnect(mounting.close)
        self._transforms = TransformOutput(self)
        self.on_disconnect(self._transforms.close)
        self._passed_over: deque[Arrival] = deque(maxlen=self.settings.buffer_size)
        self._epoch = 0
        self._way: deque[PoseStamped] = deque(maxlen=_PATH_LENGTH)
        compressed = self.settings.image_transport == 'compressed'
        images, kind = (topics.COMPRESSED, CompressedImage) if compressed else (topics.IMAGE, Image)
        self._intake = Intake(options, mounting, self.resolve_topic_name(images.name))
        self.on_disconnect(lambda: self._settle(self._intake.give_up(Drop.NO_LISTENER)))
        self.subscribe_camera(images, kind, self._on_image, self._intake.another_camera)
        if self._camera_info is not None:
            self._settle(self._intake.camera_info(self._camera_info))
        self.subscribe(topics.CAMERA_INFO, CameraInfo, self._on_camera_info, qos.SMALL_MESSAGES, once=True)
        self.also_latched(topics.CAMERA_INFO, CameraInfo, self._on_camera_info)
        self.subscribe_poses(self._on_pose, self._intake.another_odometry)
        self.every(_PERIOD, lambda: self._settle(self._intake.expire(time.monotonic())))

    def forget(self) -> None:
        """Forget the flight so far."""
        self._session.reset()

    def check(self, settings: SimpleNamespace) -> None:
        """Refuse what the estimator refuses, and tf where there is none."""
        check_mounting(settings)
        check_pose_source(settings)
        check_transform_output(settings)
        if settings.mask_file:
            read_mask(settings.mask_file)
        options_from(settings, EstimatorOptions)
        if settings.every_image and settings.find_moving:
            raise ValueError('every_image leaves no time for find_moving: set one of them to false.')
        if settings.find_moving:
            load_moving_model(threads=settings.threads)  # or every image would find it damaged
        near, far = settings.colour_range
        if near >= far:
            raise ValueError(f'colour_range must have the nearer depth first, not [{near}, {far}].')

    def settings_changed(self) -> None:
        """Go on with the flight by the new options."""
        if hasattr(self, '_session'):
            self._session.use(Measurer(self._model, options_from(self.settings, EstimatorOptions)))
        if hasattr(self, '_intake'):
            self._intake.use(options_from(self.settings, IntakeOptions))

    def process(self, arrival: Arrival) -> None:
        """Estimate depth for one image and publish it; keep those passed over as its possible partners."""
        while self._passed_over and (
            self._passed_over[0].epoch < arrival.epoch or self._passed_over[0].stamp_ns < arrival.stamp_ns
        ):
            held = self._passed_over.popleft()
            if held.epoch == arrival.epoch:
                self._hold(held)
        try:
            frame = arrival.frame()
        except BadImage as error:
            self.health.refused(Refusal(Drop.BAD_IMAGE, {'why': str(error)}))
            return
        if arrival.epoch != self._epoch:
            self._epoch = arrival.epoch
            self._session.reset()
            self._way.clear()
        result = self._session.add(frame, arrival.pose.T_body_cam)
        reason = result if isinstance(result, Drop) else result.carried
        if reason in (Drop.BLANK, Drop.FROZEN):
            self.health.complain(reason.value, Complaint.warning(Refusal(reason).sentence))
        self.health.facts['masked'] = f'{self._session.masked_share:.0%}'
        if finding := self._session.finding:
            complaint = Complaint.warning if finding.subtle else Complaint.error
            self.health.complain(Drop.CONTRADICTED.value, complaint(finding.sentence))
        if isinstance(result, Drop):
            self.health.dropped(result)
            return
        self._publish(result, arrival.message.header, arrival.pose)
        self.health.published(milliseconds_since(arrival.arrived))

    def _hold(self, arrival: Arrival) -> None:
        """Keep what there was no time for as a partner of later frames; it is counted as busy already."""
        try:
            why = self._session.hold(arrival.frame(), arrival.pose.T_body_cam)
        except BadImage:
            why = Drop.BAD_IMAGE
        if why:
            self.health.noted(why)

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera_info = message
        self._settle(self._intake.camera_info(message))
        calibration = self._intake.calibration
        if calibration and calibration.oddity:
            self.health.complain('camera_info', Complaint.warning(calibration.oddity))

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._settle(self._intake.image(message, time.monotonic()))

    def _on_pose(self, message, kind: str) -> None:
        self._settle(self._intake.pose(message, kind))

    def _settle(self, outcomes: Sequence[Arrival | Refusal]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                self.health.refused(outcome)
                continue
            self._tell_tf(outcome.message.header, outcome.pose)
            if passed_over := self.work_on(outcome):
                self._passed_over.append(passed_over)
                self.health.dropped(Drop.BUSY)

    def _tell_tf(self, header: Header, pose: CameraPose) -> None:
        T_odom_body = pose.T_odom_cam @ inverse(pose.T_body_cam)
        self._transforms.place(pose.body_frame, pose.odom_frame, T_odom_body, header.stamp)
        if header.frame_id != pose.body_frame:
            self._transforms.fix(header.frame_id, pose.body_frame, pose.T_body_cam, header.stamp)

    def _publish(self, estimate: Estimate, header: Header, pose: CameraPose) -> None:
        if self._link:
            self._link.publish(
                DepthFrame(header, estimate.depth_hw, estimate.deviation_hw, estimate.image, estimate.camera, pose)
            )
        if self._depth.wanted:
            self._depth.publish(from_depth(estimate.depth_hw, header, self.settings.depth_encoding))
        if self._deviation.wanted:
            self._deviation.publish(from_depth(estimate.deviation_hw, header, '32FC1'))
        if self._depth_rgb.wanted:
            self._depth_rgb.publish(from_rgb(estimate.image, header))
        if self._origin.wanted:
            self._origin.publish(from_labels(estimate.origin_hw, header))
        if self._moving.wanted and estimate.moving_hw is not None:
            self._moving.publish(from_probability(estimate.moving_hw, header))
        self._depth_coloured.publish(header, lambda: depth_picture(estimate.depth_hw, *self.settings.colour_range))
        self._deviation_coloured.publish(header, lambda: deviation_picture(estimate.deviation_hw, estimate.depth_hw))
        self._depth_camera_info.publish(from_camera(estimate.camera, header))
        in_odom = Header(stamp=header.stamp, frame_id=pose.odom_frame)
        self._camera_pose.publish(PoseStamped(header=in_odom, pose=from_pose(pose.T_odom_cam)))
        T_odom_body = pose.T_odom_cam @ inverse(pose.T_body_cam)
        self._body_pose.publish(from_odometry(T_odom_body, in_odom, pose.body_frame))
        self._way.append(PoseStamped(header=in_odom, pose=from_pose(T_odom_body)))
        if self._path.wanted:
            self._path.publish(Path(header=in_odom, poses=list(self._way)))
        if self._contours.wanted:
            self._publish_contours(estimate.image, header)

    def _publish_contours(self, image: np.ndarray, header: Header) -> None:
        try:
            if self._contour_model is None:  # nobody has asked so far
                self._contour_model = load_contour_model(threads=self.settings.threads)
            contours = self._contour_model.contours(image)
        except ModelError as error:  # depth does without
            self.health.complain('contours', Complaint.error(str(error)))
            return
        self._contours.publish(from_probability(thinned(contours), header))


def main(args=None) -> None:
    """Run the node."""
    run(DepthNode, args)


if __name__ == '__main__':
    main()
