"""Compiled kernels read and write within their arrays, whatever goes in; as they run, nothing else would notice."""

import os
import subprocess
import sys

import pytest

ALIGN = """
import numpy as np
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Prediction, Views
from ros_depthnet.core.motion import pose
from ros_depthnet.core.photometric import aligned

rng = np.random.default_rng(0)
for width, height in ((1, 1), (1, 9), (9, 1), (24, 16)):
    camera = Camera(width, height, 20, 20, (width - 1) / 2, (height - 1) / 2)
    image = rng.integers(0, 255, (height, width, 3), np.uint8)
    reference, source = (Frame(number, image, camera, np.eye(4)) for number in range(2))
    for ahead in (0.0, 0.9, -50.0):
        views = Views(reference, (source,), pose(np.eye(3), (0.5, 0.1, ahead))[None])
        depth_hw = rng.choice(np.float32([np.nan, np.inf, 0, 1e-30, 1, 1e30]), (height, width))
        aligned(Prediction(depth_hw, np.full_like(depth_hw, 0.1)), views, 2)
"""
MATCH = """
import numpy as np
from ros_depthnet.engines.matching import Matching

rng = np.random.default_rng(0)
matching = Matching(1)
for height, width in ((1, 1), (1, 9), (9, 1), (12, 16)):
    packed = matching.packed(rng.normal(size=(3, 6, height, width)).astype(np.float32), np.ones((3, height, width)))
    rho = rng.choice(np.float32([np.nan, np.inf, -np.inf, -1e30, 0, 7, 1e30]), (3, height, width))
    for displacements in (np.float32([[1, 0, 0.6], [0.3, -0.4, -9]]), np.full((2, 3), np.nan, np.float32)):
        intrinsics = np.float32([70, 65, width * 2, height * 2])
        batch = (each[None] for each in (packed[0], packed[1:], displacements, intrinsics))
        matching.costs(*batch, 4, (3, 1, 2), rho[None])
"""

MOVE = """
import numpy as np
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Views
from ros_depthnet.core.fusion import DepthMap
from ros_depthnet.core.motion import pose
from ros_depthnet.core.moving import compare

rng = np.random.default_rng(0)
for width, height in ((32, 24), (41, 33)):
    camera = Camera(width, height, 20, 20, (width - 1) / 2, (height - 1) / 2)
    images = rng.integers(0, 255, (3, height, width, 3), np.uint8)
    frames = [Frame(number, image, camera, np.eye(4)) for number, image in enumerate(images)]
    for ahead in (0.0, 0.9, -50.0):
        near, far = pose(np.eye(3), (0.5, 0.1, ahead)), pose(np.eye(3), (-3.0, 40.0, 2 * ahead))
        depth_hw = rng.choice(np.float32([np.nan, np.inf, 0, 1e-30, 1, 1e30]), (height, width))
        depth_map = DepthMap(depth_hw, np.full_like(depth_hw, 0.1), np.zeros_like(depth_hw))
        compare(Views(frames[0], tuple(frames[1:]), np.stack([near, far])), depth_map)
"""


@pytest.mark.parametrize('code', [ALIGN, MATCH, MOVE], ids=['alignment', 'matching', 'moving'])
def test_no_place_is_outside(code, tmp_path):
    checked = {**os.environ, 'NUMBA_BOUNDSCHECK': '1', 'NUMBA_CACHE_DIR': str(tmp_path)}
    done = subprocess.run([sys.executable, '-c', code], env=checked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
