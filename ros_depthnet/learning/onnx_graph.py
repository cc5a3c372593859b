"""What is done to an exported graph before it is shipped: names kept, weights stored in half."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import numpy as np
import onnx
import torch

from ros_depthnet.learning.networks.naming import DOMAIN, NUMBERED, OPERATOR
from ros_depthnet.learning.weights import HALF


def traced(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...], **options: Any) -> onnx.ModelProto:
    """Return a network as it is called with inputs; options: of `torch.onnx.export`."""
    content = io.BytesIO()
    torch.onnx.export(network, inputs, content, dynamo=False, **options)  # type: ignore[arg-type]  # without dynamo
    return onnx.load_from_string(content.getvalue())


def keep_names(model: onnx.ModelProto) -> None:
    """
    Call tensors what `networks.naming.named` calls them, in place.

    They are declared as float32 (B, C, h, w), so that `onnx.utils.Extractor` can cut there.
    """
    graph = model.graph
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    for node in [node for node in graph.node if (node.domain, node.op_type) == (DOMAIN, OPERATOR)]:
        name = node.attribute[0].s.decode()
        if name.endswith(NUMBERED):
            counts[name] += 1
            name = name.replace(NUMBERED, str(counts[name] - 1))
        node.op_type, node.domain = 'Identity', ''
        node.ClearField('attribute')
        names[node.output[0]] = name
        graph.value_info.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, 4 * [None]))
    for node in graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(tensor, tensor) for tensor in tensors]
    kept = [opset for opset in model.opset_import if opset.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def store_in_half(model: onnx.ModelProto) -> None:
    """Store what loses nothing by it of a model's floats in 16 bits, each cast back where it is used, in place."""
    graph = model.graph
    for tensor in [t for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT]:
        exact = onnx.numpy_helper.to_array(tensor)
        values = exact.astype(np.float16)
        if not np.array_equal(values, exact):
            continue
        graph.initializer.remove(tensor)
        graph.initializer.append(onnx.numpy_helper.from_array(values, f'{tensor.name}{HALF}'))
        cast = onnx.helper.make_node('Cast', [f'{tensor.name}{HALF}'], [tensor.name], to=onnx.TensorProto.FLOAT)
        graph.node.insert(0, cast)


def store_in_float(model: onnx.ModelProto) -> None:
    """Undo `store_in_half`, in place: tools that look at weights want them where they are used."""
    graph = model.graph
    halves = {tensor.name: tensor for tensor in graph.initializer if tensor.name.endswith(HALF)}
    for cast in [node for node in graph.node if node.op_type == 'Cast' and node.input[0] in halves]:
        half = halves[cast.input[0]]
        graph.node.remove(cast)
        graph.initializer.remove(half)
        values = onnx.numpy_helper.to_array(half).astype(np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(values, cast.output[0]))


def shorten(model: onnx.ModelProto) -> None:
    """Keep each constant once and give what has no name outside short ones, in place: a third of the bytes."""
    graph = model.graph
    kept = {tensor.name for tensor in (*graph.input, *graph.output)}
    names = {name: name for name in ('', *kept)}
    constants: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    for node in [node for node in graph.node if node.op_type == 'Constant']:
        tensor = node.attribute[0].t
        key = tensor.data_type, tuple(tensor.dims), onnx.numpy_helper.to_array(tensor).tobytes()
        names[node.output[0]] = constants.setdefault(key, f'c{len(constants)}')
        graph.node.remove(node)
    del graph.value_info[:]
    for (data_type, dims, values), name in constants.items():
        graph.initializer.append(onnx.helper.make_tensor(name, data_type, dims, values, raw=True))
    for node in graph.node:
        node.name = node.doc_string = ''
        for tensors in (node.input, node.output):
            tensors[:] = [names.setdefault(tensor, f't{len(names)}') for tensor in tensors]
