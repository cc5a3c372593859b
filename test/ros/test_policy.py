"""The policy for SROS2 allows what a running node does, and no service besides."""

import xml.etree.ElementTree as ET

import pytest
from test_parameters import NODES
from test_topics import LISTENED

from ros_depthnet.ros.policy import policy


def allowed(text, node):
    """Return what a policy lets a node do: absolute names by (kind, what)."""
    profile = ET.fromstring(text.encode()).find(f".//enclave[@path='/ros_depthnet/{node}']/profiles/profile")
    assert profile.get('node') == node
    namespace = profile.get('ns').rstrip('/')

    def absolute(name):
        return (
            name.replace('~', f'{namespace}/{node}')
            if name[0] == '~'
            else (name if name[0] == '/' else f'{namespace}/{name}')
        )

    return {
        (kind, what): {absolute(each.text) for rules in profile.findall(f'{kind}s[@{what}]') for each in rules}
        for kind, what in (('topic', 'publish'), ('topic', 'subscribe'), ('service', 'reply'))
    }


@pytest.mark.parametrize('name', LISTENED)
def test_a_running_node_is_allowed_what_it_does(bench, model, name):
    bench.collect(*LISTENED[name])
    node = bench.start(NODES[name], **({'model': str(model)} if name == 'depth_node' else {}))
    bench.until(lambda: node.inputs)
    bench.until_known(node)
    rules = allowed(policy([]), name)
    assert {topic for topic, _ in node.get_publisher_names_and_types_by_node(name, '/')} <= rules['topic', 'publish']
    assert {topic for topic, _ in node.get_subscriber_names_and_types_by_node(name, '/')} <= rules['topic', 'subscribe']

    def services():
        return {service for service, _ in node.get_service_names_and_types_by_node(name, '/')}

    bench.until(lambda: rules['service', 'reply'] - services() <= {f'/{name}/get_type_description'})
    assert services() <= rules['service', 'reply']


def test_arguments_of_the_launch_file_move_names_and_namespace():
    rules = allowed(policy(['preset:=mavros', 'namespace:=uav1', 'image:=/front/image_rect']), 'depth_node')
    assert {'/front/image_rect', '/front/image_rect/compressed', '/uav1/mavros/local_position/odom'} <= rules[
        'topic', 'subscribe'
    ]
    assert '/uav1/depth/image' in rules['topic', 'publish'] and '/diagnostics' in rules['topic', 'publish']
    assert '/uav1/depth_node/change_state' in rules['service', 'reply']
    assert '/uav1/depth/image' not in rules['topic', 'subscribe']


def test_an_argument_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match='There is no argument imag: image is probably meant'):
        policy(['imag:=/a'])
