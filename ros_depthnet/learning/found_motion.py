"""The motion that a pose network finds in images, and how far it is from what odometry knows."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ros_depthnet.learning.losses.reconstruction import Views
from ros_depthnet.learning.networks.posenet import PoseNet
from ros_depthnet.learning.windows import draw_windows

_CHECKED = 64
_SEED = 3


def with_found_motion(network: PoseNet, views: Views) -> tuple[Views, torch.Tensor | None]:
    """Return the views moved as the network says, and what it explains of each source (B, S, H, W), or None."""
    motions, explained = zip(*(network(views.reference, source) for source in views.sources.unbind(1)))
    views = dataclasses.replace(views, T_srcs_ref=torch.stack(motions, 1))
    return views, torch.stack(explained, 1) if network.config.explains else None


@torch.no_grad()
def pose_scores(network: PoseNet, flights, size: tuple[int, int], turned: float) -> dict[str, float]:
    """
    Return medians over fixed pairs: `direction_error` and `rotation_error`, degrees.

    The first is the angle between the translation found and the true one, which a network cannot know the
    length of. Chance gives 90.
    """
    device = next(network.parameters()).device
    count = min(_CHECKED, len(flights))
    batch = draw_windows(flights, count, 1, size, turned, count, np.random.default_rng(_SEED))
    T_found, _ = network(batch['reference'].to(device), batch['sources'][:, 0].to(device))
    T_found, T_true = T_found.cpu().double(), batch['T_srcs_ref'][:, 0].double()
    cosine = torch.cosine_similarity(T_found[:, :3, 3], T_true[:, :3, 3])
    left = T_found[:, :3, :3] @ T_true[:, :3, :3].mT
    turn = ((left.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)
    return {
        'direction_error': round(float(cosine.clamp(-1, 1).acos().rad2deg().median()), 2),
        'rotation_error': round(float(turn.acos().rad2deg().median()), 3),
    }
