"""Parameters: code and configuration say the same, and a bad value is refused with a sentence."""

import subprocess
import sys

import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter

from ros_depthnet.core.cloud import CloudOptions
from ros_depthnet.core.obstacles import ObstacleOptions
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.resources import share_path
from ros_depthnet.ros import parameters
from ros_depthnet.ros.cloud_node import CloudNode
from ros_depthnet.ros.depth_node import DepthNode
from ros_depthnet.ros.obstacle_node import ObstacleNode
from ros_depthnet.ros.replay_node import ReplayNode

NODES = {
    'depth_node': DepthNode,
    'cloud_node': CloudNode,
    'obstacle_node': ObstacleNode,
    'replay_node': ReplayNode,
}
SINCE_ROS = ('use_sim_time', 'start_type_description_service')  # declared by rclpy itself


@pytest.mark.parametrize('name', NODES)
def test_a_node_has_exactly_the_parameters_of_its_table(bench, name):
    node = bench.start(NODES[name], start=False)
    table = {parameter.name: parameter for parameter in parameters.TABLES[name]}
    declared = {declared for declared in node._parameters if declared not in SINCE_ROS}
    assert declared == set(table)
    for parameter in table.values():
        value = node.get_parameter(parameter.name).value
        assert (list(value) if isinstance(parameter.default, list) else value) == parameter.default
        descriptor = node.describe_parameter(parameter.name)
        assert descriptor.description == parameter.description
        assert descriptor.read_only == (not parameter.live)


@pytest.mark.parametrize('name', NODES)
def test_every_parameter_is_described_in_one_sentence_and_fits_its_own_range(name):
    for parameter in parameters.TABLES[name]:
        assert parameter.description.endswith('.')
        assert parameter.checked(parameter.default) == parameter.default
        assert parameter.default != '' or not parameter.choices


@pytest.mark.parametrize(
    'options, table',
    [(EstimatorOptions, 'depth_node'), (CloudOptions, 'cloud_node'), (ObstacleOptions, 'obstacle_node')],
)
def test_every_option_of_core_is_a_parameter_with_its_default(options, table):
    declared = {parameter.name: parameter.default for parameter in parameters.TABLES[table]}
    wanted = {name: 0.0 if value is None else value for name, value in vars(options()).items()}
    assert {name: declared.get(name, 'not declared in ros/parameters.py') for name in wanted} == wanted


def test_the_configuration_file_holds_every_parameter_with_its_default():
    file = share_path('config', 'uav.yaml')
    assert file.read_text() == parameters.yaml(), (
        'write it anew: python -m ros_depthnet.ros.parameters > config/uav.yaml'
    )
    content = yaml.safe_load(file.read_text())
    assert {name: section['ros__parameters'] for name, section in content.items()} == {
        f'/**/{name}': {parameter.name: parameter.default for parameter in table}
        for name, table in parameters.TABLES.items()
    }


def test_whole_numbers_are_taken_for_parameters_with_a_point(bench):
    node = bench.start(DepthNode, start=False, max_range=80)
    assert node.settings.max_range == 80.0


@pytest.mark.parametrize(
    'name, value, sentence',
    [
        ('max_range', -1.0, 'max_range must be 0.01 to 100000, not -1.0.'),
        ('max_range', float('nan'), 'max_range must be 0.01 to 100000, not nan.'),
        ('max_range', True, 'max_range must be a number, not True.'),
        ('provider', 'gpu', 'provider must be one of auto, cpu, cuda, tensorrt, openvino, not '),
        ('camera_xyz', [0.0, 0.0], 'camera_xyz must be a list of 3 numbers'),
        ('camera_xyz', ['a', 'b', 'c'], "camera_xyz must be a number, not 'a'."),
        ('min_range', 200.0, 'min_range .200.0 m. .*below max_range'),
    ],
)
def test_a_bad_value_at_start_is_refused_with_a_sentence(name, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        DepthNode(parameter_overrides=[Parameter(name, value=value)])


def test_a_misspelt_parameter_is_said_in_diagnostics_and_somebody_elses_is_not(bench):
    bench.start(CloudNode, start=False, max_distanse=3.0, robot_description='of another')
    status = bench.status('cloud_node', lambda status: True)
    assert status.message == 'There is no parameter max_distanse: max_distance is probably meant.'
    assert status.level == DiagnosticStatus.WARN


def test_a_bad_value_at_run_time_is_refused_with_a_sentence_and_changes_nothing(bench):
    node = bench.start(ObstacleNode, start=False)
    for name, value, sentence in (
        ('max_distance', -1.0, 'max_distance must be 0.1 to 10000, not -1.0.'),
        ('max_distance', 'far', "max_distance must be a number, not 'far'."),
        ('max_height', -5.0, 'below max_height'),
    ):
        result = node.set_parameters([Parameter(name, value=value)])[0]
        assert not result.successful
        assert sentence in result.reason
    assert node.settings.max_distance == 15.0


def test_what_cannot_change_at_run_time_is_read_only(bench):
    node = bench.start(DepthNode, start=False)
    assert not node.set_parameters([Parameter('model', value='other')])[0].successful
    assert node.set_parameters([Parameter('max_range', value=40.0)])[0].successful
    assert node.settings.max_range == 40.0


@pytest.mark.parametrize('process, value', [('cloud_node', 'stride:=0'), ('all_nodes', 'cloud_node:stride:=0')])
def test_a_bad_value_ends_the_process_with_one_sentence(process, value):
    result = subprocess.run(
        [sys.executable, '-m', f'ros_depthnet.ros.{process}', '--ros-args', '-p', value],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.strip() == 'stride must be 1 to 100, not 0.'
