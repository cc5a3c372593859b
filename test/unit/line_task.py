"""The smallest task there is; as a script it learns under torchrun, into the folder given."""

import sys
from pathlib import Path

import torch

from ros_depthnet.learning.recipe import Recipe
from ros_depthnet.learning.task import Stage
from ros_depthnet.learning.training import train


class LineTask:
    """Learn y = a x + b from numbers: no batch norm, so that sharing a batch changes nothing but rounding."""

    kind = 'line'
    curves = ('error',)

    def build(self):
        return torch.nn.Linear(1, 1)

    def draw(self, flights, stage, rng):
        x = torch.from_numpy(rng.normal(size=(stage.batch, 1))).float()
        return {'x': x, 'y': 3 * x - 1}

    def loss_terms(self, network, batch):
        return {'square': (network(batch['x']) - batch['y']).square().mean()}

    def validate(self, network, flights, crop):
        return {'error': float((network.weight - 3).abs())}


def learn_the_line(folder):
    recipe = Recipe((Stage(40, (1, 1), 0, 8),), LineTask(), learning_rate=0.1, warmup=1)
    train(recipe, [range(100)], [], folder, loaders=0)
    return torch.load(folder / 'last.pt', weights_only=True)['network']


if __name__ == '__main__':
    learn_the_line(Path(sys.argv[1]))
