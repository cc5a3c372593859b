"""What a network computes, counted in its graph, and what of that a processor does in a second at best."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import inliner

Shape = tuple[int, ...]

_COUNTED = ('Conv', 'ConvTranspose', 'MatMul', 'Gemm')
_SIDE, _SECONDS = 1024, 0.5  # of the matrices multiplied, and how long


@dataclass(frozen=True)
class Work:
    """
    What one call of a network takes.

    multiply_adds: of convolutions and matrix products. weight_bytes: of their weights in single precision.
    tensor_bytes: what these operators read and write besides, if each goes through memory.
    """

    multiply_adds: int
    weight_bytes: int
    tensor_bytes: int


def work_of(path: Path, inputs: dict[str, np.ndarray]) -> Work:
    """Return the work of an ONNX file for named inputs of these shapes; it is run once, on the CPU."""
    model = inliner.inline_local_functions(onnx.load(path))
    nodes = [node for node in model.graph.node if node.op_type in _COUNTED]
    outputs = {output.name for output in model.graph.output}
    constants = {constant.name: tuple(constant.dims) for constant in model.graph.initializer}
    wanted = {name for node in nodes for name in (*node.input[:2], node.output[0])} - constants.keys() - inputs.keys()
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted - outputs))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # or tensors vanish
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    shapes = {name: tensor.shape for name, tensor in zip(names, session.run(None, inputs), strict=True)}
    shapes |= constants | {name: tensor.shape for name, tensor in inputs.items()}
    multiply_adds = weights = tensors = 0
    for node in nodes:
        first, second, result = (shapes[name] for name in (*node.input[:2], node.output[0]))
        multiply_adds += _multiply_adds(node, first, second, result)
        fixed = node.op_type.startswith('Conv') or node.input[1] in constants  # stored in 16 bits they are computed
        weights += 4 * math.prod(second) if fixed else 0
        tensors += 4 * (math.prod(first) + math.prod(result) + (0 if fixed else math.prod(second)))
    return Work(multiply_adds, weights, tensors)


def matrix_rate(threads: int) -> float:
    """Return how many multiply-adds a second ONNX Runtime does in products of large float32 matrices."""
    names = ('left', 'right', 'product')
    left, right, product = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (_SIDE, _SIDE)) for name in names
    )
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node('MatMul', names[:2], names[2:])], 'product', [left, right], [product]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])
    inputs = {name: np.random.default_rng(0).random((_SIDE, _SIDE), np.float32) for name in names[:2]}
    return _SIDE**3 / min(_times(session, inputs))


def _times(session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray]) -> Iterator[float]:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        started = time.perf_counter()
        session.run(None, inputs)
        yield time.perf_counter() - started


def _multiply_adds(node: onnx.NodeProto, first: Shape, second: Shape, result: Shape) -> int:
    if node.op_type == 'Conv':
        return math.prod(result) * math.prod(second[1:])
    if node.op_type == 'ConvTranspose':
        return math.prod(first) * math.prod(second[1:])
    transposed = any(attribute.name == 'transA' and attribute.i for attribute in node.attribute)
    return math.prod(result) * first[-2 if transposed else -1]
