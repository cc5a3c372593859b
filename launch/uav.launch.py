"""Depth, cloud and obstacles for a drone's camera and odometry, or for a recorded flight."""
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare('ros_depthnet')
DEFAULT_PARAMETERS = PathJoinSubstitution([SHARE, 'config', 'uav.yaml'])
ARGUMENTS = [
    DeclareLaunchArgument(name, default_value=default, description=description)
    for name, default, description in (
        ('namespace', '', 'Namespace of all nodes and topics.'),
        ('params_file', DEFAULT_PARAMETERS, 'Parameters of all nodes.'),
        ('bag', '', 'Recorded flight to play: a rosbag2 or a posed-sequence folder.'),
        ('rate', '1.0', 'Speed of the recorded flight.'),
        ('loop', 'false', 'Play the recorded flight again and again.'),
        ('rviz', 'false', 'Show everything in RViz.'),
        ('use_sim_time', 'false', 'Take the time from /clock.'),
        ('log_level', 'info', 'debug, info, warn, error or fatal.'),
        ('image', 'image_raw', 'Topic of the undistorted images; with /compressed, of the compressed ones.'),
        ('camera_info', 'camera_info', 'Topic of the calibration.'),
        ('odom', 'odom', 'Topic of the odometry, or of another type of message that tells poses.'),
    )
]


def generate_launch_description():
    argument = LaunchConfiguration
    remappings = [
        ('image_raw', argument('image')),
        ('image_raw/compressed', [argument('image'), '/compressed']),
        ('camera_info', argument('camera_info')),
        ('odom', argument('odom')),
    ]
    common = {
        'namespace': argument('namespace'),
        'remappings': remappings,
        'output': 'screen',
        'ros_arguments': ['--log-level', argument('log_level')],
    }
    sim_time = {'use_sim_time': ParameterValue(argument('use_sim_time'), value_type=bool)}
    nodes = [
        Node(package='ros_depthnet', executable=name, name=name,
             parameters=[argument('params_file'), sim_time], **common)
        for name in ('depth_node', 'cloud_node', 'obstacle_node')
    ]
    replay = Node(
        package='ros_depthnet', executable='replay_node', name='replay_node',
        condition=IfCondition(PythonExpression(['"', argument('bag'), '" != ""'])),
        parameters=[argument('params_file'), {
            'path': ParameterValue(argument('bag'), value_type=str),
            'rate': ParameterValue(argument('rate'), value_type=float),
            'loop': ParameterValue(argument('loop'), value_type=bool),
        }],
        **common)
    rviz = Node(
        package='rviz2', executable='rviz2', name='rviz2', condition=IfCondition(argument('rviz')),
        parameters=[sim_time], arguments=['-d', PathJoinSubstitution([SHARE, 'rviz', 'uav.rviz'])], **common)
    return LaunchDescription([*ARGUMENTS, *nodes, replay, rviz])
