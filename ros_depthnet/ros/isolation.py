"""Keep a demonstration to itself: nothing it says reaches a real drone, and nothing real reaches it."""

import fcntl
import os
import tempfile
from pathlib import Path

_DOMAINS = range(20, 100)  # above what people choose by hand, below where Linux's ephemeral ports begin
_claims: list[int] = []  # open files, whose locks last as long as this process


def isolate() -> None:
    """Choose a domain that no other such process is in, for this one and its children; before rclpy.init."""
    os.environ['ROS_DOMAIN_ID'] = str(_claimed())
    os.environ.pop('ROS_STATIC_PEERS', None)
    if os.environ.get('ROS_DISTRO') == 'humble':  # it knows no discovery range
        os.environ['ROS_LOCALHOST_ONLY'] = '1'
    else:
        os.environ.pop('ROS_LOCALHOST_ONLY', None)
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'


def _claimed() -> int:
    """Return a domain whose file nobody has locked, now locked; any, where there is none."""
    first = os.getpid() % len(_DOMAINS)
    for domain in (*_DOMAINS[first:], *_DOMAINS[:first]):
        try:
            claim = os.open(Path(tempfile.gettempdir(), f'ros_domain_{domain}.lock'), os.O_CREAT | os.O_RDWR, 0o600)
        except OSError:  # another user's
            continue
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(claim)
            continue
        _claims.append(claim)
        return domain
    return _DOMAINS[first]
