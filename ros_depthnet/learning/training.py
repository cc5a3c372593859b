"""Train parallaxnet on rendered flights: resumable, the same whether stopped or not."""

from __future__ import annotations

import csv
import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import yaml

from ros_depthnet.learning.augment import AugmentOptions, Sample, sample
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.networks.parallaxnet import (
    MIN_PARALLAX,
    ParallaxNet,
    ParallaxNetConfig,
    Prediction,
)


@dataclass(frozen=True)
class Stage:
    """Up to step `until`, train on crops of (width, height) pixels from the first `flights` of the set."""

    until: int
    crop: tuple[int, int]
    flights: int
    batch: int = 8


@dataclass(frozen=True)
class Recipe:
    """
    A whole training run.

    The learning rate warms up over `warmup` steps, stays, and falls to nothing over the last `decay`.
    `source_shares`: how often a batch has one, two, ... sources.
    """

    stages: tuple[Stage, ...]
    network: ParallaxNetConfig = ParallaxNetConfig()
    augment: AugmentOptions = AugmentOptions()
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup: int = 200
    decay: int = 1000
    source_shares: tuple[float, ...] = (0.5, 0.35, 0.15)
    seed: int = 0
    stage_weights: tuple[float, ...] = field(default=(0.5, 0.7, 1.0, 1.0))

    @property
    def steps(self) -> int:
        """Return the number of optimiser steps of the whole run."""
        return self.stages[-1].until

    def stage(self, step: int) -> Stage:
        """Return the stage a step belongs to."""
        return next(stage for stage in self.stages if step < stage.until)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe from YAML; unknown keys are an error."""
        raw = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
        network = raw.pop('network', {})
        if 'narrowings' in network:
            network['narrowings'] = tuple(tuple(pair) for pair in network['narrowings'])
        stages = tuple(Stage(**{**stage, 'crop': tuple(stage['crop'])}) for stage in raw.pop('stages'))
        tuples = {key: tuple(raw.pop(key)) for key in ('source_shares', 'stage_weights') if key in raw}
        return cls(
            stages, ParallaxNetConfig(**network), AugmentOptions(**raw.pop('augment', {})), **tuples, **raw
        )


def recipe_path(name: str) -> Path:
    """Return the file of a shipped recipe by its name, or the path given if it is one."""
    shipped = Path(__file__).parent / 'recipes' / f'{name}.yaml'
    return shipped if shipped.is_file() else Path(name)


class _BatchesByStep(torch.utils.data.Dataset):
    """Batch number `step` is a function of the recipe's seed and the step alone."""

    def __init__(self, recipe: Recipe, flights: RenderedFlights):
        self.recipe, self.flights = recipe, flights

    def __getitem__(self, step: int) -> dict:
        cv2_threads_off()
        recipe, stage = self.recipe, self.recipe.stage(step)
        if stage.flights > len(self.flights):
            raise ValueError(
                f'The recipe wants {stage.flights} flights and the set has {len(self.flights)}: render more.'
            )
        rng = np.random.default_rng([recipe.seed, step])
        number = 1 + rng.choice(len(recipe.source_shares), p=recipe.source_shares)
        rows = [
            sample(self.flights[int(i)], number, stage.crop, rng, recipe.augment)
            for i in rng.integers(stage.flights, size=stage.batch)
        ]
        return stack(rows)


def cv2_threads_off() -> None:
    """Keep OpenCV to one thread: loaders run one process each."""
    import cv2

    cv2.setNumThreads(0)


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
    terms['likelihood'] = 0.3 * (error.clamp(max=3) * (-log_scale).exp() + log_scale).mean()
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


def train(
    recipe: Recipe,
    flights: RenderedFlights,
    validation: RenderedFlights,
    folder: Path,
    device='cpu',
    loaders: int = 1,
    save_every: int = 250,
    stop_after: float = float('inf'),
    progress=lambda text: None,
) -> ParallaxNet:
    """
    Run the recipe, from the last checkpoint in `folder` if there is one; stop after `stop_after` seconds.

    Leaves `last.pt` (resumable) and `curve.csv` in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = ParallaxNet(recipe.network).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    first, spent = 0, 0.0
    checkpoint = folder / 'last.pt'
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state['network'])
        optimiser.load_state_dict(state['optimiser'])
        first, spent = state['step'], state['seconds']
    batches = torch.utils.data.DataLoader(
        _BatchesByStep(recipe, flights),
        batch_size=None,
        num_workers=loaders,
        sampler=range(first, recipe.steps),
        prefetch_factor=4 if loaders else None,
    )
    network.train()
    start, running = time.monotonic(), []
    for step, batch in enumerate(batches, first):
        batch = {key: value.to(device) for key, value in batch.items()}
        truth = batch.pop('parallax')
        rate = recipe.learning_rate * min((step + 1) / recipe.warmup, 1, (recipe.steps - step) / recipe.decay)
        for group in optimiser.param_groups:
            group['lr'] = rate
        terms = loss_terms(network.predict(**batch), truth, recipe.stage_weights)
        loss = sum(terms.values())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        running.append({name: value.item() for name, value in terms.items()})
        done, seconds = step + 1, spent + time.monotonic() - start
        progress(f'step {done} of {recipe.steps}, loss {sum(running[-1].values()):.3f}')
        stopping = seconds - spent > stop_after or done == recipe.steps
        if done % save_every == 0 or stopping:
            row = {
                'step': done,
                'seconds': round(seconds),
                **{k: round(float(np.mean([r[k] for r in running])), 4) for k in terms},
                **validate(network, validation, recipe.stages[-1].crop),
            }
            running = []
            _append(folder / 'curve.csv', row)
            state = {
                'network': network.state_dict(),
                'optimiser': optimiser.state_dict(),
                'step': done,
                'seconds': seconds,
            }
            torch.save(state, checkpoint.with_suffix('.part'))
            checkpoint.with_suffix('.part').replace(checkpoint)
        if stopping:
            break
    return network


def _append(path: Path, row: dict) -> None:
    new = not path.exists()
    with path.open('a', newline='') as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)
