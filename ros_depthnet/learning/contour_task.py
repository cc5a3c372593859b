"""What training contournet is: images, and the contours that depth measured of them has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ros_depthnet.core.contours import thinned
from ros_depthnet.evaluation.contour_scores import contour_scores
from ros_depthnet.learning.augment import AugmentOptions, Look
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.losses.contours import at_image_edges, contour_loss, eikonal, evidence, soft_distance
from ros_depthnet.learning.networks.contournet import ContourNet, ContourNetConfig
from ros_depthnet.learning.task import Opens, Stage

_CHECKED = 32  # images


@dataclass(frozen=True)
class ContourTask:
    """
    Teach contournet by depth as it is measured: `learning.measured` makes such sets.

    `eikonal`: weight of that term of the distance to what the network says.
    """

    network: ContourNetConfig = ContourNetConfig()
    augment: AugmentOptions = AugmentOptions()
    eikonal: float = 0.0

    kind: ClassVar[str] = 'contournet'
    needs_depth: ClassVar[bool] = True
    learns_from: ClassVar[type[Opens]] = RenderedFlights
    checked_on: ClassVar[type[Opens]] = RenderedFlights
    curves: ClassVar[tuple[str, ...]] = ('f1', 'precision', 'recall')

    @classmethod
    def take(cls, raw: dict) -> ContourTask:
        """Take what concerns the task out of a recipe's YAML."""
        network = raw.pop('network', {})
        if 'channels' in network:
            network['channels'] = tuple(network['channels'])
        augment = AugmentOptions(**raw.pop('augment', {}))
        return cls(ContourNetConfig(**network), augment, raw.pop('eikonal', cls.eikonal))

    def build(self) -> ContourNet:
        """Return the untrained network."""
        return ContourNet(self.network)

    def draw(self, flights: RenderedFlights, stage: Stage, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """Return a batch of crops, some of them mirrored, as a camera sees them, with their inverse depth."""
        batch = [self._sample(flights, stage, rng) for _ in range(stage.batch)]
        return {
            name: torch.from_numpy(np.stack(rows)).float()
            for name, rows in zip(('image', 'inverse_depth', 'intrinsics'), zip(*batch))
        }

    def _sample(self, flights: RenderedFlights, stage: Stage, rng: np.random.Generator):
        flight, (width, height) = flights[int(rng.integers(stage.flights))], stage.crop
        frame, (full_height, full_width) = int(rng.integers(len(flight.images))), flight.depth.shape[1:]
        left, top = int(rng.integers(full_width - width + 1)), int(rng.integers(full_height - height + 1))
        window = np.s_[top : top + height, left : left + width]
        image = Look.draw(rng, self.augment).at(flight.images[frame][window], rng)
        inverse = 1 / flight.depth[frame][window].astype(np.float32)
        fx, fy, cx, cy = flight.intrinsics
        cx, cy = cx - left, cy - top
        if rng.random() < 0.5:
            image, inverse, cx = image[:, ::-1], inverse[:, ::-1], width - 1 - cx
        if rng.random() < 0.3:
            image, inverse, cy = image[::-1], inverse[::-1], height - 1 - cy
        return image.transpose(2, 0, 1), inverse, np.array([fx, fy, cx, cy])

    def loss_terms(self, network: ContourNet, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the terms of the loss: what depth shows, and that distances to contours are such."""
        contours = network(batch['image'])
        found = at_image_edges(evidence(batch['inverse_depth'], batch['intrinsics']), batch['image'])
        terms = {'contours': contour_loss(contours, found)}
        if self.eikonal:
            terms['eikonal'] = self.eikonal * eikonal(soft_distance(contours))
        return terms

    @torch.no_grad()
    def validate(self, network: ContourNet, flights: RenderedFlights, crop: tuple[int, int]) -> dict[str, float]:
        """Return scores of whole images, a pixel off being no mistake, against contours of the teaching depth."""
        network.eval()
        device = next(network.parameters()).device
        maps, truths = [], []
        for number in range(min(_CHECKED, len(flights))):
            flight = flights[number]
            image = torch.from_numpy(flight.images[:1].transpose(0, 3, 1, 2) / np.float32(255))
            inverse = torch.from_numpy(1 / flight.depth[:1].astype(np.float32))
            maps.append(thinned(network(image.to(device))[0].cpu().numpy()))
            found = evidence(inverse, torch.from_numpy(flight.intrinsics[None]).float())
            found = at_image_edges(found, image)[0]
            truths.append(thinned((found / (1 + found)).nan_to_num().numpy()) > 0.5)
        scores = contour_scores(maps, truths)
        return {name: round(getattr(scores, name), 4) for name in self.curves}
