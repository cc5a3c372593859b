import logging

import numpy as np
import onnxruntime
import pytest
import yaml
from tiny_models import displacement_is_parallax, red_is_depth, red_is_parallax, valid_is_parallax

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Views
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.card import ModelCard, ModelError
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.engines.model import load_model
from ros_depthnet.engines.onnx_engine import OnnxEngine
from ros_depthnet.engines.providers import PROVIDERS

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)


def camera_of(image) -> Camera:
    return Camera(*image, 500.0, 500.0, 300.0, 200.0)


def views(red, displacements, valid=None):
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0] = red
    image[..., 1] = 10
    black, masks = np.zeros_like(image), [None] * len(displacements) if valid is None else ~valid
    return Views(
        Frame(0, image, CAMERA, np.eye(4)),
        tuple(Frame(0, black, CAMERA, np.eye(4), masked_hw=masked_hw) for masked_hw in masks),
        np.stack([motion.pose(np.eye(3), displacement) for displacement in displacements]),
    )


def edited(path, **changes):
    """Change a card's content; None takes a key out."""
    content = {**yaml.safe_load(path.with_suffix('.yaml').read_text()), **changes}
    path.with_suffix('.yaml').write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
    return path


def test_the_card_is_read(tmp_path):
    path = red_is_depth(tmp_path, licence='Apache-2.0', scores={'here': 0.1})
    card = ModelCard.read(path.with_suffix('.yaml'))
    assert (card.name, card.kind, card.file) == ('red_is_depth', 'depthnet', path)
    assert (card.input_width, card.input_height, card.input_multiple) == (64, 48, 16)
    assert (card.parallax_range, card.nominal_displacement) == ((1.0, 64.0), 0.3)
    assert (card.licence, card.scores) == ('Apache-2.0', {'here': 0.1})


@pytest.mark.parametrize(
    'changes, sentence',
    [
        ({'kind': 'stereo'}, "kind 'stereo'"),
        ({'kind': None}, "lacks 'kind'"),
        ({'file': None}, "lacks 'file'"),
        ({'input': None}, "lacks 'input'"),
        ({'input': {'width': 64, 'height': 0}}, 'whole positive'),
        ({'input': 64}, 'malformed'),
        ({'parallax_range': [5, 2]}, 'parallax range'),
        ({'parallax_range': 5}, 'malformed'),
        ({'kind': 'depthnet'}, 'nominal_displacement'),
    ],
)
def test_a_card_that_makes_no_sense_is_refused_in_one_sentence(tmp_path, changes, sentence):
    with pytest.raises(ModelError, match=sentence) as caught:
        load_model(edited(red_is_parallax(tmp_path), **changes))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('text', ['a: [', '- a list', ''])
def test_a_card_that_is_no_mapping_is_refused(tmp_path, text):
    path = red_is_parallax(tmp_path)
    path.with_suffix('.yaml').write_text(text)
    with pytest.raises(ModelError, match='YAML|malformed'):
        load_model(path)


def test_a_model_is_found_by_either_path(tmp_path):
    path = red_is_parallax(tmp_path)
    assert load_model(path).card == load_model(path.with_suffix('.yaml')).card


def test_a_missing_model_is_named_with_what_there_is(tmp_path):
    with pytest.raises(ModelError, match="no model 'nonesuch'.*shipped"):
        load_model('nonesuch')
    with pytest.raises(ModelError, match='has no card'):
        load_model(tmp_path / 'gone.onnx')


def test_a_missing_file_is_refused(tmp_path):
    path = red_is_parallax(tmp_path)
    path.unlink()
    with pytest.raises(ModelError, match='is missing'):
        load_model(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = red_is_parallax(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match='damaged'):
        load_model(path)
    with pytest.raises(ModelError, match='no readable ONNX model') as caught:
        load_model(edited(path, sha256=None))
    assert '\n' not in str(caught.value)


def test_a_file_that_is_no_model_of_its_kind_is_refused(tmp_path):
    path = edited(red_is_parallax(tmp_path), kind='depthnet', nominal_displacement=0.3)
    with pytest.raises(ModelError, match='is no depthnet'):
        load_model(path)


def test_auto_asks_for_no_provider_that_is_not_built_in(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: [PROVIDERS['cpu']])
    assert OnnxEngine(red_is_parallax(tmp_path), 'auto').provider == 'cpu'
    assert not caplog.records  # of a fall-back


def test_auto_takes_a_provider_and_says_which(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        engine = OnnxEngine(red_is_parallax(tmp_path), 'auto')
    assert engine.provider in PROVIDERS
    assert f'runs on {engine.provider}' in caplog.text


@pytest.mark.parametrize('provider', ['cuda', 'tensorrt'])
def test_a_provider_asked_for_and_not_had_is_an_error_with_the_fix(tmp_path, provider, monkeypatch):
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: [PROVIDERS['cpu']])
    with pytest.raises(ModelError, match='pip install onnxruntime-gpu'):
        OnnxEngine(red_is_parallax(tmp_path), provider)


def test_an_unknown_provider_is_refused(tmp_path):
    with pytest.raises(ModelError, match="'npu' is none of"):
        OnnxEngine(red_is_parallax(tmp_path), 'npu')


def test_inputs_the_graph_refuses_are_one_sentence(tmp_path):
    with pytest.raises(ModelError, match='failed on cpu') as caught:
        OnnxEngine(red_is_depth(tmp_path), 'cpu').run({'pair': np.zeros((1, 6, 16), np.float32)})
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'image, expected',
    [((640, 480), (384, 288)), ((1280, 720), (448, 256)), ((1242, 375), (608, 192)), ((480, 640), (288, 384))],
)
def test_images_of_any_aspect_get_the_pixels_that_the_card_says(tmp_path, image, expected):
    path = red_is_parallax(tmp_path, input={'width': 384, 'height': 288, 'multiple': 32})
    size = load_model(path).input_size(camera_of(image))
    assert size == expected
    assert np.prod(size) == pytest.approx(384 * 288, rel=0.1)


def test_a_depthnet_keeps_its_width_because_it_knows_one_field_of_view(tmp_path):
    path = red_is_depth(tmp_path, input={'width': 64, 'height': 64, 'multiple': 16})
    assert load_model(path).input_size(camera_of((640, 480))) == (64, 48)
    assert load_model(path).input_size(camera_of((1280, 360))) == (64, 16)


@pytest.mark.parametrize(
    'image, expected',
    [((640, 480), (128, 96)), ((752, 480), (128, 80)), ((640, 100), (128, 16)), ((480, 640), (128, 176))],
)
def test_a_width_that_is_asked_for_is_kept_and_the_height_follows(tmp_path, image, expected):
    assert load_model(red_is_parallax(tmp_path), input_width=128).input_size(camera_of(image)) == expected


def test_another_input_width_must_be_a_multiple(tmp_path):
    with pytest.raises(ModelError, match='multiple of 16, not 100'):
        load_model(red_is_parallax(tmp_path), input_width=100)


@pytest.mark.parametrize(
    'provider, size', [('cpu', (64, 48)), ('torch cpu', (64, 48)), ('cuda', (128, 96)), ('tensorrt', (128, 96))]
)
def test_a_gpu_gets_the_larger_input_of_the_card(tmp_path, provider, size):
    path = red_is_parallax(tmp_path, input={'width': 64, 'height': 48, 'multiple': 16, 'gpu_width': 128})
    model = load_model(path)
    engine = type('Engine', (), {'provider': provider})()
    assert Model(model.card, engine).input_size(camera_of((640, 480))) == size
    assert Model(model.card, engine, input_width=32).input_size(camera_of((640, 480))) == (32, 32)


def test_parallax_becomes_metres_by_focal_length_and_baseline(tmp_path):
    # Z = f |t| / rho with the longest displacement
    result = load_model(red_is_parallax(tmp_path)).predict([views(12, [[0.3, 0, 0.4], [0.1, 0, 0.2]])])[0]
    np.testing.assert_allclose(result.depth_hw, 60 * 0.5 / 12, rtol=1e-5)
    np.testing.assert_allclose(result.deviation_hw, 0.10, rtol=1e-5)


def test_displacements_go_in_as_parts_of_the_longest(tmp_path):
    # The graph answers rho = red * x * fx with x of the first displacement: here .6 of the unit, 2 m.
    model, case = load_model(displacement_is_parallax(tmp_path)), views(51, [[1, 0, 0], [1.2, 0, 1.6]])
    result = model.predict([case])[0]
    np.testing.assert_allclose(result.depth_hw, 60 * 2 / (51 / 255 * 0.6 * 60), rtol=1e-5)


def test_depthnet_scales_with_the_displacement(tmp_path):
    result = load_model(red_is_depth(tmp_path)).predict([views(30, [[0, 0.15, 0]])])[0]
    assert result.depth_hw.shape == (48, 64)
    np.testing.assert_allclose(result.depth_hw, 30 * 0.15 / 0.3, rtol=1e-4)


def test_depthnet_averages_over_the_sources_that_see_a_pixel(tmp_path):
    valid = np.ones((2, 48, 64), bool)
    valid[1, :, :32] = False
    result = load_model(red_is_depth(tmp_path)).predict([views(30, [[0, 0.3, 0], [0, 1.2, 0]], valid)])[0]
    np.testing.assert_allclose(result.depth_hw[:, :32], 30, rtol=1e-4)
    np.testing.assert_allclose(result.depth_hw[:, 32:], np.sqrt(30 * 120), rtol=1e-4)


def test_ranges_are_answered_in_one_batch_each_in_its_own_unit(tmp_path):
    class Counting(OnnxEngine):
        calls = 0

        def run(self, inputs):
            self.calls += 1
            return super().run(inputs)

    for path, near, far in (
        (red_is_parallax(tmp_path), 60 * 0.5 / 12, 60 * 2 / 12),
        (red_is_depth(tmp_path), 12 * np.sqrt(0.3 * 0.5) / 0.3, 12 * 2 / 0.3),
    ):
        card = ModelCard.read(path.with_suffix('.yaml'))
        engine = Counting(card.file, 'cpu')
        ranges = [views(12, [[0.3, 0, 0], [0.5, 0, 0]]), views(12, [[0, 2, 0]])]
        answers = Model(card, engine).predict(ranges)
        for answer, depth in zip(answers, (near, far), strict=True):
            np.testing.assert_allclose(answer.depth_hw, depth, rtol=1e-4)
        assert engine.calls == 1


def test_the_card_corrects_the_deviation(tmp_path):
    (result,) = load_model(red_is_parallax(tmp_path, deviation_scale=0.5)).predict([views(12, [[0.3, 0, 0]])])
    np.testing.assert_allclose(result.deviation_hw, 0.05, rtol=1e-5)


def test_a_source_that_did_not_move_says_nothing(tmp_path):
    with pytest.raises(ValueError, match='same place'):
        load_model(red_is_parallax(tmp_path)).predict([views(12, [[0.3, 0, 0], [0, 0, 0]])])


def test_warm_up_runs_each_number_of_sources_and_ranges(tmp_path):
    shapes = []

    class Recording(OnnxEngine):
        def run(self, inputs):
            shapes.append(inputs['sources'].shape)
            return super().run(inputs)

    card = ModelCard.read(red_is_parallax(tmp_path).with_suffix('.yaml'))
    camera = Camera(640, 480, 500.0, 500.0, 320.0, 240.0)
    Model(card, Recording(card.file, 'cpu')).warm_up(camera, EstimatorOptions(max_sources=3, ranges=2))
    assert shapes == [(batch, count, 3, 48, 64) for count in (1, 2, 3) for batch in (1, 2)]


def test_a_torch_module_answers_like_its_onnx_file(tmp_path):
    torch = pytest.importorskip('torch')
    from ros_depthnet.engines.torch_engine import TorchEngine

    class RedIsParallax(torch.nn.Module):
        def forward(self, reference, sources, valid, displacements, intrinsics):
            return torch.log(reference[:, 0] * 255), torch.log(reference[:, 1] * 2.55)

    onnx_model = load_model(red_is_parallax(tmp_path))
    torch_model = Model(onnx_model.card, TorchEngine(RedIsParallax(), ('log_parallax', 'log_deviation')))
    case = views(np.arange(1, 65), [[0.1, 0.2, 0.3]])
    for name in ('depth_hw', 'deviation_hw'):
        expected, got = (getattr(model.predict([case])[0], name) for model in (onnx_model, torch_model))
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_where_sources_see_nothing_goes_into_the_network(tmp_path):
    model = load_model(valid_is_parallax(tmp_path))
    seen = np.ones((2, 48, 64), bool)
    seen[0, :, :20] = seen[1, 10:] = False
    (prediction,) = model.predict([views(12, [[0.5, 0, 0], [0.2, 0, 0]], seen)])
    np.testing.assert_allclose(CAMERA.fx * 0.5 / prediction.depth_hw, 1 + seen.sum(0), rtol=1e-5)


@pytest.mark.parametrize('threads', [1, 2])
def test_a_model_runs_on_as_many_threads_as_are_asked_for(tmp_path, threads):
    model = load_model(red_is_parallax(tmp_path), threads=threads)
    assert model.engine._session.get_session_options().intra_op_num_threads == threads
