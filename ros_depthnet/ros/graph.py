"""What the graph of a running drone tells: who publishes what, who cannot hear whom, how depth_node is set."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSCompatibility, qos_check_compatible

from ros_depthnet.core.reasons import Drop, Refusal
from ros_depthnet.flight.doctor import Complaint
from ros_depthnet.flight.messages.pose import READERS
from ros_depthnet.flight.transforms import TRANSFORMS
from ros_depthnet.ros.publishers import inputs_there, publisher_names
from ros_depthnet.ros.topics import CAMERA_INFO, COMPRESSED, IMAGE, NODES, ODOM, TF, TF_STATIC, Topic

Spin = Callable[[Callable[[], bool], float], bool]  # until a condition holds, at most so many seconds; whether it does

_ANSWER_LIMIT = 3.0  # seconds
# Names of nodes come by another way than their endpoints, later or, now and then, not at all.
_NAMELESS = ('_NODE_NAME_UNKNOWN_', '_CREATED_BY_BARE_DDS_APP_')
_PARTICIPANT = 12  # the bytes of an endpoint's id that are its participant's


@dataclass(frozen=True)
class Source:
    """A topic of the graph that plays the part of one of ours, and its type."""

    part: Topic
    name: str
    kind: str


@dataclass(frozen=True)
class _Part:
    """A part to be played: by which types, the best first, what a missing one is called, and where it is from."""

    topic: Topic
    kinds: tuple[str, ...]
    argument: str
    advice: str


_PARTS = (
    _Part(IMAGE, (IMAGE.type, COMPRESSED.type), 'image', "start the camera's driver"),
    _Part(
        CAMERA_INFO,
        (CAMERA_INFO.type,),
        'camera_info',
        "have the camera's driver publish its calibration; without one there is no metric depth",
    ),
    _Part(ODOM, tuple(READERS), 'odom', 'start the odometry'),
)
_FROM_TF = _Part(TF, (TRANSFORMS,), '', 'start what publishes tf')


def depth_nodes(node: Node, namespace: str) -> list[str]:
    """Return the full names of the depth nodes in a namespace."""
    return sorted(
        {
            f'{space.rstrip("/")}/{name}'
            for name, space in node.get_node_names_and_namespaces()
            if name == 'depth_node' and f'{space.rstrip("/")}/'.startswith(f'{namespace.rstrip("/")}/')
        }
    )


def all_named(node: Node) -> bool:
    """Return whether the node of every publisher and subscriber that is known is known as well."""
    return all(
        info.node_name not in _NAMELESS
        for topic, _ in node.get_topic_names_and_types()
        for info in (*node.get_publishers_info_by_topic(topic), *node.get_subscriptions_info_by_topic(topic))
    )


def parameters_of(node: Node, other: str, names: Iterable[str], spin: Spin) -> dict[str, Any]:
    """Return another node's parameters, those that it has; none where it does not answer."""
    client: Client = node.create_client(GetParameters, f'{other}/get_parameters')
    try:
        if not spin(client.service_is_ready, _ANSWER_LIMIT):
            return {}
        # One by one: where one is not declared, rclpy answers none of a request.
        answers = {name: client.call_async(GetParameters.Request(names=[name])) for name in names}
        if not spin(lambda: all(answer.done() for answer in answers.values()), _ANSWER_LIMIT):
            return {}
        values = {name: told.values for name, answer in answers.items() if (told := answer.result())}
        told = {name: parameter_value_to_python(found[0]) for name, found in values.items() if found}
        return {name: value for name, value in told.items() if value is not None}
    finally:
        node.destroy_client(client)


def find_sources(
    node: Node, wanted: Mapping[Topic, str], taker: str | None, from_tf: bool, namespace: str
) -> tuple[dict[Topic, Source], list[Complaint]]:
    """
    Return which topics play the parts of images, calibration and poses, and what is wrong with that.

    They are those that are wanted, else those that the depth node `taker` takes, else the usual ones, else the
    only ones of their type.
    """
    published = _published(node, namespace)
    taken = _taken(node, taker) if taker else {}
    sources, complaints = {}, []
    for part in (*_PARTS[:2], _FROM_TF if from_tf else _PARTS[2]):
        name = wanted.get(part.topic, '')
        if not name and part is not _FROM_TF:
            name = next((topic for topic, kinds in taken.items() if kinds & {*part.kinds}), '')
        candidates = [
            Source(part.topic, topic, kind)
            for kind in part.kinds
            for topic, kinds in published.items()
            if kind in kinds
        ]
        source, complaint = _choose(part, name, candidates)
        if source:
            sources[part.topic] = source
        if complaint:
            complaints.append(Complaint(complaint))
    return sources, complaints


def rivals(node: Node, sources: Mapping[Topic, Source]) -> list[Complaint]:
    """Complain of images or odometry that several publish on one topic: depth_node takes neither."""
    complaints = []
    for part, reason in ((IMAGE, Drop.TWO_CAMERAS), (ODOM, Drop.TWO_ODOMETRIES)):
        publishers = node.get_publishers_info_by_topic(sources[part].name) if part in sources else []
        if len(publishers) > 1:
            facts = {'topic': sources[part].name, 'names': publisher_names(publishers)}
            complaints.append(Complaint(Refusal(reason, facts).sentence))
    return complaints


def mismatches(node: Node, topics: Iterable[str]) -> list[Complaint]:
    """Complain of publishers that our nodes, or this one, cannot hear for their quality of service."""
    complaints = []
    for topic in topics:
        subscriptions: dict[tuple[str, bytes], list] = {}
        for info in node.get_subscriptions_info_by_topic(topic):
            if info.node_name in (*NODES, node.get_name(), *_NAMELESS):
                node_of_it = info.node_name, bytes(info.endpoint_gid[:_PARTICIPANT])
                subscriptions.setdefault(node_of_it, []).append(info.qos_profile)
        for publisher in node.get_publishers_info_by_topic(topic):
            for (name, _), profiles in subscriptions.items():
                listener = 'a subscriber that has no name' if name in _NAMELESS else name
                checks = [qos_check_compatible(publisher.qos_profile, profile) for profile in profiles]
                if all(compatibility == QoSCompatibility.ERROR for compatibility, _ in checks):
                    reason = checks[0][1].replace('ERROR: ', '').rstrip(';').replace(';', ', ').lower()
                    override = (
                        f', or set qos_overrides.{topic}.subscription of {listener} to what it does offer'
                        if name in NODES
                        else ''
                    )
                    complaints.append(
                        Complaint(
                            f'{listener} hears nothing of {publisher.node_name} on {topic}, as their quality of '
                            f'service does not match ({reason}): '
                            f'have {publisher.node_name} offer what is asked for{override}.'
                        )
                    )
    return complaints


def _published(node: Node, namespace: str) -> dict[str, set[str]]:
    """Return the types of every topic of a namespace, and of tf, that may be an input."""
    within = f'{namespace.rstrip("/")}/'
    return {
        name: kinds
        for name, kinds in inputs_there(node).items()
        if name == TF.name or (name.startswith(within) and name != TF_STATIC.name)
    }


def _taken(node: Node, taker: str) -> dict[str, set[str]]:
    namespace, _, name = taker.rpartition('/')
    return {topic: set(kinds) for topic, kinds in node.get_subscriber_names_and_types_by_node(name, namespace or '/')}


def _choose(part: _Part, wanted: str, candidates: list[Source]) -> tuple[Source | None, str]:
    """Return what plays a part, and what is wrong with it, in a sentence."""
    fitting = [source for source in candidates if source.name == wanted]
    if fitting:
        return fitting[0], ''
    names = list(dict.fromkeys(source.name for source in candidates))
    if wanted:
        advice = part.advice
        if names:
            advice = (
                f'remap {part.topic.name} to {" or ".join(names)} (launch argument {part.argument}:={names[0]}), '
                'or start what shall publish it'
            )
        return (
            candidates[0] if len(names) == 1 else None,
            f'Nobody publishes {wanted} with a type that will do: {advice}.',
        )
    if not candidates:
        return None, f'Nobody publishes {" or ".join(part.kinds)}: {part.advice}.'
    best = [source for source in candidates if source.kind == candidates[0].kind]
    usual = [source for source in best if source.name.endswith(f'/{part.topic.name.lstrip("/")}')]
    if len(usual) == 1 or len(best) == 1:
        return (usual or best)[0], ''
    return None, (
        f'Several topics carry {best[0].kind} ({", ".join(source.name for source in best)}): name one with '
        f'--{part.argument.replace("_", "-")}.'
    )
