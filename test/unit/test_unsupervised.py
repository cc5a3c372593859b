"""Depth and motion from images alone: windows of flights, normalised motion, pose network, the tasks that learn."""

import math

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.cli import main as cli  # noqa: E402
from ros_depthnet.core import motion  # noqa: E402
from ros_depthnet.core.camera import Camera  # noqa: E402
from ros_depthnet.core.frames import Frame  # noqa: E402
from ros_depthnet.flight.posed_sequence import NewFrame, write_posed_sequence  # noqa: E402
from ros_depthnet.learning.contour_task import ContourTask  # noqa: E402
from ros_depthnet.learning.dataset import SHARD, RenderedFlights  # noqa: E402
from ros_depthnet.learning.depth_task import DepthTask  # noqa: E402
from ros_depthnet.learning.found_motion import with_found_motion  # noqa: E402
from ros_depthnet.learning.losses.reconstruction import Photometric, Views, unlike  # noqa: E402
from ros_depthnet.learning.moving_task import MovingTask  # noqa: E402
from ros_depthnet.learning.networks.depthnet import DepthNetConfig  # noqa: E402
from ros_depthnet.learning.networks.posenet import PoseNet, PoseNetConfig, moved  # noqa: E402
from ros_depthnet.learning.networks.singleview import SingleViewConfig  # noqa: E402
from ros_depthnet.learning.parallax_task import ParallaxTask  # noqa: E402
from ros_depthnet.learning.recipe import Recipe, recipe_path  # noqa: E402
from ros_depthnet.learning.recorded import APART, WINDOW, RecordedFlights  # noqa: E402
from ros_depthnet.learning.self_supervised_parallax_task import SelfSupervisedParallaxTask  # noqa: E402
from ros_depthnet.learning.sfm_learner_task import SfmLearnerTask  # noqa: E402
from ros_depthnet.learning.single_view_task import SingleViewTask  # noqa: E402
from ros_depthnet.learning.still_box.sequences import Sequence  # noqa: E402
from ros_depthnet.learning.task import Stage  # noqa: E402
from ros_depthnet.learning.training import train  # noqa: E402
from ros_depthnet.learning.unsupervised_depth_task import (  # noqa: E402
    UnsupervisedDepthTask,
    normalised,
    stabilised_pair,
)
from ros_depthnet.learning.windows import draw_window  # noqa: E402

RNG = np.random.default_rng(0)
SIZE, FOCAL, DEPTH, STEP = 64, 32.0, 3.0, 0.1
SMALL = DepthNetConfig(width=0.125, mean_depth=6.0)
INTRINSICS = np.array([FOCAL, FOCAL, (SIZE - 1) / 2, (SIZE - 1) / 2])


def wall(step=(STEP, 0.0, 0.0), frames=WINDOW, seed=0, blur=1.5):
    """Return a flight past a textured wall DEPTH metres away, each image a homography of the texture."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.uniform(size=(4 * SIZE, 4 * SIZE, 3)), (0, 0), blur)
    texture = (texture - texture.min()) / (texture.max() - texture.min())
    positions = np.arange(frames)[:, None] * np.array(step)
    images = []
    for x, y, z in positions:
        scale = DEPTH / (DEPTH - z)
        centre = INTRINSICS[2] - scale * (2 * SIZE + FOCAL * np.array([x, y]) / DEPTH)
        shift = np.array([[scale, 0, centre[0]], [0, scale, centre[1]]])
        images.append((255 * cv2.warpAffine(texture, shift, (SIZE, SIZE))).astype(np.uint8))
    return Sequence(np.stack(images), np.full((frames, SIZE, SIZE), DEPTH, np.float16), INTRINSICS, positions)


def drawn(flight, sources=2, turned=0.0, seed=0):
    """Return a batch of one window as views, metres."""
    window = draw_window(flight, sources, (SIZE, SIZE), turned, np.random.default_rng(seed))
    return Views(**{name: torch.from_numpy(np.ascontiguousarray(value[None])) for name, value in window.items()})


# What is seen together.


@pytest.mark.parametrize('step', [(STEP, 0, 0), (0.02, -0.07, 0), (0, 0, 0.2)])
@pytest.mark.parametrize('turned', [0.0, 4.0])
def test_a_window_fits_its_own_poses_however_it_is_turned_and_mirrored(step, turned):
    """At the true depth its sources look like the reference; at half or twice that, much less."""
    for seed in range(4):
        views = drawn(wall(step), turned=turned, seed=seed)
        z = DEPTH - step[2] * _reference(seed)
        found = [unlike(views, torch.full((1, SIZE, SIZE), factor * z), Photometric()) for factor in (0.5, 1, 2)]
        assert found[1] < 0.5 * min(found[0], found[2])


def _reference(seed):
    """Return which frame `draw_window` takes first."""
    return np.random.default_rng(seed).permutation(WINDOW)[0]


def hops(*ways):
    """Return frames whose images are their numbers, these ways apart along x, metres."""
    camera = Camera(SIZE, SIZE, *INTRINSICS)
    return [
        Frame(number, np.full((SIZE, SIZE, 3), number, np.uint8), camera, motion.pose(np.eye(3), (x, 0, 0)))
        for number, x in enumerate(np.cumsum([0.0, *ways]))
    ]


def test_of_a_recording_frames_too_close_to_each_other_are_left_out():
    walk = hops(*[0.4 * APART, 0.61 * APART] * WINDOW)
    flights = RecordedFlights.of([walk, walk[:-2]])
    assert len(flights) == 2 + 1
    assert flights[1].images[:, 0, 0, 0].tolist() == [2 * number for number in range(1, 1 + WINDOW)]
    np.testing.assert_allclose(np.diff(flights[1].T_world_cam[:, 0, 3]), 1.01 * APART)
    with pytest.raises(ValueError, match='has 3 frames 0.05 m apart, and 7 are needed'):
        RecordedFlights.of([walk[:5]])


@pytest.mark.parametrize('task', [ParallaxTask(), DepthTask(), SingleViewTask(), ContourTask(), MovingTask()])
def test_a_recipe_that_needs_depth_refuses_recordings(task, tmp_path):
    flights = RecordedFlights.of([hops(*[1.1 * APART] * WINDOW)])
    with pytest.raises(ValueError, match='learns from depth, which recorded flights lack'):
        train(Recipe((Stage(1, (64, 64), 1),), task, name='any'), [flights], None, tmp_path)


def test_a_recorded_flight_teaches_by_the_command_line(flights, tmp_path):
    bird = wall()
    camera = Camera(SIZE, SIZE, *INTRINSICS)
    frames = [
        NewFrame(Frame(10**8 * number, image, camera, T))
        for number, (image, T) in enumerate(zip(bird.images, bird.T_world_cam))
    ]
    write_posed_sequence(tmp_path / 'bird', frames, [], name='bird', source='', licence='', kind='', max_depth=9)
    for name, values in flights.shards[0].items():
        (tmp_path / 'validation').mkdir(exist_ok=True)
        np.save(tmp_path / 'validation' / f'00000.{name}.npy', values)
    recipe = tmp_path / 'short.yaml'
    recipe.write_text(
        'kind: depthnet\nsupervision: images\nnetwork: {width: 0.125}\n'
        'stages: [{until: 2, crop: [64, 64], flights: 64, batch: 2}]\n'
    )
    arguments = ['train', '--config', str(recipe), '--validation', str(tmp_path / 'validation'), '--loaders', '0']
    cli.main([*arguments, '--flights', str(tmp_path / 'bird'), '--out', str(tmp_path / 'run')])
    assert 'mae_log' in (tmp_path / 'run' / 'results.yaml').read_text()


# Motion.


def test_motion_is_scaled_so_that_depthnets_source_is_the_nominal_displacement_away():
    views = drawn(wall((0.03, 0.04, 0)), sources=3, turned=3.0)
    ways, scaled = (each.T_srcs_ref[0, :, :3, 3] for each in (views, normalised(views)))
    assert scaled[0].norm().item() == pytest.approx(0.3, rel=1e-3)
    torch.testing.assert_close(scaled, ways * 0.3 / ways[0].norm(), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(normalised(views).T_srcs_ref[..., :3, :3], views.T_srcs_ref[..., :3, :3])


def test_depthnets_source_is_turned_back_before_it_sees_it():
    """Frames in one place, turned differently, look the same then, but for the borders."""
    still = wall((0, 0, 0))
    source, reference = (stabilised_pair(drawn(still, turned=5.0, seed=3))[0] * 0.2 + 0.5).unflatten(0, (2, 3))
    inside = np.s_[:, 12:-12, 12:-12]
    assert (source - reference)[inside].abs().mean() < 0.01
    unturned = drawn(still, turned=5.0, seed=3).sources[0, 0]
    assert (unturned - reference)[inside].abs().mean() > 0.05


def test_baselines_grow_where_depth_is_large_and_shrink_where_it_is_small():
    """A network that knows the wall's depth asks for the baseline that puts its answer at the target."""

    class Knowing(torch.nn.Module):
        def forward(self, pair):
            return torch.full((len(pair), 16, 16), DEPTH * 0.3 / self.way)

    network = Knowing()
    for target in (1.6, 3.0, 8.0):
        task, views = UnsupervisedDepthTask(target_depth=target), drawn(wall(), sources=WINDOW - 1, seed=1)
        ways = views.T_srcs_ref[0, :, :3, 3].norm(dim=-1)
        network.way = ways.sort().values[len(ways) // 2]
        chosen = ways[task.chosen(network, views)[0]]
        answers = DEPTH * 0.3 / ways
        assert DEPTH * 0.3 / chosen == answers[(answers / target).log().abs().argmin()]


def test_what_is_turned_far_is_not_depthnets_source():
    views = drawn(wall(), sources=3)
    network, task = UnsupervisedDepthTask(network=SMALL).build().eval(), UnsupervisedDepthTask()
    chosen = int(task.chosen(network, views)[0])
    views.T_srcs_ref[0, chosen, :3, :3] = torch.from_numpy(cv2.Rodrigues(np.array([0, 0.4, 0]))[0])
    assert task.chosen(network, views)[0] != chosen


def test_a_motion_is_rodrigues_and_a_translation():
    vectors = torch.from_numpy(RNG.normal(0, 0.5, (4, 6))).float()
    for vector, T in zip(vectors.numpy(), moved(vectors).numpy()):
        np.testing.assert_allclose(T, motion.pose(cv2.Rodrigues(vector[3:])[0], vector[:3]), atol=1e-5)


def test_first_motions_are_small_and_explanations_undecided():
    images = torch.rand(2, 2, 3, 64, 96)
    T_src_ref, explained = PoseNet(PoseNetConfig(width=0.25, explains=True))(*images)
    assert (T_src_ref - torch.eye(4)).abs().max() < 0.02
    assert explained.shape == (2, 64, 96) and (explained == 0.5).all()
    assert PoseNet(PoseNetConfig(width=0.25))(*images)[1] is None


# Learning.


@pytest.fixture(scope='module')
def flights():
    """Return flights past walls, to every side."""
    ways = [STEP * np.array([math.cos(a), math.sin(a), 0]) for a in np.linspace(0, 2 * math.pi, SHARD, endpoint=False)]
    rows = [wall(way, seed=number, blur=4) for number, way in enumerate(ways)]
    names = 'images', 'depth', 'intrinsics', 'positions'
    return RenderedFlights(({name: np.stack([getattr(row, name) for row in rows]) for name in names},))


TINY = SingleViewConfig((8, 8, 16, 16, 16), (1, 1, 1, 1))
STAGE = Stage(40, (SIZE, SIZE), SHARD, batch=4)


@pytest.mark.parametrize('pose', [None, PoseNetConfig(width=0.25)], ids=['odometry', 'pose network'])
@pytest.mark.parametrize('hide', [False, True])
def test_every_weight_that_answers_learns(flights, pose, hide):
    task = UnsupervisedDepthTask(network=SMALL, pose=pose, hide=hide, turned=1.0)
    network = task.build()
    batch = task.draw(flights, STAGE, np.random.default_rng(1))
    assert 'depth' not in batch
    loss = sum(task.loss_terms(network, batch).values())
    loss.backward()
    assert math.isfinite(loss.item())
    for name, weight in network.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name


@pytest.mark.parametrize(
    'task',
    [
        UnsupervisedDepthTask(network=SMALL, pose=PoseNetConfig(width=0.25, first_motion=0.03), sources=2),
        SfmLearnerTask(network=TINY, pose=PoseNetConfig(width=0.25, first_motion=0.03)),
        SfmLearnerTask(network=TINY, pose=PoseNetConfig(width=0.25, first_motion=0.03, explains=True)),
    ],
    ids=['depthnet', 'sfm_learner', 'sfm_learner that explains'],
)
def test_the_motion_is_found_by_making_images_alike(task, flights):
    """Of four flights to different sides; by chance directions are 90 degrees off."""
    torch.manual_seed(0)
    network = task.build()
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    batch = task.draw(flights, STAGE, np.random.default_rng(0))
    truth = batch.pop('T_srcs_ref')
    losses = []
    for _ in range(40):
        loss = sum(task.loss_terms(network, {**batch, 'T_srcs_ref': torch.full_like(truth, math.nan)}).values())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    found, _ = with_found_motion(network.pose, Views(**batch, T_srcs_ref=truth))
    cosine = torch.cosine_similarity(found.T_srcs_ref[..., :3, 3], truth[..., :3, 3], dim=-1)
    assert cosine.acos().rad2deg().median() < 20


def test_depth_is_found_where_odometry_knows_the_motion(flights):
    """Single images of walls tell nothing of depth but that all are as far: what metres that is, motion tells."""
    torch.manual_seed(0)
    task = SfmLearnerTask(network=TINY, pose=None, sources=3)
    network = task.build()
    assert not hasattr(network, 'pose')
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    batch = task.draw(flights, STAGE, np.random.default_rng(0))
    for _ in range(40):
        loss = sum(task.loss_terms(network, batch).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = network(batch['reference'])[0].exp()
    assert found.median().item() == pytest.approx(DEPTH, rel=0.1)


def test_what_is_not_explained_counts_less_and_is_paid_for(flights):
    task = SfmLearnerTask(network=TINY, pose=PoseNetConfig(width=0.25, explains=True))
    network = task.build()
    batch = task.draw(flights, STAGE, np.random.default_rng(0))

    def terms(bias):
        torch.nn.init.zeros_(network.pose.explained.weight)
        torch.nn.init.constant_(network.pose.explained.bias, bias)
        return {name: term.item() for name, term in task.loss_terms(network, batch).items()}

    all_of_it, half_of_it = terms(20.0), terms(0.0)
    assert half_of_it['unlike1'] == pytest.approx(0.5 * all_of_it['unlike1'], rel=1e-4)
    assert half_of_it['unexplained'] == pytest.approx(0.2 * math.log(2), rel=1e-4)
    assert all_of_it['unexplained'] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('depthnet_unsupervised', UnsupervisedDepthTask),
        ('depthnet_unsupervised_pose', UnsupervisedDepthTask),
        ('depthnet_flights', UnsupervisedDepthTask),
        ('sfmlearner', SfmLearnerTask),
        ('parallaxnet_unsupervised', SelfSupervisedParallaxTask),
    ],
)
def test_recipes_name_the_systems(name, kind):
    assert isinstance(Recipe.load(recipe_path(name)).task, kind)


def test_a_recipe_says_what_supervises(tmp_path):
    path = tmp_path / 'mine.yaml'
    text = 'supervision: images\nphotometric: {smooth: 0.2}\nstages: [{until: 9, crop: [64, 64], flights: 64}]\n'
    path.write_text(text)
    assert Recipe.load(path).task == SelfSupervisedParallaxTask(photometric=Photometric(smooth=0.2))
    path.write_text('kind: depthnet\npose: {explains: false}\ntarget_depth: 30\n' + text)
    expected = UnsupervisedDepthTask(photometric=Photometric(smooth=0.2), pose=PoseNetConfig(), target_depth=30)
    assert Recipe.load(path).task == expected
    path.write_text('kind: singleview\npose: null\n' + text)
    assert Recipe.load(path).task.pose is None
    path.write_text(text.replace('images', 'dreams'))
    with pytest.raises(ValueError, match='there is no parallaxnet supervised by dreams'):
        Recipe.load(path)


def test_a_run_leaves_scores_of_depth_and_motion_and_goes_on(flights, tmp_path):
    task = UnsupervisedDepthTask(network=SMALL, pose=PoseNetConfig(width=0.25), sources=2, turned=1.0)
    recipe = Recipe((Stage(2, (SIZE, SIZE), SHARD, batch=2),), task, warmup=1)
    train(recipe, [flights], flights, tmp_path, loaders=0)
    results = (tmp_path / 'results.yaml').read_text()
    assert all(score in results for score in ('mae_log', 'direction_error', 'rotation_error'))
