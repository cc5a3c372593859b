"""What training parallaxnet is: samples with several sources, loss in parallax, scores in ln(parallax)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from ros_depthnet.learning.augment import AugmentOptions, Sample, sample
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.networks.parallaxnet import (
    MIN_PARALLAX,
    End,
    Outputs,
    ParallaxNet,
    ParallaxNetConfig,
    to_q,
)
from ros_depthnet.learning.task import Opens, Stage

_TRIES = 200
_FAR = 0.5
_FAR_WEIGHT = 0.2


@dataclass(frozen=True)
class ParallaxTask:
    """
    Teach parallaxnet.

    `source_shares`: how often a batch has one, two, ... sources; `median_parallax`: the least and the most
    that half of a sample's pixels may have; `stage_weights`: of the network's stages in
    the loss.
    """

    network: ParallaxNetConfig = ParallaxNetConfig()
    augment: AugmentOptions = AugmentOptions()
    source_shares: tuple[float, ...] = (0.5, 0.35, 0.15)
    median_parallax: tuple[float, float] = (2.0, 50.0)
    stage_weights: tuple[float, ...] = (0.6, 0.8, 1.0, 1.0)

    kind: ClassVar[str] = 'parallaxnet'
    needs_depth: ClassVar[bool] = True
    learns_from: ClassVar[type[Opens]] = RenderedFlights
    checked_on: ClassVar[type[Opens]] = RenderedFlights
    curves: ClassVar[tuple[str, ...]] = ('mae_log', 'delta_125', 'delta_105', 'within_one_deviation')

    @classmethod
    def take(cls, raw: dict) -> ParallaxTask:
        """Take what concerns the task out of a recipe's YAML."""
        network = raw.pop('network', {})
        if isinstance(every := network.get('fine_channels'), int):  # as cards said it while all narrowings were alike
            network['fine_channels'] = len(network.get('narrowings', ParallaxNetConfig.narrowings)) * [every]
        for key in ('narrowings', 'context_channels', 'fine_channels', 'learned_strides'):
            if key in network:
                network[key] = tuple(tuple(each) if isinstance(each, list) else each for each in network[key])
        tuples = {
            key: tuple(raw.pop(key)) for key in ('source_shares', 'median_parallax', 'stage_weights') if key in raw
        }
        return cls(ParallaxNetConfig(**network), AugmentOptions(**raw.pop('augment', {})), **tuples)

    def build(self) -> ParallaxNet:
        """Return the untrained network."""
        return ParallaxNet(self.network)

    def draw(self, flights: RenderedFlights, stage: Stage, rng: np.random.Generator) -> dict:
        """Return a batch whose samples have the same number of sources."""
        number = 1 + rng.choice(len(self.source_shares), p=self.source_shares)
        return stack([self._sample(flights, number, stage, rng) for _ in range(stage.batch)])

    def _sample(self, flights, number, stage, rng) -> Sample:
        """Return a sample that can be matched: noise hides less parallax, and more leaves the view."""
        for _ in range(_TRIES):
            flight = flights[int(rng.integers(stage.flights))]
            drawn = sample(flight, number, stage.crop, rng, self.augment, self.median_parallax)
            if drawn is not None:
                return drawn
        least, most = self.median_parallax
        raise ValueError(f'Of {_TRIES} samples none has a median parallax of {least:g} to {most:g} pixels.')

    def loss_terms(self, network: ParallaxNet, batch: dict) -> dict[str, torch.Tensor]:
        """Return the terms of the loss; see `loss_terms`."""
        inputs = {name: value for name, value in batch.items() if name != 'parallax'}
        return loss_terms(network.predict(**inputs), network.sweep.q, batch['parallax'], self.stage_weights)

    def validate(self, network: ParallaxNet, flights: RenderedFlights, crop: tuple[int, int]) -> dict[str, float]:
        """Return scores on fixed samples, at whatever size the flights have; see `validate`."""
        return validate(network, flights)


def stack(samples: list[Sample]) -> dict[str, torch.Tensor]:
    """Return a batch of samples as tensors by field name."""
    return {
        f.name: torch.from_numpy(np.stack([getattr(s, f.name) for s in samples])).float()
        for f in dataclasses.fields(Sample)
    }


def loss_terms(
    prediction: Outputs, hypotheses: torch.Tensor, parallax: torch.Tensor, stage_weights
) -> dict[str, torch.Tensor]:
    """
    Return the terms of the loss against true rho (B, H, W) in pixels.

    The sweep: cross-entropy of its hypotheses (D,), in q, against the share of the truth between each two.
    Every later stage: mean |q - truth|, upsampled to full size. The end: the Laplace likelihood of log rho
    with the predicted deviation. Where rho is below half a pixel, mostly sky, errors weigh a fifth: else the
    cheapest answer wherever nothing can be matched is the sky, and a plain wall is gone. Where it is unknown,
    NaN, there is nothing to learn.
    """
    sweep = _cross_entropy(prediction.log_shares, hypotheses, to_q(parallax.nan_to_num()), _weight(parallax))
    return {'sweep': 0.3 * sweep, **stage_terms(prediction, prediction.stages, parallax, stage_weights)}


def stage_terms(
    prediction: Outputs | End, stages: Sequence[torch.Tensor], parallax: torch.Tensor, stage_weights
) -> dict[str, torch.Tensor]:
    """Return the terms of `loss_terms` of the last stages, as many as there are, and of the end."""
    weight, parallax = _weight(parallax), parallax.nan_to_num()
    truth, terms, first = to_q(parallax), {}, len(stage_weights) - len(stages)
    for index, (q, stage_weight) in enumerate(zip(stages, stage_weights[first:], strict=True), first):
        if q.shape != truth.shape:
            q = F.interpolate(q[:, None], truth.shape[-2:], mode='bilinear')[:, 0]
        terms[f'stage{index}'] = stage_weight * (weight * (q - truth).abs()).mean()
    error = (prediction.log_parallax - parallax.clamp_min(MIN_PARALLAX).log()).abs()
    log_scale = prediction.log_deviation - 0.5 * np.log(2)
    terms['likelihood'] = 0.4 * (weight * (error * (-log_scale).exp() + log_scale)).mean()
    return terms


def _weight(parallax):
    weight = torch.where(parallax > _FAR, 1.0, _FAR_WEIGHT) * parallax.isfinite()
    return weight / weight.mean().clamp_min(1e-6)


def _cross_entropy(log_shares, hypotheses, truth, weight):
    """A cell's target is spread over hypotheses as its pixels' truths are, each between its two nearest."""
    stride = truth.shape[-1] // log_shares.shape[-1]
    position = (truth / hypotheses[1]).clamp(0, len(hypotheses) - 1)
    places = torch.arange(len(hypotheses), device=truth.device)[:, None, None]
    near = (1 - (position[:, None] - places).abs()).clamp_min(0)
    return -(F.avg_pool2d(weight[:, None] * near, stride) * log_shares).sum(1).mean()


@torch.no_grad()
def validate(network: ParallaxNet, flights: RenderedFlights) -> dict[str, float]:
    """Return scores on fixed samples, over pixels whose parallax is 2 to 60 px: what matching can tell."""
    network.eval()
    device = next(network.parameters()).device
    scores, size = [], flights[0].depth.shape[:0:-1]
    for index in range(0, min(96, len(flights)), 8):
        rng = np.random.default_rng([9, index])
        rows = [sample(flights[i], 1 + index // 8 % 2, size, rng, AugmentOptions()) for i in range(index, index + 8)]
        batch = {name: value.to(device) for name, value in stack([row for row in rows if row]).items()}
        truth = batch.pop('parallax')
        prediction = network.predict(**batch)
        scored = (truth > 2) & (truth < 60)
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
    return dict(
        zip(
            ('mae_log', 'delta_125', 'delta_105', 'within_one_deviation'),
            (round(float(s), 4) for s in torch.tensor(scores).mean(0)),
        )
    )
