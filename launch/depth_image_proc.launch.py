"""The drone's nodes, and image_pipeline's depth_image_proc, which makes another cloud of their depth."""

from ros_depthnet.ros.launching import drone


def generate_launch_description():
    return drone('depth_image_proc')
