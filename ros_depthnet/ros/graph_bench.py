"""
The speed of the nodes over DDS, by the method of ros2_benchmark.

A camera flies past a wall and an onlooker takes the depth. First the highest rate of images of which at most a
twentieth gets no depth is looked for, then latency, jitter and processor time are measured at rates that are given.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.evaluation.bench import WALL_DISTANCE, wall_texture
from ros_depthnet.flight.messages.stamp import to_ns
from ros_depthnet.ros import qos, topics
from ros_depthnet.ros.conversions.camera_info import from_camera
from ros_depthnet.ros.conversions.image import from_rgb
from ros_depthnet.ros.conversions.pose import from_odometry
from ros_depthnet.ros.conversions.time import to_stamp
from ros_depthnet.ros.processes import PROCESSING_NODES, Flight
from ros_depthnet.ros.transport import enlarge_shared_memory

MISSING = 0.05  # share of images without depth that is let pass
_SLOWEST, _FASTEST = 0.5, 60.0  # Hz, of the search
_PRECISION = 1.15  # ratio of rates at which the search ends
_LEAST_IMAGES = 20  # of a measurement: fewer show no twentieth
_SETTLING = 1.0  # seconds at a rate before it is measured
_STRAGGLERS = 1.5  # seconds after which depth counts as missing
_ODOMETRY_HZ = 100.0
_WAY = 60.0  # pixels a second that the wall passes
_PATIENCE = 90.0  # seconds for the first depth


@dataclass(frozen=True)
class Rated:
    """
    What the nodes make of images at a rate.

    missing: share of the images that got no depth. latency: from publishing an image to its depth. jitter_ms:
    one standard deviation of the time between two depths. cpu: by node, cores.
    """

    rate_hz: float
    images: int
    missing: float
    depth_hz: float
    latency_p50_ms: float
    latency_p95_ms: float
    jitter_ms: float
    cpu: dict[str, float]


@dataclass(frozen=True)
class GraphSpeed:
    """
    The nodes' speed with camera images of a size.

    first_depth_s: from starting the processes to the first depth. highest_hz: the highest rate at which no more
    than MISSING goes without, 0 if there is none. memory_mb: by node, resident at the end.
    """

    camera: str
    first_depth_s: float
    highest_hz: float
    at_highest: Rated | None
    at_rates: tuple[Rated, ...]
    memory_mb: dict[str, float]


def graph_speed(
    size: tuple[int, int],
    rates: Sequence[float],
    seconds: float,
    folder: Path,
    progress: Callable[[str], None],
    parameters: Mapping[str, object] | None = None,
    nodes: tuple[str, ...] = PROCESSING_NODES,
    search: bool = True,
) -> GraphSpeed:
    """
    Fly nodes past a wall, in processes of their own, with camera images of (width, height).

    seconds: of each measurement, at least. folder: for logs. parameters: of depth_node. search: for the
    highest rate. Raises ProcessError.
    """
    width, height = size
    camera = Camera(width, height, 0.9 * width, 0.9 * width, width / 2, height / 2)
    enlarge_shared_memory()  # before the camera's context begins
    started = time.monotonic()
    flight = Flight(
        None, {'depth_node': {'warm_up_size': list(size), **(parameters or {})}}, folder=folder, processing_nodes=nodes
    )
    with _Peer(camera) as peer:
        progress('Starting the nodes ...')
        with flight:
            while not peer.depths:
                if time.monotonic() > started + _PATIENCE:
                    raise ValueError(f'No depth came within {_PATIENCE:.0f} s; the logs are in {folder}.')
                time.sleep(0.01)
            first = peer.depths[0].arrived - started
            pids = {name: process.pid for name, process in flight.processes.items()}

            def measured(rate: float) -> Rated:
                progress(f'{rate:.1f} images a second')
                return _measured(peer, rate, max(seconds, _LEAST_IMAGES / rate), pids)

            highest = _highest(measured) if search else None
            at_rates = tuple(measured(rate) for rate in rates)
            memory = {name: round(_resident_mb(pid), 1) for name, pid in pids.items()}
    return GraphSpeed(
        f'{width}x{height}', round(first, 2), highest.rate_hz if highest else 0.0, highest, at_rates, memory
    )


def _highest(measured: Callable[[float], Rated]) -> Rated | None:
    """Return what was measured at the highest rate that passes, by bisection of ratios."""
    slow, fast, best = _SLOWEST, _FASTEST * _PRECISION, None
    while fast / slow > _PRECISION:
        found = measured(round((slow * fast) ** 0.5, 2))
        if found.missing <= MISSING:
            slow, best = found.rate_hz, found
        else:
            fast = found.rate_hz
    return best


def _measured(peer: '_Peer', rate: float, seconds: float, pids: Mapping[str, int]) -> Rated:
    peer.rate = rate
    time.sleep(_SETTLING)
    begin, spent = time.monotonic(), {name: _cpu_seconds(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    end = time.monotonic()
    cpu = {name: round((_cpu_seconds(pid) - spent[name]) / (end - begin), 2) for name, pid in pids.items()}
    time.sleep(_STRAGGLERS)
    sent = {stamp_ns: at for stamp_ns, at in peer.sent.copy().items() if begin <= at < end}
    depths = [depth for depth in peer.depths.copy() if depth.stamp_ns in sent]
    latencies = [1e3 * (depth.arrived - sent[depth.stamp_ns]) for depth in depths]
    p50, p95 = np.percentile(latencies, (50, 95)) if latencies else (np.nan, np.nan)
    between = 1e3 * np.diff([depth.arrived for depth in depths])
    return Rated(
        rate,
        len(sent),
        round(1 - len(depths) / len(sent), 3),
        round(len(depths) / (end - begin), 2),
        round(float(p50), 1),
        round(float(p95), 1),
        round(float(between.std()), 1) if len(between) else float('nan'),
        cpu,
    )


@dataclass(frozen=True)
class _Depth:
    stamp_ns: int
    arrived: float


class _Peer:
    """A camera with odometry at a rate that may change, and an onlooker; a context manager with two threads."""

    def __init__(self, camera: Camera):
        self._camera, self._texture = camera, np.tile(wall_texture(camera), (1, 2, 1))
        self.rate = 10.0
        self.sent: dict[int, float] = {}
        self.depths: list[_Depth] = []
        self._stop = threading.Event()

    def __enter__(self) -> '_Peer':
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        node = self._node = rclpy.create_node(f'bench_{os.getpid()}', context=self._context)
        self._images = node.create_publisher(Image, topics.IMAGE.name, qos.reliable(1))
        self._infos = node.create_publisher(CameraInfo, topics.CAMERA_INFO.name, qos.LATCHED)
        self._odometry = node.create_publisher(Odometry, topics.ODOM.name, 10)
        node.create_subscription(Image, topics.DEPTH.name, self._on_depth, qos.reliable(10))
        for kind, topic in ((PointCloud2, topics.POINTS), (MarkerArray, topics.OBSTACLES)):
            node.create_subscription(kind, topic.name, lambda message: None, qos.reliable(10))  # or nobody works
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._listen, self._fly)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._threads[1].join(5)
        self._executor.shutdown()
        self._context.try_shutdown()
        self._threads[0].join(5)
        self._node.destroy_node()

    def _listen(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _on_depth(self, message: Image) -> None:
        self.depths.append(_Depth(to_ns(message.header.stamp), time.monotonic()))

    def _fly(self) -> None:
        self._infos.publish(from_camera(self._camera, Header(frame_id='camera')))
        begin = time.monotonic()
        next_image = begin
        for tick in self._ticks(begin):
            self._odometry.publish(self._pose(tick - begin))
            # An image is taken at a tick of the odometry, as flight controllers trigger cameras.
            if tick >= next_image:
                next_image = max(next_image, tick - 1 / self.rate) + 1 / self.rate
                self._publish_image(tick - begin)

    def _ticks(self, begin: float) -> Iterator[float]:
        for number in itertools.count():
            tick = begin + number / _ODOMETRY_HZ
            if self._stop.wait(max(0.0, tick - time.monotonic())):
                return
            yield tick

    def _publish_image(self, seconds: float) -> None:
        first = round(_WAY * seconds) % (self._texture.shape[1] // 2)
        header = self._header(seconds, 'camera')
        image = from_rgb(np.ascontiguousarray(self._texture[:, first : first + self._camera.width]), header)
        self.sent[to_ns(header.stamp)] = time.monotonic()
        self._images.publish(image)

    def _pose(self, seconds: float) -> Odometry:
        # To the right, which is -y of the body, by whole pixels as the images.
        T_odom_body = motion.pose(np.eye(3), (0, -round(_WAY * seconds) * WALL_DISTANCE / self._camera.fx, 0))
        return from_odometry(T_odom_body, self._header(seconds, 'odom'), 'base_link')

    def _header(self, seconds: float, frame_id: str) -> Header:
        return Header(stamp=to_stamp(10**9 + round(1e9 * seconds)), frame_id=frame_id)


def _cpu_seconds(pid: int) -> float:
    # The name, in parentheses, may hold spaces; then come state and, as 12th and 13th, user and system time.
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def _resident_mb(pid: int) -> float:
    return int(Path(f'/proc/{pid}/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6
