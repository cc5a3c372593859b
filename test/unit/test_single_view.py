"""What one image tells: losses against slow, obvious versions; the network; its task."""

import math

import numpy as np
import pytest
from tiny_models import blue_is_log_depth

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.engines.single_view import load_single_view  # noqa: E402
from ros_depthnet.learning.export import export_singleview  # noqa: E402
from ros_depthnet.learning.held_out import single_view_scale, single_view_scores  # noqa: E402
from ros_depthnet.learning.losses.log_depth import gradients, scale_invariant, shifted_likelihood  # noqa: E402
from ros_depthnet.learning.networks.singleview import SingleView, SingleViewConfig  # noqa: E402
from ros_depthnet.learning.recipe import Recipe, recipe_path  # noqa: E402
from ros_depthnet.learning.single_view_task import FARTHEST, SingleViewTask, scores  # noqa: E402
from ros_depthnet.learning.still_box.sequences import Sequence  # noqa: E402
from ros_depthnet.learning.task import Stage  # noqa: E402
from ros_depthnet.learning.weights import halve  # noqa: E402

RNG = np.random.default_rng(0)
SMALL = SingleViewConfig(channels=(4, 6, 8, 8, 8), blocks=(1, 1, 1, 1))


def maps(*values):
    return [torch.from_numpy(np.asarray(value)).float() for value in values]


# Losses.


@pytest.mark.parametrize('invariance', [0, 0.5, 1])
def test_the_scale_invariant_error_is_that_of_all_pairs_of_pixels(invariance):
    """Eigen 2014, equations 2 to 4: with all of the invariance it is half the mean square over all pairs."""
    found, truth = RNG.normal(size=(2, 4, 5)), RNG.normal(size=(2, 4, 5))
    known = RNG.random((2, 4, 5)) < 0.7
    expected = []
    for image in range(2):
        d = (found - truth)[image][known[image]]
        pairs = np.mean([[(a - b) ** 2 / 2 for a in d] for b in d])
        expected.append(invariance * pairs + (1 - invariance) * np.mean(d**2))
    result = scale_invariant(*maps(found, np.where(known, truth, 1e3), known), invariance)
    assert result.item() == pytest.approx(np.mean(expected), rel=1e-4)


def test_a_factor_costs_nothing_where_scale_does_not_count():
    truth, everywhere = RNG.normal(size=(1, 8, 8)), np.ones((1, 8, 8))
    scaled = maps(truth + math.log(3), truth, everywhere)
    assert scale_invariant(*scaled, 1.0).item() == pytest.approx(0, abs=1e-5)
    assert scale_invariant(*scaled, 0.0).item() == pytest.approx(math.log(3) ** 2, rel=1e-5)
    assert gradients(*scaled).item() == pytest.approx(0, abs=1e-5)


def test_slopes_are_compared_where_both_pixels_are_known():
    found, truth = RNG.normal(size=(2, 5, 6)), RNG.normal(size=(2, 5, 6))
    known = RNG.random((2, 5, 6)) < 0.7
    error, sums = np.where(known, found - truth, np.nan), []
    for axis in (1, 2):
        sums.append(np.nanmean(np.abs(np.diff(error, axis=axis))))
    result = gradients(*maps(found, np.where(known, truth, 1e3), known), scales=1)
    assert result.item() == pytest.approx(sum(sums), rel=1e-4)


def test_the_likeliest_deviation_is_what_depth_errs_by_once_its_scale_is_right():
    truth = RNG.normal(size=(1, 40, 50))
    found = truth + 2 + RNG.laplace(scale=0.3 / math.sqrt(2), size=truth.shape)
    tried = np.linspace(0.1, 0.6, 51)
    losses = [
        shifted_likelihood(*maps(found, np.full_like(truth, np.log(d)), truth, np.ones_like(truth))) for d in tried
    ]
    assert tried[int(np.argmin(losses))] == pytest.approx(0.3, abs=0.02)


# Network and task.


@pytest.mark.parametrize('size', [(96, 128), (144, 192), (80, 112)])
def test_the_network_answers_at_the_size_of_the_image(size):
    with torch.no_grad():
        log_depth, log_deviation = SingleView(SMALL).eval()(torch.rand(2, 3, *size))
    assert log_depth.shape == log_deviation.shape == (2, *size)


def flight(depth):
    height, width = depth.shape
    images = RNG.integers(256, size=(2, height, width, 3), dtype=np.uint8)
    return Sequence(images, np.stack([depth, depth]).astype(np.float16), np.array([50.0, 50, 32, 24]), np.zeros((2, 3)))


def test_samples_show_a_part_of_an_image_with_its_depth_and_sky_counts_little():
    depth = np.full((48, 64), 4.0)
    depth[:24] = np.inf
    drawn = SingleViewTask().draw([flight(depth)], Stage(1, (32, 16), 1, batch=5), np.random.default_rng(1))
    assert drawn['image'].shape == (5, 3, 16, 32) and 0 <= drawn['image'].min() <= drawn['image'].max() <= 1
    near = drawn['weight'] == 1
    assert near.any() and not near.all()
    assert drawn['log_depth'][near].unique().exp().item() == pytest.approx(4, rel=1e-3)
    assert drawn['log_depth'][~near].unique().exp().item() == pytest.approx(FARTHEST)
    assert drawn['weight'][~near].unique().item() == pytest.approx(0.2)


class Columns(torch.nn.Module):
    """Answers with a depth of one on the left half and two on the right, a tenth of deviation."""

    def __init__(self):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image):
        depth = torch.ones_like(image[:, 0])
        depth[..., image.shape[-1] // 2 :] = 2
        return depth.log() + self.nothing, torch.full_like(depth, math.log(0.1))


def test_scores_leave_the_scale_out():
    depth = np.full((48, 64), 6.0)
    depth[:, 32:] = 12
    assert scores(Columns(), [flight(depth)], (64, 48)) == {
        'mae_log': 0.0, 'delta_125': 1.0, 'scale_invariant': 0.0, 'within_one_deviation': 1.0,
    }  # fmt: skip
    depth[:, 48:] = 24
    found = scores(Columns(), [flight(depth)], (64, 48))
    assert found['delta_125'] == 0.75 and found['mae_log'] == pytest.approx(math.log(2) / 4, abs=1e-4)


def test_a_few_steps_learn_that_the_left_is_nearer():
    depth = np.full((48, 64), 2.0)
    depth[:, 32:] = 8
    task, rng = SingleViewTask(network=SMALL), np.random.default_rng(0)
    torch.manual_seed(0)
    network = task.build()
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    sample = flight(depth)
    sample.images[..., 32:, :] //= 2  # the far half is darker
    losses = []
    for _ in range(30):
        loss = sum(task.loss_terms(network, task.draw([sample], Stage(1, (64, 48), 1, batch=4), rng)).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_shipped_recipe_is_one_of_this_task():
    assert isinstance(Recipe.load(recipe_path('singleview')).task, SingleViewTask)


def test_onnx_computes_what_torch_does_at_any_batch_and_size(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / 'network.onnx'
    assert export_singleview(halve(SingleView(SMALL)), path) < 1e-4


def test_the_deviation_is_scaled_to_what_two_thirds_of_the_errors_are_within(tmp_path):
    depth = np.full((48, 64), math.exp(0.5))
    depth[:, 38:] = math.exp(0.8)  # two fifths of the pixels are .3 off, if the guess is the same everywhere
    images = np.full((2, 48, 64, 3), 128, np.uint8)
    flights = [Sequence(images, np.stack([depth, depth]).astype(np.float16), np.full(4, 50.0), np.zeros((2, 3)))]
    model = load_single_view(blue_is_log_depth(tmp_path))  # which says .3
    assert single_view_scale(model, flights) == pytest.approx(1, abs=0.2)
    found = single_view_scores(model, flights)
    assert found['delta_125'] == pytest.approx(0.6, abs=0.05)
    assert found['mae_log'] == pytest.approx(0.4 * 0.3, abs=0.05)
