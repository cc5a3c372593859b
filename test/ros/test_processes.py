"""Nodes brought up as processes, however many answers DDS loses."""

import pytest
from lifecycle_msgs.srv import ChangeState
from rclpy.task import Future

from ros_depthnet.ros import processes


@pytest.fixture
def node(tmp_path):
    process = processes.NodeProcess('cloud_node', '/lossy', {'camera_mounting': 'parameters'}, tmp_path)
    yield process
    process.interrupt()
    process.join()


@pytest.mark.parametrize('heard', [True, False], ids=['answer', 'request'])
def test_a_node_starts_although_what_is_lost_is_the_first(monkeypatch, node, heard):
    monkeypatch.setattr(processes, '_ANSWER_LIMIT', 0.5)
    monkeypatch.setattr(processes, '_START_LIMIT', 20.0)
    with processes._Manager('/lossy') as manager:
        create_client, lost = manager._node.create_client, []

        def lossy_client(service, name):
            client = create_client(service, name)
            call = client.call_async

            def call_async(request):
                if service is not ChangeState or lost:
                    return call(request)
                lost.append(call(request) if heard else request)
                return Future()

            client.call_async = call_async
            return client

        monkeypatch.setattr(manager._node, 'create_client', lossy_client)
        manager.bring_up(node)
    assert lost
    assert node.exit_status is None
