"""What hypotheses cost: the time of networks that differ from a recipe's in their number alone, with random weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.onnx_engine import OnnxEngine
from ros_depthnet.evaluation.turns import Contender, taken_in_turns
from ros_depthnet.learning.export import example_inputs, export_parallaxnet
from ros_depthnet.learning.networks.parallaxnet import ParallaxNet
from ros_depthnet.learning.parallax_task import ParallaxTask
from ros_depthnet.learning.recipe import Recipe, recipe_path

_SOURCES, _HEIGHT, _WIDTH = 2, 288, 384


@dataclass(frozen=True)
class HypothesesSpeed:
    """Median milliseconds of a call with so many hypotheses in the sweep, in float32, and over that of the fewest."""

    hypotheses: int
    ms: float
    times_fewest: float


def hypotheses_speed(
    name: str, counts: Sequence[int], threads: int, seconds: float, folder: Path, progress: Callable[[str], None]
) -> list[HypothesesSpeed]:
    """Time a recipe's network at 384 x 288 with two sources. folder: for ONNX files. Raises ModelError."""
    path = recipe_path(name)
    task = Recipe.load(path).task if path.is_file() else None
    if not isinstance(task, ParallaxTask):
        raise ModelError(f'{name} is no parallaxnet with a shipped recipe, so its hypotheses cannot be varied.')
    torch.manual_seed(0)
    inputs = {key: value.numpy() for key, value in example_inputs(1, _SOURCES, _HEIGHT, _WIDTH).items()}
    contenders, counts = [], sorted(set(counts))
    for count in counts:
        progress(f'exporting {count} hypotheses')
        file = folder / f'{count}.onnx'
        export_parallaxnet(ParallaxNet(replace(task.network, hypotheses=count)), file)
        engine = OnnxEngine(file, 'cpu', threads)
        contenders.append(Contender(f'{count} hypotheses', threads, partial(engine.run, inputs)))
    medians = [float(np.median(times)) for times in taken_in_turns(contenders, seconds, progress)]
    return [
        HypothesesSpeed(count, round(median, 2), round(median / medians[0], 3))
        for count, median in zip(counts, medians)
    ]
