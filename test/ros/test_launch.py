"""launch/uav.launch.py, wherever launch is installed: what it starts, and with which arguments."""

import importlib.util
from importlib.metadata import entry_points

import pytest

launch_ros = pytest.importorskip(
    'launch_ros', reason='launch_ros is not on PyPI: this test runs where a ROS distribution is installed'
)

from launch import LaunchContext  # noqa: E402
from launch.actions import DeclareLaunchArgument  # noqa: E402
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions  # noqa: E402

from ros_depthnet.resources import share_path  # noqa: E402

EXECUTABLES = ['depth_node', 'cloud_node', 'obstacle_node', 'replay_node']


@pytest.fixture(scope='module')
def description():
    spec = importlib.util.spec_from_file_location('uav_launch', share_path('launch', 'uav.launch.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def nodes(description, **arguments):
    """Return the nodes that run with these arguments, by executable."""
    context = LaunchContext()
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument) and entity.name != 'params_file':
            context.launch_configurations[entity.name] = perform_substitutions(context, entity.default_value)
    context.launch_configurations.update(arguments)
    return {
        perform_substitutions(context, normalize_to_list_of_substitutions(node.node_executable)): node
        for node in description.entities
        if isinstance(node, launch_ros.actions.Node)
        and (node.condition is None or node.condition.evaluate(context))
    }


def test_arguments_are_declared_and_described(description):
    declared = {
        entity.name: entity for entity in description.entities if isinstance(entity, DeclareLaunchArgument)
    }
    assert set(declared) >= {
        'namespace',
        'params_file',
        'bag',
        'rviz',
        'use_sim_time',
        'log_level',
        'image',
        'camera_info',
        'odom',
    }
    assert all(entity.description for entity in declared.values())


@pytest.mark.parametrize(
    'arguments, started',
    [
        ({}, EXECUTABLES[:3]),
        ({'bag': '/a/bag'}, EXECUTABLES),
        ({'rviz': 'true'}, [*EXECUTABLES[:3], 'rviz2']),
    ],
)
def test_what_is_asked_for_is_started(description, arguments, started):
    assert list(nodes(description, **arguments)) == started


def test_every_executable_is_an_entry_point_of_the_package(description):
    scripts = {
        script.name
        for script in entry_points(group='console_scripts')
        if script.value.startswith('ros_depthnet.')
    }
    assert scripts >= set(EXECUTABLES)
