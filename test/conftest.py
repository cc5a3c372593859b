"""A DDS domain of this test process alone, set before anything imports rclpy."""

import os
import sys
import tempfile
from pathlib import Path

os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'
os.environ.setdefault('ROS_LOG_DIR', tempfile.gettempdir())

# The ROS tests use the tiny models of the unit tests.
sys.path.append(str(Path(__file__).parent / 'unit'))
