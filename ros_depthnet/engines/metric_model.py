"""A model with its engine: what its kind makes of images and motion is metric depth."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Prediction, Views
from ros_depthnet.core.motion import Stabilised
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.card import ModelCard, ModelError
from ros_depthnet.engines.providers import GPUS


class Engine(Protocol):
    """What runs a network: OnnxEngine, TorchEngine."""

    provider: str
    precision: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the network on named float32 arrays and return its named outputs."""


class Model:
    """Metric depth from views: hides from the estimator which kind of network looks at them."""

    def __init__(self, card: ModelCard, engine: Engine, input_width: int | None = None):
        """
        Use the card's input size for the provider, or the width given.

        Raises ModelError if the width is no multiple of the card's.
        """
        self.card, self.engine, self._input_width = card, engine, input_width
        if input_width and (input_width % card.input_multiple or input_width < 0):
            raise ModelError(
                f'The input width of {card.name} must be a multiple of {card.input_multiple}, not {input_width}.'
            )
        self._predict = {'parallaxnet': self._parallaxnet, 'depthnet': self._depthnet}[card.kind]

    @property
    def parallax_range(self) -> tuple[float, float]:
        """Least and most lateral parallax the model was trained for, pixels of its input."""
        return self.card.parallax_range

    def input_size(self, camera: Camera) -> tuple[int, int]:
        """
        Return the (width, height) at which a camera's images go in: its aspect to the nearest multiple.

        Without a width given they get about as many pixels as the card says, whatever their aspect: the same
        time, and a wide image is not robbed of its detail. A depthnet, which takes every image for one with
        the field of view it was trained on, keeps the card's width.
        """
        card, aspect = self.card, camera.width / camera.height
        width = self._input_width
        if not width:
            on_gpu = self.engine.provider in GPUS
            width = on_gpu and card.gpu_width or card.input_width
            if card.kind != 'depthnet':
                width = self._to_multiple(width * (aspect * card.input_height / card.input_width) ** 0.5)
        return width, self._to_multiple(width / aspect)

    def _to_multiple(self, length: float) -> int:
        multiple = self.card.input_multiple
        return max(1, round(length / multiple)) * multiple

    def predict(self, ranges: Sequence[Views]) -> list[Prediction]:
        """
        Return depth of each range's reference, all run as one batch.

        The views must be of one size. Raises ValueError if a source has not moved, or ModelError.
        """
        if not all(np.linalg.norm(views.displacements, axis=1).min() > 0 for views in ranges):
            raise ValueError('A source at the same place as the reference says nothing about depth.')
        return self._predict(ranges)

    def warm_up(self, camera: Camera, options: EstimatorOptions) -> None:
        """Run once for each shape there may be, so that no flight waits for allocation or engine building."""
        width, height = self.input_size(camera)
        still = Frame(0, np.zeros((height, width, 3), np.uint8), camera.resized(width, height), np.eye(4))
        for count in range(1, options.max_sources + 1):
            sources = tuple(dataclasses.replace(still) for _ in range(count))
            views = Views(still, sources, np.tile(motion.pose(np.eye(3), (0.1, 0, 0)), (count, 1, 1)))
            for batch in range(1, options.ranges + 1):
                self.predict([views] * batch)

    def _parallaxnet(self, ranges: Sequence[Views]) -> list[Prediction]:
        count = max(len(views.sources) for views in ranges)
        ranges = [longest_first(views, count) for views in ranges]
        units = [np.linalg.norm(views.displacements[0]) for views in ranges]  # metres
        stabilised = [views.stabilised() for views in ranges]
        result = self.engine.run(
            {
                'reference': planes(np.stack([views.reference.image for views in ranges])),
                'sources': np.stack([planes(np.stack([view.image for view in sources])) for sources in stabilised]),
                'valid': np.array([[view.valid_hw for view in sources] for sources in stabilised], np.float32)[
                    :, :, None
                ],
                'displacements': np.stack(
                    [views.displacements / unit for views, unit in zip(ranges, units, strict=True)]
                ).astype(np.float32),
                'intrinsics': np.array(
                    [[camera.fx, camera.fy, camera.cx, camera.cy] for camera in (views.camera for views in ranges)],
                    np.float32,
                ),
            }
        )
        with np.errstate(over='ignore'):
            deviation_scale = np.float32(self.card.deviation_scale)
            return [
                Prediction(
                    np.float32(views.camera.fx * unit) * np.exp(-log_parallax), deviation_scale * np.exp(log_deviation)
                )
                for views, unit, log_parallax, log_deviation in zip(
                    ranges, units, result['log_parallax'], result['log_deviation'], strict=True
                )
            ]

    def _depthnet(self, ranges: Sequence[Views]) -> list[Prediction]:
        # Every source gives a map of its own; their mean in ln(depth), over the sources that see a pixel.
        stabilised = [views.stabilised() for views in ranges]
        pairs = [
            np.concatenate([view.image, views.reference.image], -1)
            for views, sources in zip(ranges, stabilised, strict=True)
            for view in sources
        ]
        pair = (planes(np.stack(pairs)) - np.float32(0.5)) / np.float32(0.2)
        nominal = iter(self.engine.run({'pair': pair})['depth'])
        return [
            self._mean_of_pairs(views.camera, sources, [next(nominal) for _ in sources])
            for views, sources in zip(ranges, stabilised, strict=True)
        ]

    def _mean_of_pairs(
        self, camera: Camera, sources: Sequence[Stabilised], nominal: Sequence[np.ndarray]
    ) -> Prediction:
        nominal_displacement = self.card.nominal_displacement
        assert nominal_displacement is not None, 'The card of a depthnet has one.'
        scales = [np.linalg.norm(view.displacement) / nominal_displacement for view in sources]
        size = (camera.width, camera.height)
        logs = np.stack(
            [np.log(cv2.resize(depth, size) * np.float32(scale)) for depth, scale in zip(nominal, scales, strict=True)]
        )
        valid = np.stack([view.valid_hw for view in sources])
        weights = np.where(valid.any(0), valid, True)
        deviation = self.card.deviation_scale * self.card.relative_deviation
        return Prediction(
            np.exp(np.average(logs, axis=0, weights=weights)).astype(np.float32),
            np.full(size[::-1], deviation, np.float32),
        )


def longest_first(views: Views, count: int | None = None) -> Views:
    """
    Return views with this many sources, the longest displacement first as parallaxnet wants them; None: all.

    Where there are fewer they are repeated: a network that averages over sources takes no notice.
    """
    order = np.argsort(-np.linalg.norm(views.displacements, axis=1), kind='stable')
    order = np.resize(order, count or len(order))
    return Views(views.reference, tuple(views.sources[index] for index in order), views.T_srcs_ref[order])


def planes(images: np.ndarray) -> np.ndarray:
    """Return (N, H, W, C) uint8 images as (N, C, H, W) float32 in 0..1."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) * np.float32(1 / 255)
