"""`depthnet adapt`: teach a model one's own flights, without labels, and keep it if it is better there."""

from __future__ import annotations

import argparse
import math

from ros_depthnet.cli import label
from ros_depthnet.cli.progress import Progress

_SCORES = {
    'held_out': 'mean |d ln(depth)| on what was held out',
    'photometric': 'photometric error there',
    'rendered': 'mean |d ln(depth)| on rendered scenes',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flights, model and how long to learn."""
    label.add_arguments(parser)
    parser.add_argument('--model', default='default', help='the model to begin with (default: the best shipped)')
    parser.add_argument('--name', default='adapted', help='of the model that is written (adapted)')
    parser.add_argument('--steps', type=int, default=600, help='of the optimiser (600)')
    parser.add_argument('--seed', type=int, default=0, help='of what is drawn (0)')
    parser.add_argument('--minutes', type=float, default=math.inf, help='learn no longer (no limit)')


def run(arguments: argparse.Namespace) -> int:
    """Label, learn, check; exit status 1 if the model that was there is better."""
    from ros_depthnet.learning.adapt import AdaptOptions, adapt

    options = AdaptOptions(arguments.held_out, arguments.steps, seed=arguments.seed, minutes=arguments.minutes)
    folders = label.label(arguments, arguments.out / 'labels')
    path = arguments.out / f'{arguments.name}.onnx'
    with Progress() as progress:
        done = adapt(folders, arguments.model, path, arguments.out, options, progress)
    before, after = done.before.scores, done.after.scores
    numbers = ', '.join(
        f'{what} {before[name]:.4f} before and {after[name]:.4f} after' for name, what in _SCORES.items()
    )
    print(f'Look at {done.picture}.')
    if done.path is None:
        print(f'Nothing was written, as the model is no better by it: {numbers}.')
        return 1
    print(f'{done.path}, with {done.share:.0%} of what was learned: {numbers}.')
    print(f'Use it as --model {done.path}, or as the parameter model of depth_node.')
    return 0
