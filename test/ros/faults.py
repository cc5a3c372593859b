"""
Every fault of a flight over real DDS: what was said of it, what was published, and how long until depth came back.

`python test/ros/faults.py [--write] [--only NAME]` flies a drone past a wall whose depth is known exactly. depth_node
is a process with a real network; sensors are spoilt one fault at a time, and mended again. `--write` puts the rows
into the table of docs/reliability.md.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
import signal
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
    '| fault | how | images | depth | wrong | dropped | unaccounted | said | depth back after |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
)
_OF_MESSAGES = ('bad_pose', 'other_body')  # these reasons count odometry, the others images


@dataclass(frozen=True)
class Fault:
    """
    What goes wrong for some seconds.

    images, odometry: return what is sent instead of a message, `since` seconds after the beginning. info: the same
    of camera_info. act: does something once, at the beginning. camera_hz: the rate meanwhile.
    """

    name: str
    how: str
    images: Callable[[Image, float], Iterable[Image]] = lambda message, since: [message]
    odometry: Callable[[Odometry, float], Iterable[Odometry]] = lambda message, since: [message]
    info: Callable[[CameraInfo, float], Iterable[CameraInfo]] = lambda message, since: [message]
    act: Callable[[Flight], None] = lambda flight: None
    camera_hz: float = CAMERA_HZ
    seconds: float = 3.0


@dataclass
class Outcome:
    """What came of a fault. wrong: depth images over half of which is off by over a quarter."""

    fault: Fault
    sent: int = 0
    wrong: int = 0
    dropped: Counter = field(default_factory=Counter)
    published: int = 0
    said: list[str] = field(default_factory=list)
    recovery_s: float | None = None

    @property
    def unaccounted(self) -> int:
        """Images sent that diagnostics count neither as published nor as dropped: what DDS has lost."""
        images = sum(count for reason, count in self.dropped.items() if reason not in _OF_MESSAGES)
        return self.sent - self.published - images

    def row(self) -> str:
        """Return this as a row of the table."""
        dropped = ', '.join(f'{count} {reason}' for reason, count in sorted(self.dropped.items())) or '-'
        said = self.said[0] if self.said else '-'
        recovery = 'never' if self.recovery_s is None else f'{self.recovery_s:.1f} s'
        return (
            f'| {self.fault.name} | {self.fault.how} | {self.sent} | {self.published} | {self.wrong} | {dropped} | '
            f'{self.unaccounted} | {said.replace("|", "/")} | {recovery} |'
        )


def stamp(time_ns: int) -> Time:
    return Time(sec=time_ns // 10**9, nanosec=time_ns % 10**9)


def nanoseconds(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def shifted(message, seconds: float):
    """Return a message stamped later by so much."""
    message = copy.copy(message)
    message.header = Header(stamp=stamp(nanoseconds(message) + round(seconds * 1e9)), frame_id=message.header.frame_id)
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
        self.images = self.node.create_publisher(Image, 'image_raw', 20)
        self.odometry = self.node.create_publisher(Odometry, 'odom', 50)
        self.infos = self.node.create_publisher(CameraInfo, 'camera_info', 10)
        self.listen()
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.depths: list[tuple[int, bool]] = []  # stamp, and whether it is right
        self.status: DiagnosticStatus | None = None
        self.said: list[str] = []
        self._texture = texture()
        self._start_ns = time.time_ns()
        self.bring_up()

    def listen(self) -> None:
        self._listener = self.node.create_subscription(Image, 'depth/image', self._on_depth, qos.IMAGES)

    def listen_no_more(self) -> None:
        self.node.destroy_subscription(self._listener)

    def bring_up(self) -> None:
        self.process = NodeProcess('depth_node', '', self.parameters, self.folder)
        with _Manager('') as manager:
            manager.bring_up(self.process)

    def close(self) -> int:
        self.process.interrupt()
        status = self.process.join()
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()
        return status

    def x(self, time_ns: int) -> tuple[float, float]:
        """Return the place along the wall and the velocity, metres and metres per second."""
        way = (time_ns - self._start_ns) / 1e9 * SPEED % (2 * SPAN_M)
        return (way, SPEED) if way < SPAN_M else (2 * SPAN_M - way, -SPEED)

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.002)

    def fly(self, fault: Fault, until: Callable[[], bool]) -> int:
        """Fly with a fault until something holds; return how many images were sent."""
        begin_ns = time.time_ns()
        due = dict.fromkeys(('image', 'odometry', 'info'), begin_ns)
        period = {'image': 1e9 / fault.camera_hz, 'odometry': 1e9 / ODOMETRY_HZ, 'info': 2e8}
        sent = 0
        while not until():
            now_ns = time.time_ns()
            since = (now_ns - begin_ns) / 1e9
            for kind in due:
                if due[kind] > now_ns:
                    continue
                at_ns, due[kind] = now_ns, max(now_ns, due[kind] + round(period[kind]))
                if kind == 'odometry':
                    for message in fault.odometry(self._odometry(at_ns), since):
                        self.odometry.publish(message)
                elif kind == 'info':
                    header = Header(stamp=stamp(at_ns), frame_id='optical')
                    for message in fault.info(from_camera(CAMERA, header), since):
                        self.infos.publish(message)
                else:
                    rgb = wall_image(CAMERA, self.x(at_ns)[0], self._texture)
                    for message in fault.images(from_rgb(rgb, Header(stamp=stamp(at_ns), frame_id='optical')), since):
                        self.images.publish(message)
                        sent += 1
            self._executor.spin_once(timeout_sec=0.002)
        return sent

    def counts(self) -> tuple[int, Counter]:
        """Return what the node's diagnostics count: published, and dropped by reason."""
        values = {pair.key: pair.value for pair in self.status.values} if self.status else {}
        dropped = Counter(
            {key.removeprefix('dropped/'): int(value) for key, value in values.items() if key.startswith('dropped/')}
        )
        return int(values.get('published', 0)), dropped

    def settle(self) -> None:
        """Wait until all that was sent is counted."""
        self.spin(1.2)  # pose_timeout, and what is being computed
        self.status = None
        end = time.monotonic() + 5
        while self.status is None and time.monotonic() < end:
            self.spin(0.05)

    def _odometry(self, time_ns: int) -> Odometry:
        x, velocity = self.x(time_ns)
        T_world_body = motion.pose(R_WORLD_CAM, [x, 0, 0]) @ motion.inverse(_T_BODY_CAM)
        message = Odometry(header=Header(stamp=stamp(time_ns), frame_id='odom'), child_frame_id='base_link')
        message.pose.pose = from_pose(T_world_body)
        message.twist.twist.linear.y = -velocity  # the drone looks at the wall and flies to its right
        return message

    def _on_depth(self, message: Image) -> None:
        depth_hw = np.frombuffer(message.data, np.float32).reshape(message.height, message.width)
        stamp_ns = nanoseconds(message)
        true_hw = wall_depth(CAMERA.resized(message.width, message.height), self.x(stamp_ns)[0])
        known = np.isfinite(depth_hw)
        off = np.abs(depth_hw[known] / true_hw[known] - 1) > RIGHT_WITHIN
        self.depths.append((stamp_ns, not known.any() or off.mean() < WRONG_SHARE))

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
    published, dropped = flight.counts()
    flight.said.clear()
    before = len(flight.depths)
    fault.act(flight)
    end = time.monotonic() + fault.seconds
    outcome.sent = flight.fly(fault, lambda: time.monotonic() > end)
    flight.spin(1.0)
    outcome.said = list(flight.said)  # before the silence of counting is complained of
    flight.settle()
    then_published, then_dropped = flight.counts()
    if then_published < published or sum(then_dropped.values()) < sum(dropped.values()):  # it has begun anew
        published, dropped = 0, Counter()
    outcome.published, outcome.dropped = then_published - published, then_dropped - dropped
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


def two_sources(message, since):
    other = copy.copy(message)
    other.header = Header(stamp=stamp(nanoseconds(message) + 20_000_000), frame_id='optical')
    other.data = message.data[::-1]
    return [message, other]


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


def broken_model(flight: Flight) -> None:
    """Restart with a model that is damaged, and put a good one in its place by lifecycle calls alone."""
    flight.process.interrupt()
    flight.process.join()
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


def comes_and_goes(flight: Flight) -> None:
    for _ in range(10):
        flight.listen_no_more()
        flight.spin(0.25)
        flight.listen()
        flight.spin(0.25)


def faults() -> list[Fault]:
    """Return the faults, made anew as some remember."""
    return [
        *(Fault(f'camera at {hz} Hz', f'8 Hz become {hz} Hz', camera_hz=hz) for hz in (5, 30, 60, 120)),
        Fault('images out of order', 'pairs of images exchanged', images=out_of_order()),
        Fault('images twice', 'each image sent twice', images=lambda message, since: [message, message]),
        Fault('images frozen', 'one image under new stamps', images=frozen()),
        Fault('images late', 'stamped 1 s early', images=lambda message, since: [shifted(message, -1.0)]),
        Fault('two cameras on one topic', 'another image 20 ms after each', images=two_sources),
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
        Fault(
            'clock set back',
            'all stamps 5 s earlier',
            images=lambda message, since: [shifted(message, -5.0)],
            odometry=lambda message, since: [shifted(message, -5.0)],
        ),
        Fault('focal length doubled', 'in camera_info', info=focal(lambda since: 2.0)),
        Fault(
            'focal length changes',
            'by 1 % at every camera_info',
            info=focal(lambda since: 1 + 0.01 * (since // 0.2 % 2)),
        ),
        Fault('no focal length', 'K and P are 0', info=focal(lambda since: 0.0)),
        Fault('listener comes and goes', '10 times in 5 s', act=comes_and_goes),
        Fault('killed', 'kill -9, started again', act=kill),
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
