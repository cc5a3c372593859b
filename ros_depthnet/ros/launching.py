"""The launch descriptions of launch/*.launch.py; the only module that needs launch."""

import os

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from ros_depthnet.resources import share_path
from ros_depthnet.ros.bring_up import NODES, Argument, BringUp, arguments, bring_up, recorder, unknown_arguments
from ros_depthnet.ros.peers import PEERS, RECORD, PeerNode, arguments_of


def drone(name: str = 'uav') -> LaunchDescription:
    """Return what a launch file of this name starts: the drone's nodes, and those of the peer it is named after."""
    known, peer = arguments_of(name), PEERS.get(name)

    def start(context: LaunchContext) -> list:
        given = {argument.name: argument.default for argument in arguments()}
        given |= {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in known}
        plan = bring_up(given)
        actions = [LogInfo(msg=sentence) for sentence in unknown_arguments(context.argv, known)]
        if name != RECORD:
            actions += _ours(given, plan)
        if peer:
            actions += [_peer(node, given, plan) for node in peer.nodes(given, plan)]
        if given['record']:
            command = recorder(given, plan, os.environ.get('ROS_DISTRO', ''))
            actions.append(ExecuteProcess(cmd=command, output='screen'))
        return actions

    return LaunchDescription([*map(_declared, known), OpaqueFunction(function=start)])


def _declared(argument: Argument) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(
        argument.name,
        default_value=argument.default,
        description=argument.description,
        choices=argument.choices or None,
    )


def _ours(given: dict[str, str], plan: BringUp) -> list[Node]:
    common = {
        'namespace': given['namespace'],
        'remappings': plan.remappings,
        'output': 'screen',
        'ros_arguments': ['--log-level', given['log_level']],
    }

    def node(name: str, **more) -> Node:
        parameters = [given['params_file']] if given['params_file'] else []
        return Node(
            package='ros_depthnet',
            executable=name,
            name=name,
            parameters=[*parameters, plan.parameters[name]],
            **common,
            **more,
        )

    nodes = [_all_in_one(given, plan, common)] if given['one_process'] == 'true' else [node(name) for name in NODES]
    if given['bag']:
        nodes.append(node('replay_node', on_exit=Shutdown(reason='the recorded flight is over')))
    if given['rviz'] == 'true':
        nodes.append(
            Node(
                package=_installed('rviz2'),
                executable='rviz2',
                name='rviz2',
                parameters=[{'use_sim_time': plan.use_sim_time}],
                arguments=['-d', str(share_path('rviz', 'uav.rviz')), '-f', plan.fixed_frame],
                **common,
            )
        )
    return nodes


def _all_in_one(given: dict[str, str], plan: BringUp, common: dict) -> Node:
    # Without a name, which all three would get; so parameters are told which node they are of.
    told = [
        word
        for name in NODES
        for parameter, value in plan.parameters[name].items()
        for word in ('-p', f'{name}:{parameter}:={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}')
    ]
    return Node(
        package='ros_depthnet',
        executable='all_nodes',
        parameters=[given['params_file']] if given['params_file'] else [],
        **{**common, 'ros_arguments': [*common['ros_arguments'], *told]},
    )


def _peer(node: PeerNode, given: dict[str, str], plan: BringUp) -> Node:
    inner, _, name = node.name.rpartition('/')
    return Node(
        package=_installed(node.package),
        executable=node.executable,
        name=name,
        output='screen',
        namespace='/'.join(filter(None, (given['namespace'], inner))),
        remappings=list(node.remappings.items()),
        parameters=[{'use_sim_time': plan.use_sim_time, **node.parameters}],
    )


def _installed(package: str) -> str:
    try:
        get_package_prefix(package)
    except PackageNotFoundError as error:
        debian = f'ros-{os.environ.get("ROS_DISTRO", "$ROS_DISTRO")}-{package.replace("_", "-")}'
        raise ValueError(f'{package} is not installed: install {debian}, or build it in this workspace.') from error
    return package
