"""
What each node may do, for SROS2: `python -m ros_depthnet.ros.policy [ARGUMENT:=VALUE ...] > policy.xml`.

Arguments are those of uav.launch.py that name topics and namespace. `ros2 security create_permission KEYSTORE
/ros_depthnet/NODE policy.xml` makes permissions of it. Needs no ROS.
"""

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable

from ros_depthnet.ros import topics
from ros_depthnet.ros.bring_up import NODES, arguments, bring_up, unknown_arguments

_LIFECYCLE = 'change_state', 'get_state', 'get_available_states', 'get_available_transitions', 'get_transition_graph'
_PARAMETERS = (
    'describe_parameters',
    'get_parameters',
    'get_parameter_types',
    'list_parameters',
    'set_parameters',
    'set_parameters_atomically',
)
_DESCRIPTIONS = ('get_type_description',)  # since Jazzy
_GIVEN = '/rosout', '/parameter_events', '~/transition_event'
_TAKEN = '/clock', '/parameter_events'


def policy(told: Iterable[str]) -> str:
    """Return the policy, version 0.2.0, of nodes launched with `name:=value`; raises ValueError with a sentence."""
    told = list(told)
    unknown = unknown_arguments(told, arguments())
    if unknown:
        raise ValueError(' '.join(unknown))
    given = {argument.name: argument.default for argument in arguments()}
    given |= dict(word.split(':=', 1) for word in told if ':=' in word)
    remapped = dict(bring_up(given).remappings)
    root = ET.Element('policy', version='0.2.0')
    enclaves = ET.SubElement(root, 'enclaves')
    for node in NODES:
        enclave = ET.SubElement(enclaves, 'enclave', path=f'/ros_depthnet/{node}')
        namespace = '/' + given['namespace'].strip('/')
        profile = ET.SubElement(ET.SubElement(enclave, 'profiles'), 'profile', ns=namespace, node=node)
        table = topics.NODES[node]
        _allow(profile, 'topic', 'publish', [remapped.get(each.name, each.name) for each in table.publishes], _GIVEN)
        _allow(profile, 'topic', 'subscribe', [remapped.get(each.name, each.name) for each in table.subscribes], _TAKEN)
        _allow(profile, 'service', 'reply', (f'~/{name}' for name in (*_LIFECYCLE, *_PARAMETERS, *_DESCRIPTIONS)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding='unicode') + '\n'


def _allow(profile: ET.Element, kind: str, what: str, *names: Iterable[str]) -> None:
    listed = ET.SubElement(profile, f'{kind}s', {what: 'ALLOW'})
    for name in dict.fromkeys(name for some in names for name in some):
        ET.SubElement(listed, kind).text = name


if __name__ == '__main__':
    try:
        print(policy(sys.argv[1:]), end='')
    except ValueError as error:
        sys.exit(str(error))
