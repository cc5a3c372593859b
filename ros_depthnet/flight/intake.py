"""The one way in: images, calibration and poses, in whatever order they come, become frames or reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ros_depthnet.core.frames import BadImage, Frame
from ros_depthnet.core.reasons import Drop, MessageRefusal, Refusal
from ros_depthnet.flight.masks import read_mask
from ros_depthnet.flight.messages.camera_info import Calibration, NoCamera, to_calibration
from ros_depthnet.flight.messages.image import ImageReader
from ros_depthnet.flight.messages.stamp import to_ns
from ros_depthnet.flight.mounting import MountingSource
from ros_depthnet.flight.poses import CameraPose, CameraPoses, Located, PoseOptions

RECTIFY = ('auto', 'always', 'never')


@dataclass(frozen=True)
class IntakeOptions(PoseOptions):
    """
    Choices of the intake, those about poses included.

    rectify: 'auto' straightens images whose camera_info has lens distortion, unless their topic's name says
    that they are rectified already; 'always' and 'never' do not look at the name. mask_file: a picture that is
    black where the raw image shows no scene (`masks.read_mask`); '': none.
    """

    rectify: str = 'auto'
    mask_file: str = ''


@dataclass(frozen=True, eq=False)
class Arrival:
    """
    An image with its calibration and pose, not yet decoded, as most are passed over where time is short.

    arrived: when it came, seconds of the intake's clock. epoch: grows when time runs back and with another
    camera or odometry; frames of two epochs must not be compared.
    """

    message: Any
    arrived: float
    calibration: Calibration
    pose: CameraPose
    epoch: int
    masked_hw: np.ndarray | None
    _reader: ImageReader

    @property
    def stamp_ns(self) -> int:
        """Time of exposure, nanoseconds."""
        return to_ns(self.message.header.stamp)

    def frame(self) -> Frame:
        """Decode, rectify and check the image; raises BadImage."""
        image, pinhole = self._reader.rgb(self.message), self.calibration.pinhole
        if self.calibration.lens:
            raw = self.calibration.lens.raw
            if image.shape[:2] != (raw.height, raw.width):
                raise BadImage(
                    f'The image has {image.shape[1]} x {image.shape[0]} pixels, but camera_info is '
                    f'for {raw.width} x {raw.height}.'
                )
            image = self.calibration.rectified(image)
        return Frame(self.stamp_ns, image, pinhole, self.pose.T_odom_cam, masked_hw=self.masked_hw)


@dataclass(frozen=True, eq=False)
class _Image:
    message: Any
    arrived: float
    calibration: Calibration


class Intake:
    """
    Takes the messages of a flight, of rclpy or rosbags alike, and returns what came of each.

    Every method returns a list of Arrivals and Refusals: an image comes out once, as one or the other, as soon
    as it is known which. `now` is seconds of any clock that only goes forward. Callbacks may call it: nothing
    is decoded. Not thread-safe.
    """

    def __init__(self, options: IntakeOptions, mounting: MountingSource, image_topic: str = ''):
        """Take the images of a topic. Raises MaskError."""
        self._mask_hw = read_mask(options.mask_file) if options.mask_file else None
        self._masked_hw: np.ndarray | None = None
        self._options = options
        self._poses: CameraPoses[_Image] = CameraPoses(options, mounting)
        self._straight = options.rectify == 'never' or (options.rectify == 'auto' and 'rect' in image_topic)
        self._calibration: Calibration | None = None
        self._info = None
        self._why_not = Refusal(Drop.NO_CAMERA_INFO)
        self._reader = ImageReader()

    @property
    def calibration(self) -> Calibration | None:
        """What the newest good camera_info says."""
        return self._calibration

    def use(self, options: IntakeOptions) -> None:
        """Go on with another pose_timeout."""
        self._poses.use(options)

    def camera_info(self, message: Any) -> Sequence[Refusal]:
        """Take a sensor_msgs/CameraInfo; one counts until another comes."""
        if self._info is not None and _same_camera(self._info, message):
            return []
        self._info = message
        try:
            calibration = to_calibration(message)
        except NoCamera as error:
            why = {'why': str(error)}
            self._calibration, self._why_not = None, Refusal(Drop.BAD_CAMERA_INFO, why)
            return [MessageRefusal(Drop.BAD_CAMERA_INFO, why)]
        self._calibration = replace(calibration, lens=None) if self._straight else calibration
        self._masked_hw = self._calibration.rectified_mask(self._mask_hw)
        return []

    def image(self, message: Any, now: float) -> list[Arrival | Refusal]:
        """Take a sensor_msgs/Image or CompressedImage."""
        if self._calibration is None:
            return [self._why_not]
        asker = _Image(message, now, self._calibration)
        return self._arrivals(self._poses.request(to_ns(message.header.stamp), message.header.frame_id, asker, now))

    def pose(self, message: Any, kind: str) -> list[Arrival | Refusal]:
        """Take a message of one of the types of `transforms.pose_readers`."""
        return self._arrivals(self._poses.take(message, kind))

    def expire(self, now: float) -> list[Arrival | Refusal]:
        """Give up images that have waited too long for their poses."""
        return self._arrivals(self._poses.expire(now))

    def another_camera(self) -> None:
        """Go on with another camera's images, not to be compared with those before."""
        self._poses.epoch += 1

    def another_odometry(self) -> None:
        """Go on with another source's odometry; no frame before may be compared with those that come."""
        self._poses.begin_anew()

    def give_up(self, reason: Drop) -> list[Refusal]:
        """Refuse all images that wait for their poses, for this reason."""
        return self._poses.give_up(reason)

    def _arrivals(self, settled: list[Located[_Image] | Refusal]) -> list[Arrival | Refusal]:
        return [
            outcome
            if isinstance(outcome, Refusal)
            else Arrival(
                outcome.asker.message,
                outcome.asker.arrived,
                outcome.asker.calibration,
                outcome.pose,
                self._poses.epoch,
                self._masked_hw,
                self._reader,
            )
            for outcome in settled
        ]


def _same_camera(one: Any, other: Any) -> bool:
    """Tell whether two camera_infos differ in nothing but their header."""

    def facts(message: Any) -> tuple:
        roi = message.roi
        return (
            message.width,
            message.height,
            message.distortion_model,
            tuple(message.d),
            tuple(message.k),
            tuple(message.r),
            tuple(message.p),
            message.binning_x,
            message.binning_y,
            roi.x_offset,
            roi.y_offset,
            roi.width,
            roi.height,
        )

    return facts(one) == facts(other)
