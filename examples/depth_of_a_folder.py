"""Depth of a folder of images and poses, or of a rosbag2: `python examples/depth_of_a_folder.py FLIGHT`."""

import sys
from pathlib import Path

import numpy as np

from ros_depthnet import Estimate, Session, load_model, recorded_frames

session = Session(load_model('parallaxnet_small'))
for recorded in recorded_frames(Path(sys.argv[1]), refused=print):
    outcome = session.add(recorded.frame)
    if isinstance(outcome, Estimate):
        known = np.isfinite(outcome.depth_hw)
        print(f'{outcome.stamp_ns / 1e9:.2f} s: {np.median(outcome.depth_hw[known]):.1f} m, {known.mean():.0%} known')
    else:
        print(f'{recorded.frame.stamp_ns / 1e9:.2f} s: no depth, {outcome.value}')
