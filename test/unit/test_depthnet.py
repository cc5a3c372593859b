"""DepthNet: its shape, its data and loss by the paper, its scores, its export."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.learning.depth_task import (  # noqa: E402
    DepthTask,
    scale_errors,
    scaled_depth,
    scores,
)
from ros_depthnet.learning.export import difference, export_depthnet  # noqa: E402
from ros_depthnet.learning.networks.depthnet import DepthNet, DepthNetConfig  # noqa: E402
from ros_depthnet.learning.recipe import Recipe, recipe_path  # noqa: E402
from ros_depthnet.learning.still_box.sequences import CLASSIC, Sequence, random_sequence  # noqa: E402
from ros_depthnet.learning.still_box.textures import TextureAtlas  # noqa: E402
from ros_depthnet.learning.task import Stage  # noqa: E402
from ros_depthnet.learning.weights import halve, take_exported  # noqa: E402

SMALL = DepthNetConfig(width=0.125)


@pytest.fixture(scope='module')
def atlas():
    return TextureAtlas(procedural=8, photo_tiles=0)


def flight(depth, step=(0.1, 0, 0), size=64, frames=7):
    """Return a flight of noise whose depth is the same everywhere."""
    rng = np.random.default_rng(0)
    return Sequence(
        rng.integers(256, size=(frames, size, size, 3), dtype=np.uint8),
        np.full((frames, size, size), depth, np.float16),
        np.array([size / 2, size / 2, (size - 1) / 2, (size - 1) / 2]),
        np.arange(frames)[:, None] * np.array(step),
    )


def test_five_scales_from_a_quarter_of_the_size_and_positive():
    pair = torch.randn(2, 6, 128, 192)
    with torch.no_grad():
        scales = DepthNet(SMALL).scales(pair)
    assert [tuple(s.shape) for s in scales] == [(2, 128 // n, 192 // n) for n in (4, 8, 16, 32, 64)]
    assert all((s >= 0).all() for s in scales)


def test_full_width_has_the_published_layers():
    """Weights of 3 x 3 convolutions and 4 x 4 deconvolutions, and two numbers a channel for batch norm."""
    down = [6, 32, 64, 128, 128, 256, 256, 256, 256, 512, 512]
    up = [(512, 256), (513, 128), (385, 64), (193, 32)]
    answers = [512, 513, 385, 193, 97]
    expected = (
        sum(9 * a * b for a, b in zip(down, down[1:]))
        + sum(16 * a * b for a, b in up)
        + 2 * (sum(down[1:]) + sum(b for _, b in up))
        + sum(9 * a for a in answers)
        + 16 * 4
        + 5
    )
    assert sum(p.numel() for p in DepthNet().parameters()) == expected


def test_the_classic_set_moves_a_decimetre_a_frame_with_90_degrees_of_view(atlas):
    directions = []
    for number in range(4):
        drawn = random_sequence((3, number), atlas, CLASSIC)
        steps = np.diff(drawn.positions, axis=0)
        assert np.allclose(np.linalg.norm(steps, axis=1), 0.1) and np.allclose(steps, steps[0])
        assert drawn.intrinsics[0] == pytest.approx(drawn.images.shape[2] / 2)
        directions.append(steps[0])
    assert np.linalg.matrix_rank(directions) == 3


@pytest.mark.parametrize(
    ('frames', 'depth', 'expected'),
    [
        ((0, 3), 5, 5),
        ((6, 3), 5, 5),
        ((2, 3), 5, 15),
        ((0, 6), 5, 2.5),
        ((0, 3), np.inf, 100),
        ((1, 2), 60, 100),
    ],
)
def test_the_answer_wanted_is_scaled_to_the_nominal_displacement(frames, depth, expected):
    assert scaled_depth(flight(depth), *frames) == pytest.approx(expected, rel=1e-5)


def test_what_has_not_moved_is_as_far_as_can_be():
    assert (scaled_depth(flight(2), 3, 3) == 100).all()


def test_mirrored_and_transposed_pairs_keep_their_depth():
    """Depth written into the red, green and blue of the images must be found at the same place."""
    marked = flight(1)
    depth = np.random.default_rng(1).integers(1, 30, (64, 64))
    marked.depth[:] = depth
    marked.images[:] = depth[None, ..., None]
    flights = type('Flights', (), {'__getitem__': lambda self, number: marked})()
    task = DepthTask(shift_shares=(0, 0, 0, 1))
    batch = task.draw(flights, Stage(1, (64, 64), 1, 16), np.random.default_rng(2))
    pair = (batch['pair'] * 0.2 + 0.5) * 255
    assert torch.allclose(pair, batch['depth'][:, None].expand_as(pair), atol=1e-3)
    assert len({tuple(d.flatten()[:8].tolist()) for d in batch['depth']}) > 4


def test_flights_of_any_size_meet_in_one_batch_at_the_size_of_the_stage():
    pair_of_flights = flight(3), flight(5, size=128)
    flights = type('Flights', (), {'__getitem__': lambda self, number: pair_of_flights[number]})()
    task = DepthTask(shift_shares=(0, 0, 0, 1))
    batch = task.draw(flights, Stage(1, (32, 32), 2, 16), np.random.default_rng(0))
    assert batch['pair'].shape == (16, 6, 32, 32)
    assert set(batch['depth'].flatten().tolist()) == {3.0, 5.0}


def test_the_reference_is_the_later_half_of_the_pair_and_the_pair_may_run_backwards():
    numbered = flight(1)
    numbered.images[:] = 10 * np.arange(7)[:, None, None, None]
    numbered.depth[:] = 1 + np.arange(7)[:, None, None]
    flights = type('Flights', (), {'__getitem__': lambda self, number: numbered})()
    task = DepthTask(shift_shares=(0, 0, 0, 1))
    batch = task.draw(flights, Stage(1, (64, 64), 1, 32), np.random.default_rng(0))
    frames = ((batch['pair'][..., 0, 0] * 0.2 + 0.5) * 25.5).round()
    assert torch.equal(frames[:, 3] + 1, batch['depth'][:, 0, 0])
    assert set((frames[:, 3] - frames[:, 0]).tolist()) == {3.0, -3.0}


def test_errors_are_mean_absolute_against_the_mean_of_each_block():
    rng = np.random.default_rng(4)
    truth = rng.uniform(0, 100, (2, 16, 16)).astype(np.float32)
    guesses = [rng.uniform(0, 100, (2, n, n)).astype(np.float32) for n in (4, 2)]
    expected = []
    for guess in guesses:
        n = guess.shape[1]
        block = 16 // n
        total = 0.0
        for b, i, j in np.ndindex(2, n, n):
            area = truth[b, i * block : (i + 1) * block, j * block : (j + 1) * block]
            total += abs(guess[b, i, j] - area.mean())
        expected.append(total / guess.size)
    found = scale_errors([torch.from_numpy(g) for g in guesses], torch.from_numpy(truth))
    assert [float(f) for f in found] == pytest.approx(expected, rel=1e-5)


class Always(torch.nn.Module):
    """Answer with one depth."""

    def __init__(self, depth):
        super().__init__()
        self.depth = torch.nn.Parameter(torch.tensor(float(depth)))

    def forward(self, pair):
        return self.depth.expand(len(pair), pair.shape[2] // 4, pair.shape[3] // 4)


def test_scores_of_a_known_answer_on_a_known_world():
    """Half of the flights at 4 m, half without end: the constant 5 m is 1 and 95 m off."""
    found = scores(Always(5), [flight(4), flight(np.inf)] * 3, (64, 64))
    assert found['mean_l1'] == pytest.approx(48) and found['full_mean_l1'] == pytest.approx(48)
    assert found['constant_mean_l1'] == pytest.approx(48)
    assert found['abs_rel'] == pytest.approx(0.25)
    assert found['rms_log'] == pytest.approx(np.log(1.25), abs=1e-4)


def test_every_stage_of_the_recipe_warms_up_and_ends_slowly():
    recipe = Recipe.load(recipe_path('depthnet'))
    first = recipe.stages[0].until
    assert recipe.rate(0) < recipe.rate(recipe.warmup) == recipe.learning_rate
    assert recipe.rate(first - 1) == pytest.approx(recipe.learning_rate / recipe.stages[0].decay)
    assert recipe.rate(first) == recipe.learning_rate / recipe.warmup


@pytest.fixture(scope='module')
def seasoned():
    """Return a network whose batch norm has seen something."""
    torch.manual_seed(1)
    network = DepthNet(SMALL)
    for _ in range(5):
        network.scales(torch.randn(4, 6, 64, 64) * 2 + 0.5)
    return network.eval()


def test_onnx_computes_what_torch_does_at_any_batch_and_size(seasoned, tmp_path):
    path = tmp_path / 'small.onnx'
    network = halve(seasoned)
    assert export_depthnet(network, path) < 1e-3
    assert difference(network, path, {'pair': torch.randn(5, 6, 80, 176)}) < 1e-3
    assert path.stat().st_size < 2.5 * sum(p.numel() for p in network.parameters()) + 50_000
    taken = DepthNet(SMALL).eval()
    take_exported(taken, path)
    assert difference(taken, path, {'pair': torch.randn(5, 6, 80, 176)}) < 1e-3


def test_halving_the_weights_moves_the_answer_by_less_than_a_hundredth(seasoned):
    pair = torch.randn(2, 6, 64, 128)
    with torch.no_grad():
        assert torch.allclose(halve(seasoned)(pair), seasoned(pair), rtol=0.01)
