"""The training ground: exact geometry, decided by its seed alone."""

import dataclasses
import hashlib

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.learning.still_box.options import LIT_BY_THE_CAMERA  # noqa: E402
from ros_depthnet.learning.still_box.raycast import Kind, Solids, Viewpoints, cast, inside, relief  # noqa: E402
from ros_depthnet.learning.still_box.render import render  # noqa: E402
from ros_depthnet.learning.still_box.scene import Preset, random_rotation, random_scene  # noqa: E402
from ros_depthnet.learning.still_box.sequences import SequenceOptions, random_sequence  # noqa: E402
from ros_depthnet.learning.still_box.textures import TextureAtlas  # noqa: E402

K = torch.tensor([[40.0, 0, 31.5], [0, 40, 23.5], [0, 0, 1]])
HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope='module')
def atlas():
    return TextureAtlas(procedural=8, photo_tiles=0)


def cast_one(kind, centre, size, R, origin=(0, 0, 0)):
    solids = Solids.build([kind], *(torch.tensor(np.array([v]), dtype=torch.float32) for v in (R, size, centre)))
    origins = torch.tensor([origin], dtype=torch.float32)
    views = Viewpoints(K, HEIGHT, WIDTH, origins, torch.eye(3)[None], torch.zeros(1))
    rays = views.rays_cam(torch.zeros(1, 2))
    hits = cast(solids, views, rays)
    return rays[0].numpy().astype(float), hits.t[0, 0].numpy().astype(float)


def is_within(kind, points):
    """Tell by the solids' definitions, not by intersections, which local points are inside."""
    x, y, z = np.moveaxis(points, -1, 0)
    return {
        Kind.BOX: np.abs(points).max(-1) <= 1,
        Kind.ELLIPSOID: (points**2).sum(-1) <= 1,
        Kind.CYLINDER: (np.hypot(x, z) <= 1) & (np.abs(y) <= 1),
        Kind.CONE: (np.hypot(x, z) <= (y + 1) / 2) & (np.abs(y) <= 1),
        Kind.PLANE: y >= 0,
        Kind.TERRAIN: y >= relief(torch.from_numpy(x), torch.from_numpy(z)).numpy(),
    }[kind]


@pytest.mark.parametrize('kind', [kind for kind in Kind if kind != Kind.TUBE])
def test_depth_is_where_a_dense_march_along_the_ray_enters_the_solid(kind):
    rng = np.random.default_rng(kind)
    R, size = random_rotation(rng), np.array([1.2, 0.8, 1.0])
    centre = np.array([0.2, -0.1, 4.0])
    if kind in (Kind.PLANE, Kind.TERRAIN):
        R, centre = np.eye(3), np.array([0, 1.0, 0])
    rays, depth = cast_one(kind, centre, size, R)
    marched = np.arange(0.1, 7, 0.004)
    points = (rays[:, :, None] * marched[:, None] - centre) @ R / size
    within = is_within(kind, points)
    entry = np.where(within.any(-1), marched[within.argmax(-1)], np.inf)
    agree = np.abs(np.where(np.isinf(depth) | (depth > 7), 99, depth) - np.where(np.isinf(entry), 99, entry)) < 0.006
    assert np.isfinite(entry).mean() > 0.04
    assert agree.mean() > 0.995  # the march steps over grazed corners


def test_a_box_seen_from_inside_shows_its_walls():
    _, depth = cast_one(Kind.BOX, (0, 0, 0), (3, 2, 5), np.eye(3))
    assert depth[HEIGHT // 2, WIDTH // 2] == pytest.approx(5)
    assert depth[0, WIDTH // 2] == pytest.approx(2 * 40 / 23.5, rel=1e-4)


@pytest.mark.parametrize('preset', [preset for preset in Preset if preset not in LIT_BY_THE_CAMERA])
def test_one_frame_warped_by_exact_depth_is_the_other_off_occlusions(preset, atlas):
    """Inverse warping by rigid geometry leaves little residual: images, depth and motion belong together."""
    scene = random_scene(preset, np.random.default_rng(5), atlas.count)
    height, width = 96, 128
    intrinsics = K * torch.tensor([[2.0], [2.0], [1.0]])
    step = torch.tensor([0.05, 0.02, 0.1])
    rendering = render(scene, atlas, intrinsics, height, width, torch.stack([torch.zeros(3), step]), samples=6)
    reference, source = rendering.images.permute(0, 2, 3, 1).numpy()
    depth, depth_source = rendering.depth.numpy()
    rays = rendering.views.rays_cam(torch.zeros(1, 2))[0].numpy()
    far = np.where(np.isfinite(depth), depth, 1e6)
    points = rays * far[..., None] - step.numpy()
    u = (points[..., 0] / points[..., 2] * 80 + intrinsics[0, 2].item()).astype(np.float32)
    v = (points[..., 1] / points[..., 2] * 80 + intrinsics[1, 2].item()).astype(np.float32)
    warped = cv2.remap(source, u, v, cv2.INTER_LINEAR)
    there = cv2.remap(np.where(np.isfinite(depth_source), depth_source, 1e6), u, v, cv2.INTER_NEAREST)
    visible = (np.abs(there / points[..., 2] - 1) < 0.03) & (u > 1) & (v > 1) & (u < width - 2) & (v < height - 2)
    visible = cv2.erode(visible.astype(np.uint8), np.ones((3, 3))) > 0
    assert visible.mean() > 0.2
    residual = np.abs(warped - reference).mean(-1)[visible]
    unmoved = np.abs(source - reference).mean(-1)[visible]
    assert np.median(residual) < 0.012
    assert residual.mean() < 0.6 * unmoved.mean() + 0.004


NO_NEARER = 1e-3  # of a depth: how products of matrices round depends on their size and on the processor


def test_movers_of_a_training_set_cover_what_stands_and_go_on_from_frame_to_frame(atlas):
    still = SequenceOptions(width=64, height=48, samples=1)
    with_movers, without = (random_sequence(7, atlas, dataclasses.replace(still, movers=number)) for number in (3, 0))
    moving = with_movers.depth < (1 - NO_NEARER) * without.depth
    assert 0.01 < moving.mean() < 0.4
    np.testing.assert_allclose(with_movers.depth[~moving], without.depth[~moving], rtol=NO_NEARER)
    assert np.array_equal(with_movers.positions, without.positions)
    gone = [(moving[0] & ~moving[frame]).sum() for frame in range(4)]
    assert gone == sorted(gone) and gone[3] > 0.3 * moving[0].sum()


def test_a_seed_decides_the_flight(atlas):
    options = SequenceOptions(width=64, height=48)
    first, again, other = (random_sequence(seed, atlas, options) for seed in ((1, 7), (1, 7), (1, 8)))
    assert np.array_equal(first.images, again.images) and np.array_equal(first.depth, again.depth)
    assert not np.array_equal(first.images, other.images)


def test_flights_have_no_wall_on_the_lens_and_constant_velocity(atlas):
    options = SequenceOptions(width=64, height=48)
    for seed in range(6):
        sequence = random_sequence(seed, atlas, options)
        steps = np.diff(sequence.positions, axis=0)
        assert np.allclose(steps, steps[0])
        assert sequence.depth.min() >= 0.04


def test_a_cone_points_to_its_apex():
    """Ordinary rays miss beside the apex (y = -1) where they hit beside the base (y = 1, radius 1)."""
    _, depth = cast_one(Kind.CONE, (0, 0, 4), (1, 1, 1), np.eye(3))
    widths = np.isfinite(depth).sum(1)
    rows = np.flatnonzero(widths)
    assert widths[rows[0]] <= 2 < 10 < widths[rows[-4]]


def hills(origin, size=(9.0, 3.0, 9.0)):
    """Cast rays at hills below the origin; return rays, depth and the local points that were hit, float64."""
    rays, depth = cast_one(Kind.TERRAIN, (300.0, 4.0, -200.0), size, np.eye(3), origin)
    points = np.where(np.isfinite(depth), depth, 1)[..., None] * rays + origin
    return rays, depth, (points - (300, 4, -200)) / size


@pytest.mark.parametrize('origin', [(0.0, 0.0, 0.0), (40.0, -8.0, 7.0), (-25.0, 30.0, 3.0)])
def test_hills_are_hit_on_their_surface_from_above_and_from_below(origin):
    _, depth, local = hills(origin)
    seen = np.isfinite(depth)
    assert 0.3 < seen.mean() <= 1
    off = local[..., 1] - relief(*(torch.from_numpy(local[..., i]) for i in (0, 2))).numpy()
    assert np.abs(3 * off[seen]).max() < 2e-4  # metres, at up to a kilometre


def test_no_crest_is_passed_through():
    """A dense march, from the camera to just before what was hit, stays above the ground."""
    rays, depth, _ = hills((0.0, 0.0, 0.0))
    far = np.where(np.isfinite(depth), depth, 400)
    share = np.linspace(0.001, 0.999, 4000)
    for row in range(0, HEIGHT, 4):
        points = rays[row, :, None] * (far[row][:, None] * share)[..., None] - (300, 4, -200)
        local = torch.from_numpy(points / (9, 3, 9))
        assert (local[..., 1] < relief(local[..., 0], local[..., 2]) + 1e-5).all()


def test_what_is_inside():
    """Below a ground, and in the box round anything else, with a margin and moved by its velocity."""
    solids = Solids.build(
        [Kind.BOX, Kind.PLANE, Kind.TERRAIN],
        torch.eye(3).expand(3, 3, 3),
        torch.tensor([[1.0, 1, 1], [1, 1, 1], [5, 2, 5]]),
        torch.tensor([[0.0, 0, 0], [0, 3, 0], [0, 9, 0]]),
        torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    )
    places = torch.tensor([[0.0, 0, 0], [0, 0, 0], [2.5, 0, 0], [0, 3.1, 0], [0, 20, 0], [1.05, 0, 0]])
    times = torch.tensor([0.0, 2, 2, 0, 0, 0])
    expected = [[1, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert inside(solids, places, times).int().tolist() == expected
    assert inside(solids, places, times, margin=0.1)[5].tolist() == [True, False, False]


# Training sets are defined by their seeds: what a family draws must not change.
SCENES = {
    Preset.BOXES: '832bcde3bd6a264e',
    Preset.ROOM: '3c69eda38d48dc79',
    Preset.CORRIDOR: '98aa9cd9c0e92001',
    Preset.FOREST: 'eec4aa7761b387fd',
    Preset.STREET: '1b8c25d2aa5e5fad',
    Preset.TERRAIN: 'ab5fd160423a49bf',
    Preset.INTERIOR: 'a03a56972ca0043d',
    Preset.TUBE_WET: '400e7ae095883d41',
}


def plain(surface):
    """Return surfaces that are half grey all over."""
    return dataclasses.replace(
        surface, contrast=torch.zeros_like(surface.contrast), tint=torch.full_like(surface.tint, 0.5)
    )


@pytest.mark.parametrize('preset', SCENES)
def test_a_seed_stays_the_same_scenes(preset):
    """Places and sizes of 60 scenes, rounded so that another machine's last digits do not matter."""
    digest = hashlib.sha256()
    for seed in range(60):
        scene = random_scene(preset, np.random.default_rng((9, seed)), 150)
        for rows in (scene.solids.centre, scene.solids.size, scene.surface.tint, scene.light.zenith):
            digest.update((rows.double() * 1000).round().long().numpy().tobytes())
    assert digest.hexdigest()[:16] == SCENES[preset]


def test_a_lamp_lights_what_is_near_and_gives_half_at_its_reach(atlas):
    scene = random_scene(Preset.BOXES, np.random.default_rng(5), atlas.count)
    solids = [[Kind.BOX], torch.eye(3)[None], torch.tensor([[9.0, 9, 1]]), torch.tensor([[0.0, 0, 5]])]
    wall = dataclasses.replace(scene, solids=Solids.build(*solids), surface=plain(scene.surface))

    def brightness(metres):
        """Of the place of the wall nearest to the lamp, and of one in a corner."""
        light = dataclasses.replace(scene.light, ambient=0.5, reach=2.0, lamps=torch.tensor([[0, 0, 4.0 - metres]]))
        image = render(dataclasses.replace(wall, light=light), atlas, K, HEIGHT, WIDTH, torch.zeros(1, 3)).images[0]
        return float(image[0, HEIGHT // 2, WIDTH // 2]), float(image[0, 0, 0])

    (near, corner), (at_reach, _), (far, far_corner) = (brightness(metres) for metres in (0.5, 2.0, 1e4))
    assert (at_reach - far) / (near - far) == pytest.approx(0.5 * (1 + 0.25**2), abs=0.01)
    assert corner < 0.7 * near and far_corner == pytest.approx(far, rel=0.01)


def test_terrain_interiors_and_tubes_are_not_among_the_training_flights():
    assert not {Preset.TERRAIN, Preset.INTERIOR, Preset.TUBE_FLAT, *LIT_BY_THE_CAMERA} & set(SequenceOptions().presets)
