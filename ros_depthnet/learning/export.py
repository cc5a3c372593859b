"""Write a trained network as ONNX, check that ONNX Runtime computes the same, and write its card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
import yaml

from ros_depthnet.core.moving import CLUES
from ros_depthnet.learning.networks.contournet import ContourNet
from ros_depthnet.learning.networks.depthnet import DepthNet
from ros_depthnet.learning.networks.movingnet import MovingNet
from ros_depthnet.learning.networks.naming import DOMAIN
from ros_depthnet.learning.networks.parallaxnet import ParallaxNet
from ros_depthnet.learning.networks.singleview import SingleView
from ros_depthnet.learning.onnx_graph import keep_names, store_in_half, traced
from ros_depthnet.whole_files import write_file

_INPUTS = ('reference', 'sources', 'valid', 'displacements', 'intrinsics')
_OUTPUTS = ('log_parallax', 'log_deviation')
OPSET = 17


def example_inputs(batch: int, sources: int, height: int, width: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """
    Return inputs of parallaxnet: a wall of random texture at a parallax of 12 pixels, passed sideways.

    Borders of the sources are missing. Of images that show nothing, two answers may be equally likely, and
    rounding would decide.
    """
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, height // 4, width // 4, generator=generator)
    reference = F.interpolate(coarse, (height, width), mode='bicubic').clamp(0, 1)
    shares = 1 / torch.arange(1, sources + 1)
    valid = torch.ones(batch, sources, 1, height, width)
    valid[..., :8] = 0
    focal = 0.8 * width
    return {
        'reference': reference,
        'sources': torch.stack([reference.roll(round(12 * float(s)), -1) for s in shares], 1),
        'valid': valid,
        'displacements': F.pad(shares[:, None], (0, 2)).repeat(batch, 1, 1),
        'intrinsics': torch.tensor([[focal, focal, width / 2 - 0.5, height / 2 - 0.5]]).repeat(batch, 1),
    }


def export_parallaxnet(network: ParallaxNet, path: Path) -> float:
    """
    Write the network to `path` with dynamic batch, sources, height and width.

    Weights that `halve` has rounded are stored in 16 bits and computed with in 32. Returns the largest
    difference between torch and ONNX Runtime over two shapes other than the traced one.
    """
    network = network.cpu().eval()
    dynamic = {
        'reference': {0: 'batch', 2: 'height', 3: 'width'},
        'sources': {0: 'batch', 1: 'sources', 3: 'height', 4: 'width'},
        'valid': {0: 'batch', 1: 'sources', 3: 'height', 4: 'width'},
        'displacements': {0: 'batch', 1: 'sources'},
        'intrinsics': {0: 'batch'},
        **{name: {0: 'batch', 1: 'height', 2: 'width'} for name in _OUTPUTS},
    }
    model = traced(
        network,
        tuple(example_inputs(2, 3, 96, 160).values()),
        input_names=list(_INPUTS),
        output_names=list(_OUTPUTS),
        dynamic_axes=dynamic,
        opset_version=OPSET,
        custom_opsets={DOMAIN: 1},
    )
    keep_names(model)
    onnx.helper.set_model_props(model, {'matching': json.dumps(network.config.matching)})
    store_in_half(model)
    write_file(path, model.SerializeToString())
    return max(
        difference(network, path, example_inputs(1, 1, 128, 160)),
        difference(network, path, example_inputs(2, 2, 64, 96)),
    )


@torch.no_grad()
def difference(network: torch.nn.Module, path: Path, inputs: dict[str, torch.Tensor]) -> float:
    """Return the largest absolute difference of the outputs of torch and of ONNX Runtime on the CPU."""
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    expected = network(**inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    return max(float(np.abs(e.numpy() - f).max()) for e, f in zip(expected, found))


def export_depthnet(network: DepthNet, path: Path) -> float:
    """Write a network that `halve` returned to `path`; the largest difference is in metres. See `_export_per_pixel`."""
    return _export_per_pixel(network, path, 'pair', 6, ('depth',), 'quarter_')


def export_contournet(network: ContourNet, path: Path) -> float:
    """Write a network that `halve` returned to `path`; see `_export_per_pixel`."""
    return _export_per_pixel(network, path, 'image', 3, ('contours',))


def export_movingnet(network: MovingNet, path: Path) -> float:
    """Write a network that `halve` returned to `path`; see `_export_per_pixel`."""
    return _export_per_pixel(network, path, 'clues', CLUES, ('log_odds',))


def export_singleview(network: SingleView, path: Path) -> float:
    """Write a network that `halve` returned to `path`; see `_export_per_pixel`."""
    return _export_per_pixel(network, path, 'image', 3, ('log_depth', 'log_deviation'))


def _export_per_pixel(
    network: torch.nn.Module, path: Path, taken: str, channels: int, given: tuple[str, ...], stride: str = ''
) -> float:
    """
    Write a network of one input (B, channels, H, W) and outputs (B, h, w), with dynamic batch, height and width.

    stride: what comes before the names of the outputs' axes, where they are others than the input's. Weights are
    stored in 16 bits and computed with in 32. Returns the largest difference between torch and ONNX Runtime over two
    shapes other than the traced one.
    """
    axes = {taken: {0: 'batch', 2: 'height', 3: 'width'}}
    model = traced(
        network,
        (torch.rand(2, channels, 64, 64),),
        input_names=[taken],
        output_names=list(given),
        dynamic_axes=axes | {name: {0: 'batch', 1: f'{stride}height', 2: f'{stride}width'} for name in given},
        opset_version=OPSET,
    )
    store_in_half(model)
    write_file(path, model.SerializeToString())
    generator = torch.Generator().manual_seed(0)
    shapes = ((1, channels, 128, 192), (3, channels, 128, 64))
    return max(difference(network, path, {taken: torch.rand(shape, generator=generator)}) for shape in shapes)


def write_card(onnx_path: Path, card: dict) -> Path:
    """Write the card beside the model, with the file's name and checksum filled in."""
    card = {**card, 'file': onnx_path.name, 'sha256': hashlib.sha256(onnx_path.read_bytes()).hexdigest()}
    path = onnx_path.with_suffix('.yaml')
    write_file(path, yaml.safe_dump(card, sort_keys=False, width=110))
    return path
