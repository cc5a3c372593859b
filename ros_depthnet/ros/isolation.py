"""Keep a demonstration to itself: nothing it says reaches a real drone, and nothing real reaches it."""

import os

_DOMAINS = range(20, 100)  # above what people choose by hand, below where Linux's ephemeral ports begin


def isolate() -> None:
    """Choose a domain for this process and its children, this machine only; before rclpy.init."""
    os.environ['ROS_DOMAIN_ID'] = str(_DOMAINS[os.getpid() % len(_DOMAINS)])
    os.environ.pop('ROS_STATIC_PEERS', None)
    if os.environ.get('ROS_DISTRO') == 'humble':  # it knows no discovery range
        os.environ['ROS_LOCALHOST_ONLY'] = '1'
    else:
        os.environ.pop('ROS_LOCALHOST_ONLY', None)
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
