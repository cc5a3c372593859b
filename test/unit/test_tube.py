"""Tubes as an endoscope sees them: where the wall is, how it is lit, and what each stage adds."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.learning.recipe import Recipe, recipe_path  # noqa: E402
from ros_depthnet.learning.single_view_task import SingleViewTask  # noqa: E402
from ros_depthnet.learning.still_box.options import LIT_BY_THE_CAMERA, Preset  # noqa: E402
from ros_depthnet.learning.still_box.raycast import Kind, Solids, inside  # noqa: E402
from ros_depthnet.learning.still_box.render import GAMMA, render  # noqa: E402
from ros_depthnet.learning.still_box.scene import Headlight, Scene, Surface, random_scene  # noqa: E402
from ros_depthnet.learning.still_box.sequences import SequenceOptions, random_rendering  # noqa: E402
from ros_depthnet.learning.still_box.textures import TextureAtlas  # noqa: E402
from ros_depthnet.learning.still_box.tube import Tube  # noqa: E402

K = torch.tensor([[24.0, 0, 23.5], [0, 24, 23.5], [0, 0, 1]])
SIZE = 48
FIRST = torch.zeros(1, 3)


@pytest.fixture(scope='module')
def atlas():
    return TextureAtlas(procedural=8, photo_tiles=0)


def clearance(tube, points):
    """Say the same as Tube.clearance, of points (..., 3), in complex numbers and float64."""
    x, y, z = np.moveaxis(points, -1, 0)
    across = x + 1j * y
    for axis, unit in zip(tube.bends, (1, 1j)):
        across = across - unit * sum(a * np.sin(k * z + phase) for a, k, phase in axis)
    along, apart, crescents, corners = tube.phases
    depth, pitch = tube.folds
    phase = 2 * np.pi * z / pitch + 0.8 * np.sin(0.9 * z + apart) + (across * np.conj(complex(*tube.tilt))).real + along
    crescent = 0.5 + 0.5 * (across**3 * np.exp(-1j * (np.pi * z / pitch + crescents))).real
    fold = depth * np.cos(phase / 2) ** 12 * (0.3 + 0.7 * crescent)
    flat = tube.corners * (0.5 + 0.5 * (across**3 * np.exp(-1j * corners)).real)
    beyond = np.maximum(np.maximum(-z, z - tube.length), 0)
    return 1 - fold - flat - beyond**2 - np.abs(across)


def rays(number, rng):
    d = rng.normal(size=(number, 3))
    return d * [0.4, 0.4, 1]


def walls(tube, o, d):
    """Return where rays from o (3,) along d (P, 3) meet the wall."""
    o, d = torch.tensor(o).float(), torch.tensor(d).float()
    return tube.first_wall(o[:, None], d.unbind(-1)).double().numpy()


@pytest.mark.parametrize('seed', range(3))
def test_the_wall_is_where_a_dense_march_first_leaves_the_tube(seed):
    rng = np.random.default_rng(seed)
    tube = Tube.random(rng)
    centre = [float(v) for v in tube.centre_line(torch.tensor(4.0))]
    o, d = np.array([*centre, 4.0]) + rng.uniform(-0.2, 0.2, 3), rays(60, rng)
    found = walls(tube, o, d)
    speed = np.linalg.norm(d, axis=-1)
    marched = np.arange(0, 25, 1e-3)
    outside = clearance(tube, o + (marched / speed[:, None])[..., None] * d[:, None]) < 0
    expected = marched[outside.argmax(-1)] / speed
    assert outside.any(-1).all()
    off = np.abs(found - expected) * speed
    assert np.quantile(off, 0.95) < 1.1e-3  # the last may pass over a fold's very edge, which the march steps over
    assert np.abs(clearance(tube, o + found[:, None] * d)).max() < 2e-5


def test_a_smooth_straight_tube_is_a_cylinder():
    rng = np.random.default_rng(3)
    tube = dataclasses.replace(Tube.random(rng).straight().smooth(), length=40.0)
    o, d = np.array([0.3, -0.4, 20.0]), rays(500, rng)
    a, b, c = (d[:, :2] ** 2).sum(1), d[:, :2] @ o[:2], o[:2] @ o[:2] - 1
    expected = (-b + np.sqrt(b * b - a * c)) / a
    found = walls(tube, o, d)
    on_the_side = np.abs(expected * d[:, 2]) < 19
    assert on_the_side.mean() > 0.9
    assert found[on_the_side] == pytest.approx(expected[on_the_side], rel=1e-5)


def test_from_within_the_wall_nothing_is_seen():
    tube = Tube.random(np.random.default_rng(0)).straight()
    assert np.isinf(walls(tube, np.array([1.2, 0, 4]), np.ones((1, 3))))


def test_a_tubes_inside_is_its_wall():
    tube = dataclasses.replace(Tube.random(np.random.default_rng(0)).straight().smooth(), length=10.0)
    two_metres = torch.full((1, 3), 2.0)
    solids = Solids.build([Kind.TUBE], torch.eye(3)[None], two_metres, torch.zeros(1, 3), tube=tube)
    places = torch.tensor([[0.0, 0, 3], [1.9, 0, 3], [2.1, 0, 3], [0, 0, -3]])
    assert inside(solids, places, torch.zeros(4))[:, 0].tolist() == [False, False, True, True]
    assert inside(solids, places, torch.zeros(4), margin=0.2)[:, 0].tolist() == [False, True, True, True]


def wall_at(atlas, distance, **headlight):
    """Return linear light (3,) from the middle of a grey wall across the camera's axis."""
    scene = random_scene(Preset.BOXES, np.random.default_rng(5), 8)
    solids = Solids.build(
        [Kind.BOX], torch.eye(3)[None], torch.tensor([[9.0, 9, 1]]), torch.tensor([[0, 0, 1 + distance]])
    )
    grey = Surface(torch.zeros(1, dtype=torch.long), torch.ones(1), torch.zeros(1), torch.full((1, 3), 0.5))
    lit = Scene(solids, grey, dataclasses.replace(scene.light, headlight=Headlight(**headlight)))
    image = render(lit, atlas, K, SIZE, SIZE, FIRST).images[0]
    return image[:, SIZE // 2, SIZE // 2] ** GAMMA


def test_the_cameras_light_falls_with_the_square_of_the_distance(atlas):
    lights = [float(wall_at(atlas, distance, reach=1.0)[0]) for distance in (1.0, 2.0, 4.0)]
    assert lights[0] / lights[1] == pytest.approx(4, rel=1e-2)
    assert lights[1] / lights[2] == pytest.approx(4, rel=1e-2)
    assert lights[0] == pytest.approx(0.5 * 0.75, rel=1e-2)
    assert float(wall_at(atlas, 2.0, reach=2.0)[0]) == pytest.approx(lights[0], rel=1e-2)


def test_even_light_says_nothing_of_the_distance(atlas):
    assert wall_at(atlas, 1.0, reach=1.0, even=True).tolist() == pytest.approx(
        wall_at(atlas, 4.0, reach=1.0, even=True).tolist()
    )


def test_a_wet_wall_mirrors_the_lamp(atlas):
    assert wall_at(atlas, 2.0, reach=1.0, gloss=2.0)[0] > 3 * wall_at(atlas, 2.0, reach=1.0)[0]


def test_each_stage_adds_its_own_to_the_same_tube(atlas):
    stages = {
        preset: random_rendering(
            (1, 4), atlas, SequenceOptions(width=SIZE, height=SIZE, frames=2, presets={preset: 1.0}, focal=(0.5, 0.5))
        )[0]
        for preset in (*LIT_BY_THE_CAMERA, Preset.TUBE_FLAT)
    }
    smooth, folds, bends, vessels, wet, flat = stages.values()

    def depth_differs(a, b):
        return float((a.depth.log() - b.depth.log()).abs().mean())

    def picture_differs(a, b):
        return float((a.images - b.images).abs().mean())

    assert all(rendering.depth.isfinite().all() for rendering in stages.values())
    assert depth_differs(smooth, folds) > 0.03 and depth_differs(folds, bends) > 0.03
    assert all(torch.equal(rendering.depth, bends.depth) for rendering in (vessels, wet, flat))
    assert picture_differs(bends, vessels) > 0.005 and picture_differs(vessels, wet) > 0.005
    assert (wet.images >= vessels.images - 1e-6).all()
    brightness = {name: r.images[0].mean(0).flatten() for name, r in (('lit', vessels), ('even', flat))}
    far = vessels.depth[0].flatten() > vessels.depth[0].quantile(0.9)
    assert brightness['lit'][far].mean() < 0.6 * brightness['lit'][~far].mean()
    assert brightness['even'][far].mean() > 0.9 * brightness['even'][~far].mean()


def test_the_curriculum_goes_through_the_stages_in_their_order_and_ends_on_the_hardest():
    recipe = Recipe.load(recipe_path('tubes'))
    assert isinstance(recipe.task, SingleViewTask)
    assert [stage.sets for stage in recipe.stages] == [(number,) for number in range(len(LIT_BY_THE_CAMERA))]
    assert recipe.rate(recipe.steps - 1) < 0.01 * recipe.rate(recipe.steps // 2) == 0.01 * recipe.learning_rate
