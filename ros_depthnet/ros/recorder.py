"""An onlooker: takes what the nodes publish in a flight and keeps it for a report."""

import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from visualization_msgs.msg import Marker, MarkerArray

from ros_depthnet.core.obstacles import Box
from ros_depthnet.evaluation.cloud_map import CloudMap
from ros_depthnet.evaluation.moments import Moments
from ros_depthnet.flight.messages.camera_info import to_calibration
from ros_depthnet.flight.messages.image import ImageReader, to_depth, to_deviation
from ros_depthnet.flight.messages.pose import to_pose
from ros_depthnet.flight.messages.stamp import to_ns
from ros_depthnet.ros import qos, topics
from ros_depthnet.ros.conversions.cloud import to_points
from ros_depthnet.ros.conversions.markers import BOXES

_NO_COLOUR = 200  # grey of points of clouds without colours


@dataclass(frozen=True)
class Counts:
    """
    How much came so far; `latencies_ms` is from an image's arrival to its depth's.

    image_arrivals, depth_arrivals: seconds on one clock by stamp.
    """

    frames: int
    depth: int
    clouds: int
    obstacles: int
    dropped: dict[str, int]
    latencies_ms: tuple[float, ...]
    depth_hz: float
    facts: dict[str, str]
    image_arrivals: dict[int, float]
    depth_arrivals: dict[int, float]


class Recorder:
    """
    Subscribes to the images and all outputs, in a thread of its own; a context manager.

    It does not take `camera_info`, by whose subscribers a replay knows that `depth_node` listens.
    """

    def __init__(self, folder: Path, compressed: bool):
        """Keep moments in a folder; take compressed images instead of raw ones."""
        self.moments = Moments(folder)
        self.cloud = CloudMap()
        self._compressed = compressed
        self._reader = ImageReader()
        self._poses: dict[int, np.ndarray] = {}
        self._image_arrivals: dict[int, float] = {}
        self._depth_arrivals: dict[int, float] = {}
        self._latencies_ms: list[float] = []
        self._clouds = self._obstacles = 0
        self._boxes: dict[int, tuple[Box, ...]] = {}
        self._dropped: dict[str, int] = {}
        self._facts: dict[str, str] = {}
        self._failure: OSError | None = None

    def __enter__(self) -> 'Recorder':
        """Begin to listen."""
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        node = self._node = rclpy.create_node('recorder', context=self._context)
        images = (CompressedImage, topics.COMPRESSED) if self._compressed else (Image, topics.IMAGE)
        for kind, topic, callback in (
            (*images, self._on_image),
            (Image, topics.DEPTH, self._on_depth),
            (CameraInfo, topics.DEPTH_CAMERA_INFO, self._on_camera_info),
            (Image, topics.DEVIATION, self._on_deviation),
            (PointCloud2, topics.POINTS, self._on_cloud),
            (MarkerArray, topics.OBSTACLES, self._on_obstacles),
            (PoseStamped, topics.DEPTH_CAMERA_POSE, self._on_camera_pose),
            (DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics),
        ):
            node.create_subscription(kind, topic.name, callback, qos.reliable(100))
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        """Stop listening."""
        self._executor.shutdown()
        self._context.try_shutdown()
        self._thread.join(5)
        self._node.destroy_node()

    def counts(self) -> Counts:
        """Return how much came so far; raises the OSError that kept a moment from being written."""
        if self._failure:
            raise self._failure
        arrivals = list(self._depth_arrivals.values())
        seconds = arrivals[-1] - arrivals[0] if len(arrivals) > 1 else 0.0
        return Counts(
            len(self._image_arrivals),
            len(arrivals),
            self._clouds,
            self._obstacles,
            dict(self._dropped),
            tuple(self._latencies_ms),
            (len(arrivals) - 1) / seconds if seconds else 0.0,
            dict(self._facts),
            dict(self._image_arrivals),
            dict(self._depth_arrivals),
        )

    def finish(self) -> Moments:
        """Return the moments, with poses and obstacles, once everything has come."""
        for stamp_ns, T_odom_cam in self._poses.items():
            self.moments.add_pose(stamp_ns, T_odom_cam)
        for stamp_ns, boxes in self._boxes.items():
            self.moments.add_boxes(stamp_ns, boxes)
        return self.moments

    def _spin(self) -> None:
        try:
            with contextlib.suppress(ExternalShutdownException):
                self._executor.spin()
        except OSError as error:
            self._failure = error

    def _on_image(self, message: Image | CompressedImage) -> None:
        stamp_ns = to_ns(message.header.stamp)
        self._image_arrivals[stamp_ns] = time.monotonic()
        try:
            image = self._reader.rgb(message)
        except ValueError:
            return  # depth_node says so
        self.moments.add_image(stamp_ns, image)

    def _on_depth(self, message: Image) -> None:
        now, stamp_ns = time.monotonic(), to_ns(message.header.stamp)
        self._depth_arrivals[stamp_ns] = now
        if stamp_ns in self._image_arrivals:
            self._latencies_ms.append((now - self._image_arrivals[stamp_ns]) * 1e3)
        self.moments.add_depth(stamp_ns, to_depth(message))

    def _on_deviation(self, message: Image) -> None:
        self.moments.add_deviation(to_ns(message.header.stamp), to_deviation(message))

    def _on_camera_info(self, message: CameraInfo) -> None:
        self.moments.add_camera(to_ns(message.header.stamp), to_calibration(message).pinhole)

    def _on_cloud(self, message: PointCloud2) -> None:
        self._clouds += 1
        points, rgb = to_points(message)
        if rgb is None:
            rgb = np.full(points.shape, _NO_COLOUR, np.uint8)
        self.cloud.add(points.reshape(-1, 3), rgb.reshape(-1, 3))

    def _on_obstacles(self, message: MarkerArray) -> None:
        self._obstacles += 1
        markers = [marker for marker in message.markers if marker.ns == BOXES and marker.action == Marker.ADD]
        if markers:
            self._boxes[to_ns(markers[0].header.stamp)] = tuple(map(self._box, markers))

    def _box(self, marker: Marker) -> Box:
        position, scale = marker.pose.position, marker.scale
        centre = np.array([position.x, position.y, position.z])
        size = np.array([scale.x, scale.y, scale.z])
        T_odom_cam = self._poses.get(to_ns(marker.header.stamp))
        here = centre if T_odom_cam is None else T_odom_cam[:3, 3]
        gaps = np.maximum(np.abs(here - centre) - size / 2, 0)
        return Box(centre, size, float(np.linalg.norm(gaps)), 0)

    def _on_camera_pose(self, message: PoseStamped) -> None:
        self._poses[to_ns(message.header.stamp)] = to_pose(message.pose)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith('depth_node'):
                self._facts = {pair.key: pair.value for pair in status.values}
                self._facts['message'] = status.message
                self._dropped = {
                    key.partition('/')[2]: int(value)
                    for key, value in self._facts.items()
                    if key.startswith('dropped/')
                }
