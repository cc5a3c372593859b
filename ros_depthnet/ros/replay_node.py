"""The node that plays a recorded flight: a rosbag2 or a posed-sequence folder."""

import threading
import time

from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ros_depthnet.flight.bag import RecordingError
from ros_depthnet.ros import topics
from ros_depthnet.ros.conversions.time import to_stamp
from ros_depthnet.ros.endpoints import Output
from ros_depthnet.ros.managed import ManagedNode
from ros_depthnet.ros.recording import open_recording
from ros_depthnet.ros.running import run

_TYPES = {
    topics.IMAGE: Image,
    topics.COMPRESSED: CompressedImage,
    topics.CAMERA_INFO: CameraInfo,
    topics.ODOM: Odometry,
}
_IMAGES = (topics.IMAGE, topics.COMPRESSED)
_SILENT_S = 1.0  # of waiting, before it is told
_LINGER = 0.5  # seconds for the last messages to be taken before the process ends


class ReplayNode(ManagedNode):
    """A recording in; what the drone published, and /clock, out; an unreadable one ends the process."""

    def __init__(self, **node_options):
        """Declare the parameters."""
        self._outputs: dict[topics.Topic, Output] = {}
        self._player: threading.Thread | None = None
        self._stop = threading.Event()
        super().__init__('replay_node', **node_options)

    def configure(self) -> None:
        """Open the recording and advertise what is in it."""
        try:
            self._recording = open_recording(self.settings, self._left_out)
        except ValueError:
            self.exit_code = 1
            raise
        self._outputs = {topic: Output(self, topic, _TYPES[topic]) for topic in self._recording.topics}
        self._clock_output = Output(self, topics.CLOCK, Clock)

    def activate(self) -> None:
        """Play from the beginning."""
        self._stop.clear()
        self._player = threading.Thread(target=self._play, daemon=True)
        self._player.start()

    def deactivate(self) -> None:
        """Stop playing."""
        self._stop.set()
        if self._player:
            self._player.join()
            self._player = None

    def clean_up(self) -> None:
        """Stop advertising."""
        for output in (*self._outputs.values(), *((self._clock_output,) if self._outputs else ())):
            output.close()
        self._outputs = {}

    def _left_out(self, sentence: str) -> None:
        self.health.dropped('left_out', sentence)

    def _play(self) -> None:
        self._await_listeners()
        self._stop.wait(self.settings.start_delay)
        try:
            self._play_once()
            while self.settings.loop and not self._stop.is_set():
                self._play_once()
        except (RecordingError, OSError, ValueError) as error:
            self.health.fail(str(error))
            self.exit_code = 1
            return
        if not self._stop.is_set():
            self.get_logger().info(f'{self.settings.path} is played to its end.')
            if self.settings.exit_at_end and not self._stop.wait(_LINGER):
                self.exit_code = 0

    def _play_once(self) -> None:
        started, first_ns, clock_ns = time.monotonic(), None, None
        for event in self._recording.events():
            first_ns = event.time_ns if first_ns is None else first_ns
            due = started + (event.time_ns - first_ns) / 1e9 / self.settings.rate
            if self._stop.wait(max(due - time.monotonic(), 0)):
                return
            if event.time_ns != clock_ns:
                clock_ns = event.time_ns
                self._clock_output.publish(Clock(clock=to_stamp(clock_ns)))
            self._outputs[event.topic].publish(event.message)
            self.health.published((time.monotonic() - due) * 1000)

    def _await_listeners(self) -> None:
        """Wait until the images, of either kind, and all else have a subscriber, but not for ever."""
        images = [output for topic, output in self._outputs.items() if topic in _IMAGES]
        others = [output for output in self._outputs.values() if output not in images]
        began, patience, told = time.monotonic(), self.settings.wait_for_subscribers, False
        while time.monotonic() - began < patience and not self._stop.wait(0.05):
            if any(output.wanted for output in images) and all(output.wanted for output in others):
                return
            if not told and time.monotonic() - began > _SILENT_S:
                told = True
                self.get_logger().info(
                    f'Waiting up to {patience:.0f} s for somebody to take images and odometry. depth_node does when '
                    'it is ready, which takes longest at its first start, and somebody, RViz for one, takes its depth.'
                )
        if patience > 0 and not self._stop.is_set():
            self.get_logger().warning('Nobody takes both images and odometry: playing all the same.')


def main(args=None) -> None:
    """Run the node."""
    run(ReplayNode, args)


if __name__ == '__main__':
    main()
