"""
Measure when what crosses is announced: `python docs/crossing_measure.py FLIGHT...`.

FLIGHT: posed sequences as `depthnet render flight --crossing 3` makes. Obstacles are followed by exact depth, by that
of a stereo camera (12 cm, an eighth of a pixel) and by the product's own, with and without find_moving. Of each:
seconds from when the thing is half a percent of the image until its box is said to move, and, with find_moving, until
half of its pixels are; and how many boxes of what stands are said to move. In flights without movers, all stand.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.core.cloud import CloudOptions, make_cloud
from ros_depthnet.core.measurer import Estimate
from ros_depthnet.core.motion import inverse
from ros_depthnet.core.moving import MOVES
from ros_depthnet.core.obstacle_tracks import Obstacle, ObstacleTracks
from ros_depthnet.core.obstacles import ObstacleOptions, cluster_obstacles
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.model import load_model
from ros_depthnet.engines.moving_model import load_moving_model
from ros_depthnet.flight.movers import Movers
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.flight.session import Session

IN_VIEW = 0.005  # share of the image
STEREO_M, STEREO_PX, BLUR_PX = 0.12, 0.125, 2.0
FAR = 15.0  # metres, of boxes


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known of a frame: depth and deviation (H, W) metres, and the probability of moving, if asked for."""

    depth_hw: np.ndarray
    deviation_hw: np.ndarray | None = None
    moving_hw: np.ndarray | None = None


def exact(flight: PosedSequence) -> Iterator[Seen | None]:
    """Yield the truth."""
    return (Seen(flight.depth(i)) for i in range(len(flight.frames)))


def stereo(flight: PosedSequence) -> Iterator[Seen]:
    """Yield the truth with noise of disparity that is alike in neighbouring pixels."""
    rng = np.random.default_rng(0)
    for i in range(len(flight.frames)):
        depth_hw, per_metre = flight.depth(i), flight.frame(i).camera.fx * STEREO_M
        noise = cv2.GaussianBlur(rng.normal(0, 1, depth_hw.shape), (0, 0), BLUR_PX) * 2 * np.sqrt(np.pi) * BLUR_PX
        disparity = np.maximum(per_metre / depth_hw + STEREO_PX * noise, 1e-3)
        measured = (per_metre / disparity).astype(np.float32)
        yield Seen(measured, np.square(measured) / np.float32(per_metre) * np.float32(STEREO_PX))


def own(flight: PosedSequence, find_moving: bool = False) -> Iterator[Seen | None]:
    """Yield what depth_node would publish."""
    session = Session(load_model(), EstimatorOptions(find_moving=find_moving), movers=Movers(load_moving_model))
    for i in range(len(flight.frames)):
        found = session.add(flight.frame(i))
        yield Seen(found.depth_hw, found.deviation_hw, found.moving_hw) if isinstance(found, Estimate) else None


def report(flight: PosedSequence, sights: Iterator[Seen | None]) -> str:
    """Return when the thing is announced, and how many boxes of others are."""
    tracks, came, announced, masked, wrong, others = ObstacleTracks(), None, None, None, 0, 0
    for i, seen in enumerate(sights):
        frame, truth_hw = flight.frame(i), flight.moving(i)
        truth_hw = np.zeros(frame.image.shape[:2], bool) if truth_hw is None else truth_hw
        seconds, T_world_cam = frame.stamp_ns / 1e9, frame.T_world_cam
        if came is None and truth_hw.mean() >= IN_VIEW:
            came = seconds
        if seen is None:
            continue
        if seen.moving_hw is not None and masked is None and came is not None:
            found = cv2.resize(seen.moving_hw, truth_hw.shape[::-1])[truth_hw] >= MOVES
            masked = seconds if found.size and found.mean() >= 0.5 else None
        options = CloudOptions(max_distance=FAR)
        cloud = make_cloud(seen.depth_hw, seen.deviation_hw, None, frame.camera, T_world_cam, options)
        up, place = np.array([0.0, 0, 1]), T_world_cam[:3, 3]
        boxes = cluster_obstacles(cloud.points, place, up, ObstacleOptions(max_distance=FAR))
        for obstacle in tracks.update(frame.stamp_ns, boxes, place):
            if shows(obstacle, frame, truth_hw):
                announced = seconds if announced is None and obstacle.moving and came is not None else announced
            else:
                wrong, others = wrong + obstacle.moving, others + 1
    after = (f'{at - came:.1f} s' if at is not None else '-' for at in (announced, masked))
    return '{} | {} | {} of {}'.format(*after, wrong, others)


def shows(obstacle: Obstacle, frame, truth_hw: np.ndarray) -> bool:
    """Tell whether the middle of a box is where the truth says that something moves."""
    point_cam = (inverse(frame.T_world_cam) @ [*obstacle.box.centre, 1])[:3]
    if point_cam[2] <= 0:
        return False
    column, row = np.floor(frame.camera.project(point_cam[None])[0] + 0.5).astype(int)
    return 0 <= row < truth_hw.shape[0] and 0 <= column < truth_hw.shape[1] and bool(truth_hw[row, column])


def main(*folders: str) -> None:
    """Print a row for each flight and depth."""
    print('| flight | depth | box announced | half masked | boxes of others announced |')
    for folder in folders:
        flight = PosedSequence.load(Path(folder))
        ways = {
            'exact': exact(flight),
            'stereo': stereo(flight),
            'own': own(flight),
            'own, find_moving': own(flight, find_moving=True),
        }
        for name, sights in ways.items():
            print(f'| {flight.folder.name} | {name} | {report(flight, sights)} |', flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
