"""The drone's nodes, and a costmap of Nav2 with a voxel layer of their cloud."""

from ros_depthnet.ros.launching import drone


def generate_launch_description():
    return drone('voxel_layer')
