"""Run movingnet: what moves by itself, judged by the clues of `core.moving`."""

from pathlib import Path

import numpy as np

from ros_depthnet.engines.card import ModelCard
from ros_depthnet.engines.model import open_model
from ros_depthnet.engines.onnx_engine import OnnxEngine

KIND = 'movingnet'


class MovingModel:
    """Log odds of moving, from clues of any size."""

    def __init__(self, card: ModelCard, engine: OnnxEngine):
        """Use an engine that runs what the card describes."""
        self.card, self._engine = card, engine

    @property
    def precision(self) -> str:
        """What it is computed in: int8 on CPUs, if the card has such a file."""
        return self._engine.precision

    def log_odds(self, clues: np.ndarray) -> np.ndarray:
        """Return the log odds of moving against still, (h, w) float32, of clues (CLUES, h, w) float32."""
        height, width = clues.shape[1:]
        multiple = self.card.input_multiple
        spare = [(0, 0), (0, -height % multiple), (0, -width % multiple)]
        found = self._engine.run({'clues': np.pad(clues, spare, 'edge')[None]})['log_odds'][0]
        return np.ascontiguousarray(found[:height, :width])


def load_moving_model(name_or_path: str | Path = KIND, provider: str = 'cpu', threads: int = 0) -> MovingModel:
    """Return a movingnet, named as for `engines.model.load_model`; raises ModelError."""
    return MovingModel(*open_model(KIND, name_or_path, provider, threads))
