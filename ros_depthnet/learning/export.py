"""Write a trained network as ONNX, with its card, and check that ONNX Runtime computes the same."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import platform
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import yaml

from ros_depthnet.evaluation.evaluate import evaluate, load_sets
from ros_depthnet.learning.networks.parallaxnet import ParallaxNet
from ros_depthnet.learning.training import Recipe, recipe_path

_INPUTS = ('reference', 'sources', 'valid', 'displacements', 'intrinsics')
_OUTPUTS = ('log_parallax', 'log_deviation')
OPSET = 17


def example_inputs(
    batch: int, sources: int, height: int, width: int, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Return random but well-formed inputs of parallaxnet."""
    generator = torch.Generator().manual_seed(seed)
    displacements = torch.randn(batch, sources, 3, generator=generator)
    displacements /= displacements.norm(dim=-1, keepdim=True)
    focal = 0.8 * width
    return {
        'reference': torch.rand(batch, 3, height, width, generator=generator),
        'sources': torch.rand(batch, sources, 3, height, width, generator=generator),
        'valid': (torch.rand(batch, sources, 1, height, width, generator=generator) > 0.1).float(),
        'displacements': displacements / torch.arange(1, sources + 1)[:, None],
        'intrinsics': torch.tensor([[focal, focal, width / 2 - 0.5, height / 2 - 0.5]]).repeat(batch, 1),
    }


def export_parallaxnet(network: ParallaxNet, path: Path) -> float:
    """
    Write the network to `path` with dynamic batch, sources, height and width.

    Returns the largest difference between torch and ONNX Runtime over two shapes other than the traced one.
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
    torch.onnx.export(
        network,
        tuple(example_inputs(2, 3, 96, 128).values()),
        str(path),
        input_names=list(_INPUTS),
        output_names=list(_OUTPUTS),
        dynamic_axes=dynamic,
        opset_version=OPSET,
        dynamo=False,
    )
    return max(
        difference(network, path, example_inputs(1, 1, 128, 160)),
        difference(network, path, example_inputs(2, 2, 64, 96)),
    )


@torch.no_grad()
def difference(network: ParallaxNet, path: Path, inputs: dict[str, torch.Tensor]) -> float:
    """Return the largest absolute difference of the outputs of torch and of ONNX Runtime on the CPU."""
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    found = session.run(list(_OUTPUTS), {name: value.numpy() for name, value in inputs.items()})
    return max(
        float(np.abs(expected.numpy() - value).max()) for expected, value in zip(network(**inputs), found)
    )


def export_run(folder: Path, recipe: str, path: Path, scored: list[Path]) -> tuple[Path, float]:
    """
    Export the last checkpoint of a training run with its card; returns the card's path and the difference.

    The card's scores are those of `evaluate` on the posed sequences in `scored`.
    """
    recipe_file = recipe_path(recipe)
    loaded = Recipe.load(recipe_file)
    state = torch.load(folder / 'last.pt', map_location='cpu', weights_only=True)
    network = ParallaxNet(loaded.network)
    network.load_state_dict(state['network'])
    path.parent.mkdir(parents=True, exist_ok=True)
    largest = export_parallaxnet(network, path)
    with (folder / 'curve.csv').open(newline='') as file:
        last = list(csv.DictReader(file))[-1]
    validation = {
        name: float(last[name]) for name in ('mae_log', 'delta_125', 'delta_105', 'within_one_deviation')
    }
    card = {
        'name': path.stem,
        'kind': 'parallaxnet',
        'version': importlib.metadata.version('ros_depthnet'),
        'licence': 'Apache-2.0',
        'input': {'width': 256, 'height': 192, 'multiple': 16},
        'parallax_range': [0.5, 60.0],
        'normalisation': 'RGB in 0..1',
        'data': 'Still Box, rendered by `depthnet render set` with seed 1; validation with seed 2',
        'training': {
            'recipe': yaml.safe_load(recipe_file.read_text(encoding='utf-8')),
            'steps': state['step'],
            'minutes': round(state['seconds'] / 60),
            'hardware': platform.processor() or platform.machine(),
            'parameters': sum(parameter.numel() for parameter in network.parameters()),
            'torch': torch.__version__,
        },
        'scores': {'validation': validation},
    }
    card_path = write_card(path, card)
    if scored:
        card['scores'].update(_scores(path, scored))
        card_path = write_card(path, card)
    return card_path, largest


def _scores(path: Path, scored: list[Path]) -> dict[str, dict[str, float]]:
    results = evaluate(load_sets(scored), (str(path),), ('pairs',))
    return {
        result.row.set: {
            name: round(result.row.as_dict()[name], 4) for name in ('mae_log', 'delta_125', 'delta_105')
        }
        for result in results
    }


def write_card(onnx_path: Path, card: dict) -> Path:
    """Write the card beside the model, with the file's name and checksum filled in."""
    card = {**card, 'file': onnx_path.name, 'sha256': hashlib.sha256(onnx_path.read_bytes()).hexdigest()}
    path = onnx_path.with_suffix('.yaml')
    path.write_text(yaml.safe_dump(card, sort_keys=False, width=110), encoding='utf-8')
    return path
