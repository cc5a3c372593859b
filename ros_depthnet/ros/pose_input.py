"""Where a node gets its poses from: the topic `odom`, whatever type of message is on it, or tf."""

import importlib
from collections.abc import Callable, Mapping
from types import SimpleNamespace

from ros_depthnet.core.reasons import Drop, MessageRefusal, Refusal
from ros_depthnet.flight.messages.pose import READERS
from ros_depthnet.flight.transforms import STATIC_TRANSFORMS, TRANSFORMS
from ros_depthnet.ros import qos, topics
from ros_depthnet.ros.diagnostics import Complaint
from ros_depthnet.ros.endpoints import FlightInput, Input
from ros_depthnet.ros.managed import ManagedNode

_LOOK = 0.5  # seconds between looks at which type is on the air
_WHICH = {'px4_msgs': ", from the branch of your PX4's release,"}  # where versions of a package differ

TakePose = Callable[[object, str], None]


def message_class(kind: str) -> type:
    """Return the class of a type of message such as nav_msgs/msg/Odometry; raises ImportError or AttributeError."""
    package, _, name = kind.split('/')
    return getattr(importlib.import_module(f'{package}.msg'), name)


def is_installed(kind: str) -> bool:
    """Tell whether a type of message is installed here."""
    try:
        return bool(message_class(kind))
    except (ImportError, AttributeError):
        return False


def check_pose_source(settings: SimpleNamespace) -> None:
    """Raise ValueError with a sentence when poses shall come from tf, whose messages are not installed."""
    if settings.world_frame and not is_installed(TRANSFORMS):
        raise ValueError(
            'world_frame is set, so poses come from tf, but tf2_msgs is not installed: install it, or '
            'publish odometry on odom and leave world_frame empty.'
        )


def pose_inputs(
    node: ManagedNode, world_frame: str, take: TakePose, another: Callable[[], None], optional: bool
) -> list[Input]:
    """
    Return the subscriptions by which `take` gets messages that tell poses, and their kind.

    `another` is called when another publisher goes on with the odometry; tf has many.
    """
    if not world_frame:
        return [PoseInput(node, take, another, optional)]
    node.health.facts['poses'] = f'tf, in {world_frame}'
    kind = message_class(TRANSFORMS)
    return [
        Input(node, topics.TF, kind, lambda message: take(message, TRANSFORMS), qos.ODOMETRY, optional),
        Input(
            node,
            topics.TF_STATIC,
            kind,
            lambda message: take(message, STATIC_TRANSFORMS),
            qos.ALL_LATCHED,
            optional=True,
            once=True,
        ),
    ]


class PoseInput(FlightInput):
    """The topic `odom`, subscribed to with the type that its publisher has; nav_msgs/Odometry until there is one."""

    def __init__(self, node: ManagedNode, take: TakePose, another: Callable[[], None], optional: bool):
        """Subscribe."""
        self._take = take
        # Looked for first, as within one process a topic has one type.
        self._kind, self._oddity = self._found(node, topics.ODOM.type)
        super().__init__(
            node,
            topics.ODOM,
            message_class(self._kind),
            self._on_pose,
            qos.ODOMETRY,
            another=another,
            optional=optional,
        )
        self._timer = node.create_timer(_LOOK, self._look, clock=node.steady_clock)

    def complaint(self, timeout: float) -> Complaint | None:
        """Return what keeps poses from arriving."""
        return Complaint.error(self._oddity) if self._oddity else super().complaint(timeout)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_timer(self._timer)
        super().close()

    def rivalled(self, facts: Mapping[str, object]) -> Refusal:
        """Return why a pose is not taken."""
        return MessageRefusal(Drop.TWO_ODOMETRIES, facts)

    def _on_pose(self, message) -> None:
        self._take(message, self._kind)

    def _look(self) -> None:
        """Subscribe anew where the publishers have another type than is subscribed to."""
        kind, self._oddity = self._found(self._node, self._kind)
        if kind != self._kind:
            self._kind = kind
            self.subscribe_anew(message_class(kind))

    @staticmethod
    def _found(node: ManagedNode, present: str) -> tuple[str, str]:
        topic = node.resolve_topic_name(topics.ODOM.name)
        on_air = {info.topic_type for info in node.get_publishers_info_by_topic(topic)}
        kind, oddity = choose_kind(topic, on_air, present)
        node.health.facts['poses'] = f'{kind} on {topic}'
        return kind, oddity


def choose_kind(topic: str, on_air: set[str], present: str) -> tuple[str, str]:
    """Return the type to subscribe to, the present one where nothing speaks against it, and what is wrong, if so."""
    if not on_air or present in on_air:
        return present, ''
    kinds = [kind for kind in READERS if kind in on_air]
    if not kinds:
        return present, (
            f'{topic} carries {", ".join(sorted(on_air))}, which tells no pose: remap odom to a topic of '
            f'type {" or ".join(READERS)}, or take poses from tf by setting world_frame.'
        )
    installed = [kind for kind in kinds if is_installed(kind)]
    return (installed[0], '') if installed else (present, not_installed(topic, kinds[0]))


def not_installed(topic: str, kind: str) -> str:
    """Say what to do about a type of message that is on a topic, but not installed."""
    package = kind.partition('/')[0]
    return (
        f'{topic} carries {kind}, but {package} is not installed here: build it{_WHICH.get(package, "")} in the '
        'workspace, and source that.'
    )
