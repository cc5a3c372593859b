"""Where the camera was when an image was taken: poses, mounting, and the images that wait for them."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from ros_depthnet.core.motion import InvalidPose, NoPose, PoseBuffer, TimeJump
from ros_depthnet.core.reasons import Drop, MessageRefusal, Refusal
from ros_depthnet.flight.messages.pose import StampedPose
from ros_depthnet.flight.mounting import MountingOptions, MountingSource
from ros_depthnet.flight.transforms import DEFAULT_BODY_FRAME, TransformPoses, pose_readers

Asker = TypeVar('Asker')

_BUFFERED_S = 5.0  # seconds of poses, beside what images may wait
_MOST_WAITING = 2000  # images, whatever their rate: only a clock that stands still gets there


@dataclass(frozen=True)
class PoseOptions(MountingOptions):
    """
    Choices about poses.

    body_frame: poses of another body are refused; empty takes any. world_frame: poses are taken from tf, as the
    body's in this frame; empty takes them from odometry. pose_timeout: seconds that an image waits for poses on
    both sides of its stamp. pose_gap: seconds between two poses over which is interpolated. pose_delay: seconds
    by which the stamps of poses are late, negative where they are early.
    """

    body_frame: str = ''
    world_frame: str = ''
    pose_timeout: float = 0.5
    pose_gap: float = 0.25
    pose_delay: float = 0.0


@dataclass(frozen=True, eq=False)
class CameraPose:
    """A camera's pose T_odom_cam, its mounting T_body_cam, and the names of the frames odom and body."""

    T_odom_cam: np.ndarray
    T_body_cam: np.ndarray
    odom_frame: str
    body_frame: str


@dataclass(frozen=True, eq=False)
class Located(Generic[Asker]):
    """Who asked, and the pose that was asked for."""

    asker: Asker
    pose: CameraPose


@dataclass(frozen=True, eq=False)
class _Request(Generic[Asker]):
    stamp_ns: int
    camera_frame: str
    asker: Asker
    deadline: float


class CameraPoses(Generic[Asker]):
    """
    The camera's pose at any recent time, interpolated between the poses of its body.

    Every method returns what it has settled: a Located for each pose that is known by now, in the order in
    which they were asked for, and a Refusal for each that will not come, or for a pose that is no use.
    `now` is seconds of any clock that only goes forward, wall clock or a recorder's. Messages may come in
    small disorder. Not thread-safe.
    """

    def __init__(self, options: PoseOptions, mounting: MountingSource):
        """Begin without poses."""
        self.options, self._mounting = options, mounting
        self._buffer = PoseBuffer(_BUFFERED_S + options.pose_timeout, options.pose_gap)
        self._pace = _Pace()
        self._transforms = TransformPoses(options.world_frame, options.body_frame)
        self._readers = pose_readers(self._transforms)
        self._odom_frame, self._body_frame = '', DEFAULT_BODY_FRAME
        self._waiting: deque[_Request[Asker]] = deque()
        self.epoch = 0  # how often what came before has become no use

    def use(self, options: PoseOptions) -> None:
        """Go on with another pose_timeout; the rest of the options is decided at the start."""
        self.options = options

    def request(self, stamp_ns: int, camera_frame: str, asker: Asker, now: float) -> list[Located | Refusal]:
        """Ask for the camera's pose at a time."""
        settled = []
        if len(self._waiting) == _MOST_WAITING:
            settled.append(self._too_late(self._waiting.popleft()))
        deadline = now + self.options.pose_timeout
        self._waiting.append(_Request(stamp_ns, camera_frame, asker, deadline))
        return settled + self._serve()

    def take(self, message: Any, kind: str) -> list[Located | Refusal]:
        """Take a message of one of the types of `transforms.pose_readers`."""
        try:
            return [outcome for pose in self._readers[kind](message) for outcome in self._add(pose)]
        except InvalidPose as error:
            return [MessageRefusal(Drop.BAD_POSE, {'why': str(error)})]

    def _add(self, pose: StampedPose) -> list[Located | Refusal]:
        wanted = self.options.body_frame
        if wanted and pose.body_frame and pose.body_frame != wanted:
            return [MessageRefusal(Drop.OTHER_BODY, {'body_frame': pose.body_frame, 'wanted': wanted})]
        pose = replace(pose, stamp_ns=pose.stamp_ns - round(self.options.pose_delay * 1e9))
        settled: list[Located | Refusal] = []
        try:
            self._buffer.add(pose.stamp_ns, pose.T_world_body)
        except TimeJump:
            back = ((self._buffer.newest_ns or 0) - pose.stamp_ns) / 1e9
            settled = [MessageRefusal(Drop.TIME_JUMP, {'back': back}), *self.give_up(Drop.TIME_JUMP)]
            self.begin_anew()
            self._buffer.add(pose.stamp_ns, pose.T_world_body)
        self._pace.add(pose)
        self._odom_frame = pose.world_frame
        self._body_frame = pose.body_frame or wanted or DEFAULT_BODY_FRAME
        return settled + self._serve()

    def expire(self, now: float) -> list[Located | Refusal]:
        """Give up those that have waited too long."""
        settled = self._serve()
        while self._waiting and self._waiting[0].deadline < now:
            settled.append(self._too_late(self._waiting.popleft()))
        return settled

    def give_up(self, reason: Drop) -> list[Refusal]:
        """Refuse all who wait, for this reason."""
        refusals = [Refusal(reason) for _ in self._waiting]
        self._waiting.clear()
        return refusals

    def begin_anew(self) -> None:
        """Forget every pose, as of another source's odometry; who waits may be answered by what comes."""
        self._buffer.clear()
        self._pace = _Pace()
        self.epoch += 1

    def _serve(self) -> list[Located | Refusal]:
        settled: list[Located | Refusal] = []
        still_waiting: deque[_Request] = deque()
        for request in self._waiting:
            outcome = self._answer(request)
            if outcome is None:
                still_waiting.append(request)
            else:
                settled.append(outcome)
        self._waiting = still_waiting
        return settled

    def _answer(self, request: _Request[Asker]) -> Located | Refusal | None:
        try:
            T_odom_body = self._buffer.at(request.stamp_ns)
        except NoPose as why:
            if why.reason == 'not yet':
                return None
            return Refusal(Drop.NO_POSE, {'seconds': request.stamp_ns / 1e9, 'why': why.reason})
        ratio = self._pace.contradiction
        if ratio is not None:
            return Refusal(Drop.SCALE_CONTRADICTED, {'ratio': ratio})
        T_body_cam = self._mounting.T_body_cam(self._body_frame, request.camera_frame)
        if T_body_cam is None:
            return None
        pose = CameraPose(T_odom_body @ T_body_cam, T_body_cam, self._odom_frame, self._body_frame)
        return Located(request.asker, pose)

    def _too_late(self, request: _Request[Asker]) -> Refusal:
        newest_ns = self._buffer.newest_ns
        if newest_ns is None:
            why = 'start its source, or remap odom'
            if self.options.world_frame or self._transforms:
                why = f'{self._transforms.missing}: set world_frame and body_frame to two that belong together'
            return Refusal(Drop.NO_ODOMETRY, {'why': why})
        if newest_ns < request.stamp_ns:
            return Refusal(Drop.ODOMETRY_LATE, {'late': (request.stamp_ns - newest_ns) / 1e9})
        return Refusal(Drop.NO_MOUNTING, {'camera_frame': request.camera_frame, 'body_frame': self._body_frame})


class _Pace:
    """Whether positions move as fast as their own source says; most sources say nothing, which is no fault."""

    _STRETCH_S = 0.3  # seconds of a comparison: shorter drowns in noise, longer bends
    _LEAST_WAY = 0.15  # metres
    _COMPARED = 6  # comparisons that must agree
    _ALLOWED = (0.8, 1.25)  # ratio of the two: depth is off by as much

    def __init__(self) -> None:
        self._start: StampedPose | None = None
        self._last: StampedPose | None = None
        self._ratios: deque[float] = deque(maxlen=self._COMPARED)

    def add(self, pose: StampedPose) -> None:
        if pose.speed is None or (self._last and pose.stamp_ns <= self._last.stamp_ns):
            return
        if self._start is None or self._last is None:
            self._start, self._last, self._way = pose, pose, 0.0
            return
        self._way += pose.speed * (pose.stamp_ns - self._last.stamp_ns) / 1e9
        self._last = pose
        if pose.stamp_ns - self._start.stamp_ns >= self._STRETCH_S * 1e9:
            moved = np.linalg.norm(pose.T_world_body[:3, 3] - self._start.T_world_body[:3, 3])
            if self._way >= self._LEAST_WAY:
                self._ratios.append(float(moved) / self._way)
            self._start, self._way = pose, 0.0

    @property
    def contradiction(self) -> float | None:
        """The ratio of what positions move to what velocity says, where all say that it is off."""
        least, most = self._ALLOWED
        if len(self._ratios) < self._COMPARED:
            return None
        off = max(self._ratios) < least or min(self._ratios) > most
        return float(np.median(self._ratios)) if off else None


def refusals(settled: Sequence[Located | Refusal]) -> list[Refusal]:
    """Return the refusals of what was settled."""
    return [outcome for outcome in settled if isinstance(outcome, Refusal)]
