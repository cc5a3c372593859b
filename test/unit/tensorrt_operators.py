"""
What TensorRT 10 takes of ONNX, transcribed from docs/operators.md of onnx/onnx-tensorrt (10.1 GA).

Restrictions that depend on a graph are functions of a node and of what is known of its inputs.
"""

import onnx

OPERATORS = frozenset(
    [
        'Abs',
        'Acos',
        'Acosh',
        'Add',
        'And',
        'ArgMax',
        'ArgMin',
        'Asin',
        'Asinh',
        'Atan',
        'Atanh',
        'AveragePool',
        'BatchNormalization',
        'Cast',
        'CastLike',
        'Ceil',
        'Celu',
        'Clip',
        'Concat',
        'Constant',
        'ConstantOfShape',
        'Conv',
        'ConvTranspose',
        'Cos',
        'Cosh',
        'CumSum',
        'DeformConv',
        'DepthToSpace',
        'DequantizeLinear',
        'Div',
        'Dropout',
        'Einsum',
        'Elu',
        'Equal',
        'Erf',
        'Exp',
        'Expand',
        'EyeLike',
        'Flatten',
        'Floor',
        'Gather',
        'GatherElements',
        'GatherND',
        'Gelu',
        'Gemm',
        'GlobalAveragePool',
        'GlobalLpPool',
        'GlobalMaxPool',
        'Greater',
        'GreaterOrEqual',
        'GridSample',
        'GroupNormalization',
        'GRU',
        'HardSigmoid',
        'HardSwish',
        'Hardmax',
        'Identity',
        'If',
        'ImageScaler',
        'InstanceNormalization',
        'IsInf',
        'IsNaN',
        'LayerNormalization',
        'LeakyRelu',
        'Less',
        'LessOrEqual',
        'Log',
        'LogSoftmax',
        'Loop',
        'LRN',
        'LSTM',
        'LpNormalization',
        'LpPool',
        'MatMul',
        'Max',
        'MaxPool',
        'Mean',
        'MeanVarianceNormalization',
        'Min',
        'Mish',
        'Mod',
        'Mul',
        'Neg',
        'NonMaxSuppression',
        'NonZero',
        'Not',
        'OneHot',
        'Or',
        'Pad',
        'ParametricSoftplus',
        'Pow',
        'PRelu',
        'QuantizeLinear',
        'RandomNormal',
        'RandomNormalLike',
        'RandomUniform',
        'RandomUniformLike',
        'Range',
        'Reciprocal',
        'ReduceL1',
        'ReduceL2',
        'ReduceLogSum',
        'ReduceLogSumExp',
        'ReduceMax',
        'ReduceMean',
        'ReduceMin',
        'ReduceProd',
        'ReduceSum',
        'ReduceSumSquare',
        'Relu',
        'Reshape',
        'Resize',
        'ReverseSequence',
        'RNN',
        'RoiAlign',
        'Round',
        'ScaledTanh',
        'Scan',
        'Scatter',
        'ScatterElements',
        'ScatterND',
        'Selu',
        'Shape',
        'Shrink',
        'Sigmoid',
        'Sign',
        'Sin',
        'Sinh',
        'Size',
        'Slice',
        'Softmax',
        'Softplus',
        'Softsign',
        'SpaceToDepth',
        'Split',
        'Sqrt',
        'Squeeze',
        'Sub',
        'Sum',
        'Tan',
        'Tanh',
        'ThresholdedRelu',
        'Tile',
        'TopK',
        'Transpose',
        'Trilu',
        'Unsqueeze',
        'Upsample',
        'Where',
        'Xor',
    ]
)

SHAPES_FROM_DATA = frozenset(('NonZero', 'NonMaxSuppression', 'Unique', 'Compress', 'If', 'Loop', 'Scan'))
CONSTANT_AXES = {
    'Slice': 3,
    'Squeeze': 1,
    'Unsqueeze': 1,
    'CumSum': 1,
    'Pad': 3,
    **{name: 1 for name in OPERATORS if name.startswith('Reduce')},
}  # which input it is
FLOATS_ONLY = frozenset(
    (
        'Floor',
        'Ceil',
        'Round',
        'Exp',
        'Log',
        'Sqrt',
        'Reciprocal',
        'GridSample',
        'MatMul',
        'Gemm',
        'Conv',
        'Clip',
        'AveragePool',
        'MaxPool',
        'Erf',
        'Sigmoid',
        'Tanh',
        'Softmax',
        'Softplus',
        'Resize',
    )
)
RESIZE_MODES = {'nearest', 'linear'}


def refused(model: onnx.ModelProto) -> list[str]:
    """Return, in a few words each, what TensorRT would not take of a model whose inputs have fixed shapes."""
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {node.output[0] for node in graph.node if node.op_type == 'Constant'}
    known = {value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info, *graph.output)}
    types = {name: each.elem_type for name, each in known.items()}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    found = []
    for node in graph.node:
        name, attributes = node.op_type, {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        if node.domain or name not in OPERATORS:
            found.append(f'{name} is no operator of it')
        if name in SHAPES_FROM_DATA:
            found.append(f'{name} takes shapes from data')
        if name in CONSTANT_AXES and not set(node.input[CONSTANT_AXES[name] :][:1]) - {''} <= constants:
            found.append(f'{name} has axes that are not constant')
        if name == 'TopK':
            found.append('TopK may be of more than 3840')
        if name == 'GridSample' and len(known[node.input[0]].shape.dim) != 4:
            found.append('GridSample is not 4-D')
        if name == 'Resize' and attributes.get('mode', b'nearest').decode() not in RESIZE_MODES:
            found.append('Resize is neither nearest nor linear')
        if name in FLOATS_ONLY and types.get(node.input[0]) not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
            found.append(f'{name} is of no floats')
        if onnx.TensorProto.UINT8 in map(types.get, node.output):
            found.append(f'{name} gives bytes')
        if onnx.TensorProto.DOUBLE in map(types.get, (*node.input, *node.output)):
            found.append(f'{name} is of doubles')
    return found
