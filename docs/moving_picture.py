"""
Draw how what moves is found: `python docs/moving_picture.py OUT.jpg FLIGHT:FRAME...` for posed sequences.

A row each: the image with what truly moves outlined where that is known, the depth before movers lose it, optical
flow to a tenth of a second before, rigid flow, their difference, and the probability.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.core import motion, moving
from ros_depthnet.core.frames import Frame, Views
from ros_depthnet.core.fusion import DepthMap
from ros_depthnet.core.measurer import EstimatorOptions
from ros_depthnet.core.reasons import Drop
from ros_depthnet.engines.model import load_model
from ros_depthnet.evaluation.pictures import depth_picture
from ros_depthnet.evaluation.pose_noise import PoseNoise
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


def row(flight: PosedSequence, index: int, model) -> np.ndarray:
    """Fly up to a frame and show it."""
    session, before, looked, frames = Session(model, EstimatorOptions()), None, None, []
    since = flight.frames[index].stamp_ns - SECONDS * 1e9
    for i in range(index + 1):
        if flight.frames[i].stamp_ns < since:
            continue
        estimate = session.add(flight.frame(i))
        if isinstance(estimate, Drop):
            frames.append(flight.frame(i).resized(*model.input_size(flight.camera)))
            continue
        reference = Frame(estimate.stamp_ns, estimate.image, estimate.camera, estimate.T_world_cam)
        depth_map = DepthMap.fresh(estimate.depth_hw, estimate.deviation_hw / estimate.depth_hw)
        sources = moving.companions(reference, frames, looked)
        views = Views(
            reference,
            sources,
            np.stack([motion.inverse(source.T_world_cam) @ reference.T_world_cam for source in sources]),
        )
        before, looked = moving.motion_evidence(views, depth_map, before), reference
        frames.append(reference)
    far = np.where(np.isfinite(estimate.depth_hw), estimate.depth_hw, 100.0)
    points = reference.camera.rays_hw3() * far[..., None] @ views.T_srcs_ref[0][:3, :3].T + views.T_srcs_ref[0][:3, 3]
    rays = reference.camera.rays_hw3()
    rigid = (reference.camera.project(points) - reference.camera.project(rays)).astype(np.float32)
    truth = flight.moving(index)
    image = reference.image if truth is None else outlined(reference.image, truth)
    mask = cv2.applyColorMap(np.uint8(255 * before.probability_hw), cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.hstack(
        [
            image,
            depth_picture(estimate.depth_hw, 2.0, 40.0),
            flow_picture(before.flow_hw2, LONGEST),
            flow_picture(rigid, LONGEST),
            flow_picture(before.flow_hw2 - rigid, LONGEST / 3),
            mask,
        ]
    )


def outlined(image: np.ndarray, mask_hw: np.ndarray) -> np.ndarray:
    """Return an image with the outlines of a mask of any size."""
    sized = cv2.resize(mask_hw.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(sized, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(image.copy(), contours, -1, (255, 255, 255), 1)


if __name__ == '__main__':
    main(*sys.argv[1:])
