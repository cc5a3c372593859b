"""
Every launch argument, topic and parameter as a page: `python -m ros_depthnet.ros.reference > docs/reference.md`.

Needs no ROS.
"""

from ros_depthnet.ros.bring_up import Argument, arguments
from ros_depthnet.ros.parameters import TABLES, as_yaml
from ros_depthnet.ros.peers import PEERS, RECORD, arguments_of
from ros_depthnet.ros.topics import NODES

_HEAD = """\
# Topics and parameters

Written by `python -m ros_depthnet.ros.reference > docs/reference.md`; a test holds it to the code.
Names of topics are relative: remap them, or start the nodes in a namespace. Subscriptions are best
effort, publishers reliable, both overridable by
[QoS override parameters](https://design.ros2.org/articles/qos_configurability.html).
Inputs are subscribed to only while somebody listens to an output. *At run time* says which parameters
`ros2 param set` changes in flight; the others are read-only once a node runs. All of them with their
defaults are in `config/uav.yaml`.

## uav.launch.py

| argument | default | |
| --- | --- | --- |"""


def markdown() -> str:
    """Return docs/reference.md."""
    lines = [_HEAD]
    lines += [_row(argument) for argument in arguments()]
    lines += [
        '',
        f'## {RECORD}.launch.py',
        '',
        '| argument | default | |',
        '| --- | --- | --- |',
        *map(_row, arguments_of(RECORD)),
    ]
    for name, peer in PEERS.items():
        own = [*peer.arguments, *(each for each in arguments(peer.defaults) if each.name in peer.defaults)]
        if not own:
            continue
        lines += [
            '',
            f'## {name}.launch.py',
            '',
            'The same, and:',
            '',
            '| argument | default | |',
            '| --- | --- | --- |',
            *map(_row, own),
        ]
    lines += ['']
    for node, topics in NODES.items():
        lines += [f'## {node}', '', '| | topic | type | |', '| --- | --- | --- | --- |']
        lines += [
            f'| {direction} | `{topic.name}` | {", ".join(types).replace("/msg/", "/")} | {topic.description} |'
            for direction, topic, types in (
                *(('takes', topic, (topic.type, *topic.others)) for topic in topics.subscribes),
                *(('gives', topic, (topic.type,)) for topic in topics.publishes),
            )
        ]
        lines += ['', '| parameter | default | range | at run time | |', '| --- | --- | --- | --- | --- |']
        lines += [
            f'| `{p.name}` | `{as_yaml(p.default)}` | {p.range} | {"yes" if p.live else ""} | {p.description} |'
            for p in TABLES[node]
        ]
        lines += ['']
    return '\n'.join(lines)


def _row(argument: Argument) -> str:
    choices = f' ({", ".join(argument.choices)})' if argument.choices else ''
    return f'| `{argument.name}` | {argument.default} | {argument.description}{choices} |'


if __name__ == '__main__':
    print(markdown(), end='')
