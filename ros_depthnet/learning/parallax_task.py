"""What training parallaxnet is: samples with several sources, loss in parallax, scores in ln(parallax)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ros_depthnet.learning.augment import AugmentOptions, Sample, sample
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.networks.parallaxnet import (
    MIN_PARALLAX,
    ParallaxNet,
    ParallaxNetConfig,
    Prediction,
)
from ros_depthnet.learning.task import Stage


@dataclass(frozen=True)
class ParallaxTask:
    """
    Teach parallaxnet.

    `source_shares`: how often a batch has one, two, ... sources; `stage_weights`: of the network's stages in
    the loss.
    """

    network: ParallaxNetConfig = ParallaxNetConfig()
    augment: AugmentOptions = AugmentOptions()
    source_shares: tuple[float, ...] = (0.5, 0.35, 0.15)
    stage_weights: tuple[float, ...] = (0.5, 0.7, 1.0, 1.0)

    kind: ClassVar[str] = 'parallaxnet'
    curves: ClassVar[tuple[str, ...]] = ('mae_log', 'delta_125', 'delta_105', 'within_one_deviation')

    @classmethod
    def take(cls, raw: dict) -> ParallaxTask:
        """Take what concerns the task out of a recipe's YAML."""
        network = raw.pop('network', {})
        if 'narrowings' in network:
            network['narrowings'] = tuple(tuple(pair) for pair in network['narrowings'])
        tuples = {key: tuple(raw.pop(key)) for key in ('source_shares', 'stage_weights') if key in raw}
        return cls(ParallaxNetConfig(**network), AugmentOptions(**raw.pop('augment', {})), **tuples)

    def build(self) -> ParallaxNet:
        """Return the untrained network."""
        return ParallaxNet(self.network)

    def draw(self, flights: RenderedFlights, stage: Stage, rng: np.random.Generator) -> dict:
        """Return a batch whose samples have the same number of sources."""
        number = 1 + rng.choice(len(self.source_shares), p=self.source_shares)
        rows = [
            sample(flights[int(i)], number, stage.crop, rng, self.augment)
            for i in rng.integers(stage.flights, size=stage.batch)
        ]
        return stack(rows)

    def loss_terms(self, network: ParallaxNet, batch: dict) -> dict[str, torch.Tensor]:
        """Return the terms of the loss; see `loss_terms`."""
        inputs = {name: value for name, value in batch.items() if name != 'parallax'}
        return loss_terms(network.predict(**inputs), batch['parallax'], self.stage_weights)

    def validate(
        self, network: ParallaxNet, flights: RenderedFlights, crop: tuple[int, int]
    ) -> dict[str, float]:
        """Return scores on fixed, cleanly augmented samples; see `validate`."""
        return validate(network, flights, crop)


def stack(samples: list[Sample]) -> dict[str, torch.Tensor]:
    """Return a batch of samples as tensors by field name."""
    return {
        f.name: torch.from_numpy(np.stack([getattr(s, f.name) for s in samples])).float()
        for f in dataclasses.fields(Sample)
    }


def loss_terms(prediction: Prediction, parallax: torch.Tensor, stage_weights) -> dict[str, torch.Tensor]:
    """
    Return the terms of the loss against true rho (B, H, W) in pixels.

    Every stage: mean |q - log(1 + rho)|, upsampled to full size. The end: the Laplace likelihood of log rho
    with the predicted deviation.
    """
    truth = torch.log1p(parallax)
    terms = {}
    for index, ((_, q), weight) in enumerate(zip(prediction.stages, stage_weights)):
        if q.shape != truth.shape:
            q = torch.nn.functional.interpolate(q[:, None], truth.shape[-2:], mode='bilinear')[:, 0]
        terms[f'stage{index}'] = weight * (q - truth).abs().mean()
    error = (prediction.log_parallax - parallax.clamp_min(MIN_PARALLAX).log()).abs()
    log_scale = prediction.log_deviation - 0.5 * np.log(2)
    terms['likelihood'] = 0.4 * (error * (-log_scale).exp() + log_scale).mean()
    return terms


@torch.no_grad()
def validate(network: ParallaxNet, flights: RenderedFlights, crop: tuple[int, int]) -> dict[str, float]:
    """Return scores on fixed, cleanly augmented samples, over pixels nearer than rho = 0.5 px."""
    network.eval()
    scores = []
    for index in range(0, min(96, len(flights)), 8):
        rng = np.random.default_rng([9, index])
        rows = [
            sample(flights[i], 1 + index // 8 % 2, crop, rng, AugmentOptions())
            for i in range(index, index + 8)
        ]
        batch = stack(rows)
        truth = batch.pop('parallax')
        prediction = network.predict(**batch)
        scored = truth > 0.5
        error = (prediction.log_parallax - truth.clamp_min(MIN_PARALLAX).log()).abs()[scored]
        within = error < prediction.log_deviation.exp()[scored]
        scores.append(
            [
                error.mean(),
                (error < np.log(1.25)).float().mean(),
                (error < np.log(1.05)).float().mean(),
                within.float().mean(),
            ]
        )
    network.train()
    return dict(
        zip(
            ('mae_log', 'delta_125', 'delta_105', 'within_one_deviation'),
            (round(float(s), 4) for s in np.mean(scores, 0)),
        )
    )
