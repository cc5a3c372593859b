"""
Other people's nodes that take what ours give, as their launch files start them; each as its source says.

octomap_server 2.1 (octomap_server.cpp), nvblox 4 (nvblox_node.cpp), image_pipeline Humble to Jazzy
(point_cloud_xyzrgb.cpp), Nav2 Humble to Kilted (obstacle_layer.cpp, voxel_layer.cpp).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ros_depthnet.ros.bring_up import Argument, BringUp, arguments
from ros_depthnet.ros.topics import DEPTH, DEPTH_CAMERA_INFO, DEPTH_RGB, POINTS

_TF_AND_RAYS = {'cloud_frame': 'camera', 'broadcast_tf': 'true'}  # rays are cast from the origin of the cloud's frame


@dataclass(frozen=True)
class PeerNode:
    """A node of another package; `name` may have a namespace of its own."""

    package: str
    executable: str
    name: str
    remappings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """
    What a launch file adds to the drone's own nodes.

    arguments: its own. defaults: of the drone's, where they differ. nodes: of what was given and of the plan.
    """

    arguments: tuple[Argument, ...]
    nodes: Callable[[Mapping[str, str], BringUp], list[PeerNode]]
    defaults: Mapping[str, str] = field(default_factory=dict)


def _number(given: Mapping[str, str], name: str) -> float:
    try:
        return float(given[name])
    except ValueError as error:
        raise ValueError(f'{name} must be a number, not "{given[name]}".') from error


def _octomap(given: Mapping[str, str], plan: BringUp) -> list[PeerNode]:
    return [
        PeerNode(
            'octomap_server',
            'octomap_server_node',
            'octomap_server',
            {'cloud_in': POINTS.name},
            {
                'frame_id': plan.fixed_frame,
                'resolution': _number(given, 'resolution'),
                'sensor_model.max_range': _number(given, 'max_range'),
            },
        )
    ]


def _nvblox(given: Mapping[str, str], plan: BringUp) -> list[PeerNode]:
    return [
        PeerNode(
            'nvblox_ros',
            'nvblox_node',
            'nvblox_node',
            {
                'camera_0/depth/image': DEPTH.name,
                'camera_0/depth/camera_info': DEPTH_CAMERA_INFO.name,
                'camera_0/color/image': DEPTH_RGB.name,
                'camera_0/color/camera_info': DEPTH_CAMERA_INFO.name,
            },
            {
                'global_frame': plan.fixed_frame,
                'num_cameras': 1,
                'use_tf_transforms': True,
                'use_depth': True,
                'use_color': True,
                'use_lidar': False,
                'esdf_mode': '3d',
                'voxel_size': _number(given, 'resolution'),
                'static_mapper.projective_integrator_max_integration_distance_m': _number(given, 'max_range'),
                'map_clearing_radius_m': -1.0,
            },
        )
    ]


def _depth_image_proc(given: Mapping[str, str], plan: BringUp) -> list[PeerNode]:
    return [
        PeerNode(
            'depth_image_proc',
            'point_cloud_xyzrgb_node',
            'point_cloud_xyzrgb',
            {
                'depth_registered/image_rect': DEPTH.name,
                'rgb/image_rect_color': DEPTH_RGB.name,
                'rgb/camera_info': DEPTH_CAMERA_INFO.name,
                'points': 'depth/points',
            },
            {'exact_sync': True},
        )
    ]


def _voxel_layer(given: Mapping[str, str], plan: BringUp) -> list[PeerNode]:
    lowest, highest = _number(given, 'min_height'), _number(given, 'max_height')
    if lowest >= highest:
        raise ValueError(f'min_height ({lowest} m) must be below max_height ({highest} m).')
    source = 'voxel_layer.depthnet'
    costmap = {
        'global_frame': plan.fixed_frame,
        'robot_base_frame': given['body_frame'],
        'rolling_window': True,
        'width': 30,
        'height': 30,
        'resolution': _number(given, 'resolution'),
        'robot_radius': 0.5,
        'update_frequency': 5.0,
        'publish_frequency': 2.0,
        'plugins': ['voxel_layer', 'inflation_layer'],
        'inflation_layer.plugin': 'nav2_costmap_2d::InflationLayer',
        'inflation_layer.inflation_radius': 2.0,
        'voxel_layer.plugin': 'nav2_costmap_2d::VoxelLayer',
        'voxel_layer.publish_voxel_map': True,
        'voxel_layer.origin_z': lowest,
        'voxel_layer.z_voxels': _MOST_VOXELS,
        'voxel_layer.z_resolution': (highest - lowest) / _MOST_VOXELS,
        'voxel_layer.min_obstacle_height': lowest,
        'voxel_layer.max_obstacle_height': highest,
        'voxel_layer.observation_sources': 'depthnet',
        f'{source}.topic': f'/{given["namespace"]}/{POINTS.name}'.replace('//', '/'),
        f'{source}.data_type': 'PointCloud2',
        f'{source}.marking': True,
        f'{source}.clearing': True,
        f'{source}.min_obstacle_height': lowest,
        f'{source}.max_obstacle_height': highest,
        f'{source}.obstacle_max_range': _number(given, 'max_range'),
        f'{source}.raytrace_max_range': _number(given, 'max_range'),
    }
    manager = {'autostart': True, 'node_names': ['costmap/costmap']}
    return [
        PeerNode('nav2_costmap_2d', 'nav2_costmap_2d', 'costmap/costmap', {}, costmap),
        PeerNode('nav2_lifecycle_manager', 'lifecycle_manager', 'lifecycle_manager_costmap', {}, manager),
    ]


_MOST_VOXELS = 16  # of a column in Nav2's voxel grid
_RESOLUTION = Argument('resolution', '0.2', 'Edge of a voxel, metres.')
_RANGE = Argument('max_range', '15.0', 'Farther points are not mapped, metres.')
PEERS = {
    'octomap': Peer((_RESOLUTION, _RANGE), _octomap, _TF_AND_RAYS),
    'nvblox': Peer((_RESOLUTION, _RANGE), _nvblox, _TF_AND_RAYS),
    'depth_image_proc': Peer((), _depth_image_proc),
    'voxel_layer': Peer(
        (
            _RESOLUTION,
            _RANGE,
            Argument('min_height', '0.5', 'Lowest height that is mapped, in the fixed frame, metres.'),
            Argument('max_height', '4.5', 'Highest height that is mapped, metres.'),
            Argument('body_frame', 'base_link', 'Frame of the body, round which the map rolls.'),
        ),
        _voxel_layer,
        _TF_AND_RAYS,
    ),
}
"""By the name of their launch file."""
RECORD = 'record'
"""The name of the launch file that records and starts nothing else."""
_OF_A_RECORDING = ('record', 'preset', 'image', 'camera_info', 'odom', 'image_transport', 'namespace')


def arguments_of(name: str) -> list[Argument]:
    """Return the arguments of a launch file, by its name without .launch.py: a peer's first, then the drone's."""
    if name == RECORD:
        return [argument for argument in arguments({'record': 'flight'}) if argument.name in _OF_A_RECORDING]
    peer = PEERS.get(name)
    return [*peer.arguments, *arguments(peer.defaults)] if peer else list(arguments())
