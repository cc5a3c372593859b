"""Write a trained network as ONNX, with its card, and check that ONNX Runtime computes the same."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
import yaml

from ros_depthnet.core.moving import CLUES
from ros_depthnet.engines.model import load_model
from ros_depthnet.engines.single_view import load_single_view
from ros_depthnet.evaluation.evaluate import Result, evaluate, load_sets
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.depth_task import NOMINAL_DISPLACEMENT
from ros_depthnet.learning.held_out import (
    calibrated_scale,
    held_out_scores,
    single_view_scale,
    single_view_scores,
)
from ros_depthnet.learning.networks import contournet, depthnet, movingnet, singleview
from ros_depthnet.learning.networks.contournet import ContourNet
from ros_depthnet.learning.networks.depthnet import DepthNet
from ros_depthnet.learning.networks.movingnet import MovingNet
from ros_depthnet.learning.networks.naming import DOMAIN
from ros_depthnet.learning.networks.parallaxnet import ParallaxNet
from ros_depthnet.learning.networks.singleview import SingleView
from ros_depthnet.learning.onnx_graph import keep_names, store_in_half, traced
from ros_depthnet.learning.parallax_task import ParallaxTask
from ros_depthnet.learning.recipe import Recipe, recipe_path
from ros_depthnet.learning.split import split_scores
from ros_depthnet.learning.still_box.sequences import CLASSIC
from ros_depthnet.learning.task import Task
from ros_depthnet.learning.weights import Network, average, halve, restore, take
from ros_depthnet.resources import share_path
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


@dataclass(frozen=True)
class Blend:
    """
    Weights between those of two runs, the later of which began with the earlier (Wortsman 2022).

    `share` of the later run's weights, the rest those of `earlier`: a checkpoint, or the exported model that
    the later run began with.
    """

    earlier: Path
    share: float

    def __post_init__(self):
        if not 0 <= self.share <= 1:
            raise ValueError(f'A blend takes a share from 0 to 1, not {self.share:g}.')


def export_run(
    folder: Path,
    recipe: str,
    path: Path,
    scored: list[Path],
    split: Path | None = None,
    held_out: Path | None = None,
    blend: Blend | None = None,
    contrast_floor: float | None = None,
) -> tuple[Path, float]:
    """
    Export the last checkpoint of a training run with its card; returns the card's path and the difference.

    With `blend` its weights are averaged with an earlier run's; `contrast_floor` is parallaxnet's, if not the
    one it was trained with.

    The card's scores are those of the last validation; with `split`, a rendered set, those of depthnet's task
    on it at the end of each finished stage and of the exported network, or parallaxnet's `split_scores`; with
    `held_out`, another one, `held_out_scores`, and parallaxnet's deviation is calibrated there first; and
    those of `evaluate` on the posed sequences in `scored`.
    """
    loaded = Recipe.load(recipe_path(recipe))
    if path.with_suffix('.yaml').absolute() == recipe_path(recipe).absolute():
        raise ValueError(f'The card would overwrite the recipe {recipe}: call the model otherwise.')
    task, changes = loaded.task, dict[str, float]()
    if contrast_floor is not None:
        if not isinstance(task, ParallaxTask):
            raise ValueError(f'{task.kind} has no contrast floor.')
        task = replace(task, network=replace(task.network, contrast_floor=contrast_floor))
        changes['contrast_floor'] = contrast_floor
    trained, state = _trained(task, folder / 'last.pt')
    if blend:
        average(trained, _earlier(task, blend.earlier), blend.share)
        changes['share_of_the_last_run'] = blend.share
    network = halve(trained)
    with (folder / 'curve.csv').open(newline='') as file:
        last = list(csv.DictReader(file))[-1]
    if task.kind == 'depthnet':
        largest = export_depthnet(network, path)
        about = _about_depthnet(loaded.stage(state['step'] - 1).crop, float(last['rms_log']))
    elif task.kind == 'singleview':
        largest, about = export_singleview(network, path), _about_singleview(loaded.stage(state['step'] - 1).crop)
    elif task.kind == 'contournet':
        largest = export_contournet(network, path)
        about = _ABOUT_CONTOURNET
    elif task.kind == 'movingnet':
        largest = export_movingnet(network, path)
        about = _ABOUT_MOVINGNET
    else:
        largest = export_parallaxnet(network, path)
        about = {**_ABOUT_PARALLAXNET, 'input': {**_ABOUT_PARALLAXNET['input'], **loaded.input}}
    names = list(last)
    scores: dict[str, dict] = {'validation': {name: float(last[name]) for name in names[names.index(task.curves[0]) :]}}
    before = state.get('before') or loaded.after and _written(loaded.after)
    card = {
        'name': path.stem,
        'kind': task.kind,
        'version': ElementTree.parse(share_path('package.xml')).findtext('version'),
        'licence': 'Apache-2.0',
        **about,
        **({'data': loaded.data} if loaded.data else {}),
        'training': {
            **({'after': before} if before else {}),
            'recipe': _written(recipe),
            **changes,
            'steps': state['step'],
            'minutes': round(state['seconds'] / 60),
            'hardware': state.get('hardware', 'not recorded'),
            'parameters': sum(parameter.numel() for parameter in task.build().parameters()),
            'torch': state.get('torch', 'not recorded'),
        },
        'scores': scores,
    }
    write_card(path, card)
    if split is not None:
        flights = RenderedFlights.open(split)
        if task.kind == 'depthnet':
            scores['test'] = _scores_by_stage(loaded, folder, network, state['step'], flights)
        else:
            model = load_model(path)
            scores['test'] = {f'{side} x {side}': split_scores(model, flights, (side, side)) for side in _SPLIT_SIDES}
    if held_out is not None and task.kind == 'singleview':
        flights = RenderedFlights.open(held_out)
        card['deviation_scale'] = single_view_scale(load_single_view(path), flights)
        write_card(path, card)
        scores['held_out_spoilt'] = single_view_scores(load_single_view(path), flights)
    elif held_out is not None:
        flights = RenderedFlights.open(held_out)
        if task.kind == 'parallaxnet':
            card['deviation_scale'] = calibrated_scale(load_model(path), flights)
            write_card(path, card)
        model = load_model(path)
        scores['held_out'] = held_out_scores(model, flights)
        scores['held_out_spoilt'] = held_out_scores(model, flights, spoilt=True)
    if scored:
        scores.update(_scores(path, scored))
    return write_card(path, card), largest


def _written(recipe: str) -> dict:
    """Return what a recipe says of the training; of the data the card speaks elsewhere."""
    written = yaml.safe_load(recipe_path(recipe).read_text(encoding='utf-8'))
    return {key: value for key, value in written.items() if key != 'data'}


_SPLIT_SIDES = 64, 128
_ABOUT_PARALLAXNET: dict[str, Any] = {
    'input': {'width': 384, 'height': 288, 'multiple': 32},
    'parallax_range': [0.5, 160.0],
    'normalisation': 'RGB in 0..1',
    'weights': 'stored in 16 bits, computed with in 32',
}


_ABOUT_CONTOURNET = {
    'input': {'width': 384, 'height': 288, 'multiple': contournet.MULTIPLE},
    'normalisation': 'RGB in 0..1',
    'weights': 'stored in 16 bits, computed with in 32',
}


_ABOUT_MOVINGNET = {
    'input': {'width': 192, 'height': 144, 'multiple': movingnet.MULTIPLE},
    'normalisation': 'clues of core.moving, at half the size of depth',
    'weights': 'stored in 16 bits, computed with in 32',
}


def _about_singleview(size: tuple[int, int]) -> dict:
    width, height = size
    return {
        'input': {'width': width, 'height': height, 'multiple': singleview.MULTIPLE},
        'normalisation': 'RGB in 0..1',
        'weights': 'stored in 16 bits, computed with in 32',
    }


def _about_depthnet(size: tuple[int, int], rms_log: float) -> dict:
    width, height = size
    pixel_metres = width * CLASSIC.focal[0] * NOMINAL_DISPLACEMENT
    return {
        'input': {'width': width, 'height': height, 'multiple': depthnet.MULTIPLE},
        'parallax_range': [round(pixel_metres / depth, 2) for depth in (40, 1)],
        'nominal_displacement': NOMINAL_DISPLACEMENT,
        'relative_deviation': round(rms_log, 3),
        'normalisation': '(RGB in 0..1 - 0.5) / 0.2, stabilised source then reference',
        'weights': 'stored in 16 bits, computed with in 32',
    }


def _trained(task: Task[Network, Any], checkpoint: Path) -> tuple[Network, dict]:
    """Return the network of a checkpoint, and the checkpoint."""
    network = task.build()
    return network, restore(network, checkpoint)


def _earlier(task: Task, weights: Path) -> torch.nn.Module:
    network = task.build()
    take(network, weights)
    return network


def _scores_by_stage(recipe: Recipe, folder: Path, exported, steps: int, split: RenderedFlights) -> dict:
    """Score the end of each finished stage at its size, and the exported network at the size it ended at."""
    task, found = recipe.task, {}
    for number, stage in enumerate(recipe.stages, 1):
        checkpoint = folder / f'stage{number}.pt'
        if checkpoint.exists() and stage.until < steps:
            network, _ = _trained(task, checkpoint)
            found[f'stage {number}, {stage.crop[0]} x {stage.crop[1]}'] = task.validate(
                network.eval(), split, stage.crop
            )
    crop = recipe.stage(steps - 1).crop
    found[f'exported, {crop[0]} x {crop[1]}'] = task.validate(exported, split, crop)
    return found


def _scores(path: Path, scored: list[Path]) -> dict[str, dict[str, float]]:
    results = evaluate(load_sets(scored), (str(path),), ('pairs',), print)
    return {
        result.row.set: {name: round(result.row.as_dict()[name], 4) for name in ('mae_log', 'delta_125', 'delta_105')}
        for result in results
        if isinstance(result, Result)
    }


def write_card(onnx_path: Path, card: dict) -> Path:
    """Write the card beside the model, with the file's name and checksum filled in."""
    card = {**card, 'file': onnx_path.name, 'sha256': hashlib.sha256(onnx_path.read_bytes()).hexdigest()}
    path = onnx_path.with_suffix('.yaml')
    write_file(path, yaml.safe_dump(card, sort_keys=False, width=110))
    return path
