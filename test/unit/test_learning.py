"""Samples, the network's geometry, the loss, resumable training and export."""

import csv
import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

import line_task  # noqa: E402

from ros_depthnet.cli import main as cli  # noqa: E402
from ros_depthnet.learning import training  # noqa: E402
from ros_depthnet.learning.augment import AugmentOptions, sample  # noqa: E402
from ros_depthnet.learning.dataset import SHARD, RenderedFlights, render_shards  # noqa: E402
from ros_depthnet.learning.export import difference, example_inputs, export_parallaxnet, write_card  # noqa: E402
from ros_depthnet.learning.networks.parallaxnet import (  # noqa: E402
    Epipolar,
    ParallaxNet,
    ParallaxNetConfig,
    View,
    descriptors,
    matching_cost,
    to_q,
    to_rho,
)
from ros_depthnet.learning.parallax_task import ParallaxTask, loss_terms, stack  # noqa: E402
from ros_depthnet.learning.recipe import Recipe  # noqa: E402
from ros_depthnet.learning.run_export import Blend, export_run  # noqa: E402
from ros_depthnet.learning.still_box.sequences import SequenceOptions  # noqa: E402
from ros_depthnet.learning.still_box.textures import TextureAtlas  # noqa: E402
from ros_depthnet.learning.task import Stage  # noqa: E402
from ros_depthnet.learning.training import train  # noqa: E402
from ros_depthnet.learning.weights import halve  # noqa: E402
from ros_depthnet.whole_files import write_file  # noqa: E402

UNSPOILT = AugmentOptions(exposure=0, noise=0, blur=0, grey=0, stabilised=0, rotation_noise=0, direction_noise=0)
SMALL = ParallaxNetConfig(hypotheses=8, sweep_channels=8, deep_channels=8, fine_channels=(8, 8, 8))


@pytest.fixture(scope='module')
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp('flights')
    render_shards(
        folder,
        5,
        range(1),
        SequenceOptions(width=96, height=64, samples=1),
        TextureAtlas(procedural=8, photo_tiles=0),
    )
    return folder


@pytest.fixture(scope='module')
def flights(rendered):
    return RenderedFlights.open(rendered)


def test_shards_are_opened_whole_and_in_order(flights):
    assert len(flights) == SHARD
    assert flights[0].images.shape == (4, 64, 96, 3) and flights[0].images.dtype == np.uint8


def test_displacements_are_in_units_of_the_longest_which_comes_first(flights):
    for seed in range(5):
        drawn = sample(flights[seed], 3, (80, 48), np.random.default_rng(seed), UNSPOILT)
        norms = np.linalg.norm(drawn.displacements, axis=1)
        assert norms[0] == pytest.approx(1) and (np.diff(norms) <= 1e-6).all()


@pytest.mark.parametrize('seed', range(8))
def test_descriptors_agree_best_at_the_true_parallax(flights, seed):
    """Crop, flips, displacements, intrinsics and the sweep's geometry belong together."""
    drawn = sample(flights[seed + 8], 1, (80, 64), np.random.default_rng(seed), UNSPOILT)
    batch = stack([drawn])
    truth = batch['parallax'].clamp_max(60)
    epipolar = Epipolar(batch['displacements'], batch['intrinsics'], *batch['reference'].shape[-2:], 1)
    of_reference, of_source = (descriptors(image, 0.03) for image in (batch['reference'], batch['sources'][:, 0]))
    view = View.at(1, of_reference, of_source, batch['valid'], epipolar)
    cost = [matching_cost(view, (truth * factor)[:, None])[0] for factor in (0.5, 1.0, 2.0)]
    near = (truth > 0.7)[0]
    assert near.float().mean() > 0.1, 'this flight is all sky: choose another seed'
    half, exact, double = (float(c[0, 0][near].mean()) for c in cost)
    assert exact < half and exact < double


def test_epipolar_motion_is_the_derivative_of_the_projection():
    displacements, intrinsics = torch.tensor([[[0.3, -0.2, 0.9]]]), torch.tensor([[50.0, 55, 31.5, 23.5]])
    motion = Epipolar(displacements, intrinsics, 48, 64, 4).motion()[0, :2]
    t, (fx, fy, cx, cy) = displacements[0, 0].numpy(), intrinsics[0].numpy()
    u, v = np.meshgrid(np.arange(16) * 4 + 1.5, np.arange(12) * 4 + 1.5)
    rho = 0.01
    Z = fx / rho
    X, Y = (u - cx) / fx * Z + t[0], (v - cy) / fy * Z + t[1]
    moved = np.stack([X / (Z + t[2]) * fx + cx - u, Y / (Z + t[2]) * fy + cy - v])
    assert np.allclose(motion.numpy(), moved / rho, atol=2e-2)


def test_a_perfect_prediction_has_the_least_loss(flights):
    drawn = stack([sample(flights[0], 1, (96, 64), np.random.default_rng(0), UNSPOILT)])
    truth = drawn.pop('parallax').clamp(0.1, 100)
    network = ParallaxNet(SMALL).eval()
    with torch.no_grad():
        guess = network.predict(**drawn)
    hypotheses = network.sweep.q
    certain = (to_q(truth[:, None, 4::8, 4::8]) - hypotheses[:, None, None]).abs().neg() * 10
    perfect = dataclasses.replace(
        guess,
        stages=tuple(to_q(truth) for _ in guess.stages),
        log_parallax=truth.log(),
        log_shares=certain.log_softmax(1),
    )
    weights = (1.0, 1.0, 1.0, 1.0)
    best, guessed = (loss_terms(p, hypotheses, truth, weights) for p in (perfect, guess))
    assert all(best[name] < guessed[name] for name in guessed)
    assert best['stage3'] == 0


def test_parallax_and_what_the_network_counts_in_are_the_same_thing():
    rho = torch.tensor([0.0, 0.5, 4.0, 200.0])
    assert torch.allclose(to_rho(to_q(rho)), rho, atol=1e-4)


def test_an_uncertain_sweep_answers_with_the_median_of_its_hypotheses():
    sweep = ParallaxNet(SMALL).sweep
    shares = torch.zeros(1, 8, 1, 2)
    shares[0, :, 0, 0] = torch.tensor([0.4, 0, 0, 0, 0.3, 0.3, 0, 0])
    shares[0, 6, 0, 1] = 1
    of_two_modes, certain = sweep.median(shares)[0, 0, 0] / sweep.q[1]
    assert 3.5 < of_two_modes < 4.5
    assert certain == pytest.approx(6, abs=1e-3)


def test_the_median_of_many_small_shares_is_exact_in_16_bit_training_too():
    sweep = ParallaxNet(ParallaxNetConfig()).sweep
    shares = torch.rand(1, 48, 6, 8).softmax(1)
    exact = sweep.median(shares)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(sweep.median(shares), exact)


def test_flights_in_which_nothing_moves_enough_are_refused(flights):
    task = ParallaxTask(SMALL, median_parallax=(1e6, 2e6))
    with pytest.raises(ValueError, match='median parallax'):
        task.draw(flights, Stage(1, (64, 32), 16, 1), np.random.default_rng(0))


@pytest.mark.parametrize(
    'stage, problem',
    [({'sets': (0, 1)}, 'wants 2 training sets, not 1'), ({'flights': 65}, '65 flights .* has 64')],
)
def test_sets_that_a_recipe_lacks_are_a_sentence(flights, tmp_path, stage, problem):
    recipe = Recipe((Stage(1, (64, 32), **{'flights': 16, **stage}),), ParallaxTask(SMALL))
    with pytest.raises(ValueError, match=problem):
        train(recipe, [flights], flights, tmp_path)


def test_training_that_was_stopped_ends_like_training_through(flights, tmp_path):
    stages = Stage(2, (64, 32), 16, 2), Stage(4, (64, 64), 96, 2, sets=(0, 0), decay=2)
    recipe = Recipe(stages, ParallaxTask(SMALL, median_parallax=(0.1, 100.0)), warmup=2)
    options = {'sets': [flights], 'validation': flights, 'loaders': 0, 'save_every': 1}
    through = train(recipe, folder=tmp_path / 'through', **options)
    train(recipe, folder=tmp_path / 'stopped', stop_after=0, **options)
    train(recipe, folder=tmp_path / 'stopped', stop_after=0, **options)
    resumed = train(recipe, folder=tmp_path / 'stopped', **options)
    for a, b in zip(through.state_dict().values(), resumed.state_dict().values()):
        assert torch.equal(a, b)
    results = yaml.safe_load((tmp_path / 'stopped' / 'results.yaml').read_text())
    last = (tmp_path / 'stopped' / 'curve.csv').read_text().splitlines()[-1].split(',')
    assert results['step'] == results['recipe_steps'] == int(last[0]) == 4
    assert results['seed'] == 0 and results['torch'] == torch.__version__ and 'mae_log' in results
    assert (tmp_path / 'stopped' / 'curve.png').stat().st_size > 5000


def test_the_rate_falls_by_steps_or_by_time_whichever_is_further_on():
    recipe = Recipe((Stage(600, (64, 32), 16, 2, decay=400),), ParallaxTask(SMALL), learning_rate=1.0, warmup=1)
    assert recipe.rate(100) == recipe.rate(100, spent=1 / 3) == 1
    assert recipe.rate(100, spent=2 / 3) == recipe.rate(400, spent=1 / 3) == recipe.rate(400) == 0.5
    assert recipe.rate(100, spent=1) == recipe.rate(100, spent=1.1) == 0


def test_a_run_of_limited_time_ends_with_a_small_rate_and_does_not_go_on(flights, tmp_path, monkeypatch):
    seconds = itertools.count()
    monkeypatch.setattr(training, 'time', SimpleNamespace(monotonic=lambda: float(next(seconds))))
    recipe = Recipe((Stage(100, (64, 32), 16, 2, decay=66),), ParallaxTask(SMALL, median_parallax=(0.1, 100.0)),
                    warmup=1)  # fmt: skip
    options = {'sets': [flights], 'validation': flights, 'folder': tmp_path, 'loaders': 0, 'limit': 6}
    train(recipe, stop_after=1, **options)
    stopped = torch.load(tmp_path / 'last.pt', weights_only=True)
    assert stopped['step'] == 2 and stopped['optimiser']['param_groups'][0]['lr'] == recipe.learning_rate
    for _ in range(2):
        train(recipe, **options)
        ended = torch.load(tmp_path / 'last.pt', weights_only=True)
        assert ended['step'] == ended['seconds'] == 6
        assert ended['optimiser']['param_groups'][0]['lr'] == pytest.approx(recipe.learning_rate / 4, rel=0.02)


def test_a_run_can_begin_with_the_weights_of_another(flights, tmp_path):
    stage = Stage(1, (64, 32), 16, 2)
    task = ParallaxTask(SMALL, median_parallax=(0.1, 100.0))
    options = {'sets': [flights], 'validation': flights, 'loaders': 0}
    first = train(Recipe((stage,), task), folder=tmp_path / 'first', **options)
    more = {'start_from': tmp_path / 'first' / 'last.pt', **options}
    still = Recipe((stage,), task, learning_rate=0.0)
    taken = dict(train(still, folder=tmp_path / 'more', **more).named_parameters())
    for name, weight in first.named_parameters():
        assert torch.equal(weight, taken[name])
    follower = Recipe((stage,), task, after='parallaxnet', name='wide')
    with pytest.raises(ValueError, match='wide goes on from parallaxnet'):
        train(follower, folder=tmp_path / 'alone', **options)
    larger = Recipe((stage,), ParallaxTask(dataclasses.replace(SMALL, fine_channels=(12, 12, 12))))
    with pytest.raises(ValueError, match='no checkpoint of the network'):
        train(larger, folder=tmp_path / 'larger', **more)
    whole = more['start_from'].read_bytes()
    for rest in (whole[: len(whole) // 2], b'', b'weights'):
        more['start_from'].write_bytes(rest)
        with pytest.raises(ValueError, match='damaged'):
            train(still, folder=tmp_path / 'cut', **more)


def test_what_is_compared_at_every_stride_learns(flights):
    torch.manual_seed(0)
    network = ParallaxNet(dataclasses.replace(SMALL, learned_groups=2))
    batch = stack([sample(flights[3], 2, (96, 64), np.random.default_rng(0), UNSPOILT)])
    sum(ParallaxTask(network.config).loss_terms(network, batch).values()).backward()
    for stride in (8, 4, 2):
        assert getattr(network.learned, f'out{stride}').weight.grad.abs().sum() > 0


@pytest.mark.parametrize('learned_groups', [0, 2])
def test_onnx_computes_what_torch_does_at_any_batch_sources_and_size(tmp_path, learned_groups):
    torch.manual_seed(3)
    network = ParallaxNet(dataclasses.replace(SMALL, learned_groups=learned_groups))
    path = tmp_path / 'small.onnx'
    assert export_parallaxnet(network, path) < 1e-3
    assert difference(network, path, example_inputs(3, 4, 64, 160)) < 1e-3


def test_halved_weights_take_half_the_room_and_change_the_answer_by_a_thousandth(tmp_path):
    torch.manual_seed(4)
    network = ParallaxNet(SMALL).eval()
    halved = halve(network)
    export_parallaxnet(network, tmp_path / 'full.onnx')
    assert export_parallaxnet(halved, tmp_path / 'halved.onnx') < 1e-4
    full, half = (tmp_path / name for name in ('full.onnx', 'halved.onnx'))
    weights = sum(parameter.numel() for parameter in halved.parameters())
    assert half.stat().st_size < full.stat().st_size - 1.5 * weights
    assert difference(network, half, example_inputs(1, 2, 64, 96)) < 0.01


def test_a_trained_network_is_exported_calibrated_and_scored_on_held_out_flights(rendered, tmp_path):
    recipe, trained, model = tmp_path / 'recipe.yaml', tmp_path / 'run', tmp_path / 'tiny.onnx'
    stage = {'until': 1, 'crop': [64, 32], 'flights': 16, 'batch': 1}
    recipe.write_text(
        yaml.safe_dump(
            {
                'stages': [stage],
                'network': dataclasses.asdict(SMALL),
                'median_parallax': [0.1, 100.0],
                'input': {'width': 96, 'height': 64},
                'data': 'a shard',
            }
        )
    )
    sets = ['--data', str(rendered), '--validation', str(rendered)]
    cli.main(['train', '--config', str(recipe), *sets, '--out', str(trained), '--loaders', '0'])
    options = ['--config', str(recipe), '--run', str(trained), '--held-out', str(rendered)]
    cli.main(['export', *options, '--out', str(model)])
    card = yaml.safe_load(model.with_suffix('.yaml').read_text())
    assert card['training']['steps'] == 1 and card['deviation_scale'] > 0
    assert card['training']['torch'] == str(torch.__version__)
    assert card['input'] == {'width': 96, 'height': 64, 'multiple': 32}
    assert card['data'] == 'a shard' and 'data' not in card['training']['recipe']
    assert card['scores']['held_out_spoilt']['within'] == pytest.approx(0.68, abs=0.15)
    assert card['scores']['held_out']['mean_l1'] > 0
    assert cli.main(['export', *options, '--out', str(recipe.with_suffix('.onnx'))]) == 1


@pytest.mark.parametrize(
    'recipe, learned, checked',
    [
        ('parallaxnet', 'rendered flights', 'rendered flights'),
        ('parallaxnet_fourth', 'lessons', 'rendered flights'),
        ('movingnet', 'clues', 'clues'),
    ],
)
def test_a_recipe_opens_what_its_task_takes(recipe, learned, checked, rendered, tmp_path, capsys):
    there = {'rendered flights': rendered, 'lessons': tmp_path / 'lessons', 'clues': tmp_path / 'clues'}
    for name in ('lessons/0/full.npy', 'clues/0.moving.npy'):
        write_file(tmp_path / name, '')

    def said(data, validation):
        folders = ['--data', str(data), '--validation', str(validation), '--out', str(tmp_path / 'out')]
        assert cli.main(['train', '--config', recipe, *folders]) == 1
        return capsys.readouterr().err

    nowhere = tmp_path / 'nowhere'
    assert f'No {learned} in {nowhere}' in said(nowhere, there[checked])
    assert f'No {checked} in {nowhere}' in said(there[learned], nowhere)


@pytest.mark.parametrize(
    'wrong',
    [
        lambda: Blend(Path('last.pt'), 1.5),
        lambda: SequenceOptions(forward=7),
        lambda: Stage(1, (64, 32), 16, sets=1),
        lambda: Stage(1, (64, 32), 16, sets=()),
    ],
)
def test_shares_and_sets_that_cannot_be_are_refused_with_a_sentence(wrong):
    with pytest.raises(ValueError, match=r'(from 0 to 1|list of sets).*\.$'):
        wrong()


def test_an_exported_blend_is_as_much_the_earlier_run_as_its_share_says(flights, tmp_path):
    recipe, stage = tmp_path / 'recipe.yaml', {'until': 1, 'crop': [64, 32], 'flights': 16, 'batch': 1}
    task = {'network': dataclasses.asdict(SMALL), 'median_parallax': [0.1, 100.0]}
    recipe.write_text(yaml.safe_dump({'stages': [stage], **task}))
    train(Recipe.load(recipe), [flights], flights, tmp_path / 'run', loaders=0)
    torch.manual_seed(7)
    earlier = ParallaxNet(dataclasses.replace(SMALL, contrast_floor=0.1)).eval()
    for parameter in earlier.parameters():  # the exporter stores equal ones once; trained ones differ
        parameter.data += 0.01 * torch.randn_like(parameter)
    torch.save({'network': earlier.state_dict()}, tmp_path / 'earlier.pt')
    model = tmp_path / 'tiny.onnx'
    blend = Blend(tmp_path / 'earlier.pt', share=0.0)
    card, _ = export_run(tmp_path / 'run', str(recipe), model, [], blend=blend, contrast_floor=0.1)
    assert difference(halve(earlier), model, example_inputs(1, 2, 64, 96)) < 1e-3
    again = tmp_path / 'again.onnx'
    export_run(tmp_path / 'run', str(recipe), again, [], blend=Blend(model, 0.0), contrast_floor=0.1)
    assert difference(halve(earlier), again, example_inputs(1, 2, 64, 96)) < 1e-2
    told = yaml.safe_load(card.read_text())['training']
    assert told['share_of_the_last_run'] == 0 and told['contrast_floor'] == 0.1
    export_run(tmp_path / 'run', str(recipe), model, [], blend=Blend(tmp_path / 'earlier.pt', 0.5))
    assert difference(halve(earlier), model, example_inputs(1, 2, 64, 96)) > 1e-2


def test_frozen_norms_teach_the_network_as_it_is_used(flights, tmp_path):
    stage = Stage(2, (64, 32), 16, 2, frozen_norms=True)
    recipe = Recipe((stage,), ParallaxTask(SMALL, median_parallax=(0.1, 100.0)), warmup=1)
    network = train(recipe, [flights], flights, tmp_path, loaders=0)
    for name, buffer in network.named_buffers():
        assert 'running' not in name or torch.equal(buffer, torch.full_like(buffer, float('var' in name)))
    assert (network.sweep.enter[0][1].weight != 1).any()


def test_training_in_16_bits_sees_nearly_the_same_loss(flights, tmp_path):
    task = ParallaxTask(SMALL, median_parallax=(0.1, 100.0))
    losses = []
    for bfloat16 in (False, True):
        recipe = Recipe((Stage(1, (64, 32), 16, 4),), task, bfloat16=bfloat16)
        folder, computed = tmp_path / str(bfloat16), set()
        hook = torch.nn.modules.module.register_module_forward_hook(
            lambda module, inputs, output, computed=computed: (
                computed.add(output.dtype) if isinstance(module, torch.nn.Conv2d) else None
            )
        )
        try:
            network = train(recipe, [flights], flights, folder, loaders=0)
        finally:
            hook.remove()
        assert (torch.bfloat16 in computed) == bfloat16
        assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
        row = next(csv.DictReader((folder / 'curve.csv').open()))
        losses.append([float(row[name]) for name in ('sweep', 'stage0', 'stage3', 'likelihood')])
    exact, rounded = np.array(losses)
    np.testing.assert_allclose(rounded, exact, rtol=0.02)


def test_training_goes_on_from_an_exported_model(flights, tmp_path):
    torch.manual_seed(5)
    exported = ParallaxNet(SMALL)
    for parameter in exported.parameters():  # the exporter stores equal ones once; trained ones differ
        parameter.data += 0.01 * torch.randn_like(parameter)
    exported.train()(*example_inputs(2, 1, 64, 96).values())
    model = tmp_path / 'mine.onnx'
    export_parallaxnet(halve(exported), model)
    size = {'width': 96, 'height': 64}
    write_card(model, {'name': 'mine', 'kind': 'parallaxnet', 'input': size, 'training': {'steps': 7}})
    stage = Stage(1, (64, 32), 16, 2, frozen_norms=True)
    task = ParallaxTask(SMALL, median_parallax=(0.1, 100.0))
    options = {'sets': [flights], 'validation': flights, 'loaders': 0, 'start_from': model}
    network = train(Recipe((stage,), task, learning_rate=0.0), folder=tmp_path / 'run', **options)
    assert difference(network.eval(), model, example_inputs(1, 2, 64, 96)) < 1e-3
    assert torch.load(tmp_path / 'run' / 'last.pt', weights_only=True)['before'] == {'steps': 7}
    thawed = Recipe((dataclasses.replace(stage, frozen_norms=False),), task)
    with pytest.raises(ValueError, match='frozen_norms'):
        train(thawed, folder=tmp_path / 'thawed', **options)
    larger = Recipe((stage,), ParallaxTask(dataclasses.replace(SMALL, fine_channels=(12, 12, 12))))
    with pytest.raises(ValueError, match='not the network of this recipe'):
        train(larger, folder=tmp_path / 'larger', **options)
    model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(ValueError, match='damaged'):
        train(Recipe((stage,), task), folder=tmp_path / 'cut', **options)


def test_a_recipe_with_an_unknown_key_is_refused(tmp_path):
    path = tmp_path / 'recipe.yaml'
    path.write_text('stages: [{until: 1, crop: [64, 48], flights: 2}]\nlearning_rat: 0.1\n')
    with pytest.raises(ValueError, match='recipe.yaml is no recipe: .*learning_rat'):
        Recipe.load(path)


def test_two_processes_learn_what_one_does(tmp_path):
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2']
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path), 'OMP_NUM_THREADS': '1'}
    command += [line_task.__file__, str(tmp_path / 'two')]
    subprocess.run(command, env=environment, check=True, timeout=300)
    together = torch.load(tmp_path / 'two' / 'last.pt', weights_only=True)['network']
    alone = line_task.learn_the_line(tmp_path / 'one')
    assert all(torch.allclose(together[name], alone[name], atol=1e-4) for name in alone)
    assert abs(float(alone['weight']) - 3) < 2
