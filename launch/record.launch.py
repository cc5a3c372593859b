"""Records what a bug report and `depthnet adapt` need, beside nodes that run already."""

from ros_depthnet.ros.launching import drone


def generate_launch_description():
    return drone('record')
