"""Teach depthnet without any depth: unsupervised DepthNet (Pinard 2018), and its motion from odometry or images."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ros_depthnet.learning.depth_task import NOMINAL_DISPLACEMENT, DepthTask
from ros_depthnet.learning.found_motion import pose_scores, with_found_motion
from ros_depthnet.learning.losses.priors import smoothness
from ros_depthnet.learning.losses.reconstruction import Photometric, Views, at_size, unlike
from ros_depthnet.learning.losses.reprojection import occluded, reprojected, sampled
from ros_depthnet.learning.networks.depthnet import DepthNet, DepthNetConfig
from ros_depthnet.learning.networks.posenet import PoseNet, PoseNetConfig
from ros_depthnet.learning.task import Stage
from ros_depthnet.learning.windows import draw_windows

_LEAST_WAY = 1e-5  # of a normalised translation, in its own unit
_MOST_TURNED = 0.35  # radians: what turned further shows little of the same, and no drone in flight takes it
_LAST = 100.0


class PosedDepthNet(DepthNet):
    """DepthNet with a network beside it that finds the motion. Exported, it is DepthNet alone."""

    def __init__(self, config: DepthNetConfig, pose: PoseNetConfig):
        super().__init__(config)
        self.pose = PoseNet(pose)


@dataclass(frozen=True)
class UnsupervisedDepthTask(DepthTask):
    """
    Teach depthnet from images.

    Of each flight it sees a reference and `sources` others, turned further by `turned` degrees. The motion is
    odometry's, or, with `pose`, that network's. Whatever its length, it is scaled so that DepthNet's own
    source is the nominal displacement away, which is what DepthNet's answer is for. That source is the one for
    which the mean answer comes nearest to `target_depth` metres: as the network learns how far things are,
    baselines adapt. `hide`: what the depth of the source says is hidden from it teaches nothing.
    """

    photometric: Photometric = Photometric(ssim_weight=0.1)
    sources: int = 4
    turned: float = 0.0
    pose: PoseNetConfig | None = None
    target_depth: float = 20.0
    hide: bool = False

    needs_depth: ClassVar[bool] = False

    @classmethod
    def take(cls, raw: dict) -> UnsupervisedDepthTask:
        """Take what concerns the task out of a recipe's YAML."""
        own = {name: raw.pop(name) for name in ('sources', 'turned', 'target_depth', 'hide') if name in raw}
        if 'photometric' in raw:
            own['photometric'] = Photometric(**raw.pop('photometric'))
        if 'pose' in raw:
            own['pose'] = PoseNetConfig(**raw.pop('pose'))
        return cls(**vars(DepthTask.take(raw)), **own)

    def build(self) -> DepthNet:
        """Return the untrained network."""
        return PosedDepthNet(self.network, self.pose) if self.pose else DepthNet(self.network)

    def draw(self, flights, stage: Stage, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return a batch of windows."""
        return draw_windows(flights, stage.flights, self.sources, stage.crop, self.turned, stage.batch, rng)

    def loss_terms(self, network: DepthNet, batch: dict) -> dict[str, torch.Tensor]:
        """Return, for each scale, what the sources differ by, moved to where its depth says, and its smoothness."""
        views = Views(**batch)
        if isinstance(network, PosedDepthNet):
            views, _ = with_found_motion(network.pose, views)
        views = first(views, self.chosen(network, views), 2)
        scales = network.scales(stabilised_pair(views))
        nominal = normalised(views)
        hidden = self._hidden(network, nominal, scales[0]) if self.hide else None
        terms = {}
        for index, (depth, weight) in enumerate(zip(scales, self.scale_weights)):
            name, small = f'{4 << index}', nominal.shrunk(1 << index)
            shown = at_size(depth, small.reference)
            unseen = None if hidden is None else hidden[..., :: 1 << index, :: 1 << index]
            terms[f'stride{name}'] = weight * unlike(small, shown, self.photometric, unseen)
            terms[f'smooth{name}'] = weight * self.photometric.smooth * smoothness(1 / shown, small.reference)
        return terms

    def validate(self, network: DepthNet, flights, crop: tuple[int, int]) -> dict[str, float]:
        """Return DepthNet's `scores`, and of its pose network, if it has one, `pose_scores`."""
        found = super().validate(network, flights, crop)
        if isinstance(network, PosedDepthNet):
            return found | pose_scores(network.pose, flights, crop, self.turned)
        return found

    @torch.no_grad()
    def chosen(self, network: DepthNet, views: Views) -> torch.Tensor:
        """Return which source (B,) suits DepthNet's mean answer best, by what it says of the middle baseline."""
        ways = views.T_srcs_ref[..., :3, 3].norm(dim=-1)
        middle = ways.argsort(1)[:, ways.shape[1] // 2]
        mean = network(stabilised_pair(first(views, middle))).mean((1, 2))
        wanted = ways.gather(1, middle[:, None]) * mean[:, None] / self.target_depth
        unsuited = (ways.clamp_min(_LEAST_WAY) / wanted).log().abs()
        cosine = (views.T_srcs_ref[..., :3, :3].diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
        return torch.where(cosine < math.cos(_MOST_TURNED), unsuited + _LAST, unsuited).argmin(1)

    @torch.no_grad()
    def _hidden(self, network: DepthNet, nominal: Views, depth) -> torch.Tensor:
        """Return what is hidden from the sources (B, 2, H, W): DepthNet's own is asked how deep it is."""
        T_src_ref = nominal.T_srcs_ref[:, 0]
        back = dataclasses.replace(
            nominal,
            reference=nominal.sources[:, 0],
            sources=nominal.reference[:, None],
            valid=torch.ones_like(nominal.valid[:, :1]),
            T_srcs_ref=torch.linalg.inv(T_src_ref)[:, None],
        )
        depth_ref, depth_src = (
            at_size(depth, nominal.reference),
            at_size(network(stabilised_pair(back)), nominal.reference),
        )
        hidden = occluded(depth_ref, depth_src, T_src_ref, nominal.intrinsics)
        return torch.stack([hidden, torch.zeros_like(hidden)], 1)


def first(views: Views, chosen: torch.Tensor, number: int = 1) -> Views:
    """Return the views of that source (B,) of each sample and, round in a circle, those after it."""
    rows = torch.arange(len(chosen), device=chosen.device)[:, None]
    columns = (chosen[:, None] + torch.arange(number, device=chosen.device)) % views.sources.shape[1]
    picked = {name: getattr(views, name)[rows, columns] for name in ('sources', 'valid', 'T_srcs_ref')}
    return dataclasses.replace(views, **picked)


def stabilised_pair(views: Views) -> torch.Tensor:
    """Return the first source, turned into the reference's axes, and the reference as DepthNet takes them."""
    T_src_ref = views.T_srcs_ref[:, 0].clone()
    T_src_ref[:, :3, 3] = 0
    pixels, _ = reprojected(torch.ones_like(views.reference[:, 0]), T_src_ref, views.intrinsics)
    turned, _ = sampled(views.sources[:, 0], pixels)
    return (torch.cat([turned, views.reference], 1) - 0.5) / 0.2


def normalised(views: Views) -> Views:
    """
    Return the views moved as if DepthNet's source were the nominal displacement away.

    t_i <- t_i T0 / (eps + |t_r|) (Pinard 2018): the network's depth is right for that one displacement.
    """
    ways = views.T_srcs_ref[..., :3, 3]
    scale = NOMINAL_DISPLACEMENT / (_LEAST_WAY + ways[:, :1].norm(dim=-1, keepdim=True))
    top = torch.cat([views.T_srcs_ref[..., :3, :3], (ways * scale)[..., None]], -1)
    return dataclasses.replace(views, T_srcs_ref=torch.cat([top, views.T_srcs_ref[..., 3:, :]], -2))
