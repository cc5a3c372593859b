"""The onlooker of a demo: what it cannot keep ends the flight with a sentence, and is not just missing."""

import shutil
import time

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ros_depthnet.ros import qos, topics
from ros_depthnet.ros.conversions.image import from_depth
from ros_depthnet.ros.recorder import Recorder


def test_a_moment_that_cannot_be_written_is_raised_to_who_asks(bench, tmp_path):
    publisher = bench.publisher(Image, topics.DEPTH.name, qos.reliable(10))
    with Recorder(tmp_path / 'moments', compressed=False) as recorder:
        assert recorder.counts().depth == 0
        shutil.rmtree(tmp_path / 'moments')  # as good as no room
        end = time.monotonic() + 15
        with pytest.raises(OSError, match=r'moments.*depth\.npy'):
            while time.monotonic() < end:
                publisher.publish(from_depth(np.ones((4, 6), np.float32), Header(frame_id='optical'), '32FC1'))
                time.sleep(0.1)
                recorder.counts()
