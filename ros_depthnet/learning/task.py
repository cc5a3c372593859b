"""What a recipe teaches, as the training loop sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch

from ros_depthnet.learning.weights import Network

Flights = TypeVar('Flights', contravariant=True)


@dataclass(frozen=True)
class Stage:
    """
    Up to step `until`, train on the first `flights` of the sets numbered `sets`, `batch` samples a step.

    `crop` (width, height) pixels: what parallaxnet cuts out of the images; depthnet, which knows one field of
    view only, gets whole images scaled to it. The learning rate falls to nothing over the last `decay` steps;
    0: it stays. `frozen_norms`: batch norm takes the mean and variance it has gathered so far, as when the
    network is used, instead of a few samples' own, which a small batch of very different scenes makes random.
    """

    until: int
    crop: tuple[int, int]
    flights: int
    batch: int = 8
    sets: tuple[int, ...] = (0,)
    decay: int = 0
    frozen_norms: bool = False

    def __post_init__(self):
        if not self.sets or not isinstance(self.sets, tuple):
            raise ValueError(f'A stage draws from a list of sets, as sets: [0], not from {self.sets}.')


class Opens(Protocol):
    """A kind of set that lies in a folder."""

    @classmethod
    def open(cls, folder: Path) -> Any:
        """Return the set; raises FileNotFoundError where there is none."""


class Task(Protocol[Network, Flights]):
    """A network, the flights that teach it, the samples it sees, and what counts as loss and as score."""

    kind: ClassVar[str]
    curves: ClassVar[tuple[str, ...]]
    """Names of the scores worth a curve."""
    needs_depth: ClassVar[bool]
    """Whether its samples need flights with depth, so rendered ones."""
    learns_from: ClassVar[type[Opens]]
    """Sets that it draws its samples from."""
    checked_on: ClassVar[type[Opens]]
    """Sets that it is scored on."""

    @classmethod
    def take(cls, raw: dict) -> Task[Network, Flights]:
        """Take what concerns the task out of a recipe's YAML."""

    def build(self) -> Network:
        """Return the untrained network."""

    def draw(self, flights: Flights, stage: Stage, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return a batch of samples."""

    def loss_terms(self, network: Network, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the terms whose sum is the loss."""

    def validate(self, network: Network, flights: Flights, crop: tuple[int, int]) -> dict[str, float]:
        """Return scores on fixed samples."""
