"""A smaller parallaxnet made of a larger one, and taught by it."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.learning.dataset import RenderedFlights, render_shards  # noqa: E402
from ros_depthnet.learning.export import example_inputs, export_parallaxnet  # noqa: E402
from ros_depthnet.learning.networks.parallaxnet import ParallaxNet, ParallaxNetConfig  # noqa: E402
from ros_depthnet.learning.recipe import Recipe  # noqa: E402
from ros_depthnet.learning.slimming import slim  # noqa: E402
from ros_depthnet.learning.still_box.sequences import SequenceOptions  # noqa: E402
from ros_depthnet.learning.still_box.textures import TextureAtlas  # noqa: E402
from ros_depthnet.learning.task import Stage  # noqa: E402
from ros_depthnet.learning.taught_parallax_task import TaughtParallaxTask  # noqa: E402
from ros_depthnet.learning.training import train  # noqa: E402
from ros_depthnet.learning.weights import halve  # noqa: E402

LARGE = ParallaxNetConfig(
    hypotheses=8, sweep_channels=8, deep_channels=8, fine_channels=(8, 8, 8), context_channels=(4, 8, 8)
)
UNREAD = [1, 6]


@torch.no_grad()
def drawn(config):
    """Return a network with weights of no meaning, no two layers' the same."""
    torch.manual_seed(1)
    network = ParallaxNet(config)
    for parameter in network.parameters():
        parameter.normal_(0, 0.2)
    return network.eval()


@torch.no_grad()
def test_channels_that_nothing_reads_are_those_left_out():
    large = drawn(LARGE)
    last = large.narrowings[-1]
    readers = (last.body.first[0], last.body.second[0], last.logits, last.leap, large.log_scale, large.mixing[0][0])
    for reader in readers:
        reader.weight[:, UNREAD] = 0
    small = ParallaxNet(dataclasses.replace(LARGE, fine_channels=(8, 8, 6))).eval()
    slim(small, large)
    inputs = example_inputs(1, 2, 64, 96).values()
    for one, other in zip(small(*inputs), large(*inputs), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_what_is_new_learns_and_the_rest_stays_the_teachers(tmp_path):
    large = dataclasses.replace(LARGE, learned_groups=2)
    small = dataclasses.replace(large, fine_channels=(8, 8, 6), learned_strides=(8, 4))
    weights = tmp_path / 'teacher.onnx'
    export_parallaxnet(halve(drawn(large)), weights)
    task = TaughtParallaxTask(small, median_parallax=(0.1, 100.0), teacher_weights=weights, teacher_network=large)
    begun = task.build()
    slim(begun, task.teacher)
    start = tmp_path / 'start.pt'
    torch.save({'network': begun.state_dict()}, start)
    folder, options = tmp_path / 'set', SequenceOptions(width=64, height=64, samples=1)
    render_shards(folder, 5, range(1), options, TextureAtlas(procedural=8, photo_tiles=0))
    flights = RenderedFlights.open(folder)
    recipe = Recipe((Stage(60, (64, 64), 16, 2, frozen_norms=True),), task, learning_rate=0.002, warmup=1)
    learned = train(recipe, [flights], flights, tmp_path / 'run', loaders=0, start_from=start)
    assert all(torch.equal(a, b) for a, b in zip(begun.sweep.parameters(), learned.sweep.parameters(), strict=True))
    batch = task.draw(flights, recipe.stages[0], np.random.default_rng(3))
    before, after = (task.loss_terms(network.eval(), batch) for network in (begun, learned))
    assert after['described'] < 0.9 * before['described']
    assert sum(after.values()) < sum(before.values())


def test_a_teacher_knows_its_own_descriptors(tmp_path):
    weights = tmp_path / 'teacher.onnx'
    network = halve(drawn(dataclasses.replace(LARGE, learned_groups=2)))
    export_parallaxnet(network, weights)
    task = TaughtParallaxTask(network.config, teacher_weights=weights, teacher_network=network.config)
    batch = {**example_inputs(1, 2, 64, 96), 'parallax': torch.full((1, 64, 96), 9.0)}
    assert task.loss_terms(network, batch)['described'] < 1e-4
