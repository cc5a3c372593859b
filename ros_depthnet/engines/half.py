"""A graph whose convolutions are computed in 16 bits; where things lie is still computed in 32."""

from __future__ import annotations

import numpy as np
import onnx

_FLOAT, _HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
_BEGIN = frozenset(('Conv', 'ConvTranspose'))  # is worth going to 16 bits for
_GO_ON = frozenset(('Relu', 'Add', 'Resize'))  # does not leave them if what it takes is there already


def with_half_convolutions(model: onnx.ModelProto) -> onnx.ModelProto:
    """
    Return a model whose convolutions, and what stands between two of them, take and give 16-bit floats.

    Types are written into the graph, so that every engine obeys them: positions in pixels, sums of costs and all that
    is not a network stay 32-bit, as 11 bits cannot tell half a pixel in 1024.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    nodes = list(graph.node)
    del graph.node[:]
    _Halving(graph).go_through(nodes)
    return changed


class _Halving:
    """Nodes in their order, with what each tensor is called in 16 bits and which exist in 32."""

    def __init__(self, graph: onnx.GraphProto):
        self._graph = graph
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._half: dict[str, str] = {}  # names of what exists in 16 bits
        self._native: set[str] = set()  # of these, what was computed in 16 bits
        self._only_half: set[str] = set()  # of these, what does not exist in 32

    def go_through(self, nodes: list[onnx.NodeProto]) -> None:
        """Append the nodes and the casts between them to the graph."""
        for node in nodes:
            data = [name for name in node.input if name] if node.op_type != 'Resize' else node.input[:1]
            going_on = node.op_type in _GO_ON and all(name in self._native for name in data)
            if node.op_type in _BEGIN or going_on:
                self._append_half(node, data)
            else:
                self._append(node)
        for tensor in self._graph.output:
            self._need_float(tensor.name)

    def _append(self, node: onnx.NodeProto) -> None:
        for name in node.input:
            self._need_float(name)
        self._graph.node.append(node)
        if node.op_type == 'Cast' and node.attribute[0].i == _FLOAT and self._is_half(node.input[0]):
            self._half[node.output[0]] = node.input[0]

    def _append_half(self, node: onnx.NodeProto, data: list[str]) -> None:
        names = {name: self._in_half(name) for name in data}
        for name in node.input:
            if name not in names:
                self._need_float(name)
        output = node.output[0]
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [f'{output}/half']
        self._graph.node.append(node)
        self._half[output] = node.output[0]
        self._native.add(output)
        self._only_half.add(output)

    def _is_half(self, name: str) -> bool:
        return name in self._weights and self._weights[name].data_type == _HALF

    def _in_half(self, name: str) -> str:
        if name not in self._half:
            self._half[name] = f'{name}/half'
            if name in self._weights:
                values = onnx.numpy_helper.to_array(self._weights[name]).astype(np.float16)
                self._graph.initializer.append(onnx.numpy_helper.from_array(values, self._half[name]))
            else:
                self._graph.node.append(onnx.helper.make_node('Cast', [name], [self._half[name]], to=_HALF))
        return self._half[name]

    def _need_float(self, name: str) -> None:
        if name in self._only_half:
            self._only_half.remove(name)
            self._graph.node.append(onnx.helper.make_node('Cast', [self._half[name]], [name], to=_FLOAT))
