"""Recorded flights as a stream of messages: rosbag2 (sqlite3, MCAP) and posed-sequence folders."""

import contextlib
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import numpy as np
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from ros_depthnet.core.frames import BadImage
from ros_depthnet.core.motion import InvalidPose, PoseBuffer, inverse
from ros_depthnet.core.mounting import mounting
from ros_depthnet.flight.bag import PARAMETERS, Bag, RecordingError
from ros_depthnet.flight.messages.stamp import NANOSECONDS
from ros_depthnet.flight.posed_sequence import INDEX_NAME, PosedSequence
from ros_depthnet.flight.transforms import STATIC_TRANSFORMS, TransformPoses, pose_readers
from ros_depthnet.flight.upright import upright
from ros_depthnet.ros.conversions.camera_info import from_camera
from ros_depthnet.ros.conversions.image import from_rgb, octets
from ros_depthnet.ros.conversions.pose import from_odometry
from ros_depthnet.ros.conversions.time import to_stamp
from ros_depthnet.ros.topics import CAMERA_INFO, COMPRESSED, IMAGE, ODOM, Topic

CAMERA_FRAME, ODOM_FRAME = 'camera_optical_frame', 'odom'


@dataclass(frozen=True, eq=False)
class Event:
    """A message, or its CDR bytes, and when it was recorded."""

    time_ns: int
    topic: Topic
    message: object


class Recording(Protocol):
    """A recorded flight."""

    topics: frozenset[Topic]

    def events(self) -> Iterator[Event]:
        """Return the messages in the order of time; raises RecordingError where it cannot be read on."""


def open_recording(settings: SimpleNamespace, report: Callable[[str], None]) -> Recording:
    """Return the recording at `settings.path`; `report` gets a sentence for each message that is left out."""
    if not settings.path:
        raise RecordingError('There is nothing to play: set path to a rosbag2 or a posed-sequence folder.')
    path = Path(settings.path).expanduser()
    if not path.exists():
        raise RecordingError(f'There is no recording at {path}.')
    if (path / INDEX_NAME).is_file():
        return SequenceRecording(PosedSequence.load(path), settings, report)
    return BagRecording(path, settings, report)


class BagRecording:
    """
    A rosbag2, republished as it is.

    Each message is decoded once to see that it is whole, as DDS would pass on damaged bytes.
    """

    def __init__(self, path: Path, settings: SimpleNamespace, report: Callable[[str], None]):
        """Find the topics to play; raises RecordingError."""
        wanted = {topic: getattr(settings, parameter) for topic, parameter in PARAMETERS.items()}
        self._bag = Bag(path, report, wanted, settings.world_frame)
        self._settings = settings
        self.topics = self._bag.topics
        self._bag.require()
        for topic in (CAMERA_INFO, ODOM):
            if topic not in self.topics:
                report(f'The bag {path} has no {topic.type}: publish {topic.name} from elsewhere.')

    def events(self) -> Iterator[Event]:
        """Return the chosen topics' messages; poses of other kinds as odometry."""
        readers = pose_readers(TransformPoses(self._settings.world_frame, self._settings.body_frame))
        for message in self._bag.static_messages():
            readers[STATIC_TRANSFORMS](message)
        for record, topic in self._bag.events():
            message = self._bag.message(record)
            if message is None:
                continue
            if record.type == topic.type:
                yield Event(record.time_ns, topic, record.cdr)
                continue
            with contextlib.suppress(InvalidPose):
                for pose in readers[record.type](message):
                    header = Header(stamp=to_stamp(pose.stamp_ns), frame_id=pose.world_frame)
                    yield Event(record.time_ns, topic, from_odometry(pose.T_world_body, header, pose.body_frame))


class SequenceRecording:
    """A posed sequence as a drone would have published it, with odometry between its frames."""

    def __init__(self, sequence: PosedSequence, settings: SimpleNamespace, report: Callable[[str], None]):
        """Use the mounting, the body's name and the odometry's rate of the settings."""
        self._sequence, self._settings, self._report = sequence, settings, report
        images = {'raw': {IMAGE}, 'compressed': {COMPRESSED}, 'both': {IMAGE, COMPRESSED}}[settings.images]
        self.topics = frozenset({*images, CAMERA_INFO, ODOM})

    def events(self) -> Iterator[Event]:
        """Return odometry, camera_info and images."""
        return heapq.merge(self._odometry(), self._camera(), key=lambda event: event.time_ns)

    def _odometry(self) -> Iterator[Event]:
        frames = self._sequence.frames
        T_up_world = upright(np.stack([frame.T_world_cam for frame in frames]))
        T_cam_body = inverse(mounting(self._settings.camera_xyz, self._settings.camera_rpy))
        poses = PoseBuffer(duration=1e6, max_gap=1e6)
        for frame in frames:
            poses.add(frame.stamp_ns, T_up_world @ frame.T_world_cam @ T_cam_body)
        first, last = frames[0].stamp_ns, frames[-1].stamp_ns
        step = round(NANOSECONDS / self._settings.odom_rate)
        for time_ns in [*range(first, last, step), last]:
            header = Header(stamp=to_stamp(time_ns), frame_id=ODOM_FRAME)
            yield Event(time_ns, ODOM, from_odometry(poses.at(time_ns), header, self._settings.body_frame))

    def _camera(self) -> Iterator[Event]:
        for i, frame in enumerate(self._sequence.frames):
            header = Header(stamp=to_stamp(frame.stamp_ns), frame_id=CAMERA_FRAME)
            yield Event(frame.stamp_ns, CAMERA_INFO, from_camera(self._sequence.camera, header))
            try:
                image = self._sequence.image(i)
            except BadImage as error:
                self._report(str(error))
                continue
            if IMAGE in self.topics:
                yield Event(frame.stamp_ns, IMAGE, from_rgb(image, header))
            if COMPRESSED in self.topics:
                message = CompressedImage(header=header, format=frame.image_path.suffix.lstrip('.').lower())
                message.data = octets(np.fromfile(frame.image_path, np.uint8))
                yield Event(frame.stamp_ns, COMPRESSED, message)
