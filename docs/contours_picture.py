"""
Draw contours: `python docs/contours_picture.py OUT.jpg FLIGHT:FRAME...` for posed sequences.

A row each: the image, depth, the second differences of its inverse, normals, contours as contournet sees them in the
image alone, and the distance to the nearest of them.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from ros_depthnet.core.contours import distance, thinned
from ros_depthnet.core.measurer import Estimate
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.contour_model import ContourModel, load_contour_model
from ros_depthnet.engines.model import load_model
from ros_depthnet.evaluation.pictures import Column, Range, depth_picture, save, strip
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.flight.session import Session
from ros_depthnet.learning.losses.contours import normals
from ros_depthnet.learning.pictures import normal_picture

SECONDS = 2.0  # of flight before the frame
HEADINGS = 'image', 'depth', 'Laplacian of inverse depth', 'normals', 'contours', 'distance to them'
SIZE = 256, 192
BENDS = 0.1  # second difference, as a share of inverse depth, of full colour
FARTHEST = 32.0  # pixels


def main(out: str, *wanted: str) -> None:
    """Write one picture of all rows."""
    model, contour_model = load_model(), load_contour_model()
    rows = []
    for name in wanted:
        folder, _, frame = name.rpartition(':')
        rows.append(row(flown(PosedSequence.load(Path(folder)), int(frame), model), contour_model))
    save(
        out,
        strip([Column(heading, [of_size(each) for each in column]) for heading, column in zip(HEADINGS, zip(*rows))]),
    )


def flown(flight: PosedSequence, index: int, model) -> Estimate:
    """Return the estimate of a frame, after a flight up to it or a pair with it."""
    since = flight.frames[index].stamp_ns - SECONDS * 1e9
    session = Session(model, EstimatorOptions())
    for i in range(index + 1):
        if flight.frames[i].stamp_ns >= since:
            estimate = session.add(flight.frame(i))
    if not isinstance(estimate, Estimate):
        raise ValueError(f'{flight.folder} has no depth at frame {index}: {estimate.value}.')
    return estimate


def row(estimate: Estimate, contour_model: ContourModel) -> tuple[np.ndarray, ...]:
    """Return the six pictures."""
    camera, depth_hw = estimate.camera, estimate.depth_hw
    inverse = 1 / np.where(np.isnan(depth_hw), np.inf, depth_hw)
    laplacian = cv2.Laplacian(inverse, cv2.CV_32F) / np.maximum(cv2.blur(inverse, (3, 3)), 1e-6)
    intrinsics = torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]])
    normals_hw3 = normals(torch.from_numpy(inverse)[None], intrinsics)[0].permute(1, 2, 0).numpy()
    lines = thinned(contour_model.contours(estimate.image))
    scale = Range.of([depth_hw])
    return (
        estimate.image,
        depth_picture(depth_hw, scale.near, scale.far),
        signed(laplacian / BENDS),
        normal_picture(np.where(np.isnan(depth_hw)[..., None], np.nan, normals_hw3)),
        np.repeat(np.uint8(255 * lines)[..., None], 3, -1),
        cv2.applyColorMap(np.uint8(255 * np.minimum(distance(lines) / FARTHEST, 1)), cv2.COLORMAP_VIRIDIS)[..., ::-1],
    )


def of_size(picture: np.ndarray) -> np.ndarray:
    """Return the middle of a picture, as wide as that of the narrowest camera, at one size."""
    height, width = picture.shape[:2]
    margin = max(0, width - height * SIZE[0] // SIZE[1]) // 2
    return cv2.resize(picture[:, margin : width - margin], SIZE, interpolation=cv2.INTER_AREA)


def signed(values: np.ndarray) -> np.ndarray:
    """Show -1 as blue, 0 as white, 1 as red."""
    values = np.clip(values, -1, 1)[..., None]
    return np.uint8(255 * np.where(values > 0, 1 - values * (0.1, 0.9, 0.9), 1 + values * (0.9, 0.7, 0.1)))


if __name__ == '__main__':
    main(*sys.argv[1:])
