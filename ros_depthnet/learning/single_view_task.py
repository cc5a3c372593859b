"""What training singleview is: one image, its exact depth, and no scale (Eigen 2014)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import torch

from ros_depthnet.learning.augment import AugmentOptions, Look
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.losses.log_depth import gradients, scale_invariant, shifted_likelihood
from ros_depthnet.learning.networks.singleview import SingleView, SingleViewConfig
from ros_depthnet.learning.task import Opens, Stage

FARTHEST = 100.0
"""Metres to which truth is clipped; what is farther, the sky too, counts for little."""
_FAR_WEIGHT = 0.2
_BATCH = 32


@dataclass(frozen=True)
class SingleViewTask:
    """
    Teach singleview.

    `least_view`: share of an image's width that a sample shows at least, so that fields of view differ.
    `scale_invariance`: see `losses.log_depth.scale_invariant`. `weights`: of the terms of the loss.
    """

    network: SingleViewConfig = SingleViewConfig()
    augment: AugmentOptions = AugmentOptions()
    least_view: float = 0.7
    scale_invariance: float = 0.85
    weights: tuple[float, float, float] = (1.0, 1.0, 0.1)

    kind: ClassVar[str] = 'singleview'
    needs_depth: ClassVar[bool] = True
    learns_from: ClassVar[type[Opens]] = RenderedFlights
    checked_on: ClassVar[type[Opens]] = RenderedFlights
    curves: ClassVar[tuple[str, ...]] = ('mae_log', 'delta_125', 'scale_invariant', 'within_one_deviation')

    @classmethod
    def take(cls, raw: dict) -> SingleViewTask:
        """Take what concerns the task out of a recipe's YAML."""
        network = {key: tuple(value) for key, value in raw.pop('network', {}).items()}
        plain = {key: raw.pop(key) for key in ('least_view', 'scale_invariance') if key in raw}
        if 'weights' in raw:
            plain['weights'] = tuple(raw.pop('weights'))
        return cls(SingleViewConfig(**network), AugmentOptions(**raw.pop('augment', {})), **plain)

    def build(self) -> SingleView:
        """Return the untrained network."""
        return SingleView(self.network)

    def draw(self, flights: RenderedFlights, stage: Stage, rng: np.random.Generator) -> dict:
        """Return a batch of images as some camera sees them, part of each, now and then mirrored, with log depth."""
        images, depths = [], []
        for number in rng.integers(stage.flights, size=stage.batch):
            flight = flights[int(number)]
            index = int(rng.integers(len(flight.images)))
            image, depth = flight.images[index], flight.depth[index].astype(np.float32)
            window = _window(rng, depth.shape, self.least_view)
            flip = np.s_[:, :: rng.choice([-1, 1])]
            image = cv2.resize(image[window][flip], stage.crop, interpolation=cv2.INTER_AREA)
            images.append(Look.draw(rng, self.augment).at(image, rng))
            depths.append(cv2.resize(depth[window][flip], stage.crop, interpolation=cv2.INTER_NEAREST))
        return _batch(images, depths)

    def loss_terms(self, network: SingleView, batch: dict) -> dict[str, torch.Tensor]:
        """Return the scale-invariant log loss, that of slopes, and the likelihood with the predicted deviation."""
        log_depth, log_deviation = network(batch['image'])
        truth, weight = batch['log_depth'], batch['weight']
        terms = {
            'invariant': scale_invariant(log_depth, truth, weight, self.scale_invariance),
            'gradients': gradients(log_depth, truth, weight),
            # The deviation learns what the depth errs by, and leaves it alone.
            'likelihood': shifted_likelihood(log_depth.detach(), log_deviation, truth, weight),
        }
        return {name: share * term for share, (name, term) in zip(self.weights, terms.items())}

    def validate(self, network: SingleView, flights: RenderedFlights, crop: tuple[int, int]) -> dict[str, float]:
        """Return `scores` of the flights' first images."""
        return scores(network, flights, crop)


def _window(rng: np.random.Generator, shape: tuple[int, int], least: float) -> tuple[slice, slice]:
    share = rng.uniform(least, 1)
    sizes = [round(share * extent) for extent in shape]
    starts = [int(rng.integers(extent - size + 1)) for extent, size in zip(shape, sizes)]
    return np.s_[starts[0] : starts[0] + sizes[0], starts[1] : starts[1] + sizes[1]]


def _batch(images: list[np.ndarray], depths: list[np.ndarray]) -> dict[str, torch.Tensor]:
    """Return `image` (B, 3, H, W) in 0..1, `log_depth` (B, H, W) of metres, and what each pixel weighs."""
    depth = np.stack(depths)
    known = ~np.isnan(depth) & (depth > 0)
    near = np.clip(np.where(known, depth, FARTHEST), None, FARTHEST)
    return {
        'image': torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)).float(),
        'log_depth': torch.from_numpy(np.log(near)),
        'weight': torch.from_numpy(np.where(depth < FARTHEST, 1, _FAR_WEIGHT) * known).float(),
    }


@torch.no_grad()
def scores(network: SingleView, flights: RenderedFlights, size: tuple[int, int]) -> dict[str, float]:
    """
    Score the first image of each flight at a size (width, height), where truth is nearer than 100 m.

    Depth is moved to the median of the truth first. `scale_invariant`: the root of Eigen 2014's mean error, the scale
    left out. `within_one_deviation`: share of pixels no farther off than the network says.
    """
    training = network.training
    network.eval()
    device, found = next(network.parameters()).device, []
    for start in range(0, len(flights), _BATCH):
        chosen = [flights[i] for i in range(start, min(start + _BATCH, len(flights)))]
        batch = _batch(
            [
                cv2.resize(each.images[0], size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
                for each in chosen
            ],
            [cv2.resize(each.depth[0].astype(np.float32), size, interpolation=cv2.INTER_NEAREST) for each in chosen],
        )
        log_depth, log_deviation = (answer.cpu() for answer in network(batch['image'].to(device)))
        for depth, deviation, truth, weight in zip(log_depth, log_deviation, batch['log_depth'], batch['weight']):
            near = weight == 1
            if not near.any():
                continue
            error = (depth - truth)[near]
            aligned = (error - error.median()).abs()
            found.append(
                (
                    aligned.mean(),
                    (aligned < np.log(1.25)).float().mean(),
                    error.var(unbiased=False).sqrt(),
                    (aligned < deviation.exp()[near]).float().mean(),
                )
            )
    network.train(training)
    return {name: round(float(value), 4) for name, value in zip(SingleViewTask.curves, torch.tensor(found).mean(0))}
