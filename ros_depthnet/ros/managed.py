"""What all nodes have in common: parameters, life cycle, diagnostics; and what the processing ones share."""

import time
import traceback
from collections.abc import Callable
from types import SimpleNamespace

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterValueException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile

from ros_depthnet.core.reasons import Drop
from ros_depthnet.ros import qos
from ros_depthnet.ros.depth_link import DepthLink, LinkInput
from ros_depthnet.ros.diagnostics import Complaint, Health, array_of
from ros_depthnet.ros.endpoints import ImageInput, Input, LatchedInput, Output
from ros_depthnet.ros.parameters import TABLES, Parameter
from ros_depthnet.ros.pose_input import TakePose, pose_inputs
from ros_depthnet.ros.topics import DIAGNOSTICS, Topic
from ros_depthnet.ros.worker import Worker

_DEMAND_PERIOD = 0.2  # seconds


class ManagedNode(LifecycleNode):
    """
    A lifecycle node with declared parameters that reports its health on /diagnostics once a second.

    Subclasses fill `configure` (may raise ValueError or OSError with a sentence), `activate`, `deactivate`
    and `clean_up`. The diagnostics come in every state, so a node that cannot be configured says why.
    """

    def __init__(self, name: str, **node_options):
        """Declare the parameters of the node of this name; raises ValueError for a bad one."""
        super().__init__(name, **node_options)
        self.health = Health(self.get_logger())
        # Timers run on steady time: simulated time may stand still or jump.
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.settings = SimpleNamespace()
        self._declare(TABLES[name])
        self.exit_code: int | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, DIAGNOSTICS.name, 10)
        self.create_timer(1.0, self._report, clock=self.steady_clock)

    def configure(self) -> None:
        """Get ready: open files, load models, advertise."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Stop working."""

    def clean_up(self) -> None:
        """Let go of what `configure` got."""

    def complaints(self) -> list[Complaint]:
        """Return what is wrong at this moment."""
        return []

    def facts(self) -> dict[str, str]:
        """Return what else diagnostics should tell at this moment."""
        return {}

    def check(self, settings: SimpleNamespace) -> None:
        """Raise ValueError with a sentence for settings that contradict each other."""

    def settings_changed(self) -> None:
        """Use the new `self.settings`."""

    def start(self) -> None:
        """Configure and activate, if `autostart` says so; a failure is said in the log and diagnostics."""
        if self.settings.autostart and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def close(self) -> None:
        """Stop working for good, whatever the state."""
        self.deactivate()
        self.clean_up()

    def destroy_node(self) -> None:
        """Leave the graph at once: rclpy's state machine keeps a node in it until Python collects it."""
        super().destroy_node()
        self._state_machine = None

    @property
    def state(self) -> str:
        """The life cycle's state: unconfigured, inactive, active or finalized."""
        return self._state_machine.current_state[1]

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure, or stay unconfigured and say why."""
        return self._attempt(self.configure, self.clean_up) or super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to work, or stay inactive and say why."""
        result = super().on_activate(state)
        return self._attempt(self.activate, self.deactivate) or result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working."""
        self.deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything."""
        self.clean_up()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and let go of everything."""
        self.close()
        return super().on_shutdown(state)

    def _declare(self, table: tuple[Parameter, ...]) -> None:
        self._table = {parameter.name: parameter for parameter in table}
        self.add_on_set_parameters_callback(self._on_set_parameters)
        for parameter in table:
            try:
                self.declare_parameter(parameter.name, parameter.default, _descriptor(parameter))
            except InvalidParameterValueException as error:
                raise ValueError(self._refusal) from error
        self.check(self.settings)

    def _on_set_parameters(self, parameters) -> SetParametersResult:
        changed = SimpleNamespace(**vars(self.settings))
        complete = len(vars(changed)) == len(self._table)
        try:
            for parameter in parameters:
                if parameter.name in self._table:
                    setattr(changed, parameter.name, self._table[parameter.name].checked(parameter.value))
            if complete:
                self.check(changed)
        except ValueError as error:
            self._refusal = str(error)
            return SetParametersResult(successful=False, reason=self._refusal)
        self.settings = changed
        if complete:
            self.settings_changed()
        return SetParametersResult(successful=True)

    def _attempt(self, step: Callable[[], None], undo: Callable[[], None]) -> TransitionCallbackReturn | None:
        """Take a step; where it fails undo it, say why, which rclpy would not, and return FAILURE."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 (see above)
            undo()
            expected = isinstance(error, ValueError | OSError)
            self.health.fail(str(error) if expected else f'{type(error).__name__}: {error}')
            self.get_logger().debug(traceback.format_exc())
            return TransitionCallbackReturn.FAILURE
        self.health.recover()
        return None

    def _report(self) -> None:
        complaints = self.complaints()
        for complaint in complaints:
            self.health.log('standing', complaint)
        name = self.get_fully_qualified_name().lstrip('/')
        status = self.health.status(name, self.state, self.facts(), complaints)
        self._diagnostics.publish(array_of(status, self.get_clock().now().to_msg()))


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
        self._demand_timer = None
        super().__init__(name, **node_options)

    def connect(self) -> None:
        """Subscribe to the inputs."""

    def process(self, job) -> None:
        """Work on one job, in the worker's thread."""

    def forget(self) -> None:
        """Empty the buffers; the inputs are no longer connected, and the worker has stopped."""

    def advertise(self, topic: Topic, message_type: type, profile: QoSProfile = qos.OUTPUT) -> Output:
        """Return a new output; it counts as demand when somebody listens."""
        self._outputs.append(Output(self, topic, message_type, profile))
        return self._outputs[-1]

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
        self.inputs.append(Input(self, topic, message_type, callback, profile, optional, once))
        return self.inputs[-1]

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
            # One for all listeners to come: malloc may give each new thread an arena, which is never given back.
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


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    number = parameter.default[0] if isinstance(parameter.default, list) else parameter.default
    return ParameterDescriptor(
        description=parameter.description,
        additional_constraints=parameter.range,
        read_only=not parameter.live,
        # `max_range: 80` is a whole number in YAML; what does not fit is refused by `checked`.
        dynamic_typing=isinstance(number, float),
    )


def milliseconds_since(start: float) -> float:
    """Return the milliseconds since a `time.monotonic()`."""
    return (time.monotonic() - start) * 1000
