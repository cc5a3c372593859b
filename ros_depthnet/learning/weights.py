"""A network's weights: out of checkpoints and exported models, averaged, rounded for export."""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import onnx
import torch
from torch.nn import BatchNorm2d, Conv2d, ConvTranspose2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ros_depthnet.whole_files import write_file

Network = TypeVar('Network', bound=torch.nn.Module)
HALF = '.half'
EXPORTED = '.onnx'


def take(network: torch.nn.Module, weights: Path) -> None:
    """Give a network the weights of a checkpoint or of an exported model; ValueError as from either."""
    (take_exported if weights.suffix == EXPORTED else restore)(network, weights)


def restore(network: torch.nn.Module, checkpoint: Path, device='cpu') -> dict:
    """
    Give a network the weights of a checkpoint; return all that the checkpoint holds.

    Raises ValueError if it is damaged or another network's.
    """
    try:
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state['network'])
    except FileNotFoundError:
        raise
    except Exception as error:  # what unpickling raises of damaged bytes has no common base
        raise ValueError(f'{checkpoint} is damaged, or no checkpoint of the network of this recipe.') from error
    return state


def write_checkpoint(path: Path, state: dict) -> None:
    """Write what `restore` reads."""
    content = io.BytesIO()  # torch says of a file only that writing failed, and not why
    torch.save(state, content)
    write_file(path, content.getvalue())


@torch.no_grad()
def average(network: torch.nn.Module, other: torch.nn.Module, share: float) -> None:
    """Average weights, and what batch norms have seen, in place with another network's."""
    others = other.state_dict()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.copy_(share * value + (1 - share) * others[name])


def halve(network: Network) -> Network:
    """
    Return a copy for inference whose weights need only half precision.

    Batch norm is folded into the convolutions, and every weight is rounded to what a 16 bit float can say.
    """
    network = copy.deepcopy(network).cpu().eval()
    for each in _normalised(network):
        transposed = isinstance(each.convolution, ConvTranspose2d)
        each.module[0] = fuse_conv_bn_eval(each.convolution, each.norm, transposed)
        each.module[1] = torch.nn.Identity()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())
    return network


@torch.no_grad()
def take_exported(network: torch.nn.Module, model: Path) -> None:
    """
    Give a network the weights of an exported model, which computes the same with them in `eval` mode.

    Batch norms have seen a mean of 0 and a variance of 1, whatever the data: training on needs them frozen.
    A channel's scale goes to its norm, so that the weights of all convolutions are of the size they have in
    a new network, twice over, and an optimiser moves all of them alike. Raises ValueError if the model is
    damaged or another network's.
    """
    try:
        network.load_state_dict(_exported_state(network, model))
    except OSError:
        raise
    except Exception as error:  # what protobuf, ONNX and torch raise of damaged bytes has no common base
        raise ValueError(f'{model} is damaged, or not the network of this recipe, exported.') from error


def _exported_state(network: torch.nn.Module, model: Path) -> dict[str, torch.Tensor]:
    exported = {
        tensor.name.removesuffix(HALF): torch.tensor(onnx.numpy_helper.to_array(tensor)).float()
        for tensor in onnx.load(model).graph.initializer
    }
    state = network.state_dict()
    weights = {name: exported[name] for name in state if name in exported}
    for each in _normalised(network):
        name, norm = each.name, each.norm
        if f'{name}.0.weight' not in weights or f'{name}.0.bias' not in exported:
            continue
        weight = weights[f'{name}.0.weight']
        outputs = weight.dim() * [1]
        outputs[isinstance(each.convolution, ConvTranspose2d)] = -1
        others = [axis for axis, size in enumerate(outputs) if size == 1]
        usual = 2 / (3 * weight.numel() / norm.num_features) ** 0.5
        scale = weight.square().mean(others).sqrt().clamp_min(1e-6) / usual
        weights[f'{name}.0.weight'] = weight / scale.reshape(outputs)
        weights[f'{name}.1.weight'] = scale
        weights[f'{name}.1.bias'] = exported[f'{name}.0.bias']
        weights[f'{name}.1.running_mean'] = torch.zeros_like(scale)
        weights[f'{name}.1.running_var'] = torch.full_like(scale, 1 - norm.eps)
        weights[f'{name}.1.num_batches_tracked'] = state[f'{name}.1.num_batches_tracked']
    return weights


@dataclass(frozen=True)
class _Normalised:
    """What begins with a convolution and its batch norm, by its name in a network."""

    name: str
    module: torch.nn.Sequential
    convolution: Conv2d | ConvTranspose2d
    norm: BatchNorm2d


def _normalised(network: torch.nn.Module) -> list[_Normalised]:
    found = []
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Sequential):
            match list(module):
                case [Conv2d() | ConvTranspose2d() as convolution, BatchNorm2d() as norm, *_]:
                    found.append(_Normalised(name, module, convolution, norm))
    return found
