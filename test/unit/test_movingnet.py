"""movingnet: its clues from a rendered flight, training, export, and what runs it."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from tiny_models import red_is_parallax  # noqa: E402

from ros_depthnet.core.moving import CLUES  # noqa: E402
from ros_depthnet.engines.card import ModelError  # noqa: E402
from ros_depthnet.engines.model import load_model  # noqa: E402
from ros_depthnet.engines.moving_model import load_moving_model  # noqa: E402
from ros_depthnet.flight.posed_sequence import PosedSequence, SequenceError  # noqa: E402
from ros_depthnet.learning.export import export_movingnet, write_card  # noqa: E402
from ros_depthnet.learning.moving_clues import CluedFlights, write_clues  # noqa: E402
from ros_depthnet.learning.moving_task import MovingTask  # noqa: E402
from ros_depthnet.learning.networks.movingnet import MovingNet, MovingNetConfig  # noqa: E402
from ros_depthnet.learning.recipe import Recipe, recipe_path  # noqa: E402
from ros_depthnet.learning.task import Stage  # noqa: E402
from ros_depthnet.learning.weights import halve  # noqa: E402
from ros_depthnet.resources import share_path  # noqa: E402

SMALL = MovingNetConfig((4, 6, 8, 8))


@pytest.fixture
def clued(tmp_path):
    """Return two flights in which what moves is where the surprise is, one of them mirrored."""
    rng = np.random.default_rng(0)
    for name in ('one', 'two'):
        clues = rng.normal(0, 0.3, (4, CLUES, 40, 48)).astype(np.float16)
        moving = np.zeros((4, 40, 48), np.uint8)
        for frame in range(4):
            top, left = rng.integers(0, 24, 2)
            moving[frame, top : top + 16, left : left + 16] = 255
        clues[:, 0] += 3 * (moving > 0)
        np.save(tmp_path / f'{name}.clues.npy', clues)
        np.save(tmp_path / f'{name}.moving.npy', moving)
    return CluedFlights.open(tmp_path)


def test_training_finds_what_moves(clued):
    torch.manual_seed(0)
    task, stage = MovingTask(SMALL), Stage(60, (32, 32), flights=2, batch=4)
    network = task.build()
    untaught = task.validate(network, clued, stage.crop)
    optimiser, rng = torch.optim.Adam(network.parameters(), 0.01), np.random.default_rng(0)
    network.train()
    for _ in range(stage.until):
        loss = sum(task.loss_terms(network, task.draw(clued, stage, rng)).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    taught = task.validate(network, clued, stage.crop)
    assert taught['f1'] > 0.9 > 0.5 > untaught['f1']


def test_a_mirrored_sample_has_its_signs_turned(clued):
    task, stage = MovingTask(SMALL), Stage(1, (48, 40), flights=2, batch=1)
    flight = np.array(clued[0].clues, np.float32), np.array(clued[1].clues, np.float32)
    whole = np.concatenate(flight)
    turned = 0
    for seed in range(8):
        clues = task.draw(clued, stage, np.random.default_rng(seed))['clues'][0].numpy()
        plain = [np.array_equal(clues[8], each[8]) for each in whole]
        mirrored = [
            np.array_equal(clues[8], -each[8, :, ::-1]) and np.array_equal(clues[9], each[9, :, ::-1]) for each in whole
        ]
        assert sum(plain) + sum(mirrored) == 1
        turned += sum(mirrored)
    assert 0 < turned < 8


def test_exported_it_says_the_same_of_clues_of_any_size(tmp_path):
    torch.manual_seed(0)
    network = halve(MovingNet(SMALL))
    path = tmp_path / 'mine.onnx'
    assert export_movingnet(network, path) < 1e-4
    write_card(path, {'name': 'mine', 'kind': 'movingnet', 'input': {'width': 192, 'height': 144, 'multiple': 8}})
    clues = np.random.default_rng(0).normal(size=(CLUES, 44, 50)).astype(np.float32)
    found = load_moving_model(path).log_odds(clues)
    padded = torch.from_numpy(np.pad(clues, [(0, 0), (0, 4), (0, 6)], 'edge')[None])
    with torch.no_grad():
        np.testing.assert_allclose(found, network(padded)[0, :44, :50].numpy(), atol=1e-4)


def test_another_model_is_refused():
    with pytest.raises(ModelError, match='parallaxnet is a parallaxnet, and a movingnet is wanted'):
        load_moving_model('parallaxnet')


def test_a_file_that_is_cut_in_half_is_refused_with_a_sentence(tmp_path):
    for name in ('movingnet.yaml', 'movingnet.onnx'):
        content = share_path('models', name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2] if name.endswith('onnx') else content)
    with pytest.raises(ModelError, match='movingnet.onnx'):
        load_moving_model(tmp_path / 'movingnet.onnx')


def test_the_shipped_one_is_what_its_recipe_makes():
    recipe = Recipe.load(recipe_path('movingnet'))
    card = load_moving_model().card
    assert card.training['parameters'] == sum(each.numel() for each in recipe.task.build().parameters())
    assert card.scores['validation']['f1'] > 0.75


def test_a_flight_that_does_not_tell_what_moves_teaches_nothing(tmp_path):
    flight = PosedSequence.load('flights/park')
    with pytest.raises(SequenceError, match='does not tell what moves: render it with --movers'):
        write_clues(flight, load_model(red_is_parallax(tmp_path)), tmp_path / 'out')
    with pytest.raises(FileNotFoundError, match='No clues in'):
        CluedFlights.open(tmp_path / 'out')
