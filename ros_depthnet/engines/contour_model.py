"""Run contournet: the contours of one image."""

from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.engines.card import ModelCard
from ros_depthnet.engines.model import open_model
from ros_depthnet.engines.onnx_engine import OnnxEngine

KIND = 'contournet'


class ContourModel:
    """Contours of images of any size."""

    def __init__(self, card: ModelCard, engine: OnnxEngine):
        """Use an engine that runs what the card describes."""
        self.card, self._engine = card, engine

    def contours(self, image: np.ndarray) -> np.ndarray:
        """Return the probability (H, W) float32, 0..1, that a pixel of an image (H, W, 3) uint8 RGB is on a contour."""
        height, width = image.shape[:2]
        multiple = self.card.input_multiple
        size = tuple(max(1, round(length / multiple)) * multiple for length in (width, height))
        planes = cv2.resize(image, size, interpolation=cv2.INTER_AREA).transpose(2, 0, 1)[None]
        found = self._engine.run({'image': np.ascontiguousarray(planes, np.float32) / np.float32(255)})['contours'][0]
        return cv2.resize(found, (width, height))


def load_contour_model(name_or_path: str | Path = KIND, provider: str = 'cpu', threads: int = 0) -> ContourModel:
    """Return a contournet, named as for `engines.model.load_model`; raises ModelError."""
    return ContourModel(*open_model(KIND, name_or_path, provider, threads))
