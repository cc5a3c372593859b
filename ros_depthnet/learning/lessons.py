"""
What a taught parallaxnet's end goes on from, and what its teacher says then, worked out once.

`python -m ros_depthnet.learning.lessons OUT --data SET...` writes it for as many batches as the recipe asks for. Where
nothing but the last narrowing learns, all that comes before is the same at every step, and most of the work.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ros_depthnet.heap import keep_freed_memory
from ros_depthnet.learning.arrays import write_array
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.networks.parallaxnet import ParallaxNet
from ros_depthnet.learning.recipe import Recipe, recipe_path
from ros_depthnet.learning.taught_end_task import LAST, TaughtEndTask
from ros_depthnet.learning.weights import take


def write_lessons(
    folder: Path,
    recipe: Recipe,
    task: TaughtEndTask,
    network: ParallaxNet,
    sets: Sequence[RenderedFlights],
    progress=lambda text: None,
) -> None:
    """Write those that are not there yet, as many as the first stage of the recipe draws from; each has its seed."""
    flights = RenderedFlights(tuple(shard for each in sets for shard in each.shards))
    stage = replace(recipe.stages[0], flights=len(flights))
    for number in range(recipe.stages[0].flights):
        place = folder / f'{number:05d}'
        if (place / f'{LAST}.npy').exists():
            continue
        batch = task.of_whole.draw(flights, stage, np.random.default_rng([recipe.seed, number]))
        with torch.autocast('cpu', torch.bfloat16, enabled=recipe.bfloat16):
            lesson = task.lesson(network, batch)
        place.mkdir(parents=True, exist_ok=True)
        for name in sorted(lesson, key=lambda name: name == LAST):
            write_array(place / f'{name}.npy', lesson[name].numpy())
        progress(f'{number + 1} of {recipe.stages[0].flights} lessons')


def main() -> None:
    """Write the lessons of a recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('out', type=Path, help='the folder to write')
    parser.add_argument('--config', default='parallaxnet_fourth', help='recipe of lessons (parallaxnet_fourth)')
    parser.add_argument('--data', type=Path, nargs='+', required=True, help='sets of `depthnet render set`')
    parser.add_argument('--start-from', type=Path, required=True, help='weights that the training will begin with')
    arguments = parser.parse_args()
    recipe = Recipe.load(recipe_path(arguments.config))
    task = recipe.task
    if not isinstance(task, TaughtEndTask):
        parser.error(f'{arguments.config} takes no lessons.')
    network = task.build()
    keep_freed_memory()
    try:
        take(network, arguments.start_from)
        sets = [RenderedFlights.open(folder) for folder in arguments.data]
        write_lessons(arguments.out, recipe, task, network.eval(), sets, lambda text: print(text, flush=True))
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
