"""Small real ONNX graphs whose answers are known, run by the real engine: the images say the answer."""

import hashlib

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper


def _tensor(name, value, dtype=np.float32):
    return numpy_helper.from_array(np.array(value, dtype), name)


def _value(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _save(folder, name, nodes, inputs, outputs, constants, **card):
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    path = folder / f'{name}.onnx'
    onnx.save(model, path)
    content = {
        'name': name,
        'file': path.name,
        'sha256': hashlib.sha256(path.read_bytes()).hexdigest(),
        'input': {'width': 64, 'height': 48, 'multiple': 16},
        'parallax_range': [1, 64],
        **card,
    }
    path.with_suffix('.yaml').write_text(yaml.safe_dump(content))
    return path


def red_is_parallax(folder, **card):
    """Write a parallaxnet: red (0..255) of the reference is parallax in pixels, green its deviation in %."""
    nodes = [
        helper.make_node('Gather', ['reference', 'red'], ['r'], axis=1),
        helper.make_node('Mul', ['r', 'grey_levels'], ['parallax']),
        helper.make_node('Log', ['parallax'], ['log_parallax']),
        helper.make_node('Gather', ['reference', 'green'], ['g'], axis=1),
        helper.make_node('Mul', ['g', 'hundredths'], ['deviation']),
        helper.make_node('Log', ['deviation'], ['log_deviation']),
    ]
    inputs = [
        _value('reference', 'B', 3, 'H', 'W'),
        _value('sources', 'B', 'S', 3, 'H', 'W'),
        _value('valid', 'B', 'S', 1, 'H', 'W'),
        _value('displacements', 'B', 'S', 3),
        _value('intrinsics', 'B', 4),
    ]
    outputs = [_value('log_parallax', 'B', 'H', 'W'), _value('log_deviation', 'B', 'H', 'W')]
    constants = [
        _tensor('red', 0, np.int64),
        _tensor('green', 1, np.int64),
        _tensor('grey_levels', 255),
        _tensor('hundredths', 2.55),
    ]
    return _save(folder, 'red_is_parallax', nodes, inputs, outputs, constants, kind='parallaxnet', **card)


def displacement_is_parallax(folder):
    """Write a parallaxnet that answers with its inputs: red times x of the first displacement, times fx."""
    nodes = [
        helper.make_node('Gather', ['reference', 'zero'], ['r'], axis=1),
        helper.make_node('Gather', ['displacements', 'zero'], ['first'], axis=1),
        helper.make_node('Gather', ['first', 'zero'], ['x'], axis=1),
        helper.make_node('Gather', ['intrinsics', 'zero'], ['fx'], axis=1),
        helper.make_node('Mul', ['x', 'fx'], ['scale']),
        helper.make_node('Mul', ['r', 'scale'], ['parallax']),
        helper.make_node('Log', ['parallax'], ['log_parallax']),
        helper.make_node('Mul', ['r', 'nothing'], ['log_deviation']),
    ]
    inputs = [
        _value('reference', 'B', 3, 'H', 'W'),
        _value('sources', 'B', 'S', 3, 'H', 'W'),
        _value('valid', 'B', 'S', 1, 'H', 'W'),
        _value('displacements', 'B', 'S', 3),
        _value('intrinsics', 'B', 4),
    ]
    outputs = [_value('log_parallax', 'B', 'H', 'W'), _value('log_deviation', 'B', 'H', 'W')]
    constants = [_tensor('zero', 0, np.int64), _tensor('nothing', 0)]
    return _save(folder, 'displacement_is_parallax', nodes, inputs, outputs, constants, kind='parallaxnet')


def red_is_depth(folder, **card):
    """Write a depthnet of quarter size: red (0..255) of the reference is depth at the nominal motion, m."""
    nodes = [
        helper.make_node('Gather', ['pair', 'reference_red'], ['r'], axis=1),
        helper.make_node('Mul', ['r', 'deviation'], ['scaled']),
        helper.make_node('Add', ['scaled', 'mean'], ['unit']),
        helper.make_node('Mul', ['unit', 'grey_levels'], ['full']),
        helper.make_node('Unsqueeze', ['full', 'axis'], ['plane']),
        helper.make_node('AveragePool', ['plane'], ['pooled'], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node('Squeeze', ['pooled', 'axis'], ['depth']),
    ]
    constants = [
        _tensor('reference_red', 3, np.int64),
        _tensor('deviation', 0.2),
        _tensor('mean', 0.5),
        _tensor('grey_levels', 255),
        _tensor('axis', [1], np.int64),
    ]
    return _save(
        folder,
        'red_is_depth',
        nodes,
        [_value('pair', 'B', 6, 'H', 'W')],
        [_value('depth', 'B', 'h', 'w')],
        constants,
        kind='depthnet',
        **{'nominal_displacement': 0.3, **card},
    )


def valid_is_parallax(folder):
    """Write a parallaxnet whose parallax, pixels, is 1 plus how many of its sources see a pixel."""
    nodes = [
        helper.make_node('ReduceSum', ['valid', 'axes'], ['seen'], keepdims=0),
        helper.make_node('Add', ['seen', 'one'], ['parallax']),
        helper.make_node('Log', ['parallax'], ['log_parallax']),
        helper.make_node('Mul', ['seen', 'nothing'], ['log_deviation']),
    ]
    inputs = [
        _value('reference', 'B', 3, 'H', 'W'),
        _value('sources', 'B', 'S', 3, 'H', 'W'),
        _value('valid', 'B', 'S', 1, 'H', 'W'),
        _value('displacements', 'B', 'S', 3),
        _value('intrinsics', 'B', 4),
    ]
    outputs = [_value('log_parallax', 'B', 'H', 'W'), _value('log_deviation', 'B', 'H', 'W')]
    constants = [_tensor('axes', [1, 2], np.int64), _tensor('one', 1), _tensor('nothing', 0)]
    return _save(folder, 'valid_is_parallax', nodes, inputs, outputs, constants, kind='parallaxnet')


def blue_is_log_depth(folder):
    """Write a singleview: blue (0..1) of the image is ln(depth), up to scale, its deviation .3."""
    nodes = [
        helper.make_node('Gather', ['image', 'blue'], ['log_depth'], axis=1),
        helper.make_node('Mul', ['log_depth', 'nothing'], ['zero']),
        helper.make_node('Add', ['zero', 'deviation'], ['log_deviation']),
    ]
    outputs = [_value('log_depth', 'B', 'H', 'W'), _value('log_deviation', 'B', 'H', 'W')]
    constants = [_tensor('blue', 2, np.int64), _tensor('nothing', 0), _tensor('deviation', np.log(0.3))]
    inputs = [_value('image', 'B', 3, 'H', 'W')]
    return _save(folder, 'blue_is_log_depth', nodes, inputs, outputs, constants, kind='singleview')
