"""What training movingnet is: clues of rendered flights, and the truth of what moves in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from ros_depthnet.core.moving import MOVES, probability
from ros_depthnet.learning.moving_clues import CluedFlights
from ros_depthnet.learning.networks.movingnet import MovingNet, MovingNetConfig
from ros_depthnet.learning.task import Opens, Stage

_GREY, _FITTED = 5, 12  # channels of the clues
_ACROSS = (8, 10)  # channels that change sign in a mirror
_MOVES_COUNTS = 2.0  # times what a still pixel does
_CROSS_ENTROPY = 3.0  # times what overlap does
_WITHOUT = 0.3  # of the samples lack grey, or some of what was fitted


@dataclass(frozen=True)
class MovingTask:
    """Teach movingnet by rendered truth: `learning.moving_clues` makes such sets."""

    network: MovingNetConfig = MovingNetConfig()

    kind: ClassVar[str] = 'movingnet'
    curves: ClassVar[tuple[str, ...]] = ('f1', 'precision', 'recall')
    needs_depth: ClassVar[bool] = True
    learns_from: ClassVar[type[Opens]] = CluedFlights
    checked_on: ClassVar[type[Opens]] = CluedFlights

    @classmethod
    def take(cls, raw: dict) -> MovingTask:
        """Take what concerns the task out of a recipe's YAML."""
        network = raw.pop('network', {})
        return cls(MovingNetConfig(**{name: tuple(values) for name, values in network.items()}))

    def build(self) -> MovingNet:
        """Return the untrained network."""
        return MovingNet(self.network)

    def draw(self, flights: CluedFlights, stage: Stage, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return a batch of crops, some of them mirrored."""
        batch = [self._sample(flights, stage, rng) for _ in range(stage.batch)]
        return {name: torch.from_numpy(np.stack(rows)).float() for name, rows in zip(('clues', 'moving'), zip(*batch))}

    def _sample(self, flights: CluedFlights, stage: Stage, rng: np.random.Generator):
        flight, (width, height) = flights[int(rng.integers(stage.flights))], stage.crop
        frame, (full_height, full_width) = int(rng.integers(len(flight.moving))), flight.moving.shape[1:]
        left, top = int(rng.integers(full_width - width + 1)), int(rng.integers(full_height - height + 1))
        rows, columns = slice(top, top + height), slice(left, left + width)
        clues = flight.clues[frame, :, rows, columns].astype(np.float32)
        moving = flight.moving[frame, rows, columns] / np.float32(255)
        if rng.random() < 0.5:
            clues, moving = clues[..., ::-1].copy(), moving[:, ::-1].copy()
            clues[list(_ACROSS)] *= -1
        if rng.random() < _WITHOUT:
            clues[_GREY] = 0
        clues[_GREY] = clues[_GREY] * rng.uniform(0.6, 1.3) + rng.normal(0, 0.15)
        if rng.random() < _WITHOUT:
            clues[_FITTED] *= rng.random()
        return clues, moving

    def loss_terms(self, network: MovingNet, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return cross entropy, and what is missing of the overlap (Dice's coefficient, Milletari 2016)."""
        log_odds, moving = network(batch['clues']), batch['moving']
        weight = torch.tensor(_MOVES_COUNTS, device=log_odds.device)
        found = log_odds.sigmoid()
        overlap = 2 * (found * moving).sum() / (found.sum() + moving.sum() + 1)
        return {
            'entropy': _CROSS_ENTROPY * F.binary_cross_entropy_with_logits(log_odds, moving, pos_weight=weight),
            'overlap': 1 - overlap,
        }

    @torch.no_grad()
    def validate(self, network: MovingNet, flights: CluedFlights, crop: tuple[int, int]) -> dict[str, float]:
        """Return scores of whole frames, all cells together; a cell moves if half of it does."""
        network.eval()
        device = next(network.parameters()).device
        both = found = true = 0
        for flight in (flights[number] for number in range(len(flights))):
            for clues, moving in zip(flight.clues, flight.moving):
                log_odds = network(torch.from_numpy(clues[None].astype(np.float32)).to(device))[0].cpu().numpy()
                moves, truly = probability(log_odds) > MOVES, moving > 127
                both, found, true = both + (moves & truly).sum(), found + moves.sum(), true + truly.sum()
        scores = {
            'f1': 2 * both / max(1, found + true),
            'precision': both / max(1, found),
            'recall': both / max(1, true),
        }
        return {name: round(float(value), 4) for name, value in scores.items()}
