"""Teach singleview without any depth: SfMLearner (Zhou 2017), its motion from a pose network or from odometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ros_depthnet.learning import single_view_task
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.found_motion import pose_scores, with_found_motion
from ros_depthnet.learning.losses.priors import smoothness
from ros_depthnet.learning.losses.reconstruction import Photometric, Views, at_size, differences, unlike
from ros_depthnet.learning.networks.posenet import PoseNet, PoseNetConfig
from ros_depthnet.learning.networks.singleview import SingleView, SingleViewConfig
from ros_depthnet.learning.task import Opens, Stage
from ros_depthnet.learning.windows import draw_windows

_STRIDES = 1, 2, 4  # at which images are compared: what moves far is seen to do so in small ones
_LEAST_EXPLAINED = 1e-4


class PosedSingleView(SingleView):
    """Singleview with a network beside it that finds the motion. Exported, it is singleview alone."""

    def __init__(self, config: SingleViewConfig, pose: PoseNetConfig):
        super().__init__(config)
        self.pose = PoseNet(pose)


@dataclass(frozen=True)
class SfmLearnerTask:
    """
    Teach singleview from images.

    Of each flight it sees a reference and `sources` others, turned further by `turned` degrees. The motion is
    that of the `pose` network, and so is then the unit of depth, or odometry's if there is none. Where the
    pose network explains, differences weigh as much as it says, and it pays `explaining` times the
    cross-entropy for saying less than all; without, the least over the sources counts.
    """

    network: SingleViewConfig = SingleViewConfig()
    pose: PoseNetConfig | None = PoseNetConfig()
    photometric: Photometric = Photometric()
    sources: int = 2
    turned: float = 0.0
    explaining: float = 0.2

    kind: ClassVar[str] = 'singleview'
    needs_depth: ClassVar[bool] = False
    learns_from: ClassVar[type[Opens]] = RenderedFlights
    checked_on: ClassVar[type[Opens]] = RenderedFlights
    curves: ClassVar[tuple[str, ...]] = single_view_task.SingleViewTask.curves[:3]

    @classmethod
    def take(cls, raw: dict) -> SfmLearnerTask:
        """Take what concerns the task out of a recipe's YAML."""
        own = {name: raw.pop(name) for name in ('sources', 'turned', 'explaining') if name in raw}
        if 'photometric' in raw:
            own['photometric'] = Photometric(**raw.pop('photometric'))
        if 'pose' in raw:
            pose = raw.pop('pose')
            own['pose'] = None if pose is None else PoseNetConfig(**pose)
        return cls(SingleViewConfig(**{key: tuple(value) for key, value in raw.pop('network', {}).items()}), **own)

    def build(self) -> SingleView:
        """Return the untrained network."""
        return PosedSingleView(self.network, self.pose) if self.pose else SingleView(self.network)

    def draw(self, flights, stage: Stage, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return a batch of windows."""
        return draw_windows(flights, stage.flights, self.sources, stage.crop, self.turned, stage.batch, rng)

    def loss_terms(self, network: SingleView, batch: dict) -> dict[str, torch.Tensor]:
        """Return what the sources differ by at each of three sizes, how bent depth is, and what is not explained."""
        views, explained = Views(**batch), None
        if isinstance(network, PosedSingleView):
            views, explained = with_found_motion(network.pose, views)
        depth = network(views.reference)[0].exp()
        inverse = 1 / depth
        # Divided by its mean: else the smoothest depth would be the largest, motion growing with it (Wang 2018).
        bent = smoothness(inverse / inverse.mean((1, 2), keepdim=True), views.reference)
        terms = {'smooth': self.photometric.smooth * bent}
        for stride in _STRIDES:
            small = views.shrunk(stride) if stride > 1 else views
            shown = at_size(depth, small.reference)
            terms[f'unlike{stride}'] = (
                unlike(small, shown, self.photometric)
                if explained is None
                else _unlike_where_explained(small, shown, explained[..., ::stride, ::stride], self.photometric)
            ) / len(_STRIDES)
        if explained is not None:
            terms['unexplained'] = -self.explaining * explained.clamp_min(_LEAST_EXPLAINED).log().mean()
        return terms

    def validate(self, network: SingleView, flights, crop: tuple[int, int]) -> dict[str, float]:
        """Return singleview's scores, its scale left out, and those of the pose network, if there is one."""
        found = single_view_task.scores(network, flights, crop)
        found = {name: found[name] for name in self.curves}  # its deviation stays untaught
        if isinstance(network, PosedSingleView):
            return found | pose_scores(network.pose, flights, crop, self.turned)
        return found


def _unlike_where_explained(views: Views, depth, explained, options: Photometric) -> torch.Tensor:
    """Return the mean over all sources of differences, each as far as it is explained (B, S, H, W)."""
    found, seen = differences(views, depth, options)
    return (found * explained * seen).sum() / seen.sum().clamp_min(1)
