"""Where the camera was when an image was taken: odometry and mounting, and the images that wait for them."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from nav_msgs.msg import Odometry

from ros_depthnet.core.baseline import Drop
from ros_depthnet.core.motion import InvalidPose, NoPose, PoseBuffer, TimeJump
from ros_depthnet.ros import qos
from ros_depthnet.ros.conversions.pose import to_pose
from ros_depthnet.ros.conversions.time import to_ns
from ros_depthnet.ros.managed import ProcessingNode
from ros_depthnet.ros.mounting import Mounting
from ros_depthnet.ros.topics import ODOM

_MOST_WAITING = 10
_PERIOD = 0.05  # seconds between looks at who has waited too long


@dataclass(frozen=True, eq=False)
class CameraPose:
    """A camera's pose T_odom_cam, its mounting T_body_cam, and the names of the frames odom and body."""

    T_odom_cam: np.ndarray
    T_body_cam: np.ndarray
    odom_frame: str
    body_frame: str


@dataclass(frozen=True, eq=False)
class _Request:
    stamp_ns: int
    camera_frame: str
    deliver: Callable[[CameraPose], None]
    deadline: float


class CameraPoses:
    """
    The camera's pose at any recent time, interpolated from odometry.

    A pose asked for before the odometry has come is delivered when it has, or counted as NO_POSE after
    `pose_timeout` seconds of wall time. Everything happens in the executor's thread.
    """

    def __init__(self, node: ProcessingNode):
        """Subscribe to the node's odometry."""
        self._node = node
        self._buffer = PoseBuffer(max_gap=node.settings.pose_gap)
        self._mounting = Mounting(node)
        self._odom_frame = self._body_frame = ''
        self._waiting: deque[_Request] = deque()
        self._input = node.subscribe(ODOM, Odometry, self._on_odometry, qos.ODOMETRY)
        self._timer = node.create_timer(_PERIOD, self._expire, clock=node.steady_clock)

    def request(self, stamp_ns: int, camera_frame: str, deliver: Callable[[CameraPose], None]) -> None:
        """Call `deliver` with the camera's pose at a time, now or when the odometry has come."""
        if len(self._waiting) == _MOST_WAITING:
            self._refuse(self._waiting.popleft(), 'too many images wait')
        deadline = time.monotonic() + self._node.settings.pose_timeout
        self._waiting.append(_Request(stamp_ns, camera_frame, deliver, deadline))
        self._serve()

    def close(self) -> None:
        """Forget everything and stop listening; the node closes the subscription."""
        self._node.destroy_timer(self._timer)
        self._mounting.close()
        self._waiting.clear()

    def _on_odometry(self, message: Odometry) -> None:
        wanted = self._node.settings.body_frame
        if wanted and message.child_frame_id != wanted:
            self._node.health.dropped(
                Drop.BAD_POSE,
                f'Odometry on {self._input.topic} is of {message.child_frame_id!r}, not of {wanted!r}; '
                'it is not used.',
            )
            return
        stamp_ns = to_ns(message.header.stamp)
        try:
            T_odom_body = to_pose(message.pose.pose)
            try:
                self._buffer.add(stamp_ns, T_odom_body)
            except TimeJump as jump:
                self._node.health.dropped(
                    Drop.TIME_JUMP, f'{jump} The poses before and what waits for more are forgotten.'
                )
                self._buffer.clear()
                while self._waiting:
                    self._waiting.popleft()
                    self._node.health.dropped(Drop.TIME_JUMP)
                self._buffer.add(stamp_ns, T_odom_body)
        except InvalidPose as error:
            self._node.health.dropped(Drop.BAD_POSE, f'Odometry on {self._input.topic} is refused: {error}')
            return
        self._odom_frame, self._body_frame = message.header.frame_id, message.child_frame_id
        self._serve()

    def _serve(self) -> None:
        """Deliver every pose that is known by now, in the order in which they were asked for."""
        still_waiting: deque[_Request] = deque()
        for request in self._waiting:
            try:
                T_odom_body = self._buffer.at(request.stamp_ns)
            except NoPose as why:
                if why.reason == 'not yet':
                    still_waiting.append(request)
                else:
                    self._refuse(request, why.reason)
                continue
            T_body_cam = self._mounting.T_body_cam(self._body_frame, request.camera_frame)
            if T_body_cam is None:
                still_waiting.append(request)
                continue
            request.deliver(
                CameraPose(T_odom_body @ T_body_cam, T_body_cam, self._odom_frame, self._body_frame)
            )
        self._waiting = still_waiting

    def _expire(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0].deadline < now:
            request, newest_ns = self._waiting.popleft(), self._buffer.newest_ns
            if newest_ns is None:
                why = f'no odometry has come on {self._input.topic}'
            elif newest_ns < request.stamp_ns:
                why = (
                    f'the newest odometry on {self._input.topic} is '
                    f'{(request.stamp_ns - newest_ns) / 1e9:.2f} s older; '
                    'check its rate, and that both use one clock'
                )
            else:
                why = f'tf does not know {request.camera_frame!r} in {self._body_frame!r}'
            self._refuse(request, why)

    def _refuse(self, request: _Request, why: str) -> None:
        self._node.health.dropped(
            Drop.NO_POSE, f'The image at {request.stamp_ns / 1e9:.3f} s has no pose: {why}.'
        )
