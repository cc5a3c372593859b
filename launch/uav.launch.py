"""Depth, cloud and obstacles for a drone's camera and odometry, or for a recorded flight."""

from ros_depthnet.ros.launching import drone


def generate_launch_description():
    return drone()
