"""What a network costs, counted and timed: against layers whose work is known, and clocks that add up."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_models import red_is_parallax

from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.costs import matrix_rate, work_of
from ros_depthnet.evaluation.drones import drones_speed
from ros_depthnet.evaluation.stages import NETWORK, WHOLE, stages
from ros_depthnet.evaluation.turns import Contender, taken_in_turns


def network(path):
    """Write a 3x3 convolution 3 to 8 in two groups' worth of weights, one 2x2 back, and a product with 5 columns."""

    def constant(name, *shape):
        return helper.make_tensor(name, TensorProto.FLOAT, shape, np.zeros(shape, np.float32).ravel())

    graph = helper.make_graph(
        [
            helper.make_node('Conv', ['image', 'w'], ['a'], pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node('ConvTranspose', ['a', 'v'], ['b'], strides=[2, 2]),
            helper.make_node('MatMul', ['b', 'm'], ['c']),
        ],
        'work',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, (1, 3, None, None))],
        [helper.make_tensor_value_info('c', TensorProto.FLOAT, None)],
        [constant('w', 8, 3, 3, 3), constant('v', 8, 2, 2, 2), constant('m', 20, 5)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8), path)
    return path


def test_multiply_adds_and_bytes_are_those_of_the_layers(tmp_path):
    work = work_of(network(tmp_path / 'work.onnx'), {'image': np.zeros((1, 3, 12, 20), np.float32)})
    # By output pixels (6 x 10), by input pixels of the way back, and by each of 2 x 12 rows of 20 times 5.
    assert work.multiply_adds == 60 * 8 * 27 + 60 * 8 * 2 * 4 + 24 * 20 * 5
    assert work.weight_bytes == 4 * (8 * 27 + 8 * 2 * 4 + 20 * 5)
    assert work.tensor_bytes == 4 * ((3 * 240 + 8 * 60) + (8 * 60 + 2 * 240) + (2 * 240 + 24 * 5))


def test_the_matrix_rate_is_that_of_a_processor_not_of_a_wish():
    ours = matrix_rate(1)
    assert 1e9 < ours < 2e12  # what one core of this century does


def test_all_that_is_compared_takes_turns():
    order = []
    times = taken_in_turns([Contender(name, 1, lambda name=name: order.append(name)) for name in 'abc'], 0, print)
    assert order[:6] == list('abcabc') and len(order) == 9
    assert [len(each) for each in times] == [2, 2, 2]  # the first of each is not counted


def test_the_stages_of_an_image_add_up_to_all_of_it(tmp_path):
    found, cost = stages(str(red_is_parallax(tmp_path)), [(160, 120), (320, 240)], 1, 0.3, lambda text: None)
    for camera in ('160x120', '320x240'):
        parts = {stage.stage: stage for stage in found if stage.camera == camera}
        whole = parts.pop(WHOLE)
        assert NETWORK in parts and 'align' in parts and 'memory' in parts
        assert sum(part.median_ms for part in parts.values()) == pytest.approx(whole.median_ms, rel=0.35)
        assert whole.p95_ms >= whole.median_ms and whole.share == 1
    assert cost.overhead == pytest.approx(whole.median_ms / parts[NETWORK].median_ms, rel=0.05)


def test_drones_fly_at_the_same_time(tmp_path):
    one, two = drones_speed(str(red_is_parallax(tmp_path)), [2], 1, 0.5, lambda text: None)
    assert (one.drones, two.drones, one.times_one) == (1, 2, 1)
    assert one.all_hz == one.each_hz and two.all_hz == pytest.approx(2 * two.each_hz, abs=0.02)
    assert 0 < one.ms <= one.p95_ms


def test_drones_whose_model_is_missing_do_not_wait_for_each_other(tmp_path):
    with pytest.raises(ModelError, match=r'nowhere\.onnx'):
        drones_speed(str(tmp_path / 'nowhere.onnx'), [2], 1, 0.5, lambda text: None)


def test_hypotheses_are_those_of_the_sweep(tmp_path):
    pytest.importorskip('torch', reason='the learning room needs the `train` extra')
    from ros_depthnet.learning.export import example_inputs
    from ros_depthnet.learning.hypotheses import hypotheses_speed

    few, many = hypotheses_speed('parallaxnet_small', [96, 16], 1, 0.0, tmp_path, lambda text: None)
    assert (few.hypotheses, many.hypotheses, few.times_fewest) == (16, 96, 1)
    inputs = {name: value.numpy() for name, value in example_inputs(1, 1, 64, 96).items()}
    cost = [work_of(tmp_path / f'{n}.onnx', inputs).multiply_adds for n in (16, 96)]
    assert cost[1] > 1.1 * cost[0]
    with pytest.raises(ModelError, match='no parallaxnet'):
        hypotheses_speed('depthnet', [16], 1, 0.0, tmp_path, lambda text: None)
