"""An obstacle rule of one's own, braking in time: `python examples/own_obstacle_rule.py FLIGHT`."""

import sys
from pathlib import Path

import numpy as np

from ros_depthnet import Estimate, ObstacleOptions, Session, cluster_obstacles, load_model, recorded_frames

SPEED, BRAKE_S, OPTICAL_UP = 3.0, 2.0, np.array([0.0, -1.0, 0.0])
session = Session(load_model('parallaxnet_small'))
for recorded in recorded_frames(Path(sys.argv[1]), refused=print):
    outcome = session.add(recorded.frame)
    if isinstance(outcome, Estimate):
        sure_hw = outcome.deviation_hw < 0.2 * outcome.depth_hw
        points = outcome.camera.back_project(np.where(sure_hw, outcome.depth_hw, np.nan)).reshape(-1, 3)
        boxes = cluster_obstacles(points, np.zeros(3), OPTICAL_UP, ObstacleOptions(max_distance=SPEED * BRAKE_S))
        ahead = [box for box in boxes if abs(box.centre[0]) - box.size[0] / 2 < 0.5]
        print(f'{outcome.stamp_ns / 1e9:.2f} s:', f'brake, {ahead[0].distance:.1f} m' if ahead else 'go on')
