"""Nodes under test and a peer that talks to them over DDS, spun in one executor."""

import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data

from ros_depthnet.ros.replay_node import ReplayNode

PATIENCE = 15  # seconds; discovery and a busy machine may take some


class Bench:
    """Closes what was opened on it."""

    def __enter__(self):
        self.peer = rclpy.create_node('peer')
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.peer)
        self.nodes = []
        self.statuses = {}
        self.peer.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.close()
            self.executor.remove_node(node)
            node.destroy_node()
        self.executor.shutdown()
        self.peer.destroy_node()

    def start(self, node_class, start=True, cli_args=None, **parameters):
        """Return a node with these parameters, started as its process would."""
        if start and node_class is not ReplayNode:
            # `auto` would wait for tf where that is installed.
            parameters = {'camera_mounting': 'parameters', **parameters}
        node = node_class(
            parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()],
            cli_args=cli_args,
        )
        self.nodes.append(node)
        self.executor.add_node(node)
        if start:
            node.start()
        return node

    def publisher(self, message_type, topic, qos=10):
        return self.peer.create_publisher(message_type, topic, qos)

    def collect(self, message_type, topic, qos=qos_profile_sensor_data):
        """Return a list that grows by each message."""
        messages = []
        self.peer.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def until(self, condition, patience=PATIENCE):
        """Spin until something holds; fail if it does not in time."""
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, 'waited in vain'
            self.executor.spin_once(timeout_sec=0.02)

    def until_known(self, node):
        """Spin until the graph tells of all topics that a node has, which it does a moment later."""
        place = node.get_name(), node.get_namespace()
        for told, own in (
            (node.get_publisher_names_and_types_by_node, node.publishers),
            (node.get_subscriber_names_and_types_by_node, node.subscriptions),
        ):
            wanted = {each.topic_name for each in own}
            self.until(lambda told=told, wanted=wanted: wanted <= dict(told(*place)).keys())

    def spin(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def status(self, name, satisfies):
        """Return a node's first diagnostics from now on that satisfy a condition."""
        self.statuses.pop(name, None)
        self.until(lambda: name in self.statuses and satisfies(self.statuses[name]))
        return self.statuses[name]

    def change_state(self, name, transition):
        client = self.peer.create_client(ChangeState, f'{name}/change_state')
        self.until(client.service_is_ready)
        request = ChangeState.Request()
        request.transition.id = transition
        answer = client.call_async(request)
        self.until(answer.done)
        return answer.result().success

    def state(self, name):
        client = self.peer.create_client(GetState, f'{name}/get_state')
        self.until(client.service_is_ready)
        answer = client.call_async(GetState.Request())
        self.until(answer.done)
        return answer.result().current_state.label

    def _on_diagnostics(self, message):
        self.statuses.update({status.name: status for status in message.status})


def value(status, key):
    """Return one value of a diagnostic status as text, None where it has no such key."""
    return next((pair.value for pair in status.values if pair.key == key), None)
