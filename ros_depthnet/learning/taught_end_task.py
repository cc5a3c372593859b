"""Teach the end of a smaller parallaxnet, its last narrowing, what a larger one makes of the same beginning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

from ros_depthnet.learning.arrays import mapped_array
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.networks.parallaxnet import Begun, Compared, ParallaxNet
from ros_depthnet.learning.parallax_task import ParallaxTask, stage_terms
from ros_depthnet.learning.task import Opens, Stage
from ros_depthnet.learning.taught_parallax_task import TAUGHT, TaughtParallaxTask

LAST = 'full'  # the name of the array that is written last


@dataclass(frozen=True)
class Lessons(Dataset[dict[str, np.ndarray]]):
    """The batches of a folder, memory-mapped, each a dictionary of arrays as `TaughtEndTask.lesson` returns them."""

    paths: tuple[Path, ...]

    @classmethod
    def open(cls, folder: Path) -> Lessons:
        """Open what `learning.lessons` has written; raises FileNotFoundError where there is nothing."""
        paths = tuple(sorted(path.parent for path in Path(folder).glob(f'*/{LAST}.npy')))
        if not paths:
            raise FileNotFoundError(
                f'No lessons in {folder}: make them with python -m ros_depthnet.learning.lessons {folder} --data SET...'
            )
        return cls(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        full = mapped_array(self.paths[number] / f'{LAST}.npy')
        return {path.stem: mapped_array(path, len(full)) for path in sorted(self.paths[number].glob('*.npy'))}


@dataclass(frozen=True)
class TaughtEndTask:
    """
    Teach what follows the second to last narrowing, and nothing else, from depth and from the teacher's answers.

    Both go on from the smaller network's beginning, which `learning.lessons` works out once.
    """

    of_whole: TaughtParallaxTask

    kind: ClassVar[str] = ParallaxTask.kind
    curves: ClassVar[tuple[str, ...]] = ParallaxTask.curves
    needs_depth: ClassVar[bool] = True
    learns_from: ClassVar[type[Opens]] = Lessons
    checked_on: ClassVar[type[Opens]] = RenderedFlights

    @classmethod
    def take(cls, raw: dict) -> TaughtEndTask:
        """Take what concerns the task out of a recipe's YAML."""
        return cls(TaughtParallaxTask.take(raw))

    def build(self) -> ParallaxNet:
        """Return the untrained network, of which only the end learns."""
        network = self.of_whole.build()
        if network.learned is not None:
            network.learned.requires_grad_(False)
        return network

    def draw(self, flights: Lessons, stage: Stage, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return a lesson, one of as many as the stage has flights."""
        lesson = flights[int(rng.integers(stage.flights))]
        return {name: torch.from_numpy(np.array(values)).float() for name, values in lesson.items()}

    def validate(self, network: ParallaxNet, flights: RenderedFlights, crop: tuple[int, int]) -> dict[str, float]:
        """Return scores on fixed samples of rendered flights."""
        return self.of_whole.validate(network, flights, crop)

    @torch.no_grad()
    def lesson(self, network: ParallaxNet, batch: dict) -> dict[str, torch.Tensor]:
        """
        Return a lesson made of rendered samples: what the end takes, and what it is to say.

        `reference` (B, 3, H, W); `q`, `hidden`, `offsets`, `cost`, `seen` and `motion` as Begun and Compared have them;
        `parallax` (B, H, W) is the truth, `half` and `full` the teacher's q at half and at full size.
        """
        reference, sources = batch['reference'], batch['sources'].flatten(0, 1)
        geometry = [batch[name] for name in ('valid', 'displacements', 'intrinsics')]
        ours, theirs = (
            (pupil.described(reference), pupil.described(sources)) for pupil in (network, self.of_whole.teacher)
        )
        begun, _, _ = network.begun(*ours, reference, *geometry)
        compared = network.compared_last(begun, *ours, *geometry)
        teacher = self.of_whole.teacher
        half, full = teacher.ended(begun, teacher.compared_last(begun, *theirs, *geometry)).stages
        taken = {'reference': reference, 'hidden': begun.hidden, **vars(compared)}
        said = {'q': begun.q.float(), 'parallax': batch['parallax'], 'half': half.float(), 'full': full.float()}
        return {name: values.half() for name, values in taken.items()} | said

    def loss_terms(self, network: ParallaxNet, batch: dict) -> dict[str, torch.Tensor]:
        """Return how far the end's answers are from the teacher's, and what they miss of depth."""
        context = network.context2((batch['reference'] - 0.45) * 4)
        compared = Compared(*(batch[name] for name in ('offsets', 'cost', 'seen', 'motion')))
        end = network.ended(Begun(batch['q'], batch['hidden'], {2: context}), compared)
        taught = [F.l1_loss(ours, batch[name]) for ours, name in zip(end.stages, ('half', 'full'), strict=True)]
        return {
            'taught': TAUGHT * torch.stack(taught).sum(),
            **stage_terms(end, end.stages, batch['parallax'], self.of_whole.stage_weights),
        }
