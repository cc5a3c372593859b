"""
Ask whether planes that stop at contours make depth better: `python docs/contour_planes.py SET...` (posed sequences).

Between its first and second step the alignment lets unsure pixels lean on planes (core/planes.py), fitted in windows
of one brightness. Here the windows end at contours instead: a recursive filter over cells (Gastal and Oliveira 2011)
whose steps are longer where contournet sees a contour. Also without any contours, and with those of the exact depth.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from ros_depthnet.core import photometric, planes
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.contours import thinned
from ros_depthnet.core.measurer import Measurer
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.contour_model import load_contour_model
from ros_depthnet.engines.model import load_model
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.learning.losses.contours import EXACT, evidence


@dataclass(frozen=True)
class Leaning:
    """
    How unsure pixels lean on planes between contours.

    window: standard deviation, of the image's size. own: weight of what a pixel says itself. elsewhere: ln(depth),
    what is farther from the plane is not of it. unseen: relative deviation added where images show nothing. barrier:
    cells that a sure contour is wide.
    """

    window: float = 0.1
    own: float = 1.0
    elsewhere: float = 1.5
    unseen: float = 0.5
    barrier: float = 20.0


SURE = 0.6  # of exact depth's contours
MORE, NEAR, USUAL = Leaning(), Leaning(window=0.05), Leaning(own=8.0, elsewhere=0.7, unseen=0.2)
VARIANTS = {
    'contours': ('seen', MORE),
    'contours, half the window': ('seen', NEAR),
    'contours, leaning as usual': ('seen', USUAL),
    'no contours': ('none', MORE),
    'no contours, half the window': ('none', NEAR),
    'exact contours': ('exact', MORE),
    'exact contours, half the window': ('exact', NEAR),
}


def main(*folders: str) -> None:
    """Print mae_log and delta_125 of each set, as it is and with each variant."""
    measurer, net = Measurer(load_model(), EstimatorOptions()), load_contour_model()
    usual = photometric.towards_planes, photometric.UNSEEN
    for folder in map(Path, folders):
        flight, errors = PosedSequence.load(folder), defaultdict(list)
        for reference, source in flight.pairs:
            frames = [measurer.sized(flight.frame(number)) for number in (reference, source)]
            views = measurer.comparing(frames[0]).with_sources(frames[1:])
            prediction = measurer.model.predict([views])[0]
            truth_hw, detail = flight.depth(reference), views.detailed().reference
            lines = {
                'seen': thinned(net.contours(detail.image)),
                'exact': of_exact(truth_hw, detail.camera),
                'none': np.zeros((8, 8), np.float32),
            }
            for name, (kind, leaning) in {'as it is': (None, None), **VARIANTS}.items():
                photometric.towards_planes, photometric.UNSEEN = usual
                if leaning:
                    photometric.towards_planes = partial(between_contours, lines_hw=lines[kind], leaning=leaning)
                    photometric.UNSEEN = leaning.unseen
                depth_hw = photometric.aligned(prediction, views.detailed(), 3).depth_hw
                errors[name].append(log_errors(depth_hw, truth_hw, flight.max_depth))
        scores = {
            name: np.mean([(e.mean(), (e < np.log(1.25)).mean()) for e in each], 0) for name, each in errors.items()
        }
        for name, (mae_log, delta_125) in scores.items():
            better = np.mean([e.mean() < f.mean() for e, f in zip(errors[name], errors['as it is'])])
            change = mae_log / scores['as it is'][0] - 1
            print(
                f'| {folder.name} | {name} | {mae_log:.4f} | {change:+.1%} | {delta_125:.4f} | {better:.0%} |',
                flush=True,
            )


def log_errors(depth_hw: np.ndarray, truth_hw: np.ndarray, max_depth: float) -> np.ndarray:
    """Return |ln d - ln z| where there is truth up to max_depth, metres."""
    truth_hw = cv2.resize(truth_hw, depth_hw.shape[::-1], interpolation=cv2.INTER_NEAREST)
    known = (truth_hw > 0) & (truth_hw <= max_depth)
    return np.abs(np.log(np.clip(depth_hw[known], 1e-2, 1e4) / truth_hw[known]))


def of_exact(depth_hw: np.ndarray, camera: Camera) -> np.ndarray:
    """Return thinned contours of true depth of any size at a camera's, the unknown taken for infinitely far."""
    depth_hw = cv2.resize(depth_hw, (camera.width, camera.height), interpolation=cv2.INTER_NEAREST)
    inverse = 1 / np.where(depth_hw > 0, depth_hw, np.inf).astype(np.float32)
    intrinsics = torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]])
    found = evidence(torch.from_numpy(inverse)[None], intrinsics, EXACT)[0]
    return np.float32(thinned((found / (1 + found)).numpy()) > SURE)


def between_contours(ln_inverse_hw, deviation_hw, grey_hw, lines_hw: np.ndarray, leaning: Leaning) -> np.ndarray:
    """Return what `planes.towards_planes` does, of planes in windows that end at contours."""
    height, width = ln_inverse_hw.shape
    lines = cv2.resize(cv2.dilate(lines_hw, np.ones((3, 3))), (width, height), interpolation=cv2.INTER_AREA)
    x, y = np.arange(width, dtype=np.float32) - width / 2, np.arange(height, dtype=np.float32)[:, None] - height / 2
    inverse = np.exp(ln_inverse_hw - np.mean(ln_inverse_hw))
    weight = np.square(planes.SURE**2 / (np.square(deviation_hw) + planes.SURE**2)) / np.square(inverse)
    terms = (np.ones_like(inverse), x, y, inverse, x * x, y * y, x * y, x * inverse, y * inverse, inverse * inverse)
    window = leaning.window * np.sqrt(width * height)
    total, *means = np.moveaxis(
        spread(np.stack([weight * each for each in terms], -1), lines, window, leaning.barrier), -1, 0
    )
    mean_x, mean_y, mean_z, xx, yy, xy, xz, yz, zz = (each / (total + 1e-12) for each in means)
    ridge = (planes.RIDGE * window) ** 2
    xx, yy, xy = xx - mean_x**2 + ridge, yy - mean_y**2 + ridge, xy - mean_x * mean_y
    xz, yz, zz = xz - mean_x * mean_z, yz - mean_y * mean_z, zz - mean_z**2
    determinant = xx * yy - xy * xy
    along_x, along_y = (xz * yy - yz * xy) / determinant, (yz * xx - xz * xy) / determinant
    plane = mean_z + along_x * (x - mean_x) + along_y * (y - mean_y)
    variance = np.maximum(zz - along_x * xz - along_y * yz, 0)
    in_front = np.maximum(plane, inverse * np.exp(-2 * leaning.elsewhere))
    shift = np.log(in_front / inverse)
    own = leaning.own / np.square(deviation_hw)
    fits = (np.abs(shift) < leaning.elsewhere) / (variance / np.square(in_front) + planes.FLAT**2)
    return (shift * fits / (own + fits)).astype(np.float32)


def spread(values_hwc: np.ndarray, lines_hw: np.ndarray, window: float, barrier: float, rounds: int = 2) -> np.ndarray:
    """Return weighted sums (H, W, C) over windows, cells, from which contours are `barrier` cells farther away."""
    sums = values_hwc.copy()
    for number in range(rounds):
        deviation = window * np.sqrt(3) * 2 ** (rounds - number - 1) / np.sqrt(4**rounds - 1)
        for axis in (1, 0):
            cells, wall = np.moveaxis(sums, axis, 0), np.moveaxis(lines_hw, axis, 0)
            kept = np.exp(-np.sqrt(2) / deviation * (1 + barrier * np.maximum(wall[1:], wall[:-1])))[..., None]
            for i in range(1, len(cells)):
                cells[i] += kept[i - 1] * (cells[i - 1] - cells[i])
            for i in range(len(cells) - 2, -1, -1):
                cells[i] += kept[i] * (cells[i + 1] - cells[i])
    return sums


if __name__ == '__main__':
    main(*sys.argv[1:])
