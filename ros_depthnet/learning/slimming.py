"""
A smaller parallaxnet that begins with what a larger one knows: `python -m ros_depthnet.learning.slimming --help`.

Layers of the same shape are taken as they are. Where the last narrowing has fewer channels it keeps those that what
follows makes most of; comparisons of descriptors that are no longer learned fall away.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ros_depthnet.learning.networks.parallaxnet import ParallaxNet
from ros_depthnet.learning.recipe import Recipe, recipe_path
from ros_depthnet.learning.taught_parallax_task import TaughtParallaxTask
from ros_depthnet.learning.weights import write_checkpoint


@torch.no_grad()
def slim(network: ParallaxNet, larger: ParallaxNet) -> None:
    """Give a network what it has room for of a larger one; what is of another shape otherwise stays as it is."""
    state, given = network.state_dict(), larger.state_dict()
    pieces = {name: value for name, value in given.items() if name in state} | _last_narrowing(network, larger)
    network.load_state_dict(state | {name: value for name, value in pieces.items() if value.shape == state[name].shape})


def _last_narrowing(network: ParallaxNet, larger: ParallaxNet) -> dict[str, torch.Tensor]:
    """Return what the channels that count most, and the costs that are still there, leave of the larger weights."""
    given, last = larger.state_dict(), f'narrowings.{len(larger.narrowings) - 1}'
    channels, (stride, number, _) = network.config.fine_channels[-1], larger.config.narrowings[-1]
    groups = len(network.config.group_sizes(stride))
    readers = [f'{last}.logits.weight', f'{last}.leap.weight', 'log_scale.weight', 'mixing.0.0.weight']
    before = larger.config.fine_channels[-1]
    read = sum(given[name][:, :before].square().sum((0, 2, 3)) for name in readers)
    kept = read.argsort(descending=True)[:channels].sort().values
    of_costs = len(larger.config.group_sizes(stride)) * (number + 2)
    inputs = given[f'{last}.enter.0.weight'].shape[1]
    costs = torch.cat([torch.arange(groups * (number + 2)), torch.arange(of_costs, inputs)])
    after = torch.cat([kept, torch.arange(before, given['mixing.0.0.weight'].shape[1])])
    pieces = {
        name: value[kept]
        for name, value in given.items()
        if name.startswith((f'{last}.enter', f'{last}.body')) and value.dim()
    }
    pieces[f'{last}.enter.0.weight'] = pieces[f'{last}.enter.0.weight'][:, costs]
    for layer in ('first.0', 'second.0'):
        pieces[f'{last}.body.{layer}.weight'] = pieces[f'{last}.body.{layer}.weight'][:, kept]
    pieces |= {name: given[name][:, kept] for name in readers[:-1]} | {readers[-1]: given[readers[-1]][:, after]}
    return pieces | {f'{last}.vote.{name}': given[f'{last}.vote.{name}'][:groups] for name in ('apart', 'around')}


def main() -> None:
    """Write the checkpoint that a recipe with a teacher begins with."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('out', type=Path, help='checkpoint to write, for `depthnet train --start-from`')
    parser.add_argument('--config', default='parallaxnet_third', help='recipe with a teacher (parallaxnet_third)')
    arguments = parser.parse_args()
    task = Recipe.load(recipe_path(arguments.config)).task
    if not isinstance(task, TaughtParallaxTask):
        parser.error(f'{arguments.config} names no teacher.')
    network = task.build()
    try:
        slim(network, task.teacher)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(arguments.out, {'network': network.state_dict()})
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
