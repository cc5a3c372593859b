"""
What octomap_server, nvblox, depth_image_proc and Nav2's voxel layer are given, against what their sources ask for.

Type, quality of service, frame and fields are written down here from those sources, not from ours.
"""

import numpy as np
import pytest
from depth_source import WALL, DepthSource
from rclpy.qos import QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from ros_depthnet.resources import share_path
from ros_depthnet.ros import qos
from ros_depthnet.ros.bring_up import bring_up
from ros_depthnet.ros.cloud_node import CloudNode
from ros_depthnet.ros.peers import PEERS, arguments_of
from ros_depthnet.ros.topics import NODES

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)  # rmw_qos_profile_default, SYSTEM_DEFAULT
TAKEN = {
    'octomap_server': {'cloud_in': (PointCloud2, qos_profile_sensor_data)},
    'nvblox_node': {
        'camera_0/depth/image': (Image, RELIABLE),
        'camera_0/depth/camera_info': (CameraInfo, RELIABLE),
        'camera_0/color/image': (Image, RELIABLE),
        'camera_0/color/camera_info': (CameraInfo, RELIABLE),
    },
    'point_cloud_xyzrgb': {
        'depth_registered/image_rect': (Image, RELIABLE),
        'rgb/image_rect_color': (Image, RELIABLE),
        'rgb/camera_info': (CameraInfo, RELIABLE),
    },
}
OURS = {topic.name: topic.type for node in ('depth_node', 'cloud_node') for topic in NODES[node].publishes}


def nodes(name, **more):
    peer = PEERS[name]
    given = {**{argument.name: argument.default for argument in arguments_of(name)}, **more}
    plan = bring_up(given)
    return {node.name: node for node in peer.nodes(given, plan)}, plan


def test_each_peer_has_its_launch_file():
    assert {path.name for path in share_path('launch').glob('*.launch.py')} >= {f'{name}.launch.py' for name in PEERS}


@pytest.mark.parametrize('name', ['octomap', 'nvblox', 'depth_image_proc'])
def test_what_they_take_is_what_we_give(name):
    (node,) = nodes(name)[0].values()
    for topic, (kind, profile) in TAKEN[node.name].items():
        assert OURS[node.remappings[topic]] == f'sensor_msgs/msg/{kind.__name__}'
        assert qos_check_compatible(qos.OUTPUT, profile)[0] != QoSCompatibility.ERROR
    assert node.remappings.keys() - TAKEN[node.name].keys() <= {'points'}  # what depth_image_proc gives
    assert 'depth/points' not in OURS


def test_mappers_are_given_tf_the_sensors_own_frame_and_the_odometrys_for_the_map():
    """All three cast rays from the origin of the frame that is in the header."""
    for name, frame in (('octomap', 'frame_id'), ('nvblox', 'global_frame'), ('voxel_layer', 'global_frame')):
        found, plan = nodes(name, preset='mavros')
        assert next(iter(found.values())).parameters[frame] == 'map'
        assert plan.parameters['cloud_node']['output_frame'] == 'camera'
        assert plan.parameters['depth_node']['broadcast_tf'] is True


def test_the_voxel_layer_looks_at_the_cloud_between_two_heights_in_sixteen_voxels():
    """voxel_layer.cpp has at most 16 voxels in a column; obstacle_layer.cpp asks for each source's own heights."""
    costmap = nodes('voxel_layer', min_height='1', max_height='5', namespace='uav1')[0]['costmap/costmap'].parameters
    assert (costmap['voxel_layer.origin_z'], costmap['voxel_layer.z_voxels'], costmap['voxel_layer.z_resolution']) == (
        1.0,
        16,
        0.25,
    )
    source = {name.rpartition('.')[2]: value for name, value in costmap.items() if '.depthnet.' in name}
    assert source == {
        'topic': '/uav1/points',
        'data_type': 'PointCloud2',
        'marking': True,
        'clearing': True,
        'min_obstacle_height': 1.0,
        'max_obstacle_height': 5.0,
        'obstacle_max_range': 15.0,
        'raytrace_max_range': 15.0,
    }
    with pytest.raises(ValueError, match='min_height .* must be below max_height'):
        nodes('voxel_layer', min_height='5')


def test_a_number_that_is_none_is_said():
    with pytest.raises(ValueError, match='resolution must be a number, not "fine"'):
        nodes('octomap', resolution='fine')


def test_a_cloud_in_the_cameras_frame_is_read_as_pcl_and_nav2_read_it(bench):
    clouds = bench.collect(PointCloud2, 'points', qos_profile_sensor_data)
    bench.start(CloudNode, output_frame='camera', stride=4)
    source = DepthSource(bench)
    source.await_listener(odometry=False)
    bench.until(lambda: bench.spin(0.1) or source.publish() and clouds)
    cloud = clouds[-1]
    assert cloud.header.frame_id == 'optical' and cloud.header.stamp.sec >= 1
    fields = {field.name: field for field in cloud.fields}
    assert all(fields[axis].datatype == PointField.FLOAT32 and fields[axis].count == 1 for axis in 'xyz')
    assert not cloud.is_bigendian and cloud.row_step == cloud.width * cloud.point_step
    assert len(cloud.data) == cloud.height * cloud.row_step
    rows = np.frombuffer(cloud.data, np.uint8).reshape(-1, cloud.point_step)
    z = rows[:, fields['z'].offset : fields['z'].offset + 4].copy().view('<f4')
    assert np.allclose(z, WALL)


def test_depth_colours_and_calibration_have_one_stamp_frame_and_size(drone):
    """nvblox and depth_image_proc synchronise exactly, and refuse colours of another size."""
    rgbs = drone.bench.collect(Image, 'depth/rgb', RELIABLE)
    infos = drone.bench.collect(CameraInfo, 'depth/camera_info', RELIABLE)
    drone.start()
    drone.await_depth(3)
    drone.bench.until(lambda: len(rgbs) >= 2 and len(infos) >= 2)
    stamps = [{(m.header.stamp.sec, m.header.stamp.nanosec) for m in found} for found in (drone.depths, rgbs, infos)]
    assert len(stamps[0] & stamps[1] & stamps[2]) >= 2
    messages = (drone.depths[-1], rgbs[-1], infos[-1])
    assert len({(m.width, m.height, m.header.frame_id) for m in messages}) == 1
    assert (drone.depths[-1].encoding, rgbs[-1].encoding) == ('32FC1', 'rgb8')
