"""Contours: what depth says of them, the network that learns it, lines and scores."""

import math

import cv2
import numpy as np
import pytest
from tiny_models import red_is_parallax

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.cli.main import main  # noqa: E402
from ros_depthnet.core.contours import distance, thinned  # noqa: E402
from ros_depthnet.core.frames import Prediction  # noqa: E402
from ros_depthnet.engines.card import ModelError  # noqa: E402
from ros_depthnet.engines.contour_model import load_contour_model  # noqa: E402
from ros_depthnet.engines.model import load_model  # noqa: E402
from ros_depthnet.evaluation.contour_scores import contour_scores  # noqa: E402
from ros_depthnet.learning.contour_task import ContourTask  # noqa: E402
from ros_depthnet.learning.dataset import SHARD, RenderedFlights  # noqa: E402
from ros_depthnet.learning.export import export_contournet, write_card  # noqa: E402
from ros_depthnet.learning.losses import contours as losses  # noqa: E402
from ros_depthnet.learning.measured import measure_shards  # noqa: E402
from ros_depthnet.learning.recipe import Recipe, recipe_path  # noqa: E402
from ros_depthnet.learning.run_export import export_run  # noqa: E402
from ros_depthnet.learning.task import Stage  # noqa: E402
from ros_depthnet.learning.weights import halve  # noqa: E402

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 24, 32
INTRINSICS = torch.tensor([[30.0, 32.0, 15.0, 11.0]])


def plane(normal, distance=4.0):
    """Return the inverse depth (1, H, W) of the plane n P = -distance in front of the camera of INTRINSICS."""
    fx, fy, cx, cy = INTRINSICS[0].tolist()
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x)], -1)
    return torch.from_numpy(-(rays @ normal) / distance)[None].float()


def unit(*vector):
    return np.array(vector) / np.linalg.norm(vector)


WALL, SIDE = unit(0.3, 0.2, -1.0), unit(-0.9, 0.1, -1.0)


# What depth says.


def test_a_plane_has_no_contour_and_its_normal_everywhere():
    found = losses.normals(plane(WALL), INTRINSICS)
    expected = torch.tensor(WALL).float()[:, None, None].expand(3, HEIGHT, WIDTH)
    torch.testing.assert_close(found[0], expected, atol=1e-4, rtol=0)
    for resolution in (losses.EXACT, losses.MEASURED):
        assert losses.evidence(plane(WALL), INTRINSICS, resolution).max() < 1e-3


@pytest.mark.parametrize('axis', (-1, -2))
def test_a_jump_is_found_at_its_two_pixels_with_its_size(axis):
    inverse = torch.full((1, HEIGHT, WIDTH), 0.25)
    inverse.narrow(axis, 0, 12)[:] = 0.2
    found = losses.inflection(inverse).select(axis, 11), losses.inflection(inverse).select(axis, 12)
    for line in found:
        assert line[0, 2:-2].tolist() == pytest.approx([0.2] * (line.shape[1] - 4), rel=1e-4)
    assert losses.inflection(inverse).narrow(axis, 0, 11).max() < 1e-6
    assert losses.inflection(inverse).narrow(axis, 13, 8).max() < 1e-6


def test_a_crease_is_no_jump_but_a_turn_by_the_difference_of_its_normals():
    inverse = torch.maximum(plane(WALL), plane(SIDE, 4.0))
    turns = losses.turning(losses.normals(inverse, INTRINSICS))[0, 4:-4]
    crease = (plane(WALL) - plane(SIDE, 4.0)).abs()[0, 4:-4].argmin(-1)
    assert losses.inflection(inverse)[0, 4:-4, 4:-4].max() < 0.02
    for row, column in enumerate(crease.tolist()):
        assert turns[row].max().item() == pytest.approx(np.linalg.norm(WALL - SIDE), rel=0.05)
        assert abs(int(turns[row].argmax()) - column) <= 2
        assert turns[row, 4 : column - 4].max() < 1e-3


def test_inflection_is_that_of_every_pixel_by_itself():
    inverse = RNG.uniform(0.1, 0.5, (1, 9, 11))
    found = losses.inflection(torch.from_numpy(inverse).float())[0]
    padded = np.pad(inverse[0], 1, mode='reflect', reflect_type='odd')
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    blurred = np.array([[(kernel * padded[y : y + 3, x : x + 3]).sum() for x in range(11)] for y in range(9)])
    for y in range(9):
        for x in range(11):
            jumps = [0.0]
            for line, at in ((blurred[y], x), (blurred[:, x], y)):
                if 2 <= at < len(line) - 2:
                    a, b = (line[i - 1] - 2 * line[i] + line[i + 1] for i in (at - 1, at + 1))
                    jumps.append(4 * math.sqrt(max(0, -a * b)))
            nearest = inverse[0, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].max()
            assert found[y, x].item() == pytest.approx(max(jumps) / nearest, abs=1e-5)


def test_what_is_not_known_is_no_evidence_either_way():
    inverse = plane(WALL)
    inverse[0, 10, 10] = math.nan
    found = losses.evidence(inverse, INTRINSICS, losses.EXACT)[0]
    assert found[7:14, 7:14].isnan().all() and found.isnan().sum() == 49


def test_evidence_is_the_squares_of_jump_and_turn_in_their_units():
    inverse = torch.maximum(plane(WALL), plane(SIDE, 4.0))
    inverse[..., :6] *= 1.05
    jump, turn = losses.inflection(inverse), losses.turning(losses.normals(inverse, INTRINSICS))
    found = losses.evidence(inverse, INTRINSICS, losses.Resolution(0.2, 1.5, 1, 1))
    torch.testing.assert_close(found, (jump / 0.2).square() + (turn / 1.5).square())


def test_noise_is_no_contour_to_the_resolution_of_what_is_measured_but_a_jump_is_still():
    inverse = plane(WALL)
    inverse[..., :12, :] *= 0.5
    noisy = inverse * (1 + 0.01 * torch.randn(inverse.shape, generator=torch.Generator().manual_seed(0)))
    exact, measured = (losses.evidence(noisy, INTRINSICS, each)[0] for each in (losses.EXACT, losses.MEASURED))
    assert exact[18:].mean() > 0.5 > 0.1 > measured[18:].mean()
    assert measured[11:13].mean() > 2


def test_evidence_goes_to_the_edge_of_the_image_next_to_it_and_is_none_without():
    found, image = torch.zeros(1, HEIGHT, WIDTH), torch.full((1, 3, HEIGHT, WIDTH), 0.3)
    found[..., 12], found[..., 24] = 4.0, 4.0
    found[0, 0, 0] = math.nan
    image[..., 14:] = 0.8  # an edge between columns 13 and 14, and none near 24
    moved = losses.at_image_edges(found, image)[0]
    assert moved[0, 0].isnan() and moved.isnan().sum() == 1
    row = moved[10]
    assert row[13:15].tolist() == [4.0, 4.0] and row[16:].max() < 1e-3 and row[:12].max() < 1e-3


# The loss.


def test_the_best_contours_are_the_mean_evidence_over_one_more():
    found = torch.tensor([[[0.0, 2.0, math.nan, 9.0]]])
    contours = torch.full((1, 1, 1), 0.5, requires_grad=True)
    optimiser = torch.optim.Adam([contours], 0.02)
    for _ in range(300):
        optimiser.zero_grad()
        losses.contour_loss(contours.expand(1, 1, 4), found).backward()
        optimiser.step()
    mean = 11 / 3
    assert contours.item() == pytest.approx(mean / (1 + mean), abs=0.01)


# The distance.


def lines():
    contours = torch.zeros(1, 40, 60)
    contours[0, 20, 5:30] = 1
    contours[0, 3:35, 44] = 1
    return contours


def test_the_soft_distance_is_the_exact_one_up_to_its_reach():
    exact = cv2.distanceTransform((lines()[0] == 0).numpy().astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    found = losses.soft_distance(lines(), reach=12)[0].numpy()
    assert np.abs(found - np.minimum(exact, 12)).max() < 0.5
    assert np.abs(found - np.minimum(exact, 12)).mean() < 0.1


def test_the_soft_distance_is_that_of_every_pixel_by_itself():
    contours = torch.from_numpy(RNG.uniform(0, 1, (1, 7, 9))).float()
    found = losses.soft_distance(contours, reach=3)[0]
    for y in range(7):
        for x in range(9):
            total = math.exp(-(3**2) / 0.5)
            for v in range(max(0, y - 3), min(7, y + 4)):
                for u in range(max(0, x - 3), min(9, x + 4)):
                    total += contours[0, v, u].item() * math.exp(-((v - y) ** 2 + (u - x) ** 2) / 0.5)
            assert found[y, x].item() == pytest.approx(math.sqrt(max(-0.5 * math.log(total), 1e-6)), abs=1e-3)


def test_the_distance_teaches_contours_from_afar():
    contours = torch.full((1, 40, 60), 1e-3)
    contours[0, 20, 5] = 0.5
    contours.requires_grad_()
    losses.soft_distance(contours)[0, 20, 12].backward()
    assert contours.grad[0, 20, 5] < 0  # more of a contour there is nearer


def test_a_distance_is_eikonal_and_its_multiple_is_not():
    distance = (torch.arange(60.0) - 2).abs().expand(1, 40, 60)
    assert losses.eikonal(distance, reach=64) < 1e-6
    assert losses.eikonal(1.5 * distance, reach=99).item() == pytest.approx(0.25, rel=1e-3)
    specks = torch.zeros(1, 40, 60)
    specks[0, ::8, ::8] = 1
    assert losses.eikonal(losses.soft_distance(specks)) > 3 * losses.eikonal(losses.soft_distance(lines()))


# Lines and scores.


def test_a_blurred_line_is_thinned_to_one_pixel_where_it_was():
    line = np.zeros((30, 40), np.float32)
    cv2.line(line, (5, 3), (30, 25), 1)
    blurred = cv2.GaussianBlur(line, (0, 0), 1.5)
    lines = thinned(blurred / blurred.max())
    strong = lines > 0.5
    assert strong.sum() < 1.6 * (line > 0).sum()
    assert cv2.dilate(line, np.ones((3, 3)))[strong].all()  # nothing is more than a pixel off
    assert cv2.dilate(strong.astype(np.uint8), np.ones((3, 3)))[line > 0].mean() > 0.95  # and it has no gaps


def test_the_distance_is_that_to_the_nearest_likely_pixel():
    lines = np.zeros((20, 30), np.float32)
    lines[10, 5], lines[2, 25] = 0.9, 0.2
    y, x = np.mgrid[:20, :30]
    assert np.abs(distance(lines) - np.hypot(y - 10, x - 5)).max() < 1e-4
    assert distance(np.zeros((20, 30), np.float32)).min() > 30


def test_scores_are_those_of_every_pixel_by_itself():
    maps = [np.where(RNG.random((12, 15)) < 0.2, RNG.random((12, 15)), 0).astype(np.float32) for _ in range(2)]
    truths = [RNG.random((12, 15)) < 0.1 for _ in range(2)]
    scores = contour_scores(maps, truths, tolerance=1)

    def near(mask, y, x):
        return any(
            mask[v, u]
            for v, u in ((y, x), (y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
            if 0 <= v < 12 and 0 <= u < 15
        )

    found = [map_hw > scores.threshold for map_hw in maps]
    right = [near(truth, *at) for mask, truth in zip(found, truths) for at in np.argwhere(mask)]
    reached = [near(mask, *at) for mask, truth in zip(found, truths) for at in np.argwhere(truth)]
    assert scores.precision == pytest.approx(np.mean(right))
    assert scores.recall == pytest.approx(np.mean(reached))


def test_what_is_right_at_some_threshold_scores_one_there_and_what_is_two_off_nothing():
    truth = np.zeros((20, 30), bool)
    truth[10] = True
    right = np.where(truth, 0.7, 0.0).astype(np.float32)
    right[3, 3] = 0.6
    scores = contour_scores([right], [truth])
    assert scores.f1 == 1.0 and 0.6 < scores.threshold < 0.7
    assert contour_scores([np.roll(np.where(truth, 0.7, 0), 2, 0)], [truth]).f1 == 0.0


# The task.


def boxes_before_a_wall():
    """Return views of bright boxes at 2 m before a dark wall at 4 m, measured twice with noise of 1 %."""
    images, depth = np.full((SHARD, 2, 64, 96, 3), 40, np.uint8), np.full((SHARD, 2, 64, 96), 4.0, np.float32)
    for number in range(SHARD):
        top, left = RNG.integers(8, 24), RNG.integers(8, 48)
        images[number, :, top : top + 24, left : left + 32] = 200
        depth[number, :, top : top + 24, left : left + 32] = 2.0
    depth *= np.exp(RNG.normal(0, 0.01, depth.shape)).astype(np.float32)
    intrinsics = np.tile([80.0, 80.0, 47.5, 31.5], (SHARD, 1))
    positions = np.zeros((SHARD, 2, 3))
    return RenderedFlights(({'images': images, 'depth': depth, 'intrinsics': intrinsics, 'positions': positions},))


def test_what_is_drawn_has_the_contours_of_its_depth_mirrored_or_not():
    batch = ContourTask().draw(boxes_before_a_wall(), Stage(9, (64, 48), 64, batch=8), np.random.default_rng(3))
    assert batch['image'].shape == (8, 3, 48, 64) and batch['inverse_depth'].shape == (8, 48, 64)
    bright = batch['image'].mean(1) > batch['image'].mean((1, 2, 3))[:, None, None]
    assert ((batch['inverse_depth'] > 0.35) == bright).float().mean() > 0.9


def test_the_network_learns_contours_from_depth_alone(tmp_path):
    torch.manual_seed(0)
    flights, task = boxes_before_a_wall(), ContourTask(eikonal=0.01)
    network = task.build()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for step in range(50):
        network.train()
        batch = task.draw(flights, Stage(99, (64, 48), 64, batch=4), np.random.default_rng(step))
        optimiser.zero_grad()
        sum(task.loss_terms(network, batch).values()).backward()
        optimiser.step()
    assert task.validate(network, flights, (64, 48))['f1'] > 0.8 > task.validate(task.build(), flights, (64, 48))['f1']
    path = tmp_path / 'mine.onnx'
    assert export_contournet(halve(network), path) < 1e-4
    write_card(path, {'name': 'mine', 'kind': 'contournet', 'input': {'width': 96, 'height': 64, 'multiple': 16}})
    image, model = flights[0].images[0], load_contour_model(path)
    with torch.no_grad():
        expected = network(torch.from_numpy(image.transpose(2, 0, 1)[None] / np.float32(255)))[0].numpy()
    assert np.abs(model.contours(image) - expected).max() < 0.05  # weights are halves
    assert model.contours(image[:50, :70]).shape == (50, 70)
    with pytest.raises(ModelError, match='gives no depth'):
        load_model(path)
    with pytest.raises(ModelError, match='and a contournet is wanted'):
        load_contour_model('parallaxnet')


class Wall:
    """A model to which everything is as many metres away as it has been asked, five the first time."""

    parallax_range = (1.0, 60.0)
    asked = 4

    def input_size(self, camera):
        return camera.width, camera.height

    def predict(self, ranges):
        self.asked += 1
        size = ranges[0].camera.height, ranges[0].camera.width
        return [Prediction(np.full(size, self.asked, np.float32), np.full(size, 0.05, np.float32)) for _ in ranges]


def test_a_measured_set_has_the_first_frame_twice_with_two_depths(tmp_path):
    images = RNG.integers(0, 255, (SHARD, 3, 32, 48, 3), np.uint8)
    positions = np.tile(0.2 * np.arange(3)[:, None] * [1.0, 0, 0], (SHARD, 1, 1))
    fields = {'images': images, 'depth': np.ones((SHARD, 3, 32, 48), np.float16), 'positions': positions}
    fields['intrinsics'] = np.tile([40.0, 40.0, 23.5, 15.5], (SHARD, 1))
    flights = RenderedFlights(({name: fields[name] for name in ('images', 'depth', 'intrinsics', 'positions')},))
    measure_shards(flights, Wall(), tmp_path)
    first = RenderedFlights.open(tmp_path)[0]
    np.testing.assert_array_equal(first.images, images[0, [0, 0]])
    assert [float(np.nanmedian(depth)) for depth in first.depth] == pytest.approx([5, 6], rel=0.1)
    two = RenderedFlights(({name: field[:, :2] if name != 'intrinsics' else field for name, field in fields.items()},))
    with pytest.raises(ValueError, match='three frames'):
        measure_shards(two, Wall(), tmp_path / 'two')


def test_label_measures_a_rendered_set_and_takes_no_two_at_once(tmp_path, capsys):
    images = np.zeros((SHARD, 3, 32, 48, 3), np.uint8)
    images[..., 0], images[..., 1] = 4, 5  # the model says 4 pixels of parallax, 5 % off
    fields = {
        'images': images,
        'depth': np.ones((SHARD, 3, 32, 48), np.float16),
        'intrinsics': np.tile([40.0, 40.0, 23.5, 15.5], (SHARD, 1)),
        'positions': np.tile(0.2 * np.arange(3)[:, None] * [1.0, 0, 0], (SHARD, 1, 1)),
    }
    rendered, teacher = tmp_path / 'set', str(red_is_parallax(tmp_path))
    rendered.mkdir()
    for name, values in fields.items():
        np.save(rendered / f'00000.{name}.npy', values)
    command = ['label', str(rendered), '--out', str(tmp_path / 'measured'), '--teacher', teacher]
    assert main(command) == 0
    depth = RenderedFlights.open(tmp_path / 'measured')[5].depth
    assert np.nanmedian(depth, (1, 2)) == pytest.approx([40 * 0.2 / 4, 40 * 0.4 / 4], rel=0.05)
    assert main([*command[:2], str(rendered), *command[2:]]) == 1
    assert 'one rendered set at a time' in capsys.readouterr().err


def test_the_shipped_recipe_is_one():
    assert isinstance(Recipe.load(recipe_path('contournet')).task, ContourTask)


@pytest.mark.parametrize('asked', ['split', 'held_out'])
def test_scores_that_a_kind_of_network_has_not_are_refused_before_anything_is_written(tmp_path, asked):
    with pytest.raises(ValueError, match='contournet .* leave --'):
        export_run(tmp_path / 'run', 'contournet', tmp_path / 'model.onnx', [], **{asked: tmp_path})
    assert not list(tmp_path.iterdir())
