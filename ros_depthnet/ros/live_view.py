"""What running nodes publish, shown in a viewer as it comes."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from visualization_msgs.msg import MarkerArray

from ros_depthnet.flight.messages.stamp import to_ns
from ros_depthnet.ros import qos, topics
from ros_depthnet.ros.conversions.markers import BOXES, to_boxes
from ros_depthnet.ros.depth_consumer import DEPTH_TYPES, frame_of, published_pose
from ros_depthnet.ros.synchroniser import Synchroniser

if TYPE_CHECKING:  # it needs the viewer installed
    from ros_depthnet.evaluation.viewer import Viewer

_PATIENCE = 10.0  # seconds


def show_live(viewer: 'Viewer', namespace: str, seconds: float | None, progress: Callable[[str], None]) -> int:
    """
    Show depth with what belongs to it, and obstacles; return how many depth images came.

    For so many seconds, or until interrupted. Raises ValueError with a sentence where none comes.
    """
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('depthnet_view', namespace=namespace, context=context)
    where = node.resolve_topic_name(topics.DEPTH.name)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    shown = 0

    def on_set(stamp_ns: int, messages: dict) -> None:
        nonlocal shown
        pose = published_pose(messages)
        if pose is None:
            return
        frame = frame_of(messages, pose)
        viewer.show(stamp_ns, frame.camera, pose.T_odom_cam, frame.rgb, frame.depth_hw, frame.deviation_hw)
        shown += 1
        progress(f'{shown} depth maps')

    def on_obstacles(message: MarkerArray) -> None:
        ours = [marker for marker in message.markers if marker.ns == BOXES]
        if ours:
            viewer.show_obstacles(to_ns(ours[0].header.stamp), to_boxes(message))

    synchroniser = Synchroniser(topics.DEPTH, lambda: DEPTH_TYPES, on_set)
    for topic, kind in DEPTH_TYPES.items():
        node.create_subscription(
            kind,
            topic.name,
            lambda message, topic=topic: synchroniser.add(topic, to_ns(message.header.stamp), message),
            qos.SMALL_MESSAGES,
        )
    node.create_subscription(MarkerArray, topics.OBSTACLES.name, on_obstacles, qos.SMALL_MESSAGES)
    started = time.monotonic()
    try:
        while seconds is None or time.monotonic() < started + seconds:
            executor.spin_once(timeout_sec=0.2)
            if not shown and seconds is None and time.monotonic() > started + _PATIENCE:
                break
    except KeyboardInterrupt:
        pass
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
    if not shown:
        raise ValueError(f'No depth came on {where}: start the nodes, or ask `depthnet doctor --live` why.')
    return shown
