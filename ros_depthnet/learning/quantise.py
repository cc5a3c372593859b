"""Convolutions in 8 bits, for CPUs: processors that multiply four bytes at once take half the time for parallaxnet."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
import yaml
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from ros_depthnet.engines.card import ModelCard
from ros_depthnet.learning.augment import AugmentOptions, sample
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.export import write_card
from ros_depthnet.learning.moving_clues import CluedFlights
from ros_depthnet.learning.onnx_graph import store_in_float
from ros_depthnet.learning.parallax_task import stack
from ros_depthnet.whole_files import write_file

_SAMPLES = 32
_SOURCES = 2
_MEDIAN_PARALLAX = 2, 90  # pixels
_ROOM = 3  # times a network's size in 32 bits, for temporary files: ONNX Runtime takes those cut short for whole


Inputs = dict[str, np.ndarray]


def quantise(card: ModelCard, samples: Iterable[Inputs]) -> Path:
    """
    Write a network with 8-bit convolutions beside its file, name it in its card, and return its path.

    Ranges of activations are what samples, inputs of the network, reach in the mean: what a single one reaches would
    make the steps of all others coarse. Weights, a scale for each channel, take 7 of the 8 bits: without VNNI a
    processor sums two products of 8 bits in 16, which would overflow. Raises ValueError where there is no room for
    temporary files.
    """
    path = card.file.with_suffix('.int8.onnx')
    with tempfile.TemporaryDirectory() as folder:
        exact, made = (Path(folder) / f'{name}.onnx' for name in ('float32', 'int8'))
        model = onnx.load(card.file)
        store_in_float(model)
        needed, free = _ROOM * model.ByteSize(), shutil.disk_usage(folder).free
        if free < needed:
            raise ValueError(
                f'{folder} has room for {free / 1e6:.1f} MB of temporary files, and {needed / 1e6:.1f} MB are needed: '
                'make room, or set TMPDIR to another folder.'
            )
        onnx.save(model, exact)
        logger = logging.getLogger()
        level = logger.level
        logger.setLevel(logging.ERROR)  # it advises a preparation that changes nothing here
        try:
            quantize_static(
                exact,
                made,
                _Samples(samples),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=['Conv'],
                nodes_to_exclude=_sums(model),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={'CalibMovingAverage': True},
            )
        finally:
            logger.setLevel(level)
        quantised = onnx.load(made)
    onnx.helper.set_model_props(quantised, {entry.key: entry.value for entry in model.metadata_props})
    write_file(path, quantised.SerializeToString())
    written = yaml.safe_load(card.file.with_suffix('.yaml').read_text(encoding='utf-8'))
    written['int8'] = {'file': path.name, 'sha256': hashlib.sha256(path.read_bytes()).hexdigest()}
    write_card(card.file, written)
    return path


def _sums(model: onnx.ModelProto) -> list[str]:
    """Return the convolutions with constant weights, which sum probabilities: 8 bits lose the small ones."""
    learned = {tensor.name for tensor in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type == 'Conv' and node.input[1] not in learned]


class _Samples(CalibrationDataReader):
    def __init__(self, samples: Iterable[Inputs]):
        self._samples = iter(samples)

    def get_next(self) -> Inputs | None:
        """Return the next inputs."""
        return next(self._samples, None)


def parallax_samples(flights: RenderedFlights) -> Iterator[Inputs]:
    """Yield what a parallaxnet takes of some rendered flights, spoilt as in training."""
    rng, size = np.random.default_rng(0), flights[0].depth.shape[:0:-1]
    drawn = (
        sample(flights[number], _SOURCES, size, rng, AugmentOptions(), _MEDIAN_PARALLAX)
        for number in range(len(flights))
    )
    for _, each in zip(range(_SAMPLES), filter(None, drawn)):
        inputs = stack([each])
        del inputs['parallax']
        yield {name: tensor.numpy() for name, tensor in inputs.items()}


def clue_samples(flights: CluedFlights) -> Iterator[Inputs]:
    """Yield what a movingnet takes: frames of all flights, evenly spread."""
    each = -(-_SAMPLES // len(flights))
    for flight in (flights[number] for number in range(len(flights))):
        for frame in np.linspace(0, len(flight.clues) - 1, each).astype(int):
            yield {'clues': flight.clues[frame][None].astype(np.float32)}
