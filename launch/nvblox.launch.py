"""The drone's nodes, and NVIDIA's nvblox, which maps their depth."""

from ros_depthnet.ros.launching import drone


def generate_launch_description():
    return drone('nvblox')
