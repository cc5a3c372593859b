"""Teach a smaller parallaxnet what a larger one compares, and let its end learn from depth again."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from ros_depthnet.learning.networks.parallaxnet import ParallaxNet, ParallaxNetConfig
from ros_depthnet.learning.parallax_task import ParallaxTask, loss_terms
from ros_depthnet.learning.weights import take

TAUGHT = 2.0  # weight of being like the teacher, beside that of being right
_NEW = ('learned.', 'mixing.', 'log_scale.')  # beside the last narrowing


@dataclass(frozen=True)
class TaughtParallaxTask(ParallaxTask):
    """
    Teach parallaxnet with a teacher, a larger one, from whose weights it was made (`learning.slimming`).

    Learned descriptors shall be the teacher's, wherever both have them; the last narrowing and what follows it learn
    from depth and from the teacher's answers. What lies between is the teacher's already, and stays: fewer flights
    than the teacher has seen would spoil it. `teacher_weights`: of a network as `teacher_network` says.
    """

    teacher_weights: Path = Path()
    teacher_network: ParallaxNetConfig = ParallaxNetConfig()

    @classmethod
    def take(cls, raw: dict) -> TaughtParallaxTask:
        """Take what concerns the task out of a recipe's YAML."""
        weights = Path(raw.pop('teacher'))
        network = ParallaxTask.take({'network': raw.pop('teacher_network')}).network
        return cls(**vars(ParallaxTask.take(raw)), teacher_weights=weights, teacher_network=network)

    @functools.cached_property
    def teacher(self) -> ParallaxNet:
        """The larger network; raises OSError or ValueError if its weights cannot be read."""
        network = ParallaxNet(self.teacher_network)
        take(network, self.teacher_weights)
        return network.eval().requires_grad_(False)

    def build(self) -> ParallaxNet:
        """Return the untrained network, of which only what is new learns."""
        network = super().build()
        last = f'narrowings.{len(network.narrowings) - 1}.'
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith((last, *_NEW)))
        return network

    def loss_terms(self, network: ParallaxNet, batch: dict) -> dict[str, torch.Tensor]:
        """Return how far descriptors and answers are from the teacher's, and what the last stages miss of depth."""
        reference, sources = batch['reference'], batch['sources'].flatten(0, 1)
        found, wanted = ((pupil.described(reference), pupil.described(sources)) for pupil in (network, self.teacher))
        both = [stride for stride in found[0] if found[0][stride].shape == wanted[0][stride].shape]
        described = torch.stack(
            [F.l1_loss(ours[at], theirs[at]) for ours, theirs in zip(found, wanted, strict=True) for at in both]
        )
        known = ({stride: descriptors.detach() for stride, descriptors in of.items()} for of in found)
        geometry = tuple(batch[name] for name in ('reference', 'valid', 'displacements', 'intrinsics'))
        answer, example = network.compared(*known, *geometry), self.teacher.compared(*wanted, *geometry)
        last = len(network.narrowings) - 1
        answers = zip(answer.stages[last:], example.stages[last:], strict=True)
        taught = torch.stack([F.l1_loss(ours, theirs) for ours, theirs in answers])
        of_depth = loss_terms(answer, network.sweep.q, batch['parallax'], self.stage_weights)
        new = (f'stage{last}', f'stage{last + 1}', 'likelihood')
        return {
            'described': described.sum() / 2,
            'taught': TAUGHT * taught.sum(),
            **{name: of_depth[name] for name in new},
        }
