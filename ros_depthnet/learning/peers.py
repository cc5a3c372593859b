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
from torch import nn

from ros_depthnet.core.camera import Camera
from ros_depthnet.engines.model import load_model
from ros_depthnet.evaluation.bench import in_flight
from ros_depthnet.evaluation.turns import Contender, taken_in_turns
from ros_depthnet.learning.networks.depthnet import DepthNet, DepthNetConfig
from ros_depthnet.learning.networks.monocular_peer import Monocular
from ros_depthnet.learning.networks.multi_view_peer import SOURCES, MultiViewPeer

_OPSET = 17


@dataclass(frozen=True)
class PeerSpeed:
    """Median milliseconds of a call, and how many images of ours in flight, VGA, fit in one; size: (width, height)."""

    method: str
    size: tuple[int, int]
    ms: float
    times_ours: float


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
    sizes = [model.input_size(images), *((images.shape[-1], images.shape[-2]) for _, (images, *_) in networks.values())]
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
