"""
Measure whether what moves spoils depth that images teach: `python docs/hybrid_measure.py SEED...`.

Depth of rendered scenes with four movers, right to 12 % at first, goes down the photometric loss for 40 steps, with
`leave_out_moving` and without. Mean error of ln(depth) by then: of what stands, of that within four pixels of a mover,
and of movers, whose depth is true at the reference's time. Six scenes a seed.
"""

import dataclasses
import sys

import numpy as np
import torch
import torch.nn.functional as F

from ros_depthnet.core.motion import inverse
from ros_depthnet.learning.losses.priors import smoothness
from ros_depthnet.learning.losses.reconstruction import Photometric, Views, unlike
from ros_depthnet.learning.still_box.sequences import Sequence, SequenceOptions, random_sequence
from ros_depthnet.learning.still_box.textures import TextureAtlas

SCENES, STEPS, FARTHEST = 6, 40, 60.0
MOVING = SequenceOptions(width=96, height=64, frames=3, samples=1, step_parallax=(2.0, 6.0), forward=0.3, movers=4)


def views_of(flight: Sequence) -> Views:
    """Return the first frame and the two after it."""
    images = torch.from_numpy(flight.images).permute(0, 3, 1, 2).float() / 255
    poses = flight.T_world_cam
    T_srcs_ref = torch.from_numpy(np.stack([inverse(pose) @ poses[0] for pose in poses[1:]])[None]).float()
    valid = torch.ones(1, len(images) - 1, 1, *images.shape[2:])
    return Views(images[:1], images[None, 1:], valid, T_srcs_ref, torch.from_numpy(flight.intrinsics[None]).float())


def descended(views: Views, depth: torch.Tensor, options: Photometric) -> torch.Tensor:
    """Return where a depth (1, H, W) goes, in ln."""
    log_depth = depth.log().requires_grad_()
    optimiser = torch.optim.Adam([log_depth], 0.02)
    for _ in range(STEPS):
        optimiser.zero_grad()
        now = log_depth.exp()
        (unlike(views, now, options) + smoothness(now.detach().median() / now, views.reference)).backward()
        optimiser.step()
    return log_depth.detach()


def main(*seeds: str) -> None:
    """Print a row for each seed and way."""
    torch.set_num_threads(1)
    atlas = TextureAtlas(procedural=8, photo_tiles=0)
    print('| seed | | stands | next to movers | moves |')
    for seed in map(int, seeds):
        errors = {name: [] for name in ('at first', 'all pixels teach', 'leave_out_moving')}
        for scene in range(SCENES):
            flight = random_sequence((seed, scene), atlas, MOVING)
            still = random_sequence((seed, scene), atlas, dataclasses.replace(MOVING, movers=0))
            if not np.array_equal(flight.positions, still.positions):
                continue  # with its movers it was drawn anew
            views, truth = views_of(flight), torch.from_numpy(flight.depth[:1]).float()
            moves, known = truth != torch.from_numpy(still.depth[:1]), truth < FARTHEST
            near = F.max_pool2d(moves.float(), 9, 1, 4) > 0
            wrong = torch.from_numpy(np.random.default_rng(3).normal(0, 0.12, (1, 1, 4, 6))).float()
            first = truth.clamp_max(FARTHEST) * F.interpolate(wrong, truth.shape[1:], mode='bilinear')[0].exp()
            found = (
                first.log(),
                descended(views, first, Photometric()),
                descended(views, first, Photometric(leave_out_moving=True)),
            )
            for rows, log_depth in zip(errors.values(), found, strict=True):
                error = (log_depth - truth.log()).abs()
                rows.append([error[known & where].mean().item() for where in (~moves, near & ~moves, moves)])
        for name, rows in errors.items():
            print(f'| {seed} | {name} | {" | ".join(f"{each:.3f}" for each in np.nanmean(rows, 0))} |', flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
