"""
Every fault of a flight over real DDS: what was said of it, what was published, and how long until depth came back.

`python test/ros/faults.py [--write] [--only NAME]` flies a drone past a wall whose depth is known exactly. depth_node
is a process with a real network; sensors are spoilt one fault at a time, and mended again. `--write` puts the rows
into the table of docs/reliability.md.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / 'unit')]

from ros_depthnet.ros.isolation import isolate  # noqa: E402

if __name__ == '__main__':
    isolate()

import rclpy  # noqa: E402
from builtin_interfaces.msg import Time  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.signals import SignalHandlerOptions  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from wall import R_WORLD_CAM, camera, texture, wall_depth, wall_image  # noqa: E402

from ros_depthnet.core import motion  # noqa: E402
from ros_depthnet.core.mounting import FORWARD_RPY, mounting  # noqa: E402
from ros_depthnet.ros import qos  # noqa: E402
from ros_depthnet.ros.conversions.camera_info import from_camera  # noqa: E402
from ros_depthnet.ros.conversions.image import from_rgb  # noqa: E402
from ros_depthnet.ros.conversions.pose import from_pose  # noqa: E402
from ros_depthnet.ros.processes import NodeProcess, ProcessError, _Manager  # noqa: E402
from ros_depthnet.ros.transport import enlarge_shared_memory  # noqa: E402

CAMERA = camera(192, 128)
SPAN_M, SPEED = 8.0, 1.0  # to and fro along the wall
ODOMETRY_HZ, CAMERA_HZ = 50.0, 8.0
LONGEST_RECOVERY_S = 25.0
RIGHT_WITHIN, WRONG_SHARE = 0.25, 0.5
_T_BODY_CAM = mounting((0, 0, 0), FORWARD_RPY)
_PAGE = Path(__file__).parents[2] / 'docs' / 'reliability.md'
_BEGIN, _END = '<!-- faults: begin -->', '<!-- faults: end -->'
_HEAD = (
    '| fault | how | images | depth | wrong | dropped | unaccounted | messages refused | said | depth back after |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |',
)


@dataclass(frozen=True)
class Fault:
    """
    What goes wrong for some seconds.

    images, odometry: return what is sent instead of a message, `since` seconds after the beginning. info: the same
    of camera_info. other_images, other_odometry: what another publisher sends beside. act: does something once, at
    the beginning, during: again and again. camera_hz: the rate meanwhile. clock_s: by how much all clocks are set.
    """

    name: str
    how: str
    images: Callable[[Image, float], Iterable[Image]] = lambda message, since: [message]
    odometry: Callable[[Odometry, float], Iterable[Odometry]] = lambda message, since: [message]
    info: Callable[[CameraInfo, float], Iterable[CameraInfo]] = lambda message, since: [message]
    act: Callable[[Flight], None] = lambda flight: None
    other_images: Callable[[Image, float], Iterable[Image]] = lambda message, since: []
    other_odometry: Callable[[Odometry, float], Iterable[Odometry]] = lambda message, since: []
    during: Callable[[Flight, float], object] = lambda flight, since: None
    camera_hz: float = CAMERA_HZ
    seconds: float = 3.0
    clock_s: float = 0.0


@dataclass
class Outcome:
    """What came of a fault. wrong: depth images over half of which is off by over a quarter."""

    fault: Fault
    sent: int = 0
    wrong: int = 0
    dropped: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    published: Counter = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    recovery_s: float | None = None

    @property
    def unaccounted(self) -> int:
        """Images sent to the node that its diagnostics count neither as published nor as dropped."""
        return self.sent - self.published.total() - self.dropped.total()

    def row(self) -> str:
        """Return this as a row of the table."""
        said = self.said[0] if self.said else '-'
        recovery = 'never' if self.recovery_s is None else f'{self.recovery_s:.1f} s'
        cells = (
            self.fault.name,
            self.fault.how,
            self.sent,
            self.published.total(),
            self.wrong,
            shown(self.dropped),
            self.unaccounted,
            shown(self.refused),
            said.replace('|', '/'),
            recovery,
        )
        return f'| {" | ".join(map(str, cells))} |'


def shown(counts: Counter) -> str:
    return ', '.join(f'{count} {reason}' for reason, count in sorted(counts.items())) or '-'


def is_right(depth_hw: np.ndarray, x: float) -> bool:
    """Tell whether at least half of what is known of a depth map is within a quarter of the wall seen from x."""
    true_hw = wall_depth(CAMERA.resized(*depth_hw.shape[::-1]), x)
    known = np.isfinite(depth_hw)
    off = np.abs(depth_hw[known] / true_hw[known] - 1) > RIGHT_WITHIN
    return not known.any() or off.mean() < WRONG_SHARE


def stamp(time_ns: int) -> Time:
    return Time(sec=time_ns // 10**9, nanosec=time_ns % 10**9)


def nanoseconds(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def shifted(message, seconds: float):
    """Return a message stamped later by so much."""
    message = copy.copy(message)
    message.header = Header(stamp=stamp(nanoseconds(message) + round(seconds * 1e9)), frame_id=message.header.frame_id)
    return message


@dataclass(frozen=True)
class Track:
    """A flight to and fro along the wall, from a time on."""

    start_ns: int

    def x(self, time_ns: int) -> tuple[float, float]:
        """Return the place along the wall and the velocity, metres and metres per second."""
        way = (time_ns - self.start_ns) / 1e9 * SPEED % (2 * SPAN_M)
        return (way, SPEED) if way < SPAN_M else (2 * SPAN_M - way, -SPEED)

    def odometry(self, time_ns: int, told_ns: int) -> Odometry:
        """Return what odometry says of a time, stamped as told."""
        x, velocity = self.x(time_ns)
        T_world_body = motion.pose(R_WORLD_CAM, [x, 0, 0]) @ motion.inverse(_T_BODY_CAM)
        message = Odometry(header=Header(stamp=stamp(told_ns), frame_id='odom'), child_frame_id='base_link')
        message.pose.pose = from_pose(T_world_body)
        message.twist.twist.linear.y = -velocity  # the drone looks at the wall and flies to its right
        return message


class Flight:
    """A drone that flies to and fro past a wall, its sensors, and the depth_node that hears them."""

    def __init__(self, folder: Path, model: str = 'parallaxnet_small'):
        """Start the node; the flight begins with `fly`."""
        self.folder, self.parameters = (
            folder,
            {
                'model': model,
                'camera_mounting': 'parameters',
                'image_transport': 'raw',
                'max_sources': 1,
                'ranges': 1,
                'threads': 1,
            },
        )
        enlarge_shared_memory()
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node('sensors', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.images, self.other_images = (self.node.create_publisher(Image, 'image_raw', 20) for _ in range(2))
        self.odometry, self.other_odometry = (self.node.create_publisher(Odometry, 'odom', 50) for _ in range(2))
        self.infos = self.node.create_publisher(CameraInfo, 'camera_info', 10)
        self.listen()
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.depths: list[tuple[int, bool]] = []  # stamp, and whether it is right
        self.status: DiagnosticStatus | None = None
        self.said: list[str] = []
        self.clean_up = contextlib.ExitStack()  # what faults have left behind
        self._exact_ns: dict[int, int] = {}  # by the stamp of an image on a clock that was set
        self._texture = texture()
        self.track = Track(time.time_ns())
        self.bring_up()

    def listen(self) -> None:
        self._listener = self.node.create_subscription(Image, 'depth/image', self._on_depth, qos.IMAGES)

    def listen_no_more(self) -> None:
        self.node.destroy_subscription(self._listener)

    def bring_up(self, folder: Path | None = None, **parameters: object) -> None:
        self.process = NodeProcess('depth_node', '', {**self.parameters, **parameters}, folder or self.folder)
        with _Manager('') as manager, contextlib.ExitStack() as otherwise:
            otherwise.callback(self.end)
            manager.bring_up(self.process)
            otherwise.pop_all()

    def end(self) -> int:
        self.process.interrupt()
        return self.process.join()

    def close(self) -> int:
        status = self.end()
        self.clean_up.close()
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()
        return status

    def glide(self, seconds: float) -> None:
        """Fly on without images."""
        end = time.monotonic() + seconds
        self.fly(Fault('', '', images=lambda message, since: []), lambda: time.monotonic() > end)

    def fly(self, fault: Fault, until: Callable[[], bool]) -> int:
        """Fly with a fault until something holds; return how many images were sent to the node."""
        begin_ns = time.time_ns()
        due = dict.fromkeys(('image', 'odometry', 'info'), begin_ns)
        period = {'image': 1e9 / fault.camera_hz, 'odometry': 1e9 / ODOMETRY_HZ, 'info': 2e8}
        sent = 0
        while not until():
            now_ns = time.time_ns()
            since = (now_ns - begin_ns) / 1e9
            fault.during(self, since)
            for kind in due:
                if due[kind] > now_ns:
                    continue
                due[kind] = max(now_ns, due[kind] + round(period[kind]))
                told_ns = now_ns + round(fault.clock_s * 1e9)
                if kind == 'odometry':
                    self._send_odometry(fault, since)
                elif kind == 'info':
                    header = Header(stamp=stamp(told_ns), frame_id='optical')
                    for message in fault.info(from_camera(CAMERA, header), since):
                        self.infos.publish(message)
                else:
                    rgb = wall_image(CAMERA, self.track.x(now_ns)[0], self._texture)
                    for publisher, spoilt in ((self.images, fault.images), (self.other_images, fault.other_images)):
                        header = Header(stamp=stamp(told_ns), frame_id='optical')
                        for message in spoilt(from_rgb(rgb, header), since):
                            stamp_ns = nanoseconds(message)
                            self._exact_ns[stamp_ns] = stamp_ns - told_ns + now_ns
                            sent += publisher.get_subscription_count() > 0
                            publisher.publish(message)
            self._executor.spin_once(timeout_sec=0.002)
        self._send_odometry(fault, (time.time_ns() - begin_ns) / 1e9)  # for the last image
        return sent

    def one_image(self) -> int:
        """Send one good image: that those before it never came shows when it comes. Return how many were sent."""
        end = time.monotonic() + 0.5 / CAMERA_HZ
        return self.fly(Fault('', ''), lambda: time.monotonic() > end)

    def counts(self) -> dict[str, Counter]:
        """Return what the node's diagnostics count: published, dropped by reason, and messages refused by reason."""
        counts = {kind: Counter() for kind in ('published', 'dropped', 'refused')}
        for pair in self.status.values if self.status else ():
            kind, _, reason = pair.key.partition('/')
            if kind in counts:
                counts[kind][reason] = int(pair.value)
        return counts

    def settle(self) -> None:
        """Send no images until all that were sent are counted, and counts stay as they are."""
        self.glide(1.2)  # pose_timeout, and what is being computed
        before, end = None, time.monotonic() + 12
        while self.status is None or self.counts() != before:
            before, self.status = self.counts(), None
            while self.status is None and time.monotonic() < end:
                self.glide(0.05)
            if time.monotonic() > end:
                break

    def _send_odometry(self, fault: Fault, since: float) -> None:
        now_ns = time.time_ns()
        for publisher, spoilt in ((self.odometry, fault.odometry), (self.other_odometry, fault.other_odometry)):
            for message in spoilt(self.track.odometry(now_ns, now_ns + round(fault.clock_s * 1e9)), since):
                publisher.publish(message)

    def _on_depth(self, message: Image) -> None:
        depth_hw = np.frombuffer(message.data, np.float32).reshape(message.height, message.width)
        stamp_ns = nanoseconds(message)
        exact_ns = self._exact_ns.get(stamp_ns, stamp_ns)
        self.depths.append((exact_ns, is_right(depth_hw, self.track.x(exact_ns)[0])))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == 'depth_node':
                self.status = status
                if status.level != DiagnosticStatus.OK and status.message not in self.said:
                    self.said.append(status.message)


def judge(flight: Flight, fault: Fault) -> Outcome:
    """Fly healthily, then with the fault, then healthily until depth is back."""
    healthy, outcome = Fault('', ''), Outcome(fault)
    least, most = (time.monotonic() + seconds for seconds in (1.5, 8.0))

    def silent() -> bool:  # diagnostics repeat for 5 s what was wrong before
        quiet = flight.status is not None and flight.status.level == DiagnosticStatus.OK
        return time.monotonic() > (least if quiet else most)

    flight.fly(healthy, silent)
    flight.settle()
    counted, process = flight.counts(), flight.process
    flight.said.clear()
    before = len(flight.depths)
    fault.act(flight)
    if flight.process is not process:  # it counts anew
        counted = {kind: Counter() for kind in counted}
    end = time.monotonic() + fault.seconds
    outcome.sent = flight.fly(fault, lambda: time.monotonic() > end)
    flight.glide(1.0)
    outcome.said = list(flight.said)  # before the silence of counting is complained of
    for _ in range(3):  # the last image may be lost as well, which only another shows
        outcome.sent += flight.one_image()
        flight.settle()
        for kind, counts in flight.counts().items():
            setattr(outcome, kind, counts - counted[kind])
        if not outcome.unaccounted:
            break
    healed = time.monotonic()
    back_ns = time.time_ns()

    def back() -> bool:
        return any(stamp_ns > back_ns for stamp_ns, _ in flight.depths) or (
            time.monotonic() - healed > LONGEST_RECOVERY_S
        )

    flight.fly(healthy, back)
    if any(stamp_ns > back_ns for stamp_ns, _ in flight.depths):
        outcome.recovery_s = time.monotonic() - healed
    outcome.wrong = sum(not right for _, right in flight.depths[before:])
    return outcome


# Faults of the camera.


def out_of_order():
    held = []

    def images(message, since):
        held.append(message)
        return [held.pop(), held.pop()] if len(held) == 2 else []

    return images


def frozen():
    first = []

    def images(message, since):
        first.append(message)
        message.data = first[0].data
        return [message]

    return images


def of_another_camera(message, since):
    message.data = message.data[::-1]
    return [shifted(message, 0.02)]


def looped(seconds: float):
    first = []

    def messages(message, since):
        if since < seconds:
            first.append(message)
            return [message]
        return [first.pop(0)] if first else []

    return messages


# Faults of the odometry.


def moved(metres: Callable[[float], float], factor: float = 1.0):
    def odometry(message, since):
        message.pose.pose.position.x = factor * message.pose.pose.position.x + metres(since)
        return [message]

    return odometry


def stuck():
    first = []

    def odometry(message, since):
        first.append(message.pose)
        message.pose = first[0]
        message.twist.twist.linear.y = 0.0
        return [message]

    return odometry


def changed(change: Callable[[Odometry], object]):
    def odometry(message, since):
        change(message)
        return [message]

    return odometry


def in_ned(message: Odometry) -> None:
    p, q = message.pose.pose.position, message.pose.pose.orientation
    p.x, p.y, p.z = p.y, p.x, -p.z
    T = motion.from_quaternion((0, 0, 0), (q.x, q.y, q.z, q.w))
    swap = motion.pose([[0, 1, 0], [1, 0, 0], [0, 0, -1]], (0, 0, 0))
    message.pose.pose.orientation = from_pose(swap @ T @ motion.pose(np.diag([1, -1, -1]), (0, 0, 0))).orientation


def rarely(hz: float):
    last = [-1.0]

    def odometry(message, since):
        if since - last[0] < 1 / hz:
            return []
        last[0] = since
        return [message]

    return odometry


# Faults of the calibration, and of whoever runs it all.


def focal(factor: Callable[[float], float]):
    def info(message, since):
        by = factor(since)
        for matrix, places in ((message.k, (0, 4)), (message.p, (0, 5))):
            for place in places:
                matrix[place] *= by
        return [message]

    return info


def kill(flight: Flight) -> None:
    os.kill(flight.process.pid, signal.SIGKILL)
    flight.process.join()
    flight.bring_up()


def on_simulated_time(flight: Flight) -> None:
    flight.end()
    flight.bring_up(use_sim_time=True)


def clock_that_stands_still(seconds: float):
    """Publish /clock, until so many seconds have gone."""
    publisher = []

    def during(flight, since):
        if not publisher:
            publisher.append(flight.node.create_publisher(Clock, '/clock', 1))
        if since < seconds:
            publisher[0].publish(Clock(clock=stamp(round((1000 + since) * 1e9))))

    return during


def with_a_full_disk(flight: Flight) -> None:
    """Restart with log and parameters on a file system that has no byte left."""
    full = flight.folder / 'full'
    full.mkdir()
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', full], check=True)
    flight.clean_up.callback(subprocess.run, ['umount', full], check=True)
    flight.end()
    before = os.environ.get('ROS_LOG_DIR')
    os.environ['ROS_LOG_DIR'] = str(full / 'log')

    try:
        flight.bring_up(full)
    finally:
        del os.environ['ROS_LOG_DIR']
        if before is not None:
            os.environ['ROS_LOG_DIR'] = before
    with contextlib.suppress(OSError), (full / 'rest').open('wb', buffering=0) as rest:
        while rest.write(bytes(4096)):
            pass
    assert os.statvfs(full).f_bavail == 0


def slow_listener(flight: Flight) -> None:
    """Subscribe to depth, reliably, and never take a message."""
    slow = rclpy.create_node('slow', context=flight.node.context)
    flight.clean_up.callback(slow.destroy_node)
    slow.create_subscription(Image, 'depth/image', lambda message: None, qos.reliable(1000))


def broken_model(flight: Flight) -> None:
    """Restart with a model that is damaged, and put a good one in its place by lifecycle calls alone."""
    flight.end()
    model = Path(__file__).parents[2] / 'models' / 'parallaxnet_small.onnx'
    own = flight.folder / 'own.onnx'
    own.write_bytes(model.read_bytes()[:1000])
    shutil.copy(model.with_suffix('.yaml'), own.with_suffix('.yaml'))
    text = own.with_suffix('.yaml').read_text().replace(model.name, own.name)
    own.with_suffix('.yaml').write_text(text)
    process = NodeProcess('depth_node', '', {**flight.parameters, 'model': str(own)}, flight.folder)
    with _Manager('') as manager:
        try:
            manager.bring_up(process)
            raise AssertionError('A damaged model was taken.')
        except ProcessError as error:
            flight.said.append(str(error))
        shutil.copy(model, own)
        manager.bring_up(process)
    flight.process = process


def comes_and_goes(period_s: float):
    gone = [False]

    def during(flight, since):
        if gone[0] != (since / period_s % 1 < 0.5):
            gone[0] = not gone[0]
            (flight.listen_no_more if gone[0] else flight.listen)()

    return during


def faults() -> list[Fault]:
    """Return the faults, made anew as some remember."""
    return [
        *(Fault(f'camera at {hz} Hz', f'8 Hz become {hz} Hz', camera_hz=hz) for hz in (5, 30, 60, 120)),
        Fault('images out of order', 'pairs of images exchanged', images=out_of_order()),
        Fault('images twice', 'each image sent twice', images=lambda message, since: [message, message]),
        Fault('images frozen', 'one image under new stamps', images=frozen()),
        Fault('images late', 'stamped 1 s early', images=lambda message, since: [shifted(message, -1.0)]),
        Fault('two cameras on one topic', 'another publisher, 20 ms after each image', other_images=of_another_camera),
        Fault('two odometries on one topic', 'another publisher, 1 m aside', other_odometry=moved(lambda since: 1.0)),
        Fault('odometry late', 'stamped .3 s late', odometry=lambda message, since: [shifted(message, 0.3)]),
        Fault('odometry early', 'stamped .3 s early', odometry=lambda message, since: [shifted(message, -0.3)]),
        Fault('odometry slow', '50 Hz become 2 Hz', odometry=rarely(2)),
        Fault('odometry silent', 'nothing comes', odometry=lambda message, since: []),
        Fault('odometry jumps', '1 m to the side every second', odometry=moved(lambda since: since // 1)),
        Fault('odometry drifts', '.3 m/s to the side', odometry=moved(lambda since: 0.3 * since)),
        Fault('odometry stuck', 'one pose, no velocity', odometry=stuck()),
        Fault('odometry scaled', 'positions half as long', odometry=moved(lambda since: 0.0, 0.5)),
        Fault('odometry in NED/FRD', 'axes exchanged', odometry=changed(in_ned)),
        Fault(
            'odometry of another body',
            'child frame is gimbal, body_frame not set',
            odometry=changed(lambda message: setattr(message, 'child_frame_id', 'gimbal')),
        ),
        Fault('odometry NaN', 'x is NaN', odometry=moved(lambda since: float('nan'))),
        Fault(
            'zero quaternion',
            'all four are 0',
            odometry=changed(
                lambda message: setattr(
                    message.pose.pose, 'orientation', type(message.pose.pose.orientation)(x=0.0, y=0.0, z=0.0, w=0.0)
                )
            ),
        ),
        Fault('clock set back', 'all stamps 5 s earlier', clock_s=-5.0),
        Fault('clock set forward', 'all stamps 1 h later', clock_s=3600.0),
        Fault('looped bag', '2 s once more', images=looped(2.0), odometry=looped(2.0), seconds=4.0),
        Fault(
            'simulated time',
            'use_sim_time, and /clock stands still after 2 s',
            act=on_simulated_time,
            during=clock_that_stands_still(2.0),
            seconds=4.0,
        ),
        Fault('focal length doubled', 'in camera_info', info=focal(lambda since: 2.0)),
        Fault(
            'focal length changes',
            'by 1 % at every camera_info',
            info=focal(lambda since: 1 + 0.01 * (since // 0.2 % 2)),
        ),
        Fault('no focal length', 'K and P are 0', info=focal(lambda since: 0.0)),
        Fault('listener comes and goes', 'every second', during=comes_and_goes(1.0), seconds=6.0),
        Fault('slow listener', 'another that takes nothing', act=slow_listener),
        Fault('killed', 'kill -9, started again', act=kill),
        Fault('full disk', 'no room for its log', act=with_a_full_disk),
        Fault('broken model', 'refused; mended, and configured again by lifecycle calls', act=broken_model),
    ]


def write(outcome: Outcome) -> None:
    """Put a row into the page's table, instead of an older one of the same fault."""
    before, rest = _PAGE.read_text(encoding='utf-8').split(_BEGIN)
    old, after = rest.split(_END)
    rows = {row.split(' | ')[0]: row for row in [*old.splitlines(), outcome.row()]}
    kept = [rows[name] for name in (f'| {fault.name}' for fault in faults()) if name in rows]
    _PAGE.write_text('\n'.join([before + _BEGIN, *_HEAD, *kept, _END + after]), encoding='utf-8')


def main() -> int:
    """Fly all faults; return 1 where depth was wrong, did not come back, or the node ended."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('--write', action='store_true', help='put the table into docs/reliability.md')
    parser.add_argument('--only', action='append', help='a fault; repeatable')
    options = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        flight = Flight(Path(folder))
        try:
            for fault in faults():
                if not options.only or fault.name in options.only:
                    outcomes.append(judge(flight, fault))
                    print(outcomes[-1].row(), flush=True)
                    if options.write:
                        write(outcomes[-1])
        finally:
            ended = flight.close()
    print(f'depth_node ended with {ended}.')
    return int(ended != 0 or any(outcome.wrong or outcome.recovery_s is None for outcome in outcomes))


if __name__ == '__main__':
    sys.exit(main())
