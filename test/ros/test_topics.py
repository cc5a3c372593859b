"""Every topic of the nodes is in the table, with its type and quality of service, and the other way round."""

import pytest
from drone import camera_info
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
from test_parameters import NODES

from ros_depthnet.ros import topics
from ros_depthnet.ros.pose_input import is_installed

LISTENED = {
    'depth_node': (Image, 'depth/image'),
    'cloud_node': (PointCloud2, 'points'),
    'obstacle_node': (LaserScan, 'obstacle_distance'),
}
OF_ROS = ('/rosout', '/parameter_events', '/transition_event', '/clock')


def named(name):
    return name if name.startswith('/') else f'/{name}'


@pytest.mark.parametrize('name', LISTENED)
def test_a_node_takes_and_gives_what_the_table_says(bench, model, name):
    parameters = {'model': str(model)} if name == 'depth_node' else {}
    bench.collect(*LISTENED[name])
    node = bench.start(NODES[name], **parameters)
    bench.until(lambda: node.inputs)
    bench.until_known(node)
    table = topics.NODES[name]
    given = dict(node.get_publisher_names_and_types_by_node(name, '/'))
    given = {topic: types[0] for topic, types in given.items() if not topic.endswith(OF_ROS)}
    assert given == {
        named(topic.name): topic.type
        for topic in table.publishes
        if topic not in (*topics.TO_AUTOPILOT, *topics.TO_TF) and is_installed(topic.type)
    }
    taken = dict(node.get_subscriber_names_and_types_by_node(name, '/'))
    taken = {topic: types[0] for topic, types in taken.items() if not topic.endswith(OF_ROS)}
    assert taken == {
        named(topic.name): topic.type for topic in table.subscribes if topic not in (topics.COMPRESSED, *topics.FROM_TF)
    }
    for topic in taken:
        profiles = [info.qos_profile for info in node.get_subscriptions_info_by_topic(topic) if info.node_name == name]
        assert [(profile.reliability, profile.durability) for profile in profiles] == [
            (ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)
        ]
    for topic in given:
        profiles = [info.qos_profile for info in node.get_publishers_info_by_topic(topic) if info.node_name == name]
        assert [profile.reliability for profile in profiles] == [ReliabilityPolicy.RELIABLE]


@pytest.mark.parametrize('keeps', [False, True])
def test_calibration_that_was_published_once_before_is_taken_and_nobody_else_is_asked_to_keep_any(bench, model, keeps):
    durability = DurabilityPolicy.TRANSIENT_LOCAL if keeps else DurabilityPolicy.VOLATILE
    bench.publisher(CameraInfo, 'camera_info', QoSProfile(depth=1, durability=durability)).publish(camera_info())
    bench.collect(*LISTENED['depth_node'])
    node = bench.start(NODES['depth_node'], model=str(model))
    bench.until(lambda: node.inputs)
    bench.spin(1.0)
    profiles = [info.qos_profile for info in node.get_subscriptions_info_by_topic('/camera_info')]
    assert [profile.durability for profile in profiles].count(DurabilityPolicy.TRANSIENT_LOCAL) == keeps
    assert (node._camera_info is not None) == keeps


def test_names_are_relative_so_a_namespace_moves_them_all(bench):
    from rclpy.executors import SingleThreadedExecutor

    from ros_depthnet.ros.cloud_node import CloudNode

    node = CloudNode(namespace='/uav1')
    executor = SingleThreadedExecutor()
    try:
        node.start()
        bench.until_known(node)
        given = {topic for topic, _ in node.get_publisher_names_and_types_by_node('cloud_node', '/uav1')}
        assert '/uav1/points' in given
        assert '/diagnostics' in given
    finally:
        node.close()
        executor.shutdown()
        node.destroy_node()
