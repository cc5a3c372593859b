"""Normals, contours, optical flow and moving things of rendered scenes, against independent ways to compute them."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.learning.still_box.options import LIT_BY_THE_CAMERA  # noqa: E402
from ros_depthnet.learning.still_box.raycast import Kind  # noqa: E402
from ros_depthnet.learning.still_box.render import render  # noqa: E402
from ros_depthnet.learning.still_box.scene import (  # noqa: E402
    Preset,
    Scene,
    SceneBuilder,
    random_scene,
    rotation,
)
from ros_depthnet.learning.still_box.textures import TextureAtlas  # noqa: E402
from ros_depthnet.learning.still_box.truth import contours, moving, normals_cam, optical_flow  # noqa: E402

HEIGHT, WIDTH = 96, 128
FOCAL, CX, CY = 80.0, 63.5, 47.5
K = torch.tensor([[FOCAL, 0, CX], [0, FOCAL, CY], [0, 0, 1]])
V, U = np.mgrid[:HEIGHT, :WIDTH]
RAYS = np.stack([(U - CX) / FOCAL, (V - CY) / FOCAL, np.ones((HEIGHT, WIDTH))], -1)


@pytest.fixture(scope='module')
def atlas():
    return TextureAtlas(procedural=8, photo_tiles=0)


def render_two(scene, atlas, step, R_step=None, times=(0.0, 0.0), samples=1):
    """Render from a turned first view and a second one, `step` metres from it in world axes."""
    R = rotation(0.2, -0.1, 0.05)
    rotations = np.stack([R, R if R_step is None else R @ R_step])
    return render(
        scene,
        atlas,
        K,
        HEIGHT,
        WIDTH,
        torch.tensor(np.stack([np.zeros(3), step]), dtype=torch.float32),
        torch.tensor(rotations, dtype=torch.float32),
        samples,
        torch.tensor(times),
    )


def points_cam(rendering, view):
    """Return what a view sees, (H, W, 3) in its frame; sky far away."""
    return RAYS * rendering.depth[view].double().clamp_max(1e5).numpy()[..., None]


def to_world(rendering, view, points):
    R = rendering.views.rotation_world_cam[view].double().numpy()
    return points @ R.T + rendering.views.origins[view].double().numpy()


def project(rendering, view, points_world):
    R = rendering.views.rotation_world_cam[view].double().numpy()
    x, y, z = np.moveaxis((points_world - rendering.views.origins[view].double().numpy()) @ R, -1, 0)
    return np.stack([FOCAL * x / z + CX, FOCAL * y / z + CY], -1), z


def well_inside(rendering, view):
    """Pixels whose 3 x 3 neighbourhood is one solid."""
    solid = rendering.solid[view].numpy().astype(np.float32)
    box = np.ones((3, 3))
    return (cv2.dilate(solid, box) == cv2.erode(solid, box)) & (solid >= 0)


@pytest.mark.parametrize('preset', list(Preset))
def test_normals_are_across_the_differences_of_the_depth(preset, atlas):
    """On every solid: neighbouring points of the depth map lie in the surface that the normal is across."""
    scene = random_scene(preset, np.random.default_rng(5), atlas.count)
    rendering = render_two(scene, atlas, [0.1, 0, 0])
    normals, points = normals_cam(rendering, 0).numpy().astype(float), points_cam(rendering, 0)
    across = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    across *= np.where((across * RAYS).sum(-1) > 0, -1, 1)[..., None]
    sure = well_inside(rendering, 0)
    agreement = np.abs((normals * across).sum(-1))[sure]
    assert sure.mean() > 0.2
    assert np.median(agreement) > 0.9995
    assert (agreement > 0.97).mean() > 0.9  # differences fail on edges of boxes and where curves are small
    assert np.isnan(normals).all(-1).tolist() == (rendering.solid[0] < 0).tolist()
    met = rendering.solid[0].numpy() >= 0
    assert np.allclose(np.linalg.norm(normals[met], axis=-1), 1, atol=1e-5)
    assert ((normals * RAYS).sum(-1)[met] <= 1e-6).all()


def test_a_wall_has_the_normal_it_was_built_with(atlas):
    builder = SceneBuilder(np.random.default_rng(0), atlas.count, 1.0)
    wall = rotation(0.4, 0.1)
    builder.add(Kind.BOX, (0, 0, 6), (30, 30, 0.1), wall)
    rendering = render_two(builder.build('cpu'), atlas, [0.1, 0, 0])
    expected = -(rendering.views.rotation_world_cam[0].double().numpy().T @ wall[:, 2])
    assert np.allclose(normals_cam(rendering, 0).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize('preset', list(Preset))
def test_flow_is_where_the_seen_points_come_to_lie(preset, atlas):
    """Camera turning and moving: back-projection, world, projection, in another library and precision."""
    scene = random_scene(preset, np.random.default_rng(6), atlas.count)
    rendering = render_two(scene, atlas, [0.2, -0.05, 0.3], rotation(0.03, 0.02, -0.02))
    for a, b in ((0, 1), (1, 0)):
        met = rendering.solid[a].numpy() >= 0
        pixels, z = project(rendering, b, to_world(rendering, a, points_cam(rendering, a)))
        flow = optical_flow(rendering, a, b).numpy()
        expected = pixels - np.stack([U, V], -1)
        seen = met & (z > 0.05)
        assert np.abs(flow - expected)[seen].max() < 2e-2 * max(1, np.abs(expected[seen]).max() / 1000)
        assert np.isnan(flow[met & (z < 0)]).all()


def test_flow_of_the_sky_is_that_of_the_rotation(atlas):
    scene = random_scene(Preset.FOREST, np.random.default_rng(6), atlas.count)
    turn = rotation(0.05, 0.02)
    rendering = render_two(scene, atlas, [0.5, 0, 0.5], turn)
    sky = rendering.solid[0].numpy() < 0
    H = K.double().numpy() @ turn.T @ np.linalg.inv(K.double().numpy())
    moved = cv2.perspectiveTransform(np.stack([U, V], -1).reshape(1, -1, 2).astype(float), H)
    expected = moved.reshape(HEIGHT, WIDTH, 2) - np.stack([U, V], -1)
    assert sky.mean() > 0.05
    assert np.abs(optical_flow(rendering, 0, 1).numpy() - expected)[sky].max() < 1e-3


def residuals(rendering):
    """Return |warped source - reference| and the same unwarped, where both views see the same surface."""
    flow = optical_flow(rendering, 0, 1).numpy()
    reference, source = rendering.images.permute(0, 2, 3, 1).numpy()
    u, v = (flow[..., i] + base.astype(np.float32) for i, base in enumerate((U, V)))
    warped = cv2.remap(source, u, v, cv2.INTER_LINEAR)
    back = cv2.remap(optical_flow(rendering, 1, 0).numpy(), u, v, cv2.INTER_NEAREST)
    same = np.linalg.norm(flow + back, axis=-1) < 0.5 + 0.02 * np.linalg.norm(flow, axis=-1)
    same &= (u > 1) & (v > 1) & (u < WIDTH - 2) & (v < HEIGHT - 2)
    same = cv2.erode(same.astype(np.uint8), np.ones((3, 3))) > 0
    return np.abs(warped - reference).mean(-1), np.abs(source - reference).mean(-1), same


@pytest.mark.parametrize('preset', [preset for preset in Preset if preset not in LIT_BY_THE_CAMERA])
def test_one_frame_warped_by_the_flow_is_the_other_off_occlusions(preset, atlas):
    scene = random_scene(preset, np.random.default_rng(5), atlas.count)
    rendering = render_two(scene, atlas, [0.05, 0.02, 0.1], rotation(0.02, -0.01, 0.02), samples=6)
    residual, unmoved, same = residuals(rendering)
    assert same.mean() > 0.2
    assert np.median(residual[same]) < 0.012
    assert residual[same].mean() < 0.6 * unmoved[same].mean() + 0.004


def crossing(atlas, velocity):
    """A ball in front of a wall that moves by itself, in metres a second."""
    builder = SceneBuilder(np.random.default_rng(1), atlas.count, 1.0)
    builder.add(Kind.BOX, (0, 0, 9), (30, 30, 1), period=4.0)
    still = builder.build('cpu')
    ball = SceneBuilder(np.random.default_rng(2), atlas.count, 1.0)
    ball.add(Kind.ELLIPSOID, (0.4, -0.2, 4), (1, 1.2, 1), period=2.0)
    solids, surface = ball.placed('cpu', [velocity])
    return Scene(still.solids + solids, still.surface + surface, still.light)


def test_a_moving_thing_is_where_its_velocity_takes_it(atlas):
    velocity, seconds = np.array([1.0, -0.5, 0.8]), 0.7
    moved = render_two(crossing(atlas, velocity), atlas, [0.1, 0, 0.2], times=(0.0, seconds))
    later = crossing(atlas, velocity)
    later.solids.centre[1] += torch.tensor(velocity * seconds, dtype=torch.float32)
    there = render_two(later, atlas, [0.1, 0, 0.2])
    assert torch.allclose(moved.depth[1], there.depth[1], rtol=1e-5)
    assert torch.equal(moving(moved, 1), moved.solid[1] == 1) and moving(moved, 1).any()
    ball = moving(moved, 0).numpy()
    points = to_world(moved, 0, points_cam(moved, 0)) + velocity * seconds * ball[..., None]
    expected = project(moved, 1, points)[0] - np.stack([U, V], -1)
    flow = optical_flow(moved, 0, 1).numpy()
    assert np.abs(flow - expected).max() < 1e-2
    stands = optical_flow(render_two(crossing(atlas, np.zeros(3)), atlas, [0.1, 0, 0.2]), 0, 1).numpy()
    assert np.abs(flow - stands)[~ball].max() < 1e-3 and np.abs(flow - stands)[ball].min() > 1


def test_the_flow_of_a_moving_thing_carries_its_texture(atlas):
    scene = crossing(atlas, [0.8, 0.0, 0.3])
    rendering = render_two(scene, atlas, [0.05, 0.02, 0.1], times=(0.0, 0.2), samples=6)
    residual, unmoved, same = residuals(rendering)
    ball = moving(rendering, 0).numpy() & same
    assert ball.mean() > 0.05
    assert residual[ball].mean() < 0.35 * unmoved[ball].mean()


def test_contours_are_where_a_box_ends_and_between_its_faces_and_nowhere_else(atlas):
    """A cube of 2 m, 6 m ahead on the right and turned by 45 degrees, before the sky: two faces meet in a crease."""
    builder = SceneBuilder(np.random.default_rng(0), atlas.count, 1.0)
    builder.add(Kind.BOX, (1, 0, 6), (1, 1, 1), rotation(np.pi / 4, 0))
    rendering = render(builder.build('cpu'), atlas, K, HEIGHT, WIDTH, torch.zeros(1, 3))
    found, solid = contours(rendering, 0).numpy(), rendering.solid[0].numpy() >= 0
    outline = solid & (cv2.erode(solid.astype(np.uint8), np.ones((3, 3))) == 0)
    crease = round(CX + FOCAL * 1.0 / (6 - np.sqrt(2)))
    expected = outline.copy()
    expected[:, crease - 1 : crease + 2] |= solid[:, crease - 1 : crease + 2]
    assert found[outline].mean() > 0.8
    assert found[:, crease - 1 : crease + 2].any(1)[solid.any(1)].mean() > 0.95
    assert not found[~expected].any()
