"""Names for tensors inside a network, which its exported graph keeps: where an engine may cut it."""

from __future__ import annotations

import torch

DOMAIN = 'ros_depthnet'
OPERATOR = 'Named'
NUMBERED = '#'


def named(tensor: torch.Tensor, name: str) -> torch.Tensor:
    """
    Return a tensor that is called `name` in the graph of an export, and unchanged outside one.

    In a name that ends in '#', that is replaced by 0, 1, ... in the order of computation.
    """
    return _Named.apply(tensor, name) if torch.onnx.is_in_onnx_export() else tensor


class _Named(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor, name):
        return tensor.view_as(tensor)

    @staticmethod
    def symbolic(graph, tensor, name):
        return graph.op(f'{DOMAIN}::{OPERATOR}', tensor, name_s=name).setType(tensor.type())
