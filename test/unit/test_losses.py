"""What teaches without truth, against slow and obvious versions, and on scenes whose answer is known."""

import dataclasses
import itertools
import math

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.core.motion import inverse, pose  # noqa: E402
from ros_depthnet.learning.augment import AugmentOptions  # noqa: E402
from ros_depthnet.learning.dataset import SHARD, RenderedFlights  # noqa: E402
from ros_depthnet.learning.losses.hybrid import flowing_to, moving_share  # noqa: E402
from ros_depthnet.learning.losses.photometric import difference, exposed_alike, least, moves, ssim  # noqa: E402
from ros_depthnet.learning.losses.priors import smoothness  # noqa: E402
from ros_depthnet.learning.losses.reconstruction import Photometric, Views, still_share, unlike  # noqa: E402
from ros_depthnet.learning.losses.reprojection import occluded, reprojected, sampled, stabilised_motion  # noqa: E402
from ros_depthnet.learning.networks.parallaxnet import ParallaxNetConfig, to_q  # noqa: E402
from ros_depthnet.learning.self_supervised_parallax_task import (  # noqa: E402
    SelfSupervisedParallaxTask,
    depth_of,
    swept,
)
from ros_depthnet.learning.still_box.flights import flight  # noqa: E402
from ros_depthnet.learning.still_box.options import FlightOptions  # noqa: E402
from ros_depthnet.learning.still_box.textures import TextureAtlas  # noqa: E402
from ros_depthnet.learning.task import Stage  # noqa: E402

RNG = np.random.default_rng(0)
INTRINSICS = torch.tensor([[30.0, 32.0, 15.0, 11.0]])


def noise(*shape, blur=1.0):
    """Return smooth random images (B, C, H, W) in 0..1."""
    image = RNG.uniform(size=shape)
    for plane in image.reshape(-1, *shape[-2:]):
        plane[:] = cv2.GaussianBlur(plane, (0, 0), blur)
    return torch.from_numpy((image - image.min()) / (image.max() - image.min())).float()


# Reprojection.


def test_a_pixel_is_projected_as_by_hand():
    depth = torch.from_numpy(RNG.uniform(2, 9, (1, 24, 32))).float()
    T = pose(cv2.Rodrigues(np.array([0.1, -0.05, 0.2]))[0], [0.3, -0.2, 0.5])
    pixels, depth_src = reprojected(depth, torch.from_numpy(T[None]).float(), INTRINSICS)
    fx, fy, cx, cy = INTRINSICS[0].tolist()
    for v, u in ((0, 0), (5, 20), (23, 31)):
        z = float(depth[0, v, u])
        x, y, z = (T @ [(u - cx) / fx * z, (v - cy) / fy * z, z, 1])[:3]
        assert depth_src[0, v, u].item() == pytest.approx(z, rel=1e-5)
        assert pixels[0, v, u].tolist() == pytest.approx([fx * x / z + cx, fy * y / z + cy], rel=1e-4)


def test_what_is_sampled_is_bilinear_and_says_what_is_outside():
    image = noise(1, 2, 6, 8)
    values, inside = sampled(image, torch.tensor([[[[2.25, 3.5], [7.0, 5.0], [-0.1, 2.0], [3.0, 5.2]]]]))
    expected = 0.5 * (0.75 * image[0, :, 3, 2] + 0.25 * image[0, :, 3, 3]) + 0.5 * (
        0.75 * image[0, :, 4, 2] + 0.25 * image[0, :, 4, 3]
    )
    torch.testing.assert_close(values[0, :, 0, 0], expected)
    torch.testing.assert_close(values[0, :, 0, 1], image[0, :, 5, 7])
    assert inside[0, 0].tolist() == [True, True, False, False]


def test_what_something_nearer_hides_is_occluded():
    # A post at 2 m before a wall at 10 m; the source is two thirds of a metre to the right.
    depth_ref, depth_src = torch.full((1, 24, 32), 10.0), torch.full((1, 24, 32), 10.0)
    depth_ref[..., 14:18] = 2.0
    depth_src[..., 4:8] = 2.0  # 30 px * .67 m / 2 m = 10 px to the left; the wall goes 2 px
    hidden = occluded(depth_ref, depth_src, stabilised_motion(torch.tensor([[-2 / 3, 0.0, 0.0]])), INTRINSICS)
    assert hidden[0].all(0).nonzero()[:, 0].tolist() == [6, 7, 8, 9]
    assert hidden[0].any(0).sum() == 4


# How unlike images are.


def test_ssim_is_that_of_every_window_by_itself():
    one, other = noise(1, 1, 7, 9), noise(1, 1, 7, 9)
    found = ssim(one, other)[0, 0]
    window = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    a, b = (np.pad(image[0, 0].numpy(), 1, mode='edge').astype(float) for image in (one, other))
    for y in range(7):
        for x in range(9):
            p, q = a[y : y + 3, x : x + 3], b[y : y + 3, x : x + 3]
            m, n = (window * p).sum(), (window * q).sum()
            s, t = (window * (p - m) ** 2).sum(), (window * (q - n) ** 2).sum()
            c = (window * (p - m) * (q - n)).sum()
            expected = (2 * m * n + 1e-4) * (2 * c + 9e-4) / ((m * m + n * n + 1e-4) * (s + t + 9e-4))
            assert found[y, x].item() == pytest.approx(expected, abs=1e-4)


def test_an_image_is_like_itself_and_unlike_its_negative():
    image = noise(1, 3, 12, 16)
    assert difference(image, image).abs().max() < 1e-6
    assert difference(image, 1 - image).mean() > 0.3


def test_ssim_weight_mixes_the_two_differences():
    one, other = noise(1, 3, 8, 8), noise(1, 3, 8, 8)
    absolute, structure = difference(one, other, 0.0), difference(one, other, 1.0)
    torch.testing.assert_close(absolute, (one - other).abs().mean(1))
    torch.testing.assert_close(difference(one, other, 0.3), 0.3 * structure + 0.7 * absolute)


def test_another_exposure_is_no_difference():
    image = noise(2, 3, 12, 16)
    weight = torch.ones(2, 12, 16)
    weight[:, :, :4] = 0
    darker = 0.5 * image + 0.1
    darker[..., :4] = 5.0  # where nothing is seen nothing is learned from
    found = exposed_alike(darker, image, weight)[..., 4:]
    torch.testing.assert_close(found, image[..., 4:], atol=1e-4, rtol=0)


def test_the_least_over_those_that_see_counts():
    differences = torch.tensor([[[[0.5, 0.2, 0.9]], [[0.1, 0.4, 0.8]]]])
    seen = torch.tensor([[[[True, True, False]], [[False, True, False]]]])
    found, any_sees = least(differences, seen)
    assert found[0, 0].tolist() == pytest.approx([0.5, 0.2, 0.0])
    assert any_sees[0, 0].tolist() == [True, True, False]


def test_what_is_as_alike_unmoved_teaches_nothing():
    assert moves(torch.tensor([0.1, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.2])).tolist() == [True, False, False]


# Priors.


def test_planes_are_smooth_and_bends_are_not_unless_the_image_has_an_edge():
    x = torch.arange(16.0).expand(1, 12, 16)
    plane, bent = 0.1 + 0.02 * x, 0.1 + 0.02 * (x - 8).abs()
    plain, edged = torch.full((1, 3, 12, 16), 0.5), torch.full((1, 3, 12, 16), 0.5)
    edged[..., 8:] = 1.0
    assert smoothness(plane, plain) < 1e-10
    # One second difference of .04 in each row of fourteen.
    assert smoothness(bent, plain).item() == pytest.approx(0.04**2 / 14, rel=1e-4)
    assert smoothness(bent, edged) < 1e-6 * smoothness(bent, plain)


# Tasks.

WIDTH, HEIGHT = 96, 64


def wall_views(rho=6.0, sources=2):
    """Return views of a wall at a lateral parallax, passed sideways: half of it for the second source."""
    reference = noise(1, 3, HEIGHT, WIDTH, blur=1.5)
    shares = [1.0, 0.5][:sources]
    images = torch.stack([reference.roll(round(rho * share), -1) for share in shares], 1)
    valid = torch.ones(1, sources, 1, HEIGHT, WIDTH)
    valid[..., : math.ceil(rho)] = 0
    displacements = torch.tensor([[[share, 0.0, 0.0] for share in shares]])
    return Views.stabilised(reference, images, valid, displacements, torch.tensor([[80.0, 80.0, 47.5, 31.5]]))


@pytest.mark.parametrize('exposure', [1.0, 0.7])
def test_images_are_most_alike_at_the_true_parallax(exposure):
    views = wall_views()
    views = dataclasses.replace(views, sources=views.sources * exposure)
    tried = torch.tensor([3.0, 5.0, 6.0, 7.0, 9.0])
    found = [unlike(views, depth_of(rho.expand(1, HEIGHT, WIDTH), views), Photometric()).item() for rho in tried]
    assert int(np.argmin(found)) == 2 and found[2] < 0.3 * min(found[1], found[3])


def test_the_sweep_costs_least_at_the_true_hypothesis():
    hypotheses = to_q(torch.tensor([1.0, 3.0, 6.0, 10.0, 16.0]))
    costs = swept(wall_views(), hypotheses, Photometric())
    assert costs.shape == (1, 5, HEIGHT // 8, WIDTH // 8)
    assert (costs.argmin(1) == 2).float().mean() > 0.95


def test_a_gradient_leads_to_the_true_parallax():
    views = wall_views()
    log_rho = torch.full((1, 1, 1), math.log(4.8), requires_grad=True)
    optimiser = torch.optim.Adam([log_rho], 0.03)
    for _ in range(25):
        optimiser.zero_grad()
        unlike(views, depth_of(log_rho.exp().expand(1, HEIGHT, WIDTH), views), Photometric()).backward()
        optimiser.step()
    assert log_rho.exp().item() == pytest.approx(6.0, rel=0.04)


def test_what_stands_still_is_left_out_only_if_asked_to():
    views = wall_views()
    still = views.reference[:, None].repeat(1, 2, 1, 1, 1)
    views = dataclasses.replace(views, sources=still, valid=torch.ones_like(views.valid))
    depth = depth_of(torch.full((1, HEIGHT, WIDTH), 6.0), views)
    assert unlike(views, depth, Photometric()) > 0.1
    asked = unlike(views, depth, Photometric(leave_out_still=True))
    assert asked < 0.05 * unlike(views, depth, Photometric())


def test_what_is_hidden_from_every_source_teaches_nothing():
    views, depth = wall_views(), torch.full((1, HEIGHT, WIDTH), 40.0)
    hidden = torch.zeros(1, 2, HEIGHT, WIDTH, dtype=torch.bool)
    wrong = unlike(views, depth, Photometric())
    hidden[..., WIDTH // 2 :] = True
    assert unlike(views, depth, Photometric(), hidden) == pytest.approx(float(wrong), rel=0.3)
    hidden[:] = True
    assert unlike(views, depth, Photometric(), hidden) == 0


# What moves by itself.


def test_what_moves_is_what_disagrees_more_than_the_better_half_of_an_image():
    disagreement = torch.from_numpy(RNG.normal(0.02, 0.05, (2, 9, 12))).float()
    disagreement[1, 3:6, 4:8] += 0.6
    counts = torch.from_numpy(RNG.uniform(size=(2, 9, 12)) < 0.8)
    found = moving_share(disagreement, counts)
    for image, valid, shares in zip(disagreement.numpy(), counts.numpy(), found.numpy()):
        values = sorted(float(value) for value, known in zip(image.ravel(), valid.ravel()) if known)
        middle = values[(len(values) - 1) // 2]
        below = sorted(middle - value for value in values if value < middle)
        deviation = max(below[(len(below) - 1) // 2] / 0.6745, 0.01)
        for value, known, share in zip(image.ravel(), valid.ravel(), shares.ravel()):
            expected = 1 / (1 + math.exp(3 - (float(value) - middle) / deviation)) if known else 0
            assert share == pytest.approx(expected, abs=1e-5)


def test_depth_that_is_wrong_everywhere_still_learns_nearly_everywhere():
    disagreement = torch.from_numpy(RNG.normal(0.5, 0.1, (1, 40, 50))).float()
    assert moving_share(disagreement, torch.ones(1, 40, 50, dtype=torch.bool)).mean() < 0.15


def test_flow_leads_to_where_images_went():
    reference = noise(1, 3, HEIGHT, WIDTH, blur=2)
    sources = torch.stack([reference.roll((2, -5), (-2, -1)), reference], 1)
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing='ij')
    here = torch.stack([x, y], -1).float().expand(1, 2, HEIGHT, WIDTH, 2)
    moved = flowing_to(reference, sources, here) - here
    inner = moved[0, :, 12:-12, 12:-12].flatten(1, 2).median(1).values
    assert inner[0].tolist() == pytest.approx([-5, 2], abs=0.2) and inner[1].tolist() == pytest.approx([0, 0], abs=0.2)


@pytest.fixture(scope='module')
def crossed():
    """Return views of a street that something crosses, with true depth, and where it is."""
    options = FlightOptions(
        'street', seed=3, seconds=1.0, crossing=3.0, width=96, height=64, field_of_view=60, samples=1
    )
    moments = list(itertools.islice(flight(options, TextureAtlas(procedural=8, photo_tiles=0)), 5))
    now, before = moments[4], (moments[3], moments[1])
    camera = now.frame.camera
    images = [torch.from_numpy(each.frame.image).permute(2, 0, 1)[None].float() / 255 for each in (now, *before)]
    T_srcs_ref = np.stack([inverse(each.frame.T_world_cam) @ now.frame.T_world_cam for each in before])
    views = Views(
        images[0],
        torch.stack(images[1:], 1),
        torch.ones(1, 2, 1, 64, 96),
        torch.from_numpy(T_srcs_ref[None]).float(),
        torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]]).float(),
    )
    depth = torch.from_numpy(np.minimum(now.depth_hw, 500)[None]).float()
    return views, depth, torch.from_numpy(now.moving_hw[None])


def test_with_true_depth_what_moves_disagrees_and_the_rest_does_not(crossed):
    views, depth, moving = crossed
    share = still_share(views, depth, Photometric())
    assert share[moving].mean() < 0.5 and share[~moving].mean() > 0.85


def test_what_moves_teaches_no_depth_if_asked_to(crossed):
    views, depth, moving = crossed

    def pull(options):
        log_depth = depth.log().requires_grad_()
        unlike(views, log_depth.exp(), options).backward()
        return log_depth.grad.abs()

    asked, blind = pull(Photometric(leave_out_moving=True)), pull(Photometric())
    assert asked[moving].mean() / asked[~moving].mean() < 0.5 * blind[moving].mean() / blind[~moving].mean()


@pytest.fixture(scope='module')
def flights():
    """Return flights sideways past textured walls, 6 to 12 m away, .15 m and one to two pixels a frame."""
    images, depth, intrinsics, positions = [], [], [], []
    for number in range(SHARD):
        step = 1 + number % 2
        texture = (255 * noise(1, 3, 64, 64, blur=1.5)[0].permute(1, 2, 0).numpy()).astype(np.uint8)
        images.append(np.stack([np.roll(texture, -step * frame, 1) for frame in range(4)]))
        depth.append(np.full((4, 64, 64), 80 * 0.15 / step, np.float16))
        intrinsics.append([80.0, 80.0, 31.5, 31.5])
        positions.append([[0.15 * frame, 0.0, 0.0] for frame in range(4)])
    fields = {'images': images, 'depth': depth, 'intrinsics': intrinsics, 'positions': positions}
    return RenderedFlights(({name: np.array(rows) for name, rows in fields.items()},))


UNSPOILT = AugmentOptions(exposure=0, noise=0, blur=0, grey=0, stabilised=0, rotation_noise=0, direction_noise=0)
SMALL = ParallaxNetConfig(
    hypotheses=16, max_parallax=40, sweep_channels=16, deep_channels=16, fine_channels=(8, 8, 8),
    context_channels=(8, 8, 8),
)  # fmt: skip


def test_no_truth_is_looked_at_and_every_weight_that_answers_learns(flights):
    task = SelfSupervisedParallaxTask(network=SMALL, source_shares=(0.5, 0.5))
    torch.manual_seed(0)
    network = task.build()
    batch = task.draw(flights, Stage(9, (64, 64), 64, batch=2), np.random.default_rng(1))
    batch['parallax'].fill_(math.nan)
    loss = sum(task.loss_terms(network, batch).values())
    loss.backward()
    assert math.isfinite(loss.item())
    silent = {name for name, weight in network.named_parameters() if weight.grad is None}
    assert all(name.startswith('log_scale') for name in silent)
    assert all(weight.grad.isfinite().all() for weight in network.parameters() if weight.grad is not None)


def test_parallaxnet_learns_walls_from_images_and_odometry(flights):
    """From where it knows nothing: what the costs say for themselves is silenced at first."""
    torch.manual_seed(0)
    task = SelfSupervisedParallaxTask(network=SMALL, augment=UNSPOILT, source_shares=(1.0,))
    network = task.build()
    for name, weight in network.named_parameters():
        if '.vote.' in name:
            torch.nn.init.zeros_(weight)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    batch = task.draw(flights, Stage(9, (64, 64), 64, batch=2), np.random.default_rng(1))
    truth = batch['parallax'].log()
    batch['parallax'] = torch.full_like(truth, math.nan)

    def error():
        inputs = {name: value for name, value in batch.items() if name != 'parallax'}
        with torch.no_grad():
            return (network.predict(**inputs).log_parallax - truth).abs().mean()

    before = error()
    for _ in range(20):
        optimiser.zero_grad()
        sum(task.loss_terms(network, batch).values()).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    assert error() < 0.3 * before
