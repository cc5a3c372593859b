"""Teach parallaxnet without any depth: what it says has to make other images look like the reference (Zhou 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ros_depthnet.learning.losses.photometric import least
from ros_depthnet.learning.losses.priors import smoothness
from ros_depthnet.learning.losses.reconstruction import (
    Photometric,
    Views,
    at_size,
    differences,
    still_share,
    unlike,
)
from ros_depthnet.learning.networks.parallaxnet import ParallaxNet, to_rho
from ros_depthnet.learning.parallax_task import ParallaxTask

_STRIDE = 8  # of parallaxnet's sweep
_SWEPT = 2  # stride at which its hypotheses are compared
_UNSEEN = 0.3  # photometric difference of a hypothesis that no source sees: neither likely nor unlikely
_LEAST_PARALLAX = 0.05  # pixels


@dataclass(frozen=True)
class SelfSupervisedParallaxTask(ParallaxTask):
    """
    Teach parallaxnet from images and odometry alone.

    Its deviation stays untaught: what labels agree on (`learning.labels`) can teach that.
    """

    photometric: Photometric = Photometric()

    @classmethod
    def take(cls, raw: dict) -> SelfSupervisedParallaxTask:
        """Take what concerns the task out of a recipe's YAML."""
        photometric = Photometric(**raw.pop('photometric', {}))
        return cls(**vars(ParallaxTask.take(raw)), photometric=photometric)

    def loss_terms(self, network: ParallaxNet, batch: dict) -> dict[str, torch.Tensor]:
        """
        Return the terms of the loss; the batch's true parallax is not looked at.

        The sweep: what its hypotheses differ by, weighed by how likely it says they are. Every later stage:
        what the sources differ by, reconstructed at its parallax, and how far that is from planes.
        """
        inputs = {name: value for name, value in batch.items() if name != 'parallax'}
        prediction, views = network.predict(**inputs), Views.stabilised(**inputs)
        costs = swept(views, network.sweep.q, self.photometric)
        still = torch.ones_like(views.reference[:, 0])
        if self.photometric.leave_out_moving:
            still = still_share(views, depth_of(prediction.log_parallax.exp(), views), self.photometric)
        cells = F.avg_pool2d(still, _STRIDE)
        terms = {'sweep': (cells * (prediction.log_shares.exp() * costs).sum(1)).sum() / cells.sum()}
        for index, (q, weight) in enumerate(zip(prediction.stages, self.stage_weights)):
            q = at_size(q, views.reference)
            terms[f'stage{index}'] = weight * unlike(views, depth_of(to_rho(q), views), self.photometric)
            terms[f'smooth{index}'] = weight * self.photometric.smooth * smoothness(q, views.reference)
        return terms


def depth_of(rho, views: Views):
    """Return depth (B, H, W), in unit lengths, of a lateral parallax in pixels of the views."""
    return views.intrinsics[:, 0, None, None] / rho.clamp_min(_LEAST_PARALLAX)


@torch.no_grad()
def swept(views: Views, hypotheses, options: Photometric):
    """Return what parallaxnet's hypotheses (D,), in q, differ by in each cell of its sweep, (B, D, h, w)."""
    small, costs = views.shrunk(_SWEPT), []
    batch, _, height, width = small.reference.shape
    for rho in to_rho(hypotheses) / _SWEPT:
        found, seen = least(*differences(small, depth_of(rho.expand(batch, height, width), small), options))
        costs.append(torch.where(seen, found, _UNSEEN))
    return F.avg_pool2d(torch.stack(costs, 1), _STRIDE // _SWEPT)
