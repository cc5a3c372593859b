"""
The time that networks of other kinds take on this machine, beside a model in flight, in one run.

Their weights are random: time does not depend on them, and no depth is looked at. All run in ONNX Runtime, in
single precision, at the sizes they are published with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn

from ros_depthnet.core.camera import Camera
from ros_depthnet.engines.model import load_model
from ros_depthnet.evaluation.bench import in_flight
from ros_depthnet.evaluation.turns import Contender, taken_in_turns
from ros_depthnet.learning.networks.depthnet import DepthNet, DepthNetConfig
from ros_depthnet.learning.networks.multi_view_peer import SOURCES, MultiViewPeer

_OPSET = 17


@dataclass(frozen=True)
class PeerSpeed:
    """Median milliseconds of a call, and how many images of ours in flight, VGA, fit in one; size: (width, height)."""

    method: str
    size: tuple[int, int]
    ms: float
    times_ours: float


class Monocular(nn.Module):
    """
    Depth (B, 1, H, W) of one image (B, 3, H, W), by a ViT-S and a DPT head as in Depth Anything V2 (Yang et al. 2024).

    DINOv2's encoder (Oquab et al. 2023): patches of 14, 12 blocks of width 384 with 6 heads. The head joins the
    3rd, 6th, 9th and 12th block's tokens at 4, 2, 1 and 1/2 times their raster (Ranftl et al. 2021), 64 channels.
    """

    def __init__(self, side: int = 518):
        super().__init__()
        self._cells = side // 14
        self.patches = nn.Conv2d(3, 384, 14, 14)
        self.first = nn.Parameter(torch.zeros(1, 1, 384))
        self.places = nn.Parameter(torch.zeros(1, self._cells**2 + 1, 384))
        self.blocks = nn.ModuleList(_Block(384, 6) for _ in range(12))
        self.norm = nn.LayerNorm(384)
        widths = (48, 96, 192, 384)
        self.project = nn.ModuleList(nn.Conv2d(384, width, 1) for width in widths)
        self.resize = nn.ModuleList(
            [
                nn.ConvTranspose2d(48, 48, 4, 4),
                nn.ConvTranspose2d(96, 96, 2, 2),
                nn.Identity(),
                nn.Conv2d(384, 384, 3, 2, 1),
            ]
        )
        self.join = nn.ModuleList(nn.Conv2d(width, 64, 3, 1, 1, bias=False) for width in widths)
        self.refine = nn.ModuleList(nn.ModuleList([_Residual(64), _Residual(64), nn.Conv2d(64, 64, 1)]) for _ in widths)
        self.narrow, self.answer = (
            nn.Conv2d(64, 32, 3, 1, 1),
            nn.Sequential(nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 1, 1), nn.ReLU()),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return depth up to scale and shift."""
        tokens = self.patches(image).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(image), -1, -1), tokens], 1) + self.places
        levels = []
        for number, block in enumerate(self.blocks, 1):
            tokens = block(tokens)
            if number % 3 == 0:
                levels.append(self.norm(tokens)[:, 1:].transpose(1, 2).unflatten(2, (self._cells, self._cells)))
        levels = [
            join(resize(project(level)))
            for join, resize, project, level in zip(self.join, self.resize, self.project, levels)
        ]
        path = None
        for level, (skip, residual, out) in zip(levels[::-1], self.refine):
            if path is not None:
                level = F.interpolate(path, level.shape[2:], mode='bilinear', align_corners=True) + skip(level)
            path = out(F.interpolate(residual(level), scale_factor=2, mode='bilinear', align_corners=True))
        return self.answer(F.interpolate(self.narrow(path), image.shape[2:], mode='bilinear', align_corners=True))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self._heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = self.mix(self.norms[0](tokens)).unflatten(2, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        attended = torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, -1) @ value
        tokens = tokens + self.out(attended.transpose(1, 2).flatten(2))
        return tokens + self.think(self.norms[1](tokens))


class _Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.convolve = nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.convolve(features)


def peer_speeds(
    model_name: str, threads: int, seconds: float, folder: Path, progress: Callable[[str], None]
) -> list[PeerSpeed]:
    """Time peers beside a model in flight; seconds: for each, at least. folder: for their ONNX files."""
    torch.manual_seed(0)
    networks = {
        "DepthNet of FlowNetS' size": (DepthNet(DepthNetConfig(width=2.0)), (torch.rand(1, 6, 288, 384),)),
        'ViT-S monocular': (Monocular(), (torch.rand(1, 3, 518, 518),)),
        'plane-sweep multi-view, 8 images': (MultiViewPeer(), passed_by(384, 512)),
    }
    model = load_model(model_name, threads=threads)
    images = Camera(640, 480, 576, 576, 320, 240)
    contenders = [Contender(model.card.name, threads, in_flight(model, images))]
    for number, (name, (network, inputs)) in enumerate(networks.items()):
        progress(f'exporting {name}')
        call = in_onnx_runtime(network, inputs, folder / f'{number}.onnx', threads)
        contenders.append(Contender(name, threads, call))
    medians = [float(np.median(times)) for times in taken_in_turns(contenders, seconds, progress)]
    sizes = [model.input_size(images), *(tuple(images.shape[:1:-1]) for _, (images, *_) in networks.values())]
    return [
        PeerSpeed(contender.name, size, round(median, 2), round(median / medians[0], 3))
        for contender, size, median in zip(contenders, sizes, medians)
    ]


def passed_by(height: int, width: int) -> tuple[torch.Tensor, ...]:
    """Return inputs of MultiViewPeer: images taken .1 m from each other, sideways."""
    K = torch.tensor([[width / 4, 0, width / 8], [0, width / 4, height / 8], [0, 0, 1]])
    T_srcs_ref = torch.eye(4).repeat(SOURCES, 1, 1)
    T_srcs_ref[:, 0, 3] = 0.1 * torch.arange(1, SOURCES + 1)
    return torch.rand(1 + SOURCES, 3, height, width), K, torch.linalg.inv(K), T_srcs_ref


def in_onnx_runtime(
    network: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, threads: int
) -> Callable[[], list[np.ndarray]]:
    """Return a call that runs a network on inputs, written to a path as ONNX."""
    names = [f'input_{number}' for number in range(len(inputs))]
    torch.onnx.export(network.eval(), inputs, str(path), input_names=names, opset_version=_OPSET, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    fed = {name: each.numpy() for name, each in zip(names, inputs)}
    return lambda: session.run(None, fed)
