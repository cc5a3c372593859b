"""
Draw how what moves is found: `python docs/moving_picture.py OUT.jpg FLIGHT:FRAME...` for posed sequences.

A row each: the image with what truly moves outlined where that is known, the depth that is left, optical flow to a
tenth of a second before, rigid flow, their difference, and the probability without the network and with it.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.core import moving
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.model import load_model
from ros_depthnet.engines.moving_model import load_moving_model
from ros_depthnet.evaluation.pictures import depth_picture
from ros_depthnet.evaluation.pose_noise import PoseNoise
from ros_depthnet.flight.movers import Movers
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.flight.session import Session
from ros_depthnet.learning.pictures import flow_picture

SECONDS = 2.0  # of flight before the frame
LONGEST = 12.0  # pixels, flow of full colour; of the difference a third


def main(out: str, *wanted: str) -> None:
    """Write one picture of all rows."""
    model = load_model()
    rows = []
    for name in wanted:
        folder, _, frame = name.rpartition(':')
        rows.append(row(PoseNoise(0.1, 3.0).degraded(PosedSequence.load(Path(folder))), int(frame), model))
    if not cv2.imwrite(out, np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88]):
        raise OSError(f'{out} cannot be written.')


class Watched:
    """A network whose clues are kept."""

    def __init__(self):
        self._network = load_moving_model()

    def log_odds(self, clues: np.ndarray) -> np.ndarray:
        """Judge, and keep."""
        self.clues = clues
        return self._network.log_odds(clues)


def row(flight: PosedSequence, index: int, model) -> np.ndarray:
    """Fly up to a frame and show it."""
    watched = Watched()
    session = Session(model, EstimatorOptions(find_moving=True, check_odometry=False), movers=Movers(lambda: watched))
    since = flight.frames[index].stamp_ns - SECONDS * 1e9
    for i in range(index + 1):
        if flight.frames[i].stamp_ns >= since:
            estimate = session.add(flight.frame(i))
    truth, size = flight.moving(index), estimate.image.shape[1::-1]
    off, rigid = (
        cv2.resize(each.transpose(1, 2, 0), size) for each in (4 * watched.clues[8:10], 8 * watched.clues[10:12])
    )
    return np.hstack(
        [
            estimate.image if truth is None else outlined(estimate.image, truth),
            depth_picture(estimate.depth_hw, 2.0, 40.0),
            flow_picture(rigid + off, LONGEST),
            flow_picture(rigid, LONGEST),
            flow_picture(off, LONGEST / 3),
            probability_picture(cv2.resize(moving.probability(4 * watched.clues[12]), size)),
            probability_picture(estimate.moving_hw),
        ]
    )


def probability_picture(probability_hw: np.ndarray) -> np.ndarray:
    """Return probabilities from black by red to white."""
    return cv2.applyColorMap(np.uint8(255 * probability_hw), cv2.COLORMAP_INFERNO)[..., ::-1]


def outlined(image: np.ndarray, mask_hw: np.ndarray) -> np.ndarray:
    """Return an image with the outlines of a mask of any size."""
    sized = cv2.resize(mask_hw.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(sized, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(image.copy(), contours, -1, (255, 255, 255), 1)


if __name__ == '__main__':
    main(*sys.argv[1:])
