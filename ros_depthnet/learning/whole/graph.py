"""The parts of the whole graph, before and after the network, with the names by which `engines.whole` joins them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from ros_depthnet.core import refine
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.core.resampling import matrices
from ros_depthnet.learning.onnx_graph import shorten, traced
from ros_depthnet.learning.whole.alignment import correction
from ros_depthnet.learning.whole.deviation import geometric_deviation, joined_deviation
from ros_depthnet.learning.whole.resampling import grey_of, resamplings_of
from ros_depthnet.learning.whole.rotation import corrected
from ros_depthnet.learning.whole.stabilising import stabilised
from ros_depthnet.learning.whole.views import Intrinsics, displacements
from ros_depthnet.whole_files import write_file

ROUNDS = EstimatorOptions().alignment_rounds
_OPSET = 17
_GREY_LEVEL = 1 / 255


class Before(nn.Module):
    """
    From images as they were taken to what parallaxnet takes.

    `images` (1 + S, h, w, 4) uint8, RGB and 1 where the scene is seen, the reference first, then the sources, the
    longest displacement first; `details` (1 + S + F, H, W, 4) likewise, with more pixels and F further sources, of
    which alignment alone takes notice; `odometry` (S + F, 4, 4), T_srcs_ref as odometry has it; `camera` (4,), fx,
    fy, cx, cy at the size of images; `corners` (P, 3), pixels x, y of details that can be found again and 1, or 0 if
    there is none; `rotation_noise` (), radians, positive.
    """

    outputs = ('reference', 'sources', 'valid', 'displacements', 'intrinsics', 'T_srcs_ref')

    def forward(self, images, details, odometry, camera, corners, rotation_noise):
        """Return parallaxnet's inputs, and T_srcs_ref with the rotation that the images show."""
        intrinsics = Intrinsics(camera)
        details, images = (each.float().permute(0, 3, 1, 2) for each in (details, images))
        detailed = intrinsics.resized(images.shape[-2:], details.shape[-2:])
        greys = grey_of(details[:, :3])
        T_srcs_ref = corrected(greys[:1], greys[1:], details[1:, 3], odometry, detailed, corners, rotation_noise)
        near = T_srcs_ref[: images.shape[0] - 1]
        sources, valid = stabilised(images[1:], near, intrinsics)
        ways = displacements(near)
        return (
            images[:1, :3] * _GREY_LEVEL,
            sources[None] * _GREY_LEVEL,
            valid[None, :, None],
            (ways / ways[0].square().sum().sqrt())[None],
            camera[None],
            T_srcs_ref,
        )


class After(nn.Module):
    """
    From what parallaxnet answers to metres and their deviation.

    As in `Before`, and: `weights` (S + F,), 0 for sources that alignment does not count; `deviation_scale` () of the
    model's card; `matching_noise` () pixels; `position_noise` () metres; `parallax` (2,), least and most that is
    relied upon, pixels; the matrices of `core.resampling`.
    """

    inputs = (
        'log_parallax',
        'log_deviation',
        'valid',
        'T_srcs_ref',
        'details',
        'camera',
        'weights',
        'deviation_scale',
        'matching_noise',
        'position_noise',
        'parallax',
    )
    outputs = ('depth', 'deviation')

    def __init__(self, rounds: int = ROUNDS):
        super().__init__()
        self._rounds = rounds

    def forward(
        self,
        log_parallax,
        log_deviation,
        valid,
        T_srcs_ref,
        details,
        camera,
        weights,
        deviation_scale,
        matching_noise,
        position_noise,
        parallax,
        **resampling,
    ):
        """Return depth (h, w), metres, and the deviation (h, w) of its logarithm."""
        intrinsics = Intrinsics(camera)
        details = details.float().permute(0, 3, 1, 2)
        near = T_srcs_ref[: valid.shape[1]]
        unit = displacements(near)[0].square().sum().sqrt()
        inverse = log_parallax[0].exp() / (camera[0] * unit)
        deviation = deviation_scale * log_deviation[0].exp()
        detailed = intrinsics.resized(log_parallax.shape[-2:], details.shape[-2:])
        correct_by = correction(
            inverse,
            deviation,
            details,
            T_srcs_ref,
            weights,
            detailed,
            self._rounds,
            resamplings_of(resampling),
        )
        depth = (-correct_by).exp() / inverse
        geometric = geometric_deviation(depth, valid[0, :, 0], near, intrinsics, matching_noise)
        return depth, joined_deviation(deviation, depth, geometric, unit, intrinsics, parallax, position_noise)


def export_parts(folder: Path) -> None:
    """Write `before.onnx` and `after.onnx`, in which sizes and the numbers of sources are free."""
    parts: list[Before | After] = [Before(), After()]
    for module, (name, example) in zip(parts, part_examples().items(), strict=True):
        _export(module, {key: torch.from_numpy(value) for key, value in example.items()}, folder / f'{name}.onnx')


def part_examples() -> dict[str, dict[str, np.ndarray]]:
    """Return inputs of both parts, of other sizes than most."""
    before = _example()
    with torch.no_grad():
        known = {**before, **dict(zip(Before.outputs, Before()(**before))), **_example_after()}
    shape = known['reference'].shape
    known['log_parallax'] = torch.full((1, *shape[2:]), 1.5)
    known['log_deviation'] = known['log_parallax'] - 4
    names = [*After.inputs, *(name for name in known if name.endswith(('_rows', '_columns')))]
    after = {name: known[name] for name in names}
    return {
        part: {name: value.numpy() for name, value in example.items()}
        for part, example in (('before', before), ('after', after))
    }


_SIZE, _DETAIL, _NEAR, _FAR = (128, 96), (181, 135), 2, 2


def _example() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def images(count, size):
        return torch.randint(1, 255, (count, *size[::-1], 4), generator=generator, dtype=torch.uint8)

    odometry = torch.eye(4).repeat(_NEAR + _FAR, 1, 1)
    odometry[:, 0, 3] = torch.tensor([0.3, 0.2, 0.4, 0.5])
    corners = 20 + 80 * torch.rand(refine.POINTS, 3, generator=generator)
    corners[:, 2] = 1
    return {
        'images': images(1 + _NEAR, _SIZE),
        'details': images(1 + _NEAR + _FAR, _DETAIL),
        'odometry': odometry,
        'camera': torch.tensor([100.0, 100.0, 63.5, 47.5]),
        'corners': corners,
        'rotation_noise': torch.tensor(0.0005),
    }


def _example_after() -> dict[str, torch.Tensor]:
    numbers = {'deviation_scale': 0.5, 'matching_noise': 0.1, 'position_noise': 0.005}
    return {
        **{name: torch.tensor(value) for name, value in numbers.items()},
        'weights': torch.ones(_NEAR + _FAR),
        'parallax': torch.tensor([1.0, 60.0]),
        **{name: torch.from_numpy(matrix) for name, matrix in matrices(_SIZE, _DETAIL).items()},
    }


def _axes(name: str) -> dict[int, str]:
    """Return which axes of a tensor are free, by what they are called."""
    if name.endswith(('_rows', '_columns')):
        what, _, side = name.rpartition('_')
        to, _, of = what.partition('_of_')
        return {0: f'{side}_of_{to}', 1: f'{side}_of_{of or to}'}
    return {
        'images': {0: 'views', 1: 'height', 2: 'width'},
        'details': {0: 'all_views', 1: 'detail_height', 2: 'detail_width'},
        'odometry': {0: 'all_sources'},
        'T_srcs_ref': {0: 'all_sources'},
        'weights': {0: 'all_sources'},
        'reference': {2: 'height', 3: 'width'},
        'sources': {1: 'sources', 3: 'height', 4: 'width'},
        'valid': {1: 'sources', 3: 'height', 4: 'width'},
        'displacements': {1: 'sources'},
        'log_parallax': {1: 'height', 2: 'width'},
        'log_deviation': {1: 'height', 2: 'width'},
        'depth': {0: 'height', 1: 'width'},
        'deviation': {0: 'height', 1: 'width'},
    }.get(name, {})


def _export(module: Before | After, example: dict[str, torch.Tensor], path: Path) -> None:
    model = traced(
        _Named(module, tuple(example)).eval(),
        tuple(example.values()),
        input_names=list(example),
        output_names=list(module.outputs),
        dynamic_axes={name: axes for name in (*example, *module.outputs) if (axes := _axes(name))},
        opset_version=_OPSET,
    )
    shorten(model)
    write_file(path, model.SerializeToString())


class _Named(nn.Module):
    """A module that is called with tensors in an order, as exporting does."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]):
        super().__init__()
        self._module, self._names = module, names

    def forward(self, *tensors):
        return self._module(**dict(zip(self._names, tensors)))


if __name__ == '__main__':
    from ros_depthnet.resources import share_path

    export_parts(share_path('models', 'whole'))
