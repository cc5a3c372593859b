"""`depthnet train`: run a recipe on rendered flights, from its last checkpoint if there is one."""

from __future__ import annotations

import argparse
from pathlib import Path

from ros_depthnet.cli.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what a training run takes."""
    parser.add_argument(
        '--config', default='parallaxnet', help='name of a shipped recipe, or a YAML file (parallaxnet)'
    )
    parser.add_argument('--data', type=Path, nargs='+', default=[], help='training sets, from `depthnet render set`')
    parser.add_argument(
        '--flights',
        type=Path,
        nargs='+',
        default=[],
        metavar='FLIGHT',
        help='posed sequences or rosbag2s, together one more set, for recipes that need no depth',
    )
    parser.add_argument('--validation', type=Path, required=True, help='another set, of another seed')
    parser.add_argument('--out', type=Path, required=True, help='folder of checkpoint, results and curves')
    parser.add_argument(
        '--start-from',
        type=Path,
        metavar='WEIGHTS',
        help='begin with the weights of another run, as runs/parallaxnet/last.pt, or, with frozen norms, of '
        'a model, as models/parallaxnet.onnx; not if --out is resumed',
    )
    parser.add_argument('--device', default='cpu', help='cpu or cuda (cpu)')
    parser.add_argument('--threads', type=int, default=0, help='threads of the CPU; 0: all (0)')
    parser.add_argument('--loaders', type=int, default=1, help='processes that prepare batches; 0: none apart (1)')
    parser.add_argument(
        '--save-every', type=int, default=250, metavar='STEPS', help='validate, and write a checkpoint (250)'
    )
    parser.add_argument('--minutes', type=float, default=float('inf'), help='stop, resumable, after so long')


def run(arguments: argparse.Namespace) -> None:
    """Train and show progress."""
    import torch

    from ros_depthnet.flight.recorded import recorded_frames
    from ros_depthnet.learning.recipe import Recipe, recipe_path
    from ros_depthnet.learning.recorded import RecordedFlights
    from ros_depthnet.learning.training import Flights, train

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    recipe = Recipe.load(recipe_path(arguments.config))
    if not arguments.data and not arguments.flights:
        raise ValueError('There is nothing to learn from: name rendered sets (--data) or flights (--flights).')
    task = recipe.task
    sets: list[Flights] = [task.learns_from.open(folder) for folder in arguments.data]
    if arguments.flights:
        flights = (recorded_frames(path, lambda refusal: None) for path in arguments.flights)
        sets.append(RecordedFlights.of((each.frame for each in frames) for frames in flights))
    with Progress() as show:
        train(
            recipe,
            sets,
            task.checked_on.open(arguments.validation),
            arguments.out,
            arguments.device,
            arguments.loaders,
            arguments.save_every,
            stop_after=60 * arguments.minutes,
            start_from=arguments.start_from,
            progress=show,
        )
    print(f'{arguments.out / "results.yaml"}, {arguments.out / "curve.png"}')
