"""Why there is no depth of a running drone: its graph, its clocks, and what its images say, heard for some seconds."""

import contextlib
import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from ros_depthnet.core.frames import BadImage
from ros_depthnet.core.motion import InvalidPose
from ros_depthnet.core.reasons import Drop, Refusal
from ros_depthnet.flight.doctor import (
    Complaint,
    Examination,
    Survey,
    examination,
    of_the_calibration,
    of_the_mounting,
    of_the_rate,
)
from ros_depthnet.flight.intake import Arrival, Intake, IntakeOptions
from ros_depthnet.flight.messages.stamp import to_ns
from ros_depthnet.flight.mounting import RecordedMounting, TransformTree
from ros_depthnet.flight.recorded import RecordedFrame
from ros_depthnet.flight.transforms import (
    DEFAULT_BODY_FRAME,
    STATIC_TRANSFORMS,
    TransformPoses,
    pose_readers,
    static_transforms,
)
from ros_depthnet.ros import qos
from ros_depthnet.ros.endpoints import UNHEARD
from ros_depthnet.ros.graph import Source, all_named, depth_nodes, find_sources, mismatches, parameters_of, rivals
from ros_depthnet.ros.pose_input import is_installed, message_class, not_installed
from ros_depthnet.ros.topics import CAMERA_INFO, CLOCK, DIAGNOSTICS, IMAGE, ODOM, TF, TF_STATIC, Topic
from ros_depthnet.ros.transport import enlarge_shared_memory
from ros_depthnet.ros.worker import Worker

_DISCOVERY_S, _SETTLED_S = 4.0, 1.5  # at most, and for which nothing new must appear
_NAMES_S = 8.0  # at most, for the names of nodes, which come by another way
_HEAD_START_S = 1.0  # that poses get before images
_SLICE_S = 0.05
_PATIENCE_S = 20.0  # at most, beyond the time asked for, until a contradiction shows why
_CLOCKS_APART_S = 0.7  # between images and poses: more is no latency
_OLD_S = 5.0  # that stamps may be off the clock that others go by
_LARGE_BYTES, _RARER = 500_000, 0.6  # what Fast DDS drops by default, and how much of it must be missing


@dataclasses.dataclass(frozen=True)
class Question:
    """
    What a user says of the graph to examine.

    options: fields of IntakeOptions, in place of those of a running depth_node. topics: which play a part, where
    that is not clear. seconds: how long to listen to images; on, until a contradiction has shown why.
    """

    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    topics: Mapping[Topic, str] = dataclasses.field(default_factory=dict)
    namespace: str = ''
    seconds: float = 20.0


def examine_live(question: Question, say: Callable[[str], None]) -> Examination:
    """Look at a running graph and listen to it; `say` gets a sentence for what goes on."""
    enlarge_shared_memory()
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('depthnet_doctor', context=context, namespace=question.namespace)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        return _Visit(node, executor, question, say).examine()
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


class _Heard:
    """What came on one topic."""

    def __init__(self, source: Source):
        self.source = source
        self.frame = ''
        self.size = 0
        self._ages_s: list[float] = []
        self._arrivals: list[float] = []
        self.newest_ns = 0

    def add(self, stamp_ns: int, clock_ns: int) -> None:
        """Take the stamp of a message that has come just now, by the clock."""
        self.newest_ns = stamp_ns
        self._ages_s.append((clock_ns - stamp_ns) / 1e9)
        self._arrivals.append(time.monotonic())

    def __len__(self) -> int:
        return len(self._arrivals)

    @property
    def hz(self) -> float | None:
        """Messages per second while they came."""
        return (len(self) - 1) / (self._arrivals[-1] - self._arrivals[0]) if len(self) > 2 else None

    @property
    def age_s(self) -> float:
        """How long ago the messages, of which some came, were stamped when they did, in the middle."""
        return statistics.median(self._ages_s)

    def __str__(self) -> str:
        parts = [self.source.kind, f'{len(self)} messages']
        parts += [f'{self.hz:.1f} Hz'] if self.hz else []
        parts += [f'{self.age_s:.3f} s old'] if self._ages_s else []
        parts += [f'of {self.frame}'] if self.frame else []
        return ', '.join(parts)


class _Visit:
    """One examination of a graph."""

    def __init__(self, node: Node, executor: SingleThreadedExecutor, question: Question, say: Callable[[str], None]):
        self._node, self._executor, self._question, self._say = node, executor, question, say
        self._tree = TransformTree()
        self._static: list[Any] = []
        self._statuses: dict[str, DiagnosticStatus] = {}
        self._info = None
        self._survey, self._undecided = Survey(), False
        self._failure: Exception | None = None
        self._facts: dict[str, str] = {}
        self._complaints: list[Complaint] = []

    def examine(self) -> Examination:
        self._node.create_subscription(DiagnosticArray, DIAGNOSTICS.name, self._on_diagnostics, 10)
        if is_installed(TF.type):
            self._node.create_subscription(
                message_class(TF.type), TF_STATIC.name, self._on_static, qos.ALL_LATCHED, event_callbacks=UNHEARD
            )
        self._say('Looking at the graph ...')
        sources = self._discover()
        if all(part in sources for part in (IMAGE, CAMERA_INFO)):
            self._listen(sources)
        self._complaints += rivals(self._node, sources)
        self._complaints += mismatches(self._node, [*(source.name for source in sources.values()), TF_STATIC.name])
        self._judge_depth_node()
        return examination(self._facts, self._complaints)

    def _discover(self) -> dict[Topic, Source]:
        """Return the topics to listen to, once nothing new appears."""
        question, found = self._question, None
        begun = changed = time.monotonic()
        settled = False
        while not settled:
            self._spin(lambda: False, 0.3)
            self._takers = depth_nodes(self._node, question.namespace)
            before, found = (
                found,
                find_sources(
                    self._node,
                    question.topics,
                    next(iter(self._takers), None),
                    bool(question.options.get('world_frame')),
                    question.namespace,
                ),
            )
            now, named = time.monotonic(), all_named(self._node)
            changed = changed if found == before else now
            complete = named and not found[1] and now > changed + _SETTLED_S
            settled = complete or now > begun + (_DISCOVERY_S if named else _NAMES_S)
        if not self._others():
            self._complaints.append(
                Complaint(
                    f'No other ROS node is heard: is anything running, in this domain (ROS_DOMAIN_ID is '
                    f'{os.environ.get("ROS_DOMAIN_ID", "0, the default")}), with the same RMW_IMPLEMENTATION, and does '
                    'ROS_AUTOMATIC_DISCOVERY_RANGE let it be heard?'
                )
            )
            return {}
        told = {name: tuple(value) if isinstance(value, list) else value for name, value in self._told().items()}
        self._options = IntakeOptions(**{**told, **question.options})
        sources, complaints = find_sources(
            self._node,
            question.topics,
            next(iter(self._takers), None),
            bool(self._options.world_frame),
            question.namespace,
        )
        self._complaints += complaints
        return sources

    def _told(self) -> dict[str, Any]:
        """Return how a running depth node is set."""
        if not self._takers:
            self._facts['depth_node'] = 'does not run'
            return {}
        if len(self._takers) > 1:
            self._complaints.append(
                Complaint(
                    f'There are several depth nodes ({", ".join(self._takers)}); this is of '
                    'the first, --namespace chooses another.',
                    grave=False,
                )
            )
        names = [each.name for each in dataclasses.fields(IntakeOptions)]
        told = parameters_of(self._node, self._takers[0], names, self._spin)
        self._facts['depth_node'] = self._takers[0]
        if not told:
            self._complaints.append(
                Complaint(
                    f'{self._takers[0]} does not tell its parameters, so the defaults are '
                    'taken for them: give its file with --params.',
                    grave=False,
                )
            )
        return told

    def _listen(self, sources: Mapping[Topic, Source]) -> None:
        """Take what comes for some seconds, as depth_node does, and judge it."""
        node, options = self._node, self._options
        if node.count_publishers(CLOCK.name):
            node.set_parameters([Parameter('use_sim_time', value=True)])
            self._facts['clock'] = 'simulated, from /clock'
        self._heard = {part: _Heard(source) for part, source in sources.items()}
        self._mounting = RecordedMounting(self._tree, options)
        self._intake = Intake(options, self._mounting, sources[IMAGE].name)
        for message in self._static:
            self._intake.pose(message, STATIC_TRANSFORMS)
        self._worker = Worker(self._look)
        self._subscribe(sources[CAMERA_INFO], self._on_camera_info, qos.SMALL_MESSAGES, qos.LATCHED)
        poses = sources.get(ODOM) or sources.get(TF)
        if poses:
            self._follow(poses)
        try:
            self._spin(lambda: False, _HEAD_START_S)
            self._subscribe(sources[IMAGE], self._on_image, qos.sensor(10))
            until = time.monotonic() + self._question.seconds
            while (left := until - time.monotonic()) > 0 or (self._undecided and left > -_PATIENCE_S):
                more = f'for {left:.0f} s more' if left > 0 else 'until it shows why images contradict the odometry'
                self._say(
                    f'Listening {more}, {len(self._heard[IMAGE])} images so far; depth from motion needs motion ...'
                )
                self._spin(lambda: False, _SLICE_S)
                self._settle(self._intake.expire(time.monotonic()))
        finally:
            self._worker.stop()
        if self._failure:
            raise self._failure
        self._judge()

    def _follow(self, source: Source) -> None:
        """Subscribe to poses, whatever their type, and read them once more for their stamps."""
        if not is_installed(source.kind):
            self._complaints.append(Complaint(not_installed(source.name, source.kind)))
            return
        transforms = TransformPoses(self._options.world_frame, self._options.body_frame)
        for message in self._static:
            transforms.read_static(message)
        read, heard = pose_readers(transforms)[source.kind], self._heard[source.part]

        def on_pose(message) -> None:
            with contextlib.suppress(InvalidPose):
                for pose in read(message):
                    heard.add(pose.stamp_ns, self._now_ns())
                    heard.frame = pose.body_frame or self._options.body_frame or DEFAULT_BODY_FRAME
            self._settle(self._intake.pose(message, source.kind))

        self._subscribe(source, on_pose, qos.ODOMETRY)

    def _subscribe(self, source: Source, callback: Callable, *profiles) -> None:
        for profile in profiles:
            self._node.create_subscription(
                message_class(source.kind), source.name, callback, profile, event_callbacks=UNHEARD
            )

    def _on_static(self, message) -> None:
        self._static.append(message)
        for transform in static_transforms(message):
            self._tree.add(transform)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self._statuses.update(
            {f'/{status.name}': status for status in message.status if status.hardware_id == 'ros_depthnet'}
        )

    def _on_camera_info(self, message) -> None:
        self._info = message
        self._heard[CAMERA_INFO].add(to_ns(message.header.stamp), self._now_ns())
        self._settle(self._intake.camera_info(message))

    def _on_image(self, message) -> None:
        heard = self._heard[IMAGE]
        heard.add(to_ns(message.header.stamp), self._now_ns())
        heard.frame, heard.size = message.header.frame_id, len(message.data)
        self._settle(self._intake.image(message, time.monotonic()))

    def _settle(self, outcomes: Sequence[Arrival | Refusal]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                self._survey.refuse(outcome)
            else:
                self._worker.offer(outcome)

    def _look(self, arrival: Arrival) -> None:
        try:
            self._survey.look(RecordedFrame(arrival.frame(), arrival.epoch, arrival.pose.T_body_cam))
            self._undecided = self._survey.undecided
        except BadImage as error:
            self._survey.refuse(Refusal(Drop.BAD_IMAGE, {'why': str(error)}))
        except Exception as error:  # noqa: BLE001 (it would end the worker without a word)
            self._failure = error

    def _judge(self) -> None:
        """Say what was heard, and what is wrong with it."""
        for part, heard in self._heard.items():
            self._facts[heard.source.name] = str(heard)
            if not len(heard):
                self._complaints.append(
                    Complaint(
                        f'Nothing came on {heard.source.name}, though it has a publisher: '
                        'see whether that waits for something, or its network is cut.'
                    )
                )
            self._complaints += of_the_rate(ODOM if part is TF else part, heard.source.name, heard.hz)
        images, poses = self._heard[IMAGE], self._heard.get(ODOM) or self._heard.get(TF)
        self._complaints += of_the_calibration(self._info, self._facts)
        if len(images):
            self._complaints += _of_the_transport(images, self._heard[CAMERA_INFO])
        clocks = []
        if len(images) and poses and len(poses):
            clocks = _of_the_clocks(images, poses)
            self._complaints += clocks
            self._complaints += of_the_mounting(self._mounting, poses.frame, images.frame, self._options, self._facts)
        # By two clocks images get poses of other moments, and contradict them whatever else is right.
        if len(images) and not any(complaint.grave for complaint in clocks):
            self._complaints += self._survey.complaints(self._facts)

    def _judge_depth_node(self) -> None:
        for name in self._takers[:1]:
            status = self._statuses.get(name)
            if status is None:
                continue
            values = {pair.key: pair.value for pair in status.values}
            self._facts['depth_node'] = f'{name}, {values.get("state")}, {values.get("rate_hz")} Hz'
            if values.get('state') != 'active' or status.level == DiagnosticStatus.ERROR:
                self._complaints.append(Complaint(f'{name} is {values.get("state")} and says: {status.message}'))
            elif status.level == DiagnosticStatus.WARN:
                self._complaints.append(Complaint(f'{name} says: {status.message}', grave=False))
            if values.get('listeners', '').startswith('no'):
                self._complaints.append(
                    Complaint(
                        f'Nobody listens to what {name} publishes, so it computes nothing: '
                        'subscribe to depth/image or points.',
                        grave=False,
                    )
                )

    def _others(self) -> list[str]:
        own = (self._node.get_name(), self._node.get_namespace())
        return [name for name, space in self._node.get_node_names_and_namespaces() if (name, space) != own]

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def _spin(self, condition: Callable[[], bool], seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not condition() and time.monotonic() < until:
            self._executor.spin_once(timeout_sec=_SLICE_S)
        return condition()


def _of_the_clocks(images: _Heard, poses: _Heard) -> list[Complaint]:
    names = images.source.name, poses.source.name
    for heard in (images, poses):
        if heard.newest_ns == 0:
            return [Complaint(f'{heard.source.name} is stamped with zero: have its publisher stamp when it measures.')]
    apart = images.age_s - poses.age_s
    if abs(apart) > _CLOCKS_APART_S:
        return [
            Complaint(
                f'{names[0]} is stamped {abs(apart):.1f} s {"before" if apart > 0 else "after"} what comes '
                f'at the same time on {names[1]}: they go by two clocks; synchronise the computers (chrony, '
                'PTP), or have both take their time from one (use_sim_time, UXRCE_DDS_SYNCT, timesync of '
                'MAVROS).'
            )
        ]
    if abs(images.age_s) > _OLD_S:
        return [
            Complaint(
                f'All stamps are {abs(images.age_s):.1f} s {"behind" if images.age_s > 0 else "ahead of"} '
                'the clock of this computer: depth does not mind, but tf, RViz and autopilots do; '
                'synchronise the clocks, or for a recording publish /clock and set use_sim_time.',
                grave=False,
            )
        ]
    return []


def _of_the_transport(images: _Heard, infos: _Heard) -> list[Complaint]:
    """Complain of images that get lost, which shows where their calibration comes with each of them."""
    if images.size < _LARGE_BYTES or not images.hz or not infos.hz or images.hz > _RARER * infos.hz:
        return []
    return [
        Complaint(
            f'{images.source.name} comes {images.hz:.1f} times a second, its calibration {infos.hz:.1f} '
            f'times: images of {images.size / 1e6:.1f} MB get lost on the way, as Fast DDS drops most above '
            '0.5 MB by default; start the camera driver with FASTDDS_DEFAULT_PROFILES_FILE (Humble, Jazzy: '
            'FASTRTPS_DEFAULT_PROFILES_FILE) set to config/fastdds.xml, or take compressed images.'
        )
    ]
