"""
Teach without any depth: what a network says has to make other images look like the reference.

Zhou 2017 and Pinard 2018, with the motion given by odometry, so that the scale is metric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.depth_task import NOMINAL_DISPLACEMENT, DepthTask, pairs_of
from ros_depthnet.learning.losses.photometric import difference, exposed_alike, least, moves
from ros_depthnet.learning.losses.priors import smoothness
from ros_depthnet.learning.losses.reprojection import reprojected, sampled, stabilised_motion
from ros_depthnet.learning.networks.depthnet import DepthNet
from ros_depthnet.learning.networks.parallaxnet import ParallaxNet, to_rho
from ros_depthnet.learning.parallax_task import ParallaxTask
from ros_depthnet.learning.task import Stage

_STRIDE = 8  # of parallaxnet's sweep
_SWEPT = 2  # stride at which its hypotheses are compared
_UNSEEN = 0.3  # photometric difference of a hypothesis that no source sees: neither likely nor unlikely
_LEAST_PARALLAX = 0.05  # pixels


@dataclass(frozen=True)
class Photometric:
    """
    What counts as alike, and as likely.

    `ssim_weight`: share of SSIM in the difference of two images. `smooth`: weight of smoothness.
    `leave_out_still`: pixels that are more alike where they stand than reconstructed teach nothing: what flies
    along, but the sky too.
    """

    ssim_weight: float = 0.85
    smooth: float = 0.1
    leave_out_still: bool = False


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
        prediction, views = network.predict(**inputs), Views(**inputs)
        costs = swept(views, network.sweep.q, self.photometric)
        terms = {'sweep': (prediction.log_shares.exp() * costs).sum(1).mean()}
        for index, (q, weight) in enumerate(zip(prediction.stages, self.stage_weights)):
            q = _at_size(q, views.reference)
            terms[f'stage{index}'] = weight * unlike(views, to_rho(q), self.photometric)
            terms[f'smooth{index}'] = weight * self.photometric.smooth * smoothness(q, views.reference)
        return terms


@dataclass(frozen=True)
class SelfSupervisedDepthTask(DepthTask):
    """Teach depthnet from images and odometry alone: the unsupervised DepthNet of Pinard 2018."""

    photometric: Photometric = Photometric(ssim_weight=0.1)

    @classmethod
    def take(cls, raw: dict) -> SelfSupervisedDepthTask:
        """Take what concerns the task out of a recipe's YAML."""
        photometric = Photometric(**raw.pop('photometric', {}))
        return cls(**vars(DepthTask.take(raw)), photometric=photometric)

    def draw(self, flights: RenderedFlights, stage: Stage, rng: np.random.Generator) -> dict:
        """Return a batch of pairs that moved, with the displacement's direction and the intrinsics."""
        images, directions, intrinsics = [], [], []
        while len(images) < stage.batch:
            flight = flights[int(rng.integers(stage.flights))]
            shift = int(rng.choice(len(self.shift_shares), p=self.shift_shares))
            first = int(rng.integers(len(flight.images) - shift))
            source, reference = (first, first + shift) if rng.random() < 0.5 else (first + shift, first)
            displacement = flight.positions[reference] - flight.positions[source]
            if not displacement.any():
                continue
            images.append(flight.images[[source, reference]])
            directions.append(displacement / np.linalg.norm(displacement))
            scale = np.array(stage.crop) / flight.images.shape[2:0:-1]
            fx, fy, cx, cy = flight.intrinsics
            intrinsics.append((fx * scale[0], fy * scale[1], *((np.array([cx, cy]) + 0.5) * scale - 0.5)))
        return {
            'pair': pairs_of(images, stage.crop),
            'direction': torch.from_numpy(np.stack(directions)).float(),
            'intrinsics': torch.tensor(np.array(intrinsics)).float(),
        }

    def loss_terms(self, network: DepthNet, batch: dict) -> dict[str, torch.Tensor]:
        """Return, for each scale, what the source differs by, reconstructed at its depth, and its smoothness."""
        source, reference = (batch['pair'] * 0.2 + 0.5).unflatten(1, (2, 3)).unbind(1)
        # At the depth for the nominal displacement the source is that far away.
        views = Views(
            reference, source[:, None], torch.ones_like(source[:, None, :1]), batch['direction'][:, None],
            batch['intrinsics'],
        )  # fmt: skip
        terms = {}
        for index, (depth, weight) in enumerate(zip(network.scales(batch['pair']), self.scale_weights)):
            rho = batch['intrinsics'][:, 0, None, None] * NOMINAL_DISPLACEMENT / _at_size(depth, reference)
            terms[f'stride{4 << index}'] = weight * unlike(views, rho, self.photometric)
            terms[f'smooth{4 << index}'] = weight * self.photometric.smooth * smoothness(rho.log1p(), reference)
        return terms


@dataclass(frozen=True, eq=False)
class Views:
    """A batch's references (B, 3, H, W) and stabilised sources, as ParallaxNet takes them."""

    reference: torch.Tensor
    sources: torch.Tensor
    valid: torch.Tensor
    displacements: torch.Tensor
    intrinsics: torch.Tensor

    def shrunk(self, stride: int) -> Views:
        """Return the views at a stride."""

        def pooled(images):
            return F.avg_pool2d(images.flatten(0, 1), stride).unflatten(0, images.shape[:2])

        focal, centre = self.intrinsics.split(2, 1)
        intrinsics = torch.cat([focal / stride, (centre + 0.5) / stride - 0.5], 1)
        reference = F.avg_pool2d(self.reference, stride)
        return Views(reference, pooled(self.sources), pooled(self.valid), self.displacements, intrinsics)


def unlike(views: Views, rho, options: Photometric):
    """Return the mean photometric difference at a lateral parallax (B, H, W), pixels of the views."""
    found, counts = _differences(views, rho, options)
    if options.leave_out_still:
        still = [
            difference(exposed_alike(image, views.reference, valid[:, 0]), views.reference, options.ssim_weight)
            for image, valid in zip(views.sources.unbind(1), views.valid.unbind(1))
        ]
        counts = counts & moves(found.detach(), torch.stack(still, 1).amin(1))
    return (found * counts).sum() / counts.sum().clamp_min(1)


@torch.no_grad()
def swept(views: Views, hypotheses, options: Photometric):
    """Return what parallaxnet's hypotheses (D,), in q, differ by in each cell of its sweep, (B, D, h, w)."""
    small, costs = views.shrunk(_SWEPT), []
    batch, _, height, width = small.reference.shape
    for rho in to_rho(hypotheses) / _SWEPT:
        found, seen = _differences(small, rho.expand(batch, height, width), options)
        costs.append(torch.where(seen, found, _UNSEEN))
    return F.avg_pool2d(torch.stack(costs, 1), _STRIDE // _SWEPT)


def _differences(views: Views, rho, options: Photometric) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the least difference over the sources (B, H, W), and where any source sees the pixel."""
    depth = views.intrinsics[:, 0, None, None] / rho.clamp_min(_LEAST_PARALLAX)
    differences, seen = [], []
    each = (views.sources.unbind(1), views.valid.unbind(1), views.displacements.unbind(1))
    for image, valid, displacement in zip(*each):
        pixels, _ = reprojected(depth, stabilised_motion(displacement), views.intrinsics)
        shown, inside = sampled(torch.cat([image, valid], 1), pixels)
        sees = inside & (shown[:, 3] > 0.99)
        alike = exposed_alike(shown[:, :3], views.reference, sees.float())
        differences.append(difference(alike, views.reference, options.ssim_weight))
        seen.append(sees)
    return least(torch.stack(differences, 1), torch.stack(seen, 1))


def _at_size(values, image):
    """Return values (B, h, w) at the size of an image (B, C, H, W)."""
    if values.shape[1:] == image.shape[2:]:
        return values
    return F.interpolate(values[:, None], image.shape[2:], mode='bilinear')[:, 0]
