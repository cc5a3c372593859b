"""
Score ways to find contours on rendered scenes: `python docs/contours_measure.py SCENES MODEL...`.

Scenes that nothing was trained on; truth is exact. MODELs are contournets, shipped ones by name or paths.
"""

import sys
from collections import defaultdict

import cv2
import numpy as np
import torch

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.contours import thinned
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.measurer import Measurer
from ros_depthnet.core.motion import pose
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.contour_model import load_contour_model
from ros_depthnet.engines.model import load_model
from ros_depthnet.evaluation.contour_scores import contour_scores
from ros_depthnet.learning.losses.contours import EXACT, MEASURED, Resolution, evidence
from ros_depthnet.learning.still_box.sequences import SequenceOptions, random_rendering
from ros_depthnet.learning.still_box.textures import shared_atlas
from ros_depthnet.learning.still_box.truth import contours

SEED = 72
OPTIONS = SequenceOptions(frames=2, step_parallax=(3.0, 22.0))
CANNY_STEPS = np.linspace(8, 250, 24)  # upper thresholds; the lower is four tenths


def main(scenes: str, *models: str) -> None:
    """Print a table of both tolerances."""
    cv2.setNumThreads(1)
    measurer = Measurer(load_model(input_width=OPTIONS.width), EstimatorOptions(max_relative_deviation=np.inf))
    nets = {name: load_contour_model(name, threads=1) for name in models}
    maps, truths = defaultdict(list), []
    for number in range(int(scenes)):
        rendering, intrinsics, positions = random_rendering((SEED, number), shared_atlas('cpu'), OPTIONS)
        images = [np.uint8(np.rint(255 * image.permute(1, 2, 0).numpy())) for image in rendering.images]
        truths.append(contours(rendering, 0).numpy())
        camera = Camera(OPTIONS.width, OPTIONS.height, *map(float, intrinsics))
        reference, source = (
            Frame(index, image, camera, pose(np.eye(3), position))
            for index, (image, position) in enumerate(zip(images, positions))
        )
        depth_hw = measurer.estimate(reference, [source]).depth_hw
        grey = cv2.cvtColor(images[0], cv2.COLOR_RGB2GRAY)
        maps['Sobel'].append(thinned(sobel(grey)))
        maps['Canny'].append(canny(grey))
        maps['measured depth'].append(thinned(chance(depth_hw, intrinsics, MEASURED)))
        maps['measured depth where Sobel'].append(
            thinned(where_both(chance(depth_hw, intrinsics, MEASURED), sobel(grey)))
        )
        maps['exact depth'].append(thinned(chance(rendering.depth[0].numpy(), intrinsics, EXACT)))
        for name, net in nets.items():
            maps[name].append(thinned(net.contours(images[0])))
    print('| | F1 (1 px) | precision | recall | F1 (2 px) | precision | recall | threshold |')
    print('| --- | --- | --- | --- | --- | --- | --- | --- |')
    for name, found in maps.items():
        one, two = (contour_scores(found, truths, tolerance) for tolerance in (1, 2))
        print(
            f'| {name} | {one.f1:.3f} | {one.precision:.3f} | {one.recall:.3f} '
            f'| {two.f1:.3f} | {two.precision:.3f} | {two.recall:.3f} | {one.threshold:.2f} |'
        )


def sobel(grey: np.ndarray) -> np.ndarray:
    """Return the gradient's length, 0..1."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    return np.minimum(np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)) / 400, 1)


def canny(grey: np.ndarray) -> np.ndarray:
    """Return the highest threshold, as a share of all, at which a pixel is still an edge."""
    smooth, found = cv2.GaussianBlur(grey, (0, 0), 1.0), np.zeros(grey.shape, np.float32)
    for number, high in enumerate(CANNY_STEPS, 1):
        found[cv2.Canny(smooth, 0.4 * high, high) > 0] = number / len(CANNY_STEPS)
    return found


def chance(depth_hw: np.ndarray, intrinsics: np.ndarray, resolution: Resolution) -> np.ndarray:
    """Return what depth alone makes of contours, 0..1."""
    inverse = torch.from_numpy(1 / depth_hw.astype(np.float32))[None]
    found = evidence(inverse, torch.from_numpy(intrinsics)[None].float(), resolution)[0]
    return (found / (1 + found)).nan_to_num().numpy()


def where_both(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the geometric mean, the first of the two being sure of its places to two pixels only."""
    return np.sqrt(cv2.dilate(one, np.ones((5, 5), np.uint8)) * other)


if __name__ == '__main__':
    main(*sys.argv[1:])
