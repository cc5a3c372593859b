"""The training ground: exact geometry, decided by its seed alone."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.learning.still_box.raycast import Kind, Solids, cast  # noqa: E402
from ros_depthnet.learning.still_box.render import pixel_rays, render  # noqa: E402
from ros_depthnet.learning.still_box.scene import Preset, random_rotation, random_scene  # noqa: E402
from ros_depthnet.learning.still_box.sequences import SequenceOptions, random_sequence  # noqa: E402
from ros_depthnet.learning.still_box.textures import TextureAtlas  # noqa: E402

K = torch.tensor([[40.0, 0, 31.5], [0, 40, 23.5], [0, 0, 1]])
HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope='module')
def atlas():
    return TextureAtlas(procedural=8, photo_tiles=0)


def cast_one(kind, centre, size, R, origin=(0, 0, 0)):
    solids = Solids.build(
        [kind], *(torch.tensor(np.array([v]), dtype=torch.float32) for v in (R, size, centre))
    )
    rays = pixel_rays(K, HEIGHT, WIDTH, torch.zeros(1, 2))
    hits = cast(solids, torch.tensor([origin], dtype=torch.float32), torch.eye(3)[None], rays, K)
    return rays[0].numpy().astype(float), hits.t[0, 0].numpy().astype(float)


def inside(kind, points):
    """Tell by the solids' definitions, not by intersections, which local points are inside."""
    x, y, z = np.moveaxis(points, -1, 0)
    return {
        Kind.BOX: np.abs(points).max(-1) <= 1,
        Kind.ELLIPSOID: (points**2).sum(-1) <= 1,
        Kind.CYLINDER: (np.hypot(x, z) <= 1) & (np.abs(y) <= 1),
        Kind.CONE: (np.hypot(x, z) <= (y + 1) / 2) & (np.abs(y) <= 1),
        Kind.PLANE: y >= 0,
    }[kind]


@pytest.mark.parametrize('kind', list(Kind))
def test_depth_is_where_a_dense_march_along_the_ray_enters_the_solid(kind):
    rng = np.random.default_rng(kind)
    R, size = random_rotation(rng), np.array([1.2, 0.8, 1.0])
    centre = np.array([0.2, -0.1, 4.0])
    if kind == Kind.PLANE:
        R, centre = np.eye(3), np.array([0, 1.0, 0])
    rays, depth = cast_one(kind, centre, size, R)
    marched = np.arange(0.1, 7, 0.004)
    points = (rays[:, :, None] * marched[:, None] - centre) @ R / size
    within = inside(kind, points)
    entry = np.where(within.any(-1), marched[within.argmax(-1)], np.inf)
    agree = (
        np.abs(np.where(np.isinf(depth) | (depth > 7), 99, depth) - np.where(np.isinf(entry), 99, entry))
        < 0.006
    )
    assert np.isfinite(entry).mean() > 0.04
    assert agree.mean() > 0.995  # the march steps over grazed corners


def test_a_box_seen_from_inside_shows_its_walls():
    _, depth = cast_one(Kind.BOX, (0, 0, 0), (3, 2, 5), np.eye(3))
    assert depth[HEIGHT // 2, WIDTH // 2] == pytest.approx(5)
    assert depth[0, WIDTH // 2] == pytest.approx(2 * 40 / 23.5, rel=1e-4)


@pytest.mark.parametrize('preset', list(Preset))
def test_one_frame_warped_by_exact_depth_is_the_other_off_occlusions(preset, atlas):
    """Inverse warping by rigid geometry leaves little residual: images, depth and motion belong together."""
    scene = random_scene(preset, np.random.default_rng(5), atlas.count)
    height, width = 96, 128
    intrinsics = K * torch.tensor([[2.0], [2.0], [1.0]])
    step = torch.tensor([0.05, 0.02, 0.1])
    rendering = render(
        scene, atlas, intrinsics, height, width, torch.stack([torch.zeros(3), step]), samples=6
    )
    reference, source = rendering.images.permute(0, 2, 3, 1).numpy()
    depth, depth_source = rendering.depth.numpy()
    rays = pixel_rays(intrinsics, height, width, torch.zeros(1, 2))[0].numpy()
    far = np.where(np.isfinite(depth), depth, 1e6)
    points = rays * far[..., None] - step.numpy()
    u = (points[..., 0] / points[..., 2] * 80 + intrinsics[0, 2].item()).astype(np.float32)
    v = (points[..., 1] / points[..., 2] * 80 + intrinsics[1, 2].item()).astype(np.float32)
    warped = cv2.remap(source, u, v, cv2.INTER_LINEAR)
    there = cv2.remap(np.where(np.isfinite(depth_source), depth_source, 1e6), u, v, cv2.INTER_NEAREST)
    visible = (
        (np.abs(there / points[..., 2] - 1) < 0.03) & (u > 1) & (v > 1) & (u < width - 2) & (v < height - 2)
    )
    visible = cv2.erode(visible.astype(np.uint8), np.ones((3, 3))) > 0
    assert visible.mean() > 0.2
    residual = np.abs(warped - reference).mean(-1)[visible]
    unmoved = np.abs(source - reference).mean(-1)[visible]
    assert np.median(residual) < 0.012
    assert residual.mean() < 0.6 * unmoved.mean() + 0.004


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
