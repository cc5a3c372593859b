"""What all nodes have in common: parameters, life cycle, diagnostics."""

import traceback
from collections.abc import Callable
from types import SimpleNamespace

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterValueException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from ros_depthnet.ros.diagnostics import Complaint, Health, array_of
from ros_depthnet.ros.parameters import TABLES, Parameter, misspelt
from ros_depthnet.ros.topics import DIAGNOSTICS


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
        try:
            self._declare(TABLES[name])
        except Exception:  # who is refused must not be taken for another of its name
            self.destroy_node()
            raise
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
        vars(self).pop('_state_machine', None)

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
        complaints = [*map(Complaint.warning, misspelt(self._parameter_overrides)), *self.complaints()]
        for complaint in complaints:
            self.health.log('standing', complaint)
        name = self.get_fully_qualified_name().lstrip('/')
        status = self.health.status(name, self.state, self.facts(), complaints)
        self._diagnostics.publish(array_of(status, self.get_clock().now().to_msg()))


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    number = parameter.default[0] if isinstance(parameter.default, list) else parameter.default
    return ParameterDescriptor(
        description=parameter.description,
        additional_constraints=parameter.range,
        read_only=not parameter.live,
        # `max_range: 80` is a whole number in YAML; what does not fit is refused by `checked`.
        dynamic_typing=isinstance(number, float),
    )
