"""
What is done on GPUs, seen without one: their sessions run on the CPU, and tell what they were asked for.

That CUDA and TensorRT answer the same is measured by docs/gpu_measure.py where there is a GPU.
"""

import json
import logging

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator
from tiny_models import red_is_depth, red_is_parallax

from ros_depthnet.core.measurer import Measurer
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines import gpu_sessions
from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.half import with_half_convolutions
from ros_depthnet.engines.model import load_model
from ros_depthnet.engines.onnx_engine import OnnxEngine
from ros_depthnet.engines.providers import PROVIDERS
from ros_depthnet.engines.whole_model import WholeModel
from ros_depthnet.evaluation.precision import check_answers
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.flight.session import Session
from ros_depthnet.resources import share_path

PARK = share_path('flights', 'park')
HALF, FLOAT = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


@pytest.fixture
def gpu(monkeypatch):
    """Have sessions for GPUs run on the CPU; returns what each was opened with, the least first."""
    opened = []

    class OnCpu(onnxruntime.InferenceSession):
        def __init__(self, model, options, providers, provider_options=None, **more):
            self.asked, self.runs = providers, 0
            opened.append((providers[0], (provider_options or [{}])[0], self))
            super().__init__(model, options, providers=[PROVIDERS['cpu']], **more)

        def get_providers(self):
            return self.asked

        def run_with_iobinding(self, *arguments):
            self.runs += 1
            super().run_with_iobinding(*arguments)

    class OnCpuValue:
        """OrtValues of CUDA are the CPU's."""

        @staticmethod
        def ortvalue_from_numpy(array, device):
            assert device == 'cuda'
            return onnxruntime.OrtValue.ortvalue_from_numpy(array)

        @staticmethod
        def ortvalue_from_shape_and_type(shape, dtype, device):
            assert device == 'cuda'
            return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype)

    class Runtime:
        InferenceSession, OrtValue, __version__ = OnCpu, OnCpuValue, onnxruntime.__version__

    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: list(PROVIDERS.values()))
    monkeypatch.setattr(gpu_sessions, 'onnxruntime', Runtime)
    return opened


def red(height, seed=0):
    return {'pair': np.random.default_rng(seed).random((1, 6, height, 64), np.float32)}


def test_every_shape_has_a_session_and_each_call_its_own_answer(tmp_path, gpu):
    path = red_is_depth(tmp_path)
    engine, cpu = OnnxEngine(path, 'cuda'), OnnxEngine(path, 'cpu')
    pairs = [red(height, seed) for seed, height in enumerate((16, 32, 16, 48, 32))]
    answers = [engine.run(pair)['depth'] for pair in pairs]
    for pair, answer in zip(pairs, answers, strict=True):
        np.testing.assert_array_equal(answer, cpu.run(pair)['depth'])
    assert len(gpu) == 1 + 3  # the first to see whether it starts
    assert [session.runs for _, _, session in gpu[1:]] == [5, 5, 4]  # three of them to try


def test_what_cannot_change_goes_up_once(tmp_path, gpu, monkeypatch):
    engine, copies = OnnxEngine(red_is_depth(tmp_path), 'cuda'), []
    update = onnxruntime.OrtValue.update_inplace
    monkeypatch.setattr(onnxruntime.OrtValue, 'update_inplace', lambda *to: copies.append(1) or update(*to))
    pair = red(16)['pair']
    engine.run({'pair': pair})
    tried = len(copies)
    before = engine.run({'pair': pair})['depth']
    assert len(copies) == tried + 1
    pair *= 0.5  # in place: the same array with something else in it
    assert not np.allclose(engine.run({'pair': pair})['depth'], before)
    pair.flags.writeable = False
    engine.run({'pair': pair})
    still = len(copies)
    engine.run({'pair': pair})
    assert len(copies) == still


def test_cuda_is_asked_for_one_launch_and_for_all_bits(tmp_path, gpu):
    OnnxEngine(red_is_depth(tmp_path), 'cuda').run(red(16))
    assert gpu[-1][:2] == (PROVIDERS['cuda'], {'enable_cuda_graph': '1', 'use_tf32': '0'})


def test_a_graph_that_cuda_cannot_replay_is_launched_bit_by_bit_and_said_to_be(tmp_path, gpu, monkeypatch, caplog):
    start = gpu_sessions.GpuSessions._start

    def refusing(self, model, options):
        if 'enable_cuda_graph' in options:
            raise ModelError('a node is on the CPU')
        return start(self, model, options)

    monkeypatch.setattr(gpu_sessions.GpuSessions, '_start', refusing)
    engine = OnnxEngine(red_is_depth(tmp_path), 'cuda')
    assert engine.run(red(16))['depth'].shape == (1, 4, 16)
    assert 'cannot replay' in caplog.text
    assert gpu[-1][1] == {'use_tf32': '0'}


def test_tensorrt_keeps_engines_by_model_shape_precision_and_versions(tmp_path, gpu, monkeypatch):
    cache, folders = tmp_path / 'engines', set()
    for precision, height in (('float32', 16), ('float16', 16), ('float32', 32), ('float32', 16)):
        OnnxEngine(red_is_depth(tmp_path), 'tensorrt', cache_dir=cache, precision=precision).run(red(height))
        options = gpu[-1][1]
        assert options['trt_fp16_enable'] == str(int(precision == 'float16'))
        assert options['trt_engine_cache_enable'] == options['trt_timing_cache_enable'] == '1'
        folders.add(options['trt_engine_cache_path'])
    assert len(folders) == 3
    monkeypatch.setattr(gpu_sessions, '_tensorrt_version', lambda: '1100')
    OnnxEngine(red_is_depth(tmp_path), 'tensorrt', cache_dir=cache).run(red(16))
    folder = gpu[-1][1]['trt_engine_cache_path']
    assert folder not in folders
    with open(f'{folder}/key.json') as file:
        assert json.load(file)['tensorrt'] == '1100'


def test_engines_of_something_else_are_refused_by_name(tmp_path, gpu):
    def fly():
        OnnxEngine(red_is_depth(tmp_path), 'tensorrt', cache_dir=tmp_path / 'engines').run(red(16))

    fly()
    (key,) = (tmp_path / 'engines').glob('*/key.json')
    key.write_text('{}')
    with pytest.raises(ModelError, match=f'{key.parent.name}.*remove it'):
        fly()


def test_a_build_that_takes_long_gives_a_sign_of_life(monkeypatch, caplog):
    monkeypatch.setattr(gpu_sessions, '_SIGN_OF_LIFE', 0.02)
    with caplog.at_level(logging.INFO), gpu_sessions.sign_of_life('building'):
        gpu_sessions.threading.Event().wait(0.1)
    assert 'building: 0 s so far' in caplog.text


def test_a_file_that_a_gpu_cannot_read_is_said_to_be_none(tmp_path, gpu):
    path = tmp_path / 'cut.onnx'
    path.write_bytes(red_is_depth(tmp_path).read_bytes()[:100])
    with pytest.raises(ModelError, match='no readable ONNX model'):
        OnnxEngine(path, 'cuda')


def test_on_a_gpu_a_flight_is_one_call_an_image_and_the_same_depth(gpu):
    flight, options = PosedSequence.load(PARK), EstimatorOptions(memory=False)
    model = load_model('parallaxnet_small', 'cuda', input_width=128, precision='float16')
    assert isinstance(model, WholeModel)
    model.warm_up(flight.camera, options)
    shapes = len(gpu)
    sessions = Session(model, options), Session(load_model('parallaxnet_small', 'cpu', input_width=128), options)
    for index in range(4):
        found, expected = (session.add(flight.frame(index)) for session in sessions)
    assert found.milliseconds.keys() == {'model', 'fuse', 'judge'}
    off = np.abs(np.log(found.depth_hw / expected.depth_hw))
    assert np.nanmean(off) < 1e-3
    assert len(gpu) == shapes  # nothing is opened in flight


@pytest.mark.parametrize('name', ['parallaxnet_small', 'depthnet'])
def test_convolutions_are_halved_and_nothing_that_says_where_things_are(name):
    model = with_half_convolutions(onnx.load(load_model(name, 'cpu').card.file))
    onnx.checker.check_model(model)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.output)}
    by_type = {}
    for node in inferred.node:
        by_type.setdefault(node.op_type, set()).update(types[output] for output in node.output if output in types)
    assert by_type['Conv'] == {HALF}
    assert not any(
        HALF in found
        for kind, found in by_type.items()
        if kind not in ('Conv', 'ConvTranspose', 'Relu', 'Add', 'Resize', 'Cast')
    )
    assert {types[tensor.name] for tensor in inferred.output} == {FLOAT}


def test_halved_convolutions_round_as_16_bits_do():
    weight = onnx.numpy_helper.from_array(np.full((1, 1, 1, 1), 1 + 2**-12, np.float32), 'w')
    ends = [onnx.helper.make_tensor_value_info(name, FLOAT, [1, 1, 1, 1]) for name in 'xy']
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node('Conv', ['x', 'w'], ['c']),
            onnx.helper.make_node('Relu', ['c'], ['r']),
            onnx.helper.make_node('Exp', ['r'], ['y']),
        ],
        'g',
        ends[:1],
        ends[1:],
        [weight],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8)
    x = {'x': np.full((1, 1, 1, 1), 1 + 2**-11 + 2**-13, np.float32)}
    exact, halved = (ReferenceEvaluator(each).run(None, x)[0].item() for each in (model, with_half_convolutions(model)))
    assert np.log(exact) > 1.0007
    assert np.log(halved) == pytest.approx(1 + 2**-10, abs=1e-7)


@pytest.mark.parametrize(
    'precision, provider, sentence',
    [
        ('float16', 'cpu', 'float16 is for the provider tensorrt or cuda, not cpu'),
        ('float16', 'openvino', 'not openvino'),
        ('int8', 'cuda', 'int8 is for the provider cpu, not cuda'),
        ('float64', 'auto', "'float64' is none of auto, float32, float16, int8"),
    ],
)
def test_a_precision_that_a_provider_has_not_is_refused(precision, provider, sentence):
    with pytest.raises(ModelError, match=sentence):
        load_model('parallaxnet_small', provider, precision=precision)


def test_float16_never_becomes_something_else_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: [PROVIDERS['cpu']])
    with pytest.raises(ModelError, match='No GPU starts, and float16 is for GPUs'):
        load_model('parallaxnet_small', precision='float16')


class Wrong:
    """An engine whose parallax is off by a factor, as half precision out of its range would make it."""

    provider, precision = 'tensorrt', 'float16'

    def __init__(self, engine, factor):
        self._engine, self._factor = engine, factor
        self.inputs, self.outputs = engine.inputs, engine.outputs

    def run(self, inputs):
        result = self._engine.run(inputs)
        return {**result, 'log_parallax': result['log_parallax'] + np.float32(np.log(self._factor))}


def test_an_engine_that_answers_otherwise_is_refused_with_both_answers():
    model, camera = load_model('parallaxnet_small', 'cpu', input_width=256), PosedSequence.load(PARK).camera
    engine = model.engine
    check_answers(model, camera)
    model.engine = Wrong(engine, 1)
    check_answers(model, camera)
    model.engine = Wrong(engine, 2)
    with pytest.raises(
        ModelError,
        match=r'on tensorrt in float16 cannot be trusted: it sees [\d.]+ m .* '
        r'float32 on a CPU sees [\d.]+ m.*another precision',
    ):
        check_answers(model, camera)


def test_openvino_that_is_missing_is_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'openvino', None)
    with pytest.raises(ModelError, match='pip install openvino'):
        load_model(red_is_parallax(tmp_path), 'openvino')


def test_openvino_answers_as_onnx_runtime_does(tmp_path):
    pytest.importorskip('openvino', reason='OpenVINO is not installed')
    flight = PosedSequence.load(PARK)
    model = load_model('parallaxnet_small', 'openvino', threads=1)
    assert (model.engine.provider, model.engine.precision) == ('openvino', 'float32')
    expected = load_model('parallaxnet_small', 'cpu', precision='float32')
    found, expected = (
        Measurer(each, EstimatorOptions(alignment_rounds=0)).estimate(
            flight.frame(6), [flight.frame(4), flight.frame(2)]
        )
        for each in (model, expected)
    )
    off = np.abs(np.log(found.depth_hw / expected.depth_hw))
    assert np.nanmax(off) < 1e-4
    check_answers(model, flight.camera)
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(b'no model')
    broken.with_suffix('.yaml').write_text(
        red_is_parallax(tmp_path)
        .with_suffix('.yaml')
        .read_text()
        .replace('red_is_parallax.onnx', 'broken.onnx')
        .replace('sha256', 'of_another')
    )
    with pytest.raises(ModelError, match='no model that OpenVINO can compile'):
        load_model(broken, 'openvino')
