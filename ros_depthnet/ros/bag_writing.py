"""Flights written as rosbag2, with the messages a drone would have recorded."""

import contextlib
import heapq
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from std_msgs.msg import Header

from ros_depthnet.core.frames import Frame
from ros_depthnet.core.motion import inverse
from ros_depthnet.core.mounting import FORWARD_RPY, mounting
from ros_depthnet.flight.messages.stamp import NANOSECONDS
from ros_depthnet.ros.conversions.camera_info import from_camera
from ros_depthnet.ros.conversions.image import from_depth, from_rgb
from ros_depthnet.ros.conversions.pose import from_odometry
from ros_depthnet.ros.conversions.time import to_stamp
from ros_depthnet.ros.recording import CAMERA_FRAME, ODOM_FRAME, Event
from ros_depthnet.ros.topics import CAMERA_INFO, IMAGE, ODOM, Topic

TRUE_DEPTH = Topic('truth/depth', 'sensor_msgs/msg/Image', 'True depth, 32FC1 metres, +Inf for sky.')
START_NS = NANOSECONDS  # a stamp of zero means "none" to much of ROS
_BODY_FRAME = 'base_link'


@dataclass(frozen=True, eq=False)
class Odometer:
    """What odometry says: `T_odom_cam` (4, 4) of a camera that looks ahead from the body, at a time."""

    stamp_ns: int
    T_odom_cam: np.ndarray


def flight_events(frames: Iterable[tuple[Frame, np.ndarray | None]], odometry: Iterable[Odometer]) -> Iterator[Event]:
    """
    Return the messages of a flight in the order of time, of frames with their depth (H, W) where it is known.

    Stamps count from the flight's start; in the messages they count from START_NS.
    """
    return heapq.merge(map(_odometry, odometry), _camera(frames), key=lambda event: event.time_ns)


def write_bag(folder: Path, events: Iterable[Event], storage=StoragePlugin.SQLITE3) -> Path:
    """
    Write messages as a rosbag2 and return its folder, which must not be there yet, and is not where that fails.

    Raises ValueError, and OSError as where the disk is full.
    """
    if folder.exists():
        raise ValueError(f'{folder} is there already: a bag needs a new folder.')
    types, connections = get_typestore(Stores.LATEST), {}
    with contextlib.ExitStack() as otherwise:
        otherwise.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            with Writer(folder, version=Writer.VERSION_LATEST, storage_plugin=storage) as writer:
                for event in events:
                    name = f'/{event.topic.name}'
                    if name not in connections:
                        connections[name] = writer.add_connection(name, event.topic.type, typestore=types)
                    writer.write(connections[name], event.time_ns, serialize_message(event.message))
        except (OSError, sqlite3.Error) as error:
            raise OSError(f'The bag {folder} cannot be written: {getattr(error, "strerror", error)}.') from error
        otherwise.pop_all()
    return folder


def _odometry(odometer: Odometer) -> Event:
    time_ns = START_NS + odometer.stamp_ns
    header = Header(stamp=to_stamp(time_ns), frame_id=ODOM_FRAME)
    T_odom_body = odometer.T_odom_cam @ inverse(mounting((0, 0, 0), FORWARD_RPY))
    return Event(time_ns, ODOM, from_odometry(T_odom_body, header, _BODY_FRAME))


def _camera(frames) -> Iterator[Event]:
    for frame, depth_hw in frames:
        time_ns = START_NS + frame.stamp_ns
        header = Header(stamp=to_stamp(time_ns), frame_id=CAMERA_FRAME)
        yield Event(time_ns, CAMERA_INFO, from_camera(frame.camera, header))
        yield Event(time_ns, IMAGE, from_rgb(frame.image, header))
        if depth_hw is not None:
            yield Event(time_ns, TRUE_DEPTH, from_depth(depth_hw, header, '32FC1'))
