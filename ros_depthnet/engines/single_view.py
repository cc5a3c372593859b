"""Depth from one image, up to an unknown factor: singleview and its card."""

from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.core.frames import Prediction
from ros_depthnet.engines.card import ModelCard
from ros_depthnet.engines.metric_model import Engine, planes
from ros_depthnet.engines.model import open_model

KIND = 'singleview'


class SingleViewModel:
    """Guesses depth from one image."""

    def __init__(self, card: ModelCard, engine: Engine):
        """Use the card's input size."""
        self.card, self.engine = card, engine

    def predict(self, image_hw3: np.ndarray) -> Prediction:
        """Return depth up to an unknown factor, at the size of an RGB image (H, W, 3) uint8; raises ModelError."""
        small = cv2.resize(image_hw3, self._input_size(image_hw3), interpolation=cv2.INTER_AREA)
        found = self.engine.run({'image': planes(small[None])})
        log_depth, log_deviation = (
            cv2.resize(found[name][0], image_hw3.shape[1::-1]) for name in ('log_depth', 'log_deviation')
        )
        return Prediction(np.exp(log_depth), np.float32(self.card.deviation_scale) * np.exp(log_deviation))

    def _input_size(self, image_hw3: np.ndarray) -> tuple[int, int]:
        """Return a (width, height) of the image's shape with about as many pixels as the card says."""
        card, (height, width, _) = self.card, image_hw3.shape
        shrink = (card.input_width * card.input_height / (width * height)) ** 0.5
        width, height = (
            max(1, round(length * shrink / card.input_multiple)) * card.input_multiple for length in (width, height)
        )
        return width, height


def load_single_view(name_or_path: str | Path, provider: str = 'auto', threads: int = 0) -> SingleViewModel:
    """Return a model of one image by name or path, run as `load_model` has it; raises ModelError."""
    return SingleViewModel(*open_model(KIND, name_or_path, provider, threads))
