"""What the launch file's arguments and presets mean, and what is said of those that mean nothing."""

import numpy as np
import pytest
import yaml

from ros_depthnet.core.mounting import mounting
from ros_depthnet.flight.topics import CAMERA_INFO, IMAGE, ODOM
from ros_depthnet.resources import share_path
from ros_depthnet.ros.bring_up import arguments, bring_up, presets, recorder, unknown_arguments
from ros_depthnet.ros.parameters import CLOUD_NODE, parameters_in


def plan(**given):
    return bring_up({**{argument.name: argument.default for argument in arguments()}, **given})


def test_nothing_said_leaves_every_topic_and_parameter_as_the_nodes_have_them():
    assert all(name == target for name, target in plan().remappings)
    assert set(map(tuple, plan().parameters.values())) == {('use_sim_time',), ()}


# By hand from the packages' sources: local_position.cpp (MAVROS), dds_topics.yaml (PX4),
# zed_camera_component_video_depth.cpp, rs_node_setup.cpp (RealSense).
@pytest.mark.parametrize(
    'preset, image, odom, frame',
    [
        ('mavros', 'camera/image_raw', 'mavros/local_position/odom', 'map'),
        ('px4_uxrce', 'camera/image_raw', 'fmu/out/vehicle_odometry', 'odom'),
        ('zed', 'zed/zed_node/rgb/color/rect/image', 'zed/zed_node/odom', 'odom'),
        ('realsense', 'camera/camera/color/image_raw', 'odom', 'odom'),
        ('sim', 'camera/image_raw', 'odom', 'x500_mono_cam_0/odom'),
    ],
)
def test_a_preset_sets_topics_and_frame_and_an_argument_goes_before_it(preset, image, odom, frame):
    found = plan(preset=preset)
    topics = dict(found.remappings)
    assert (topics[IMAGE.name], topics[ODOM.name], found.fixed_frame) == (image, odom, frame)
    assert topics[CAMERA_INFO.name].rpartition('/')[0] == image.rpartition('/')[0]
    assert topics['image_raw/compressed'] == f'{image}/compressed'
    assert dict(plan(preset=preset, odom='/other').remappings)[ODOM.name] == '/other'
    assert plan(preset=preset, use_sim_time='false').parameters['depth_node']['use_sim_time'] is False


def test_every_shipped_preset_is_tested_and_the_one_for_gazebo_hears_what_the_shipped_bridge_says():
    assert presets() == ['mavros', 'px4_uxrce', 'realsense', 'sim', 'zed']
    bridge = yaml.safe_load(share_path('config', 'gz_bridge.yaml').read_text())
    bridged = {entry['ros_topic_name']: entry for entry in bridge}
    heard = dict(plan(preset='sim').remappings)
    assert {heard[IMAGE.name], heard[CAMERA_INFO.name], heard[ODOM.name], 'clock'} == bridged.keys()
    assert [bridged[heard[topic.name]]['ros_type_name'] for topic in (IMAGE, CAMERA_INFO, ODOM)] == [
        topic.type for topic in (IMAGE, CAMERA_INFO, ODOM)
    ]
    assert plan(preset='sim').parameters['depth_node']['use_sim_time']


def test_parameters_go_to_the_nodes_that_have_them():
    found = plan(preset='zed', model='parallaxnet_small', provider='cpu', image_transport='compressed', autopilot='px4')
    assert found.parameters['depth_node'] == {
        'use_sim_time': False,
        'rectify': 'never',
        'camera_mounting': 'tf',
        'model': 'parallaxnet_small',
        'provider': 'cpu',
        'image_transport': 'compressed',
    }
    assert found.parameters['obstacle_node'] == {'use_sim_time': False, 'camera_mounting': 'tf', 'autopilot': 'px4'}


def test_the_frame_of_the_cloud_is_not_that_of_the_obstacles():
    found = plan(cloud_frame='camera', broadcast_tf='true')
    assert found.parameters['cloud_node']['output_frame'] == 'camera'
    assert found.parameters['depth_node']['broadcast_tf'] and found.parameters['obstacle_node']['broadcast_tf']
    assert 'output_frame' not in found.parameters['obstacle_node']


@pytest.mark.parametrize(
    'told, looks, image_up',
    [
        ('forward', (1, 0, 0), (0, 0, 1)),
        ('down', (0, 0, -1), (1, 0, 0)),
        ('0.1 0 -0.02 -1.570796 0 1.570796', (-1, 0, 0), (0, 0, 1)),  # backwards
    ],
)
def test_a_mounting_looks_where_it_says(told, looks, image_up):
    parameters = plan(mounting=told).parameters['cloud_node']
    assert parameters['camera_mounting'] == 'parameters'
    T_body_cam = mounting(parameters['camera_xyz'], parameters['camera_rpy'])
    np.testing.assert_allclose(T_body_cam[:3, 2], looks, atol=1e-5)
    np.testing.assert_allclose(-T_body_cam[:3, 1], image_up, atol=1e-5)


def test_a_bag_brings_its_own_time(tmp_path):
    found = plan(bag=str(tmp_path), rate='2')
    assert found.parameters['depth_node']['use_sim_time']
    assert found.parameters['replay_node'] == {'path': str(tmp_path), 'rate': 2.0, 'loop': False}


def test_what_is_recorded_is_what_depth_is_made_of(tmp_path):
    given = {argument.name: argument.default for argument in arguments()}
    given.update(preset='mavros', namespace='uav1', image_transport='compressed', record=str(tmp_path / 'new'))
    command = recorder(given, bring_up(given), 'jazzy')
    said = ['/tf', '/tf_static', '/diagnostics', '/rosout', '/parameter_events']
    assert command == [
        'ros2',
        'bag',
        'record',
        '-o',
        str(tmp_path / 'new'),
        '--topics',
        '/uav1/camera/image_raw/compressed',
        '/uav1/camera/camera_info',
        '/uav1/mavros/local_position/odom',
        *said,
    ]
    assert '--topics' not in recorder(given, bring_up(given), 'humble')  # which has no such option
    with pytest.raises(ValueError, match='is there already: record needs a new folder'):
        recorder({**given, 'record': str(tmp_path)}, bring_up(given), 'jazzy')


def test_a_preset_may_be_ones_own_file(tmp_path):
    mine = tmp_path / 'mine.yaml'
    mine.write_text('image: cam/image\nmax_range: 60\n')
    found = plan(preset=str(mine))
    assert dict(found.remappings)['image_raw'] == 'cam/image'
    assert found.parameters['depth_node']['max_range'] == 60.0


@pytest.mark.parametrize(
    'given, sentence',
    [
        ({'preset': 'zde'}, 'There is no preset zde: take mavros, px4_uxrce, realsense, sim or zed, or the path of'),
        ({'mounting': 'up'}, 'mounting must be tf, forward, down, or six numbers "x y z roll pitch yaw", not "up"'),
        ({'mounting': '1 2 3'}, 'six numbers'),
        ({'provider': 'gpu'}, 'provider must be one of auto, cpu, cuda, tensorrt'),
        ({'image_transport': 'theora'}, 'image_transport must be one of raw, compressed'),
        ({'use_sim_time': 'yes'}, 'use_sim_time must be true or false, not "yes"'),
        ({'cloud_frame': 'map'}, 'output_frame must be one of odom, camera'),
        ({'bag': '/no/where'}, 'There is no bag /no/where'),
        ({'params_file': '/no/where'}, 'There is no params_file /no/where'),
    ],
)
def test_what_means_nothing_is_refused_with_a_sentence(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        plan(**given)


@pytest.mark.parametrize('node', ['depth_node', '/**/depth_node', '/uav1/depth_node', '/**'])
def test_a_parameter_file_means_the_node_in_whatever_namespace(tmp_path, node):
    file = tmp_path / 'mine.yaml'
    nested = {'uav1': {'depth_node': {'ros__parameters': {'min_range': 2}}}}
    file.write_text(yaml.safe_dump({node: {'ros__parameters': {'max_range': 60, 'of_another': 1}}, **nested}))
    assert parameters_in(file, 'depth_node') == {'max_range': 60.0, 'min_range': 2.0}
    assert plan(params_file=str(file))


def test_the_shipped_parameter_file_is_one():
    shipped = parameters_in(share_path('config', 'uav.yaml'), 'cloud_node')
    assert shipped == {parameter.name: parameter.default for parameter in CLOUD_NODE}


@pytest.mark.parametrize(
    'text, sentence',
    [
        (
            'depth_node: {ros__parameters: {max_rnge: 60}}',
            'no parameter max_rnge: max_range is probably meant',
        ),
        ('/**: {ros__parameters: {max_range: far}}', "max_range must be a number, not 'far'"),
        ('depth_node: {max_range: 60}', 'is no parameter file of ROS nodes'),
        ('127.0.0.1 localhost', 'is no parameter file of ROS nodes'),
        ('&a {depth_node: *a}', 'is no parameter file of ROS nodes'),
    ],
)
def test_a_parameter_file_that_means_nothing_is_refused_with_a_sentence(tmp_path, text, sentence):
    file = tmp_path / 'mine.yaml'
    file.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        plan(params_file=str(file))


@pytest.mark.parametrize(
    'text, sentence',
    [
        ('odometry: /odom', 'sets odometry, which is neither an argument nor a parameter: odom is probably meant'),
        ('- image', 'must be lines of "name: value"'),
        ('image: [', 'is not valid YAML'),
    ],
)
def test_a_preset_that_means_nothing_is_refused_with_a_sentence(tmp_path, text, sentence):
    (tmp_path / 'mine.yaml').write_text(text)
    with pytest.raises(ValueError, match=sentence):
        plan(preset=str(tmp_path / 'mine.yaml'))


def test_a_slip_of_the_keyboard_is_noticed():
    assert unknown_arguments(['odom:=/a', 'camera-info:=/b'], arguments()) == [
        'There is no argument camera-info: camera_info is probably meant.'
    ]


def test_every_argument_is_one_sentence_or_two():
    assert all(argument.description for argument in arguments())
    assert len({argument.name for argument in arguments()}) == len(arguments())
