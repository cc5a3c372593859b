"""What nodes share that turn inputs into outputs: a worker, and inputs only while somebody listens."""

import time
import traceback
from collections.abc import Callable

from rclpy.qos import QoSProfile
from rclpy.timer import Timer

from ros_depthnet.core.reasons import Drop
from ros_depthnet.ros import qos
from ros_depthnet.ros.depth_link import DepthLink, LinkInput
from ros_depthnet.ros.diagnostics import Complaint
from ros_depthnet.ros.endpoints import ImageInput, Input, LatchedInput, Output
from ros_depthnet.ros.managed import ManagedNode
from ros_depthnet.ros.pose_input import TakePose, pose_inputs
from ros_depthnet.ros.topics import Topic
from ros_depthnet.ros.worker import Worker

_DEMAND_PERIOD = 0.2  # seconds


class ProcessingNode(ManagedNode):
    """
    A node that turns inputs into outputs, in a worker thread, while somebody listens.

    Subclasses fill `connect`, which subscribes with `self.subscribe`, `process`, which the worker calls with
    each job given to `self.work_on`, and `forget`, which empties what was collected.
    """

    def __init__(self, name: str, **node_options):
        """Declare the parameters."""
        self.inputs: list[Input | LatchedInput | LinkInput] = []
        self._outputs: list[Output | DepthLink] = []
        self._worker: Worker | None = None
        self._connected = False
        self._demand_timer: Timer | None = None
        self._opened: list[Callable[[], object]] = []
        super().__init__(name, **node_options)

    def connect(self) -> None:
        """Subscribe to the inputs."""

    def process(self, job) -> None:
        """Work on one job, in the worker's thread."""

    def forget(self) -> None:
        """Empty the buffers; the inputs are no longer connected, and the worker has stopped."""

    def advertise(self, topic: Topic, message_type: type, profile: QoSProfile = qos.OUTPUT) -> Output:
        """Return a new output; it counts as demand when somebody listens."""
        output = Output(self, topic, message_type, profile)
        self._outputs.append(output)
        return output

    def link_to(self, link: DepthLink) -> None:
        """Count those who take from a link as listeners."""
        self._outputs.append(link)

    def subscribe(
        self,
        topic: Topic,
        message_type: type,
        callback,
        profile: QoSProfile,
        optional: bool = False,
        once: bool = False,
    ) -> Input:
        """Return a new input, closed when nobody listens to the outputs any more; see Input."""
        source = Input(self, topic, message_type, callback, profile, optional, once)
        self.inputs.append(source)
        return source

    def subscribe_camera(
        self, topic: Topic, message_type: type, callback: Callable, another: Callable[[], None]
    ) -> ImageInput:
        """Return a new input of images; `another` is called when another camera goes on with them."""
        images = ImageInput(self, topic, message_type, callback, qos.IMAGES, another=another)
        self.inputs.append(images)
        return images

    def subscribe_poses(self, take: TakePose, another: Callable[[], None], optional: bool = False) -> None:
        """
        Have `take` called with each message that tells a pose and with its kind; closed with the inputs.

        `another` is called when another publisher goes on with the odometry.
        """
        self.inputs += pose_inputs(self, self.settings.world_frame, take, another, optional)

    def also_latched(self, topic: Topic, message_type: type, callback) -> None:
        """Take what was published once, before this node listened; closed together with the inputs."""
        self.inputs.append(LatchedInput(self, topic, message_type, callback))

    def on_disconnect(self, close: Callable[[], object]) -> None:
        """Have this called once the inputs are closed, the last such first; for what `connect` opens beside them."""
        self._opened.append(close)

    def every(self, seconds: float, callback: Callable[[], None]) -> None:
        """Have this called so often while the inputs are connected."""
        timer = self.create_timer(seconds, callback, clock=self.steady_clock)
        self.on_disconnect(lambda: self.destroy_timer(timer))

    def work_on(self, job):
        """Give the worker a job; return the older one it had no time for, if any."""
        return self._worker.offer(job) if self._worker and self._connected else job

    def activate(self) -> None:
        """Look for listeners from now on."""
        self._demand_timer = self.create_timer(_DEMAND_PERIOD, self._follow_demand, clock=self.steady_clock)
        self._follow_demand()

    def deactivate(self) -> None:
        """Disconnect."""
        if self._demand_timer is not None:
            self.destroy_timer(self._demand_timer)
            self._demand_timer = None
        self._disconnect()
        if self._worker:
            self._worker.stop()
            self._worker = None

    def clean_up(self) -> None:
        """Stop advertising."""
        while self._outputs:
            self._outputs.pop().close()

    def complaints(self) -> list[Complaint]:
        """Return which inputs are silent."""
        found = [source.complaint(self.settings.input_timeout) for source in self.inputs]
        return [complaint for complaint in found if complaint]

    def facts(self) -> dict[str, str]:
        """Return whether anybody listens, and the rates of the inputs."""
        return {
            'listeners': 'yes' if self.inputs else 'no, so nothing is computed',
            **{f'input_hz{source.topic}': f'{source.rate:.1f}' for source in self.inputs if isinstance(source, Input)},
        }

    def _follow_demand(self) -> None:
        wanted = any(output.wanted for output in self._outputs)
        if wanted and not self._connected:
            self._worker = self._worker or Worker(self._process_guarded)
            self._connected = True
            try:
                self.connect()
            except Exception as error:  # noqa: BLE001 (a bad QoS override, say; it must not end the process)
                self._disconnect()
                self.health.complain(
                    'inputs',
                    Complaint.error(
                        f'The inputs cannot be subscribed to: {error}; check the qos_overrides parameters.'
                    ),
                )
        elif not wanted:
            self._disconnect()

    def _disconnect(self) -> None:
        if not self._connected:
            return
        self._connected = False
        self._drop_work()
        while self.inputs:
            self.inputs.pop().close()
        self._drop_work()  # which a link has brought meanwhile
        while self._opened:
            self._opened.pop()()
        self.forget()

    def _drop_work(self) -> None:
        if self._worker and self._worker.settle() is not None:
            self.health.dropped(Drop.NO_LISTENER)

    def _process_guarded(self, job) -> None:
        try:
            self.process(job)
        except Exception as error:  # noqa: BLE001 (a dead worker would be a node that is silent for ever)
            self.health.dropped('internal_error')
            sentence = f'{type(error).__name__} while processing: {error}'
            self.health.complain('internal_error', Complaint.error(sentence))
            self.get_logger().debug(traceback.format_exc())


def milliseconds_since(start: float) -> float:
    """Return the milliseconds since a `time.monotonic()`."""
    return (time.monotonic() - start) * 1000
