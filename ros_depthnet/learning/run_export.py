"""A training run becomes a model: its network as ONNX, and a card that says what it is and how well it does."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
import yaml

from ros_depthnet.engines.model import load_model
from ros_depthnet.engines.single_view import load_single_view
from ros_depthnet.evaluation.evaluate import Result, evaluate, load_sets
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.depth_task import NOMINAL_DISPLACEMENT
from ros_depthnet.learning.export import (
    export_contournet,
    export_depthnet,
    export_movingnet,
    export_parallaxnet,
    export_singleview,
    write_card,
)
from ros_depthnet.learning.held_out import (
    calibrated_scale,
    held_out_scores,
    single_view_scale,
    single_view_scores,
)
from ros_depthnet.learning.networks import contournet, depthnet, movingnet, singleview
from ros_depthnet.learning.parallax_task import ParallaxTask
from ros_depthnet.learning.recipe import Recipe, recipe_path
from ros_depthnet.learning.split import split_scores
from ros_depthnet.learning.still_box.sequences import CLASSIC
from ros_depthnet.learning.task import Task
from ros_depthnet.learning.weights import Network, average, halve, restore, take
from ros_depthnet.resources import share_path

_SPLIT_SIDES = 64, 128
_HALF = 'stored in 16 bits, computed with in 32'


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


@dataclass(frozen=True, eq=False)
class Run:
    """
    A training run that has come to an end.

    network: as it is written, its weights rounded to 16 bits. steps: of training. last: the last row of its curve.
    """

    folder: Path
    recipe: Recipe
    network: torch.nn.Module
    steps: int
    last: Mapping[str, str]

    @property
    def crop(self) -> tuple[int, int]:
        """Width and height of what its last stage looked at, pixels."""
        return self.recipe.stage(self.steps - 1).crop


Scores = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Kind:
    """
    How a kind of network becomes a model.

    write: its graph, to a path; returns the largest difference between torch and ONNX Runtime. about: what the card
    says of its input and output. on_split: its scores by stage or size of image. deviation_scale: what its deviation
    has to be multiplied by, found on a rendered set. on_held_out: scores there of the model as it is used. None where
    there is no such thing.
    """

    write: Callable[[Any, Path], float]
    about: Callable[[Run], dict[str, Any]]
    on_split: Callable[[Run, Path, RenderedFlights], dict] | None = None
    deviation_scale: Callable[[Path, RenderedFlights], float] | None = None
    on_held_out: Callable[[Path, RenderedFlights], Scores] | None = None


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

    The card's scores are those of the last validation; with `split` and `held_out`, rendered sets, what its `Kind`
    has for them; and those of `evaluate` on the posed sequences in `scored`. Raises ValueError.
    """
    loaded = Recipe.load(recipe_path(recipe))
    if path.with_suffix('.yaml').absolute() == recipe_path(recipe).absolute():
        raise ValueError(f'The card would overwrite the recipe {recipe}: call the model otherwise.')
    kind = _KINDS[loaded.task.kind]
    if split and not kind.on_split:
        raise ValueError(f'{loaded.task.kind} has no scores by stage: leave --split out.')
    if held_out and not kind.on_held_out:
        raise ValueError(f'{loaded.task.kind} is not scored on rendered sets: leave --held-out out.')
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
    with (folder / 'curve.csv').open(newline='') as file:
        last = list(csv.DictReader(file))[-1]
    run = Run(folder, loaded, halve(trained), state['step'], last)
    largest = kind.write(run.network, path)
    names = list(last)
    scores: Scores = {'validation': {name: float(last[name]) for name in names[names.index(task.curves[0]) :]}}
    before = state.get('before') or loaded.after and _written(loaded.after)
    card = {
        'name': path.stem,
        'kind': task.kind,
        'version': ElementTree.parse(share_path('package.xml')).findtext('version'),
        'licence': 'Apache-2.0',
        **kind.about(run),
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
    if split and kind.on_split:
        scores['test'] = kind.on_split(run, path, RenderedFlights.open(split))
    if held_out and kind.on_held_out:
        flights = RenderedFlights.open(held_out)
        if kind.deviation_scale:
            card['deviation_scale'] = kind.deviation_scale(path, flights)
            write_card(path, card)
        scores |= kind.on_held_out(path, flights)
    if scored:
        scores |= _scores(path, scored)
    return write_card(path, card), largest


def _written(recipe: str) -> dict:
    """Return what a recipe says of the training; of the data the card speaks elsewhere."""
    written = yaml.safe_load(recipe_path(recipe).read_text(encoding='utf-8'))
    return {key: value for key, value in written.items() if key != 'data'}


def _trained(task: Task[Network, Any], checkpoint: Path) -> tuple[Network, dict]:
    """Return the network of a checkpoint, and the checkpoint."""
    network = task.build()
    return network, restore(network, checkpoint)


def _earlier(task: Task, weights: Path) -> torch.nn.Module:
    network = task.build()
    take(network, weights)
    return network


def _about_parallaxnet(run: Run) -> dict[str, Any]:
    return {
        'input': {'width': 384, 'height': 288, 'multiple': 32, **run.recipe.input},
        'parallax_range': [0.5, 160.0],
        'normalisation': 'RGB in 0..1',
        'weights': _HALF,
    }


def _about_contournet(run: Run) -> dict[str, Any]:
    return {
        'input': {'width': 384, 'height': 288, 'multiple': contournet.MULTIPLE},
        'normalisation': 'RGB in 0..1',
        'weights': _HALF,
    }


def _about_movingnet(run: Run) -> dict[str, Any]:
    return {
        'input': {'width': 192, 'height': 144, 'multiple': movingnet.MULTIPLE},
        'normalisation': 'clues of core.moving, at half the size of depth',
        'weights': _HALF,
    }


def _about_singleview(run: Run) -> dict[str, Any]:
    width, height = run.crop
    return {
        'input': {'width': width, 'height': height, 'multiple': singleview.MULTIPLE},
        'normalisation': 'RGB in 0..1',
        'weights': _HALF,
    }


def _about_depthnet(run: Run) -> dict[str, Any]:
    width, height = run.crop
    pixel_metres = width * CLASSIC.focal[0] * NOMINAL_DISPLACEMENT
    return {
        'input': {'width': width, 'height': height, 'multiple': depthnet.MULTIPLE},
        'parallax_range': [round(pixel_metres / depth, 2) for depth in (40, 1)],
        'nominal_displacement': NOMINAL_DISPLACEMENT,
        'relative_deviation': round(float(run.last['rms_log']), 3),
        'normalisation': '(RGB in 0..1 - 0.5) / 0.2, stabilised source then reference',
        'weights': _HALF,
    }


def _scores_by_stage(run: Run, path: Path, split: RenderedFlights) -> Scores:
    """Score the end of each finished stage at its size, and the exported network at the size it ended at."""
    task, found = run.recipe.task, {}
    for number, stage in enumerate(run.recipe.stages, 1):
        checkpoint = run.folder / f'stage{number}.pt'
        if checkpoint.exists() and stage.until < run.steps:
            network, _ = _trained(task, checkpoint)
            found[f'stage {number}, {stage.crop[0]} x {stage.crop[1]}'] = task.validate(
                network.eval(), split, stage.crop
            )
    found[f'exported, {run.crop[0]} x {run.crop[1]}'] = task.validate(run.network, split, run.crop)
    return found


def _scores_by_size(run: Run, path: Path, split: RenderedFlights) -> Scores:
    model = load_model(path)
    return {f'{side} x {side}': split_scores(model, split, (side, side)) for side in _SPLIT_SIDES}


def _clean_and_spoilt(path: Path, flights: RenderedFlights) -> Scores:
    model = load_model(path)
    return {
        'held_out': held_out_scores(model, flights),
        'held_out_spoilt': held_out_scores(model, flights, spoilt=True),
    }


def _scores(path: Path, scored: list[Path]) -> Scores:
    results = evaluate(load_sets(scored), (str(path),), ('pairs',), print)
    return {
        result.row.set: {name: round(result.row.as_dict()[name], 4) for name in ('mae_log', 'delta_125', 'delta_105')}
        for result in results
        if isinstance(result, Result)
    }


_KINDS = {
    'parallaxnet': Kind(
        export_parallaxnet,
        _about_parallaxnet,
        _scores_by_size,
        lambda path, flights: calibrated_scale(load_model(path), flights),
        _clean_and_spoilt,
    ),
    'depthnet': Kind(export_depthnet, _about_depthnet, _scores_by_stage, on_held_out=_clean_and_spoilt),
    'singleview': Kind(
        export_singleview,
        _about_singleview,
        deviation_scale=lambda path, flights: single_view_scale(load_single_view(path), flights),
        on_held_out=lambda path, flights: {'held_out_spoilt': single_view_scores(load_single_view(path), flights)},
    ),
    'contournet': Kind(export_contournet, _about_contournet),
    'movingnet': Kind(export_movingnet, _about_movingnet),
}
