"""Convolutions in 8 bits: the same answers, on CPUs only, and never where float32 is asked for."""

import logging
import re
import shutil
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import yaml

pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.cli.main import main as cli  # noqa: E402
from ros_depthnet.core.measurer import Measurer  # noqa: E402
from ros_depthnet.core.moving import CLUES  # noqa: E402
from ros_depthnet.engines.card import ModelCard, ModelError  # noqa: E402
from ros_depthnet.engines.model import load_model  # noqa: E402
from ros_depthnet.engines.moving_model import load_moving_model  # noqa: E402
from ros_depthnet.flight.posed_sequence import PosedSequence  # noqa: E402
from ros_depthnet.learning.dataset import render_shards  # noqa: E402
from ros_depthnet.learning.export import example_inputs  # noqa: E402
from ros_depthnet.learning.quantise import quantise  # noqa: E402
from ros_depthnet.learning.still_box.sequences import SequenceOptions  # noqa: E402
from ros_depthnet.learning.still_box.textures import TextureAtlas  # noqa: E402
from ros_depthnet.resources import share_path  # noqa: E402


@pytest.fixture(scope='module')
def pair():
    sequence = PosedSequence.load(share_path('flights', 'park'))
    return sequence.frame(40), sequence.frame(36)


@pytest.fixture(scope='module')
def quantised(tmp_path_factory):
    """Quantise the small network by the command line."""
    folder = tmp_path_factory.mktemp('quantised')
    for suffix in ('.onnx', '.yaml'):
        shutil.copy(share_path('models', f'parallaxnet_small{suffix}'), folder)
    atlas = TextureAtlas(procedural=8, photo_tiles=0)
    render_shards(folder / 'flights', 0, range(1), SequenceOptions(96, 64), atlas)
    path = folder / 'parallaxnet_small.onnx'
    assert cli(['quantise', str(path), '--flights', str(folder / 'flights')]) == 0
    return path


def log_depth(model, pair):
    return np.log(Measurer(model).estimate(pair[0], [pair[1]]).depth_hw)


def differences(one, other, pair):
    return np.abs(log_depth(one, pair) - log_depth(other, pair))


def test_the_shipped_model_answers_in_8_bits_as_in_32(pair):
    exact, quantised = (load_model(precision=precision) for precision in ('float32', 'int8'))
    assert (exact.engine.precision, quantised.engine.precision) == ('float32', 'int8')
    found = differences(exact, quantised, pair)
    assert np.nanmedian(found) < 0.01 < np.nanmax(found)


def test_on_a_cpu_8_bits_are_taken_where_there_are_any():
    assert load_model(provider='cpu').engine.precision == 'int8'
    assert load_model('parallaxnet_small', provider='cpu').engine.precision == 'float32'


def test_what_is_quantised_answers_the_same_and_is_smaller(quantised, pair):
    exact, small = (load_model(quantised, precision=precision) for precision in ('float32', 'auto'))
    found = differences(exact, small, pair)
    assert np.nanmedian(found) < 0.02 < np.nanmax(found)
    assert small.card.int8_file.stat().st_size < 0.7 * quantised.stat().st_size


def test_one_sample_of_many_does_not_make_the_steps_of_all_coarse(quantised, tmp_path):
    inputs = {name: tensor.numpy() for name, tensor in example_inputs(1, 1, 32, 32).items()}
    outlier = {**inputs, 'reference': 1000 * inputs['reference']}

    def steps(samples):
        for suffix in ('.onnx', '.yaml'):
            shutil.copy(quantised.with_suffix(suffix), tmp_path)
        model = onnx.load(quantise(ModelCard.read(tmp_path / f'{quantised.stem}.yaml'), samples))
        known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        found = {node.input[0]: node.input[1] for node in model.graph.node if node.op_type == 'QuantizeLinear'}
        return {name: float(known[step]) for name, step in found.items() if step in known}

    alone, among_others = steps([outlier]), steps([inputs] * 9 + [outlier])
    assert min(among_others[name] / alone[name] for name in alone) < 0.2  # the widest of all would be 1 at least


def test_all_learned_convolutions_are_quantised_in_7_bits(quantised):
    model = onnx.load(load_model(quantised).card.int8_file)
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    by_output = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == 'Conv']
    assert len(convolutions) > 20
    for convolution in convolutions:
        of_weights = by_output[convolution.input[1]]
        if of_weights.op_type == 'Constant':  # sums probabilities
            continue
        assert of_weights.op_type == 'DequantizeLinear'
        assert np.abs(weights[of_weights.input[0]].astype(int)).max() <= 64


@pytest.mark.parametrize('name, provider, precision, sentence', [
    ('parallaxnet_small', 'auto', 'int8', 'parallaxnet_small has no int8 file: make it with `depthnet quantise`, or '),
    ('parallaxnet', 'cuda', 'int8', 'int8 is for the provider cpu, not cuda: choose precision auto or float32.'),
    ('parallaxnet', 'auto', 'int4', "The precision 'int4' is none of auto, float32, float16, int8."),
])  # fmt: skip
def test_a_precision_that_is_not_to_be_had_is_one_sentence(name, provider, precision, sentence):
    with pytest.raises(ModelError) as error:
        load_model(name, provider, precision=precision)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize('spoil, sentence', [
    (lambda path: path.unlink(), 'is missing'),
    (lambda path: path.write_bytes(path.read_bytes()[:-9]), 'is damaged or not that of its card'),
])  # fmt: skip
def test_the_8_bit_file_is_checked_like_the_other(quantised, tmp_path, spoil, sentence):
    for file in quantised.parent.glob('parallaxnet_small*'):
        shutil.copy(file, tmp_path)
    spoil(tmp_path / 'parallaxnet_small.int8.onnx')
    with pytest.raises(ModelError, match=sentence):
        load_model(tmp_path / 'parallaxnet_small.onnx')


def test_the_old_card_keeps_what_it_said(quantised):
    before = yaml.safe_load(share_path('models', 'parallaxnet_small.yaml').read_text())
    after = yaml.safe_load(quantised.with_suffix('.yaml').read_text())
    assert set(after.pop('int8')) == {'file', 'sha256'}
    assert after == before


def test_who_interrupts_it_has_the_model_that_was_there(quantised, monkeypatch):
    from ros_depthnet.learning import quantise

    def half(exact, made, *_, **__):
        made.write_bytes(exact.read_bytes()[:1000])
        raise KeyboardInterrupt

    before = {path: path.read_bytes() for path in quantised.parent.glob('parallaxnet_small*')}
    monkeypatch.setattr(quantise, 'quantize_static', half)
    assert cli(['quantise', str(quantised), '--flights', str(quantised.parent / 'flights')]) == 130
    assert {path: path.read_bytes() for path in quantised.parent.glob('parallaxnet_small*')} == before
    assert load_model(quantised).engine.precision == 'int8'


def test_only_what_gains_is_quantised(capsys):
    assert cli(['quantise', str(share_path('models', 'depthnet.onnx'))]) == 1
    assert 'depthnet is a depthnet; only parallaxnet and movingnet' in capsys.readouterr().err


def test_a_movingnet_is_quantised_on_clues_and_judges_as_before(tmp_path, capsys):
    for suffix in ('.onnx', '.yaml'):
        shutil.copy(share_path('models', f'movingnet{suffix}'), tmp_path)
    path = tmp_path / 'movingnet.onnx'
    assert cli(['quantise', str(path)]) == 1
    assert 'name a folder of them with --flights' in capsys.readouterr().err
    clues = np.random.default_rng(0).normal(0, 0.5, (8, CLUES, 40, 48)).astype(np.float16)
    np.save(tmp_path / 'one.clues.npy', clues)
    np.save(tmp_path / 'one.moving.npy', np.zeros((8, 40, 48), np.uint8))
    assert cli(['quantise', str(path), '--flights', str(tmp_path)]) == 0
    exact, eighth = load_moving_model(share_path('models', 'movingnet.onnx')), load_moving_model(path)
    judged = [model.log_odds(clues[3].astype(np.float32)) for model in (exact, eighth)]
    assert eighth.precision == 'int8' and not np.array_equal(*judged)
    assert np.median(np.abs(judged[0] - judged[1])) < 0.3


def test_the_log_level_of_the_program_is_left_as_it_was(quantised):
    assert logging.getLogger().level == logging.WARNING


def test_where_temporary_files_have_no_room_is_one_sentence(quantised, monkeypatch, capsys):
    before = {path: path.read_bytes() for path in quantised.parent.glob('parallaxnet_small*')}
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: SimpleNamespace(free=4_000_000))
    assert cli(['quantise', str(quantised), '--flights', str(quantised.parent / 'flights')]) == 1
    said = capsys.readouterr().err.strip()
    assert re.fullmatch(
        r'depthnet: \S+ has room for 4\.0 MB of temporary files, and 17\.\d MB are needed: .*TMPDIR.*\.', said
    )
    assert {path: path.read_bytes() for path in before} == before
