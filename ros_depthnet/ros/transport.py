"""
Let camera images through Fast DDS.

Its shared-memory segment of 512 KB drops most best-effort messages above that size, which a VGA image is; the
profile shipped in config/fastdds.xml makes it 16 MB. It counts in the process that publishes.
"""

import os
from importlib.metadata import version

from ros_depthnet.resources import share_path

_RENAMED_IN = 9  # rclpy's major version in Kilted, where Fast DDS got a name of its own for the variable
_OLD, _NEW = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'


def enlarge_shared_memory() -> None:
    """Point Fast DDS to the shipped profile, before rclpy.init, unless the user has one of their own."""
    chosen = _OLD in os.environ or _NEW in os.environ
    if not chosen and os.environ.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp').startswith('rmw_fastrtps'):
        variable = _NEW if int(version('rclpy').split('.')[0]) >= _RENAMED_IN else _OLD
        os.environ[variable] = str(share_path('config', 'fastdds.xml'))
