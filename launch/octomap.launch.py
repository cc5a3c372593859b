"""The drone's nodes, and octomap_server, which maps their cloud."""

from ros_depthnet.ros.launching import drone


def generate_launch_description():
    return drone('octomap')
