"""Depth, cloud and obstacles for a drone's camera and odometry, or for a recorded flight."""
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from ros_depthnet.resources import share_path
from ros_depthnet.ros.bring_up import NODES, arguments, bring_up, unknown_arguments


def start(context):
    """Return the nodes that the arguments ask for; raises ValueError with a sentence for a bad one."""
    given = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in arguments()}
    plan = bring_up(given)
    common = {'namespace': given['namespace'], 'remappings': plan.remappings, 'output': 'screen',
              'ros_arguments': ['--log-level', given['log_level']]}

    def node(name, **more):
        parameters = [given['params_file']] if given['params_file'] else []
        return Node(package='ros_depthnet', executable=name, name=name,
                    parameters=[*parameters, plan.parameters[name]], **common, **more)

    actions = [LogInfo(msg=sentence) for sentence in unknown_arguments(context.argv)]
    actions += [node(name) for name in NODES]
    if given['bag']:
        actions.append(node('replay_node', on_exit=Shutdown(reason='the recorded flight is over')))
    if given['rviz'] == 'true':
        actions.append(Node(
            package='rviz2', executable='rviz2', name='rviz2',
            parameters=[{'use_sim_time': plan.parameters[NODES[0]]['use_sim_time']}],
            arguments=['-d', str(share_path('rviz', 'uav.rviz')), '-f', plan.fixed_frame], **common))
    return actions


def generate_launch_description():
    declared = [
        DeclareLaunchArgument(argument.name, default_value=argument.default, description=argument.description,
                              choices=argument.choices or None)
        for argument in arguments()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
