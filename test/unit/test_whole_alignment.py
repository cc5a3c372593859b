"""What is exported for GPUs computes what OpenCV and numpy do on a CPU: planes, alignment, deviation."""

import dataclasses

import cv2
import numpy as np
import plane_world as world
import pytest

torch = pytest.importorskip('torch')

from ros_depthnet.core import motion, photometric, planes, resampling  # noqa: E402
from ros_depthnet.core.frames import Frame, Prediction, Views  # noqa: E402
from ros_depthnet.core.measurer import Measurer, geometric_deviation  # noqa: E402
from ros_depthnet.core.options import EstimatorOptions  # noqa: E402
from ros_depthnet.learning.whole.alignment import correction  # noqa: E402
from ros_depthnet.learning.whole.deviation import geometric_deviation as geometric_deviation_t  # noqa: E402
from ros_depthnet.learning.whole.deviation import joined_deviation  # noqa: E402
from ros_depthnet.learning.whole.planes import towards_planes  # noqa: E402
from ros_depthnet.learning.whole.resampling import blurred, grey_of, halved, resamplings_of, slopes  # noqa: E402
from ros_depthnet.learning.whole.views import Intrinsics  # noqa: E402

RNG = np.random.default_rng(0)
INPUT, DETAIL = (96, 64), (133, 89)  # nothing divides anything


def tensors(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def resamplings(size=INPUT, detail=DETAIL):
    return resamplings_of(tensors(resampling.matrices(size, detail)))


def noise(size, channels=()):
    return RNG.integers(0, 256, (*size[::-1], *channels), np.uint8)


def torch_camera(camera):
    return Intrinsics(torch.tensor([camera.fx, camera.fy, camera.cx, camera.cy], dtype=torch.float32))


def test_grey_levels_pyramids_blurs_and_slopes_are_opencvs():
    rgb = noise(DETAIL, (3,))
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    found = grey_of(torch.from_numpy(rgb).float().permute(2, 0, 1)[None])
    np.testing.assert_array_equal(found[0], grey)
    np.testing.assert_array_equal(halved(found)[0], cv2.pyrDown(grey))
    np.testing.assert_allclose(blurred(found, 2.0)[0], cv2.GaussianBlur(np.float32(grey), (0, 0), 2), atol=1e-3)
    for slope, axes in zip(slopes(found), ((1, 0), (0, 1)), strict=True):
        np.testing.assert_allclose(slope[0], cv2.Scharr(np.float32(grey), cv2.CV_32F, *axes, scale=1 / 32), atol=1e-4)


def test_matrices_resample_as_opencv_does():
    image = RNG.random(DETAIL[::-1], np.float32)
    cells = photometric.cells_of(DETAIL)
    found = {name: lambda array, by=by: by(torch.from_numpy(array)[None])[0] for name, by in resamplings().items()}
    shrunk = cv2.resize(image, cells, interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(found['cells_of_detail'](image), shrunk, atol=1e-6)
    np.testing.assert_allclose(found['detail_of_cells'](shrunk), cv2.resize(shrunk, DETAIL), atol=1e-6)
    np.testing.assert_allclose(
        found['cell_window'](shrunk), cv2.GaussianBlur(shrunk, (0, 0), photometric.WINDOW), atol=1e-6
    )
    column = np.arange(DETAIL[0]) * cells[0] // DETAIL[0] == 7
    row = np.arange(DETAIL[1]) * cells[1] // DETAIL[1] == 5
    assert found['cell_means'](image)[5, 7] == pytest.approx(image[row][:, column].mean(), abs=1e-6)


@pytest.mark.parametrize('detail', [DETAIL, (640, 480)])
def test_planes_are_those_of_the_cpu(detail):
    columns, rows = photometric.cells_of(detail)
    v, u = np.mgrid[:rows, :columns].astype(np.float32)
    ln_inverse = np.log(0.2 + 0.5 * u / columns + 0.2 * v / rows) + np.float32(RNG.normal(0, 0.1, v.shape))
    deviation = np.float32(RNG.uniform(0.003, 1, v.shape))
    grey = np.float32(cv2.GaussianBlur(noise((columns, rows)), (0, 0), 3))
    expected = planes.towards_planes(ln_inverse, deviation, grey)
    found = towards_planes(*map(torch.from_numpy, (ln_inverse, deviation, grey)), resamplings(INPUT, detail))
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-4)


def views_of(*ways, masked=False):
    """Return a plane seen askew, the camera turned and moved, as large as it is rendered."""
    frames = [
        world.frame(world.pose(way, world.turn(0.02 * number, -0.03, 0.05 * number)))
        for number, way in enumerate(((0, 0, 0), *ways))
    ]
    if masked:
        mask = np.zeros((12, 16), bool)
        mask[8:, :5] = True
        frames = [dataclasses.replace(frame, masked_hw=mask) for frame in frames]
    reference, *sources = (dataclasses.replace(frame.resized(96, 64), detail=frame) for frame in frames)
    return Views(
        reference,
        tuple(sources),
        np.stack([motion.inverse(each.T_world_cam) @ reference.T_world_cam for each in sources]),
    )


def seen_images(frames: list[Frame]) -> torch.Tensor:
    planes_ = [np.concatenate([frame.image, frame.seen_hw[..., None]], -1) for frame in frames]
    return torch.from_numpy(np.stack(planes_)).permute(0, 3, 1, 2).float()


def aligned_in_torch(prediction: Prediction, views: Views, rounds: int, weights=None):
    detailed = views.detailed()
    size = views.camera.width, views.camera.height
    detail = detailed.camera.width, detailed.camera.height
    count = len(views.sources)
    by = correction(
        torch.from_numpy(1 / prediction.depth_hw),
        torch.from_numpy(prediction.deviation_hw),
        seen_images([detailed.reference, *detailed.sources]),
        torch.from_numpy(np.float32(views.T_srcs_ref)),
        torch.ones(count) if weights is None else torch.tensor(weights),
        torch_camera(detailed.camera),
        rounds,
        resamplings(size, detail),
    )
    return prediction.depth_hw * np.exp(-by.numpy())


def guess(views: Views) -> Prediction:
    depth = cv2.resize(world.depth(views.reference.T_world_cam), (96, 64)) * 1.04
    deviation = np.float32(RNG.uniform(0.02, 0.3, depth.shape))
    depth[:5, :5] = deviation[30, 30] = np.nan
    depth[6:9, :5] = np.inf
    return Prediction(np.float32(depth), deviation)


@pytest.mark.parametrize('rounds', [1, 3])
@pytest.mark.parametrize('masked', [False, True])
def test_alignment_is_that_of_the_cpu(rounds, masked):
    views = views_of((0.3, 0, 0), (-0.2, 0.1, 0.4), masked=masked)
    prediction = guess(views)
    expected = photometric.aligned(prediction, views.detailed(), rounds).depth_hw
    found = aligned_in_torch(prediction, views, rounds)
    known = np.isfinite(expected)
    assert (known == np.isfinite(found)).all()
    assert np.abs(np.log(expected[known] / prediction.depth_hw[known])).max() > 0.03
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-4)


def test_a_source_without_weight_does_not_count():
    views = views_of((0.3, 0, 0), (-0.2, 0.1, 0.4))
    prediction = guess(views)
    one = Views(views.reference, views.sources[:1], views.T_srcs_ref[:1])
    expected = aligned_in_torch(prediction, one, 3)
    np.testing.assert_allclose(aligned_in_torch(prediction, views, 3, [1.0, 0.0]), expected, rtol=1e-5)
    assert not np.allclose(aligned_in_torch(prediction, views, 3), expected, rtol=1e-3, equal_nan=True)


class Guessing:
    """A model that is asked for nothing but its range."""

    parallax_range = (0.5, 32)


def test_the_deviation_is_that_of_the_cpu():
    views = views_of((0.3, 0, 0), (-0.2, 0.1, 0.4), masked=True)
    prediction = guess(views)
    options = EstimatorOptions(target_parallax=6.0)
    measurer = Measurer(Guessing(), options)
    expected = measurer._with_geometry(prediction, views).deviation_hw
    depth, deviation = map(torch.from_numpy, (prediction.depth_hw, prediction.deviation_hw))
    valid = torch.from_numpy(np.float32(views.valid()))
    T, camera = torch.from_numpy(np.float32(views.T_srcs_ref)), torch_camera(views.camera)
    noise = torch.tensor(options.matching_noise)
    geometric = geometric_deviation_t(depth, valid, T, camera, noise)
    in_metres = geometric_deviation(prediction.depth_hw, views, options.matching_noise)
    finite = np.isfinite(in_metres)
    np.testing.assert_allclose((geometric * depth)[finite], in_metres[finite], rtol=1e-4)
    longest = float(np.linalg.norm(views.displacements, axis=1).max())
    found = joined_deviation(
        deviation,
        depth,
        geometric,
        torch.tensor(longest),
        camera,
        torch.tensor([1.5, 24.0]),
        torch.tensor(options.position_noise),
    )
    known = np.isfinite(expected)
    assert known.mean() > 0.5
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-4)
