"""What training depthnet is: pairs a few frames apart, multi-scale L1, scores as in Pinard 2017a."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.networks.depthnet import NEAREST, DepthNet, DepthNetConfig
from ros_depthnet.learning.still_box.sequences import Sequence as Flight
from ros_depthnet.learning.task import Opens, Stage

NOMINAL_DISPLACEMENT = 0.3
"""Metres between the two frames whose depth the network gives."""
NOMINAL_FRAMES = 3
FARTHEST = 100.0
"""Metres to which truth is clipped."""
_BATCH = 32


@dataclass(frozen=True)
class DepthTask:
    """
    Teach depthnet.

    `shift_shares`: how often the frames of a pair are 0, 1, 2, ... frames apart; `scale_weights`: of the L1
    at strides 4, 8, 16, 32, 64.
    """

    network: DepthNetConfig = DepthNetConfig()
    shift_shares: tuple[float, ...] = (1 / 12, 1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 12)
    scale_weights: tuple[float, ...] = (0.32, 0.08, 0.02, 0.01, 0.005)

    kind: ClassVar[str] = 'depthnet'
    needs_depth: ClassVar[bool] = True
    learns_from: ClassVar[type[Opens]] = RenderedFlights
    checked_on: ClassVar[type[Opens]] = RenderedFlights
    curves: ClassVar[tuple[str, ...]] = ('mean_l1', 'constant_mean_l1')

    @classmethod
    def take(cls, raw: dict) -> DepthTask:
        """Take what concerns the task out of a recipe's YAML."""
        tuples = {key: tuple(raw.pop(key)) for key in ('shift_shares', 'scale_weights') if key in raw}
        return cls(DepthNetConfig(**raw.pop('network', {})), **tuples)

    def build(self) -> DepthNet:
        """Return the untrained network."""
        return DepthNet(self.network)

    def draw(self, flights: RenderedFlights, stage: Stage, rng: np.random.Generator) -> dict:
        """Return a batch of pairs: forward and backward in time, mirrored, transposed, channels permuted."""
        images, depths = [], []
        for number in rng.integers(stage.flights, size=stage.batch):
            flight = flights[int(number)]
            shift = int(rng.choice(len(self.shift_shares), p=self.shift_shares))
            first = int(rng.integers(len(flight.images) - shift))
            frames = (first, first + shift) if rng.random() < 0.5 else (first + shift, first)
            pair, depth = flight.images[list(frames)], scaled_depth(flight, *frames)
            images.append(_turned(pair[..., rng.permutation(3)], turn := int(rng.integers(8))))
            depths.append(_turned(depth[None, ..., None], turn))
        return _batch(images, depths, stage.crop)

    def loss_terms(self, network: DepthNet, batch: dict) -> dict[str, torch.Tensor]:
        """Return weighted mean |depth - truth| at each scale; see `scale_errors`."""
        errors = scale_errors(network.scales(batch['pair']), batch['depth'])
        return {
            f'stride{4 << index}': weight * error
            for index, (error, weight) in enumerate(zip(errors, self.scale_weights))
        }

    def validate(self, network: DepthNet, flights: RenderedFlights, crop: tuple[int, int]) -> dict[str, float]:
        """Return `scores`."""
        return scores(network, flights, crop)


def scaled_depth(flight: Flight, source: int, reference: int) -> np.ndarray:
    """
    Return what the network should answer for a pair of a flight's frames: (H, W) float32 metres, clipped.

    That is the reference's depth if the source were the nominal displacement away: nothing that has not moved
    is anywhere near.
    """
    moved = np.linalg.norm(flight.positions[reference] - flight.positions[source])
    depth = flight.depth[reference].astype(np.float32)
    if moved == 0:
        return np.full_like(depth, FARTHEST)
    return np.clip(depth * np.float32(NOMINAL_DISPLACEMENT / moved), NEAREST, FARTHEST)


def _turned(images: np.ndarray, turn: int) -> np.ndarray:
    """Mirror and transpose square images (N, H, W, C) in one of eight ways."""
    if turn & 1:
        images = images[:, :, ::-1]
    if turn & 2:
        images = images[:, ::-1]
    return images.swapaxes(1, 2) if turn & 4 else images


def _batch(images: list[np.ndarray], depths: list[np.ndarray], size: tuple[int, int]) -> dict:
    """
    Return `pair` (B, 6, height, width) as the network takes it and `depth` (B, height, width) metres.

    Of pairs (2, H, W, 3) and depths (1, H, W, 1) of any sizes, averaged over each pixel of the new size.
    """
    return {'pair': pairs_of(images, size), 'depth': _scaled(depths, size)[:, 0]}


def pairs_of(images: Sequence[np.ndarray], size: tuple[int, int]) -> torch.Tensor:
    """Return pairs (2, H, W, 3) of 0..255 as the network takes them, (B, 6, height, width)."""
    return (_scaled(images, size) / 255 - 0.5) / 0.2


def _scaled(rows: Sequence[np.ndarray], size: tuple[int, int]) -> torch.Tensor:
    channels = (torch.from_numpy(row.copy()).permute(0, 3, 1, 2).flatten(0, 1).float() for row in rows)
    return torch.stack([F.adaptive_avg_pool2d(row, size[::-1]) for row in channels])


def scale_errors(scales: list[torch.Tensor], truth: torch.Tensor) -> list[torch.Tensor]:
    """Return mean |depth - truth| metres of each scale (B, h, w) against truth (B, H, W) averaged to it."""
    averaged = [F.adaptive_avg_pool2d(truth[:, None], (depth.shape[1], depth.shape[2]))[:, 0] for depth in scales]
    return [(depth - true).abs().mean() for depth, true in zip(scales, averaged, strict=True)]


@torch.no_grad()
def scores(network: DepthNet, flights: RenderedFlights, size: tuple[int, int]) -> dict[str, float]:
    """
    Score pairs three frames apart, one of each flight, at an image size (width, height) of the curriculum.

    Metres at a quarter of the size, truth clipped to 100 m, as published: `mean_l1`, and what the best
    constant depth would have, `constant_mean_l1`. At full size, depth upsampled bilinearly: `full_mean_l1`,
    and where truth is nearer than 100 m `abs_rel`, `delta_125`, `rms_log` and `mae_log`.
    """
    training = network.training
    network.eval()
    device = next(network.parameters()).device
    rows = []
    for start in range(0, len(flights), _BATCH):
        chosen = [flights[i] for i in range(start, min(start + _BATCH, len(flights)))]
        batch = _batch(
            [flight.images[[0, NOMINAL_FRAMES]] for flight in chosen],
            [scaled_depth(flight, 0, NOMINAL_FRAMES)[None, ..., None] for flight in chosen],
            size,
        )
        depth, truth = network(batch['pair'].to(device)).cpu()[:, None], batch['depth'][:, None]
        coarse_truth = F.adaptive_avg_pool2d(truth, depth.shape[2:])
        rows.append((depth, coarse_truth, F.interpolate(depth, size[::-1], mode='bilinear'), truth))
    network.train(training)
    coarse, coarse_truth, fine, fine_truth = (torch.cat(each) for each in zip(*rows, strict=True))
    known = fine_truth < FARTHEST - 0.01
    ratio = (fine[known] / fine_truth[known]).log()
    found = {
        'mean_l1': (coarse - coarse_truth).abs().mean(),
        'constant_mean_l1': (coarse_truth - coarse_truth.median()).abs().mean(),
        'full_mean_l1': (fine - fine_truth).abs().mean(),
        'abs_rel': ((fine - fine_truth).abs() / fine_truth)[known].mean(),
        'delta_125': (ratio.abs() < np.log(1.25)).float().mean(),
        'rms_log': ratio.square().mean().sqrt(),
        'mae_log': ratio.abs().mean(),
    }
    return {name: round(float(value), 4) for name, value in found.items()}
