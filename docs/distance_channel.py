"""
Ask whether distances to contours give plain places a slope: `python docs/distance_channel.py SCENES`.

Rendered interiors that are mostly plain, with noise of a camera. For every pixel the photometric difference of two
images, or that of parallaxnet's fixed descriptors, is swept over parallax round the true one, and with it the
difference of their distances to contours: exact ones, and Canny's. How often is the least within 10 % of the truth?
By chance in a quarter of all cases.
"""

import sys
from collections import defaultdict

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ros_depthnet.core.contours import distance
from ros_depthnet.learning.losses.photometric import difference
from ros_depthnet.learning.losses.reprojection import reprojected, sampled, stabilised_motion
from ros_depthnet.learning.networks.parallaxnet import ParallaxNetConfig, descriptors
from ros_depthnet.learning.still_box.options import Preset
from ros_depthnet.learning.still_box.sequences import SequenceOptions, random_rendering
from ros_depthnet.learning.still_box.textures import shared_atlas
from ros_depthnet.learning.still_box.truth import contours

SEED, NOISE = 91, 0.012
INTERIORS = Preset.ROOM, Preset.CORRIDOR, Preset.INTERIOR
OPTIONS = SequenceOptions(frames=2, presets=dict.fromkeys(INTERIORS, 1 / 3), textured=0.3, step_parallax=(6.0, 20.0))
FACTORS = np.exp(np.linspace(-0.5, 0.5, 21))
RIGHT = 0.11  # |ln|
WINDOW = 7  # pixels, over which differences are averaged
FARTHEST = 32.0  # pixels, to which distances are cut
WEIGHTS = {'images': (0.05, 0.2, 1.0), 'descriptors': (0.2, 1.0, 5.0)}
FLOOR = ParallaxNetConfig().contrast_floor
BORDER = 8  # pixels
PLACES = {'blank': (0.0, 0.0085), 'plain': (0.0085, 0.02), 'textured': (0.05, 1.0)}
"""Least and most standard deviation of grey, 0..1, round about; noise alone has .007."""


def main(scenes: str) -> None:
    """Print a table."""
    found = defaultdict(lambda: np.zeros(3))
    for number in range(int(scenes)):
        for key, sums in of_scene(number).items():
            found[key] += sums
    print('| | | mean of abs ln | within 10 % |\n| --- | --- | --- | --- |')
    for (place, name), (total, right, pixels) in sorted(found.items()):
        print(f'| {place} | {name} | {total / pixels:.3f} | {right / pixels:.3f} |')


def of_scene(number: int) -> dict[tuple[str, str], np.ndarray]:
    """Return sums of |ln|, of what is right, and of pixels, by kind of place and by what is compared."""
    rendering, intrinsics, positions = random_rendering((SEED, number), shared_atlas('cpu'), OPTIONS)
    noise = NOISE * torch.randn(rendering.images.shape, generator=torch.Generator().manual_seed(number))
    images = (rendering.images + noise).clamp(0, 1)
    grey = [cv2.cvtColor(image.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY) for image in images]
    lines = {
        'exact': [contours(rendering, view).numpy() for view in (0, 1)],
        'Canny': [cv2.Canny(cv2.GaussianBlur(np.uint8(255 * each), (0, 0), 1.0), 20, 60) > 0 for each in grey],
    }
    distances = torch.from_numpy(
        np.stack(
            [[np.minimum(distance(np.float32(each)), FARTHEST) / FARTHEST for each in both] for both in lines.values()]
        )
    )
    T_src_ref = stabilised_motion(torch.from_numpy(positions[0] - positions[1])[None].float())
    described = descriptors(images, FLOOR)
    source = torch.cat([images[1], described[1], distances[:, 1]])[None]
    costs, inside = defaultdict(list), torch.ones(grey[0].shape, dtype=torch.bool)
    for factor in FACTORS:
        depth = float(factor) * rendering.depth[:1].clamp_max(1e4)
        pixels, _ = reprojected(depth, T_src_ref, torch.from_numpy(intrinsics)[None].float())
        seen, within = sampled(source, pixels)
        inside &= within[0]
        costs['images'].append(averaged(difference(images[:1], seen[:, :3])[0]))
        costs['descriptors'].append(averaged((described[0] - seen[0, 3:-2]).abs().mean(0)))
        for name, here, there in zip(lines, distances[:, 0], seen[0, -2:]):
            costs[name].append(averaged((here - there).abs()))
    costs = {name: np.stack(each) for name, each in costs.items()}
    compared = {name if name in WEIGHTS else f'{name} distance': each for name, each in costs.items()}
    compared |= {
        f'{what} and {weight:g} {name} distance': costs[what] + weight * costs[name]
        for what, weights in WEIGHTS.items()
        for name in lines
        for weight in weights
    }
    spread = np.sqrt(np.maximum(cv2.blur(grey[0] ** 2, (15, 15)) - cv2.blur(grey[0], (15, 15)) ** 2, 0))
    counts = inside.numpy() & np.isfinite(rendering.depth[0].numpy())
    counts[:BORDER] = counts[-BORDER:] = counts[:, :BORDER] = counts[:, -BORDER:] = False
    found = {}
    for place, (least, most) in PLACES.items():
        mask = counts & (least <= spread) & (spread < most)
        for name, cost in compared.items():
            off = np.abs(np.log(FACTORS))[cost.argmin(0)][mask]
            found[place, name] = np.array([off.sum(), (off < RIGHT).sum(), off.size])
    return found


def averaged(values: torch.Tensor) -> np.ndarray:
    """Return means over windows."""
    return F.avg_pool2d(values[None, None], WINDOW, 1, WINDOW // 2)[0, 0].numpy()


if __name__ == '__main__':
    main(*sys.argv[1:])
