"""The drone's nodes, and octomap_server, which maps their cloud."""
from ros_depthnet.ros.launching import drone
from ros_depthnet.ros.peers import PEERS


def generate_launch_description():
    return drone(PEERS['octomap'])
