"""A DDS domain of this test process alone, set before anything imports rclpy."""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import pytest

from ros_depthnet.ros.isolation import isolate

isolate()
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'
os.environ.setdefault('ROS_LOG_DIR', tempfile.gettempdir())

# The ROS tests use the tiny models of the unit tests.
sys.path.append(str(Path(__file__).parent / 'unit'))

# rosdep does not know these everywhere, so that a workspace can lack them: one sentence instead of many tracebacks.
MISSING = [name for name in ('onnxruntime', 'onnx', 'numba', 'rosbags', 'mcap') if not importlib.util.find_spec(name)]
if MISSING:
    pytest.exit(f'The tests need {", ".join(MISSING)}: pip install {" ".join(MISSING)}', returncode=1)
