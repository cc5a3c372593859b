"""
What launch_testing says of the launch files that need nothing but this package: `launch_test test/ros/launched.py`.

Everything they start has to get ready, and to end without a fault when the launch does.
"""

import importlib.util
import unittest

import launch_testing
import pytest
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_testing.actions import ReadyToTest

from ros_depthnet.resources import share_path

_READY = 'parallaxnet_small is ready on'
_LONGEST_S = 120.0  # the first start on a computer compiles
_SMALL = {'model': 'parallaxnet_small'}
_NEEDED = {'mavros': 'rclpy', 'px4_uxrce': 'px4_msgs', 'realsense': 'tf2_ros', 'sim': 'rclpy', 'zed': 'tf2_ros'}
PRESETS = [{'preset': name} for name, module in _NEEDED.items() if importlib.util.find_spec(module)]
MORE = [{}, {'one_process': 'true'}, {'namespace': 'left', 'mounting': 'down', 'log_level': 'debug'}]


@pytest.mark.launch_test
@launch_testing.parametrize('given', [*MORE, *PRESETS])
def generate_test_description(given):
    uav = PythonLaunchDescriptionSource(str(share_path('launch', 'uav.launch.py')))
    included = IncludeLaunchDescription(uav, launch_arguments={**_SMALL, **given}.items())
    return LaunchDescription([included, ReadyToTest()])


class Started(unittest.TestCase):
    def test_depth_is_ready(self, proc_output):
        proc_output.assertWaitFor(_READY, timeout=_LONGEST_S, stream='stderr')


@launch_testing.post_shutdown_test()
class Ended(unittest.TestCase):
    def test_everything_ends_well(self, proc_info, proc_output, given):
        launch_testing.asserts.assertExitCodes(proc_info)
        self.assertEqual(len(proc_info.process_names()), 1 if 'one_process' in given else 3)
        self.assertNotIn('Traceback', ''.join(output.text.decode() for output in proc_output))
