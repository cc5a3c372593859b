"""All of the measurer as one graph: the answers of the steps on a CPU, and nothing that GPUs refuse."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from tensorrt_operators import refused

from ros_depthnet.cli.main import main
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.measurer import Measurer
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.gpu_sessions import with_shapes
from ros_depthnet.engines.half import with_half_convolutions
from ros_depthnet.engines.model import load_model
from ros_depthnet.engines.onnx_engine import OnnxEngine
from ros_depthnet.engines.whole_graph import whole_graph, write_whole
from ros_depthnet.engines.whole_model import WholeModel
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.flight.session import Session
from ros_depthnet.resources import share_path

WALK = Path('/work/shared/data/hololens_walk')
PARK = share_path('flights', 'park')
SETS = [
    pytest.param(PARK, id='park'),
    pytest.param(WALK, id='walk', marks=pytest.mark.skipif(not WALK.is_dir(), reason=f'{WALK} is not here')),
]


class Counting(OnnxEngine):
    """An engine that tells how often and on what shapes it ran."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ran = []

    def run(self, inputs):
        self.ran.append(tuple(inputs[name].shape for name in ('images', 'details')))
        return super().run(inputs)


@pytest.fixture(scope='module')
def steps():
    return load_model('parallaxnet_small', 'cpu', precision='float32')


@pytest.fixture(scope='module')
def engine(steps, tmp_path_factory):
    path = tmp_path_factory.mktemp('whole') / 'whole.onnx'
    write_whole(steps.card, path)
    return Counting(path, 'cpu')


@pytest.fixture
def whole(steps, engine):
    engine.ran.clear()
    return WholeModel(steps.card, steps.engine, engine)


def check_alike(found, expected):
    """Depth is the same to 1e-3 in its logarithm but for edges, deviation to a hundredth, as is what is known."""
    assert np.mean(np.isnan(found.depth_hw) != np.isnan(expected.depth_hw)) < 1e-3
    known = np.isfinite(found.depth_hw) & np.isfinite(expected.depth_hw)
    assert known.mean() > 0.3
    off = np.abs(np.log(found.depth_hw[known] / expected.depth_hw[known]))
    assert off.mean() < 2e-4
    assert np.mean(off < 1e-3) > 0.98
    deviations = np.log(found.deviation_hw[known] / expected.deviation_hw[known])
    assert np.abs(deviations).mean() < 1e-2


def turned(frame: Frame, radians: float) -> Frame:
    """Return a frame whose odometry is off by a rotation."""
    T = frame.T_world_cam.copy()
    cosine, sine = np.cos(radians), np.sin(radians)
    T[:3, :3] = T[:3, :3] @ [[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]
    return dataclasses.replace(frame, T_world_cam=T)


@pytest.mark.parametrize('folder', SETS)
def test_depth_and_deviation_are_those_of_the_steps(folder, steps, whole, engine):
    flight, options = PosedSequence.load(folder), EstimatorOptions(rotation_noise=0.002)
    reference, *sources = (flight.frame(index) for index in (6, 4, 2))
    sources[0] = turned(sources[0], 0.004)  # for the rotation to be found in the images
    for chosen in (sources, sources[1:]):
        expected = Measurer(steps, options).estimate(reference, chosen)
        found = Measurer(whole, options).estimate(reference, chosen)
        assert found.milliseconds.keys() == {'model', 'fuse', 'judge'}
        check_alike(found, expected)
    blind = Measurer(steps, dataclasses.replace(options, rotation_noise=0)).estimate(reference, sources)
    off = np.log(blind.depth_hw / Measurer(steps, options).estimate(reference, sources).depth_hw)
    assert np.nanmean(np.abs(off)) > 2e-3  # or the rotation would not matter


def test_what_a_mask_hides_counts_in_neither(steps, whole):
    flight, options = PosedSequence.load(PARK), EstimatorOptions()
    mask = np.zeros((24, 32), bool)
    mask[16:, 10:25] = True
    reference, source = (dataclasses.replace(flight.frame(index), masked_hw=mask) for index in (6, 4))
    expected = Measurer(steps, options).estimate(reference, [source])
    assert np.isnan(expected.depth_hw).mean() > 0.1
    check_alike(Measurer(whole, options).estimate(reference, [source]), expected)


def test_a_flight_is_the_same_and_its_shapes_are_few(steps, whole, engine):
    flight = PosedSequence.load(PARK)
    options = EstimatorOptions(memory=False)
    expected, found = (Session(model, options) for model in (steps, whole))
    for index in range(7):
        frame = flight.frame(index)
        pair = [session.add(frame) for session in (expected, found)]
    check_alike(*reversed(pair))
    assert len(engine.ran) >= 4
    assert len(set(engine.ran)) <= options.max_sources


def test_other_rounds_and_small_images_go_in_steps(whole, engine):
    flight = PosedSequence.load(PARK)
    frames = [flight.frame(index) for index in (6, 4)]
    for measurer, factor in ((Measurer(whole, EstimatorOptions(alignment_rounds=1)), 1), (Measurer(whole), 0.25)):
        size = [round(factor * length) for length in (flight.camera.width, flight.camera.height)]
        reference, source = (frame.resized(*size) for frame in frames)
        assert 'align' in measurer.estimate(reference, [source]).milliseconds
    assert not engine.ran


@pytest.mark.parametrize('name', ['parallaxnet', 'parallaxnet_small'])
def test_tensorrt_takes_every_operator(name):
    shapes = {}

    class Looking:
        provider, precision = 'cuda', 'float32'

        def run(self, inputs):
            shapes.update({key: array.shape for key, array in inputs.items()})
            return {'depth': np.ones(shapes['images'][1:3]), 'deviation': np.ones(shapes['images'][1:3])}

    model, flight = load_model(name, 'cpu'), PosedSequence.load(PARK)
    looking = Measurer(WholeModel(model.card, Looking(), Looking()))
    looking.estimate(flight.frame(6), [flight.frame(4), flight.frame(2)])
    network = onnx.load(model.card.file)
    for precise in (network, with_half_convolutions(network)):
        assert refused(with_shapes(whole_graph(precise), shapes)) == []


def test_the_shipped_parts_compute_what_the_code_does():
    torch = pytest.importorskip('torch')
    from ros_depthnet.learning.whole.graph import After, Before, part_examples

    for module, (name, inputs) in zip((Before(), After()), part_examples().items(), strict=True):
        shipped = OnnxEngine(share_path('models', 'whole', f'{name}.onnx'), 'cpu').run(inputs)
        with torch.inference_mode():
            answers = module(**{key: torch.from_numpy(value) for key, value in inputs.items()})
        assert tuple(shipped) == module.outputs
        for output, expected in zip(shipped.values(), answers, strict=True):
            np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_another_operator_set_is_refused(tmp_path):
    model = onnx.load(load_model('parallaxnet_small', 'cpu').card.file)
    model.opset_import[0].version = 16
    with pytest.raises(ModelError, match='operator set 16 .*of 17'):
        whole_graph(model)


def test_the_command_writes_it_and_refuses_what_has_none(tmp_path, capsys):
    assert main(['export', '--whole', 'parallaxnet_small', '--out', str(tmp_path / 'whole.onnx')]) == 0
    assert {tensor.name for tensor in onnx.load(tmp_path / 'whole.onnx').graph.output} == {'depth', 'deviation'}
    assert main(['export', '--whole', 'depthnet', '--out', str(tmp_path / 'none.onnx')]) == 1
    assert 'depthnet is a depthnet: only a parallaxnet' in capsys.readouterr().err
