"""Teach parallaxnet one flight: samples from its labelled frames, mixed with rendered ones against forgetting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ros_depthnet.core import motion
from ros_depthnet.core.baseline import Source, source_of
from ros_depthnet.core.refine import turned
from ros_depthnet.learning.augment import AugmentOptions, Look, Sample, mirrored, misjudged
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.labels import Label, LabelledFlight
from ros_depthnet.learning.losses.reconstruction import Photometric, Views, unlike
from ros_depthnet.learning.networks.parallaxnet import ParallaxNet
from ros_depthnet.learning.parallax_task import ParallaxTask, stack, validate
from ros_depthnet.learning.self_supervised_parallax_task import depth_of
from ros_depthnet.learning.task import Stage

_TRIES = 200
_LEAST_BELIEVED = 0.2  # of a crop
_MAX_ROTATION = 0.35  # radians
_CHECKED = 24  # samples of what is held out, at most


@dataclass(frozen=True)
class AdaptTask(ParallaxTask):
    """
    Teach parallaxnet what its own consensus over flights says.

    `flights` are learned from, with a `share` of the samples, the rest being rendered; of `held_out` ones
    only what `scores_of_pairs` tells is measured.
    """

    flights: tuple[LabelledFlight, ...] = ()
    held_out: tuple[LabelledFlight, ...] = ()
    share: float = 0.7

    curves = ('agreement', 'photometric', *ParallaxTask.curves)

    def draw(self, flights: RenderedFlights, stage: Stage, rng: np.random.Generator) -> dict:
        """Return a batch whose samples have the same number of sources."""
        number = 1 + rng.choice(len(self.source_shares), p=self.source_shares)
        return stack(
            [
                self._labelled(number, stage, rng)
                if rng.random() < self.share
                else self._sample(flights, number, stage, rng)
                for _ in range(stage.batch)
            ]
        )

    def _labelled(self, number: int, stage: Stage, rng: np.random.Generator) -> Sample:
        """Return a spoilt sample of a labelled frame."""
        for _ in range(_TRIES):
            flight = self.flights[int(rng.integers(len(self.flights)))]
            label = flight.label(int(rng.integers(len(flight))))
            drawn = labelled_sample(label, flight, number, stage.crop, rng, self.augment, self.median_parallax)
            if drawn is not None:
                return drawn
        raise ValueError('Hardly anything of the flight is believed, or it has no baselines to learn from.')

    def validate(self, network: ParallaxNet, flights: RenderedFlights, crop: tuple[int, int]) -> dict[str, float]:
        """Return scores on rendered samples, and those of `scores_of_pairs`."""
        return {**scores_of_pairs(network, self.held_out, crop), **validate(network, flights)}


def labelled_sample(
    label: Label,
    flight: LabelledFlight,
    number: int,
    crop: tuple[int, int],
    rng: np.random.Generator,
    options: AugmentOptions,
    median_parallax: tuple[float, float],
) -> Sample | None:
    """
    Return a sample of `number` sources round a labelled frame, cropped to (width, height) pixels.

    None if too little of it is believed, or no frame of the flight has a median parallax in this range.
    """
    reference, (width, height) = label.frame, crop
    camera = reference.camera
    left, top = (int(rng.integers(most - size + 1)) for most, size in zip((camera.width, camera.height), crop))
    window = np.s_[top : top + height, left : left + width]
    depth_hw = label.depth_hw[window]
    if np.isfinite(depth_hw).mean() < _LEAST_BELIEVED:
        return None
    sources = _drawn(reference, flight, float(np.nanmedian(depth_hw)), number, rng, median_parallax)
    if not sources:
        return None
    look, images, valid = Look.draw(rng, options), [], []
    for source in sources:
        noise = np.radians(rng.normal(0, options.rotation_noise, 3)) * rng.choice([0, 1, 2])
        T_src_ref = motion.inverse(source.frame.T_world_cam) @ reference.T_world_cam
        view = motion.stabilise(source.frame.image, camera, turned(T_src_ref, noise))
        seen = view.valid_hw[window].astype(np.float32)
        images.append(look.at(view.image[window], rng) * seen[..., None])
        valid.append(seen)
    unit = np.linalg.norm(sources[0].displacement)
    return mirrored(
        rng,
        look.at(reference.image[window], rng),
        np.stack(images),
        np.stack(valid),
        misjudged(np.stack([source.displacement for source in sources]) / unit, rng, options),
        (camera.fx, camera.fy, camera.cx - left, camera.cy - top),
        (camera.fx * unit / depth_hw).astype(np.float32),
    )


def _drawn(reference, flight, depth: float, number: int, rng, median_parallax) -> Sequence[Source]:
    """Return sources that can be matched at this depth, the longest baseline first; () if there are too few."""
    least, most = median_parallax
    usable = [
        source
        for source in (source_of(reference, frame, depth) for frame in flight.frames if frame is not reference)
        if least <= source.parallax <= most and source.rotation <= _MAX_ROTATION
    ]
    if len(usable) < number:
        return ()
    chosen = [usable[index] for index in rng.choice(len(usable), number, replace=False)]
    return sorted(chosen, key=lambda source: -source.parallax)


@torch.no_grad()
def scores_of_pairs(network: ParallaxNet, flights: Sequence[LabelledFlight], crop: tuple[int, int]) -> dict[str, float]:
    """
    Return what unspoilt pairs of flights say of a network.

    `agreement`: mean |d ln(parallax)| to what is believed; `photometric`: how unlike the sources are, moved by it.
    """
    network.eval()
    unspoilt = AugmentOptions(exposure=0, noise=0, blur=0, grey=0, rotation_noise=0, direction_noise=0)
    found = []
    for index in range(_CHECKED):
        rng = np.random.default_rng([7, index])
        flight = flights[index % len(flights)]
        label = flight.label(index * len(flight) // _CHECKED)
        drawn = labelled_sample(label, flight, 1, crop, rng, unspoilt, (6, 60))
        if drawn is None:
            continue
        batch = stack([drawn])
        truth, views = batch.pop('parallax'), Views.stabilised(**batch)
        log_parallax = network.predict(**batch).log_parallax
        error = (log_parallax - truth.log()).abs()[truth.isfinite()].mean()
        found.append([float(error), float(unlike(views, depth_of(log_parallax.exp(), views), Photometric()))])
    if not found:
        raise ValueError('Hardly anything of what is held out is believed: hold out more of the flight.')
    return dict(zip(('agreement', 'photometric'), (round(float(mean), 4) for mean in np.mean(found, 0))))
