"""depth_node, cloud_node and obstacle_node in one process, with one executor and depth handed over as it is."""

import sys

from ros_depthnet.ros.cloud_node import CloudNode
from ros_depthnet.ros.depth_link import DepthLink
from ros_depthnet.ros.depth_node import DepthNode
from ros_depthnet.ros.managed import ManagedNode
from ros_depthnet.ros.obstacle_node import ObstacleNode
from ros_depthnet.ros.running import run_all

# Seconds. A thread that comes back from OpenCV or the model waits so long for one that computes in Python.
_TURN = 0.0005


def create() -> list[ManagedNode]:
    """Return the three nodes, linked; parameters and life cycles are each one's own."""
    link = DepthLink()
    return [CloudNode(link), ObstacleNode(link), DepthNode(link)]


def main(args=None) -> None:
    """Run the nodes."""
    sys.setswitchinterval(_TURN)
    run_all(create, args)


if __name__ == '__main__':
    main()
