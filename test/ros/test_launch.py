"""The launch files, wherever launch is installed: what they start, and with which arguments."""

import importlib.util
import logging
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

launch_ros = pytest.importorskip(
    'launch_ros', reason='launch_ros is not on PyPI: this test runs where a ROS distribution is installed'
)

from launch import LaunchContext  # noqa: E402
from launch.actions import DeclareLaunchArgument  # noqa: E402
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions  # noqa: E402

# What launch makes of loggers does not propagate, so that nobody else's test would hear them.
logging.setLoggerClass(logging.Logger)

from ros_depthnet.resources import share_path  # noqa: E402
from ros_depthnet.ros.bring_up import NODES, arguments  # noqa: E402
from ros_depthnet.ros.peers import PEERS  # noqa: E402


def loaded(name):
    spec = importlib.util.spec_from_file_location('launch_file', share_path('launch', name))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def started(name, **given):
    """Return the executables that a launch file starts with these arguments."""
    context = LaunchContext()
    found = []
    for entity in loaded(name).generate_launch_description().entities:
        context.launch_configurations.update(given if isinstance(entity, DeclareLaunchArgument) else {})
        found += entity.execute(context) or []
    return [
        perform_substitutions(context, normalize_to_list_of_substitutions(node.node_executable))
        for node in found
        if isinstance(node, launch_ros.actions.Node)
    ]


def test_the_arguments_are_those_that_are_understood():
    declared = loaded('uav.launch.py').generate_launch_description().get_launch_arguments()
    assert [argument.name for argument in declared] == [argument.name for argument in arguments()]


@pytest.mark.parametrize(
    'given, more',
    [
        ({}, []),
        ({'one_process': 'true'}, None),
        ({'bag': '/'}, ['replay_node']),
        ({'rviz': 'true', 'preset': 'mavros'}, ['rviz2']),
    ],
)
def test_what_is_asked_for_is_started(given, more, monkeypatch):
    monkeypatch.setattr('ros_depthnet.ros.launching.get_package_prefix', lambda package: '/')
    assert started('uav.launch.py', **given) == (['all_nodes'] if more is None else [*NODES, *more])


def test_recording_beside_nodes_that_run_starts_none(tmp_path):
    assert started('record.launch.py', record=str(tmp_path / 'new')) == []


@pytest.mark.parametrize('name', PEERS)
def test_a_peer_that_is_not_installed_is_one_sentence(name):
    with pytest.raises(ValueError, match='is not installed: install ros-'):
        started(f'{name}.launch.py')


@pytest.mark.parametrize('name', PEERS)
def test_a_peer_that_is_installed_is_started_beside_the_drones_nodes(name, monkeypatch):
    monkeypatch.setattr('ros_depthnet.ros.launching.get_package_prefix', lambda package: '/')
    executables = started(f'{name}.launch.py')
    assert executables[:3] == list(NODES) and len(executables) > 3


def test_a_bad_argument_is_one_sentence():
    with pytest.raises(ValueError, match='There is no preset zde'):
        started('uav.launch.py', preset='zde')


def test_every_executable_is_an_entry_point_of_the_package():
    scripts = {
        script.name for script in entry_points(group='console_scripts') if script.value.startswith('ros_depthnet.')
    }
    assert scripts >= {*NODES, 'replay_node', 'all_nodes'}


def test_launch_testing_finds_no_fault():
    pytest.importorskip('launch_testing')
    file = Path(__file__).with_name('launched.py')
    run = subprocess.run(
        [sys.executable, '-m', 'launch_testing.launch_test', str(file)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
