"""The connection to an autopilot: its own messages, where they are installed, and how fresh they are."""

import time
from functools import partial
from types import SimpleNamespace

from builtin_interfaces.msg import Time
from rclpy.timer import Timer
from sensor_msgs.msg import LaserScan
from std_msgs.msg import Header

from ros_depthnet.core.autopilot import FRESH_S, ObstacleDistance, companion_state
from ros_depthnet.flight.messages.stamp import NANOSECONDS, to_ns
from ros_depthnet.ros import topics
from ros_depthnet.ros.conversions.autopilot import to_companion_status, to_mavros_scan, to_px4
from ros_depthnet.ros.diagnostics import Complaint
from ros_depthnet.ros.endpoints import Output
from ros_depthnet.ros.processing_node import ProcessingNode

try:
    from px4_msgs.msg import ObstacleDistance as Px4ObstacleDistance
except ImportError:
    Px4ObstacleDistance = None
try:
    from mavros_msgs.msg import CompanionProcessStatus
except ImportError:
    CompanionProcessStatus = None

_HEARTBEAT = 0.5  # seconds


def check_autopilot(settings: SimpleNamespace) -> None:
    """Raise ValueError with a sentence when PX4's messages are demanded but not installed."""
    if settings.autopilot == 'px4' and Px4ObstacleDistance is None:
        raise ValueError(
            'autopilot is px4, but px4_msgs is not installed: build it in the workspace, '
            "from the branch of your PX4's release, or set autopilot to mavros or none."
        )


class AutopilotLink:
    """
    Tells the autopilot that the node's `autopilot` parameter names; nobody, where that is `none`.

    With MAVROS it says too how the companion does: not that this process runs, but whether the autopilot has
    been told something it can still use.
    """

    def __init__(self, node: ProcessingNode):
        """Advertise."""
        self._node = node
        self._timer: Timer | None = None
        self._last_told: float | None = None
        self._scan: Output | None = None
        self._px4: Output | None = None
        self._status: Output | None = None
        if node.settings.autopilot == 'px4':
            self._px4 = node.advertise(topics.PX4_OBSTACLE_DISTANCE, Px4ObstacleDistance)
        elif node.settings.autopilot == 'mavros':
            self._scan = node.advertise(topics.MAVROS_OBSTACLE, LaserScan)
            self._advertise_status()

    @property
    def wanted(self) -> bool:
        """Tell whether an autopilot's bridge listens to distances."""
        output = self._scan or self._px4
        return output is not None and output.wanted

    def tell(self, distance: ObstacleDistance, header: Header) -> None:
        """Publish distances; the header's frame is the level one, its stamp the image's."""
        if self._scan:
            frd = Header(stamp=header.stamp, frame_id=f'{header.frame_id}_frd')
            self._scan.publish(to_mavros_scan(distance, frd))
        elif self._px4:
            self._check_age(header.stamp)
            self._px4.publish(to_px4(distance, header.stamp, Px4ObstacleDistance))
        if distance.knows_something:
            self._last_told = time.monotonic()

    def _check_age(self, stamp: Time) -> None:
        """Complain of distances that PX4 will take for forgotten: it counts their age from the image's stamp."""
        age_s = (self._node.get_clock().now().nanoseconds - to_ns(stamp)) / NANOSECONDS
        if not 0 <= age_s <= FRESH_S:
            self._node.health.complain(
                'autopilot',
                Complaint.error(
                    f'PX4 ignores the distances: their images are {age_s:.2f} s old, and {FRESH_S:.1f} s are allowed; '
                    'stamp images with the clock of this computer, or take a faster model (parallaxnet_small) or a '
                    'smaller input_width.'
                ),
            )

    def start(self) -> None:
        """Begin with the heartbeat."""
        self._last_told = None
        if self._status:
            self._timer = self._node.create_timer(
                _HEARTBEAT, partial(self._beat, self._status), clock=self._node.steady_clock
            )

    def stop(self) -> None:
        """End the heartbeat: who has been stopped is not alive."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _advertise_status(self) -> None:
        if CompanionProcessStatus is None:
            self._node.get_logger().warning(
                'The autopilot gets distances but no heartbeat, as mavros_msgs is not installed.'
            )
        else:
            self._status = self._node.advertise(topics.COMPANION_STATUS, CompanionProcessStatus)

    def _beat(self, status: Output) -> None:
        age_s = None if self._last_told is None else time.monotonic() - self._last_told
        now = self._node.get_clock().now().to_msg()
        status.publish(to_companion_status(companion_state(age_s), now, CompanionProcessStatus))
