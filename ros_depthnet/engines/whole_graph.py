"""One graph from images as they were taken to metres: parallaxnet's, between the parts of `models/whole`."""

from __future__ import annotations

from pathlib import Path

import onnx

from ros_depthnet.engines.card import ModelCard, ModelError
from ros_depthnet.resources import share_path
from ros_depthnet.whole_files import write_file

_BEFORE, _AFTER = 'before', 'after'


def whole_graph(network: onnx.ModelProto) -> onnx.ModelProto:
    """
    Return the graph that computes all of `core.measurer` for one reference, with a parallaxnet in the middle.

    Inputs and outputs are those of `learning.whole.graph`'s parts that neither answers to another. Raises ModelError
    for a network of an operator set other than the parts'.
    """
    parts = [_part(_BEFORE), network, _part(_AFTER)]
    opsets = [next(opset.version for opset in part.opset_import if not opset.domain) for part in parts]
    if len(set(opsets)) > 1:
        raise ModelError(
            f'A model of operator set {opsets[1]} cannot be part of one graph for GPUs, which are of '
            f'{opsets[0]}: export it with that.'
        )
    parts = [
        onnx.compose.add_prefix(part, f'{number}/', rename_inputs=False, rename_outputs=False)
        for number, part in enumerate(parts)
    ]
    graphs = [part.graph for part in parts]
    made = {tensor.name for graph in graphs[:-1] for tensor in graph.output}
    inputs = {tensor.name: tensor for graph in graphs for tensor in graph.input if tensor.name not in made}
    whole = onnx.helper.make_graph(
        [node for graph in graphs for node in graph.node],
        'whole',
        list(inputs.values()),
        list(graphs[-1].output),
        [tensor for graph in graphs for tensor in graph.initializer],
    )
    return onnx.helper.make_model(
        whole, opset_imports=parts[0].opset_import, ir_version=max(part.ir_version for part in parts)
    )


def _part(name: str) -> onnx.ModelProto:
    return onnx.load(share_path('models', 'whole', f'{name}.onnx'))


def write_whole(card: ModelCard, path: Path) -> None:
    """Write the whole graph of a model, for other means of running it than ours; ModelError if it has none."""
    if card.kind != 'parallaxnet':
        raise ModelError(f'{card.name} is a {card.kind}: only a parallaxnet is part of one graph for GPUs.')
    write_file(path, whole_graph(onnx.load(card.file)).SerializeToString())
