"""A few inputs for every reader; `make fuzz` gives each two hundred thousand."""
# ruff: noqa: E402

import ast
import contextlib
import json
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import fuzz as fuzz_module
import numpy as np
import pytest
import yaml

pytest.importorskip('torch', reason='one of the readers is of the learning room: it needs the `train` extra')

from damage import mutated
from fuzz import READERS, Undocumented, fuzz

import ros_depthnet
from ros_depthnet.cli import many_flights
from ros_depthnet.cli.flight_options import file_parameters
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import BadImage
from ros_depthnet.core.lens import Lens
from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.model import load_model
from ros_depthnet.flight.messages.camera_info import NoCamera, to_calibration
from ros_depthnet.flight.messages.image import ImageReader
from ros_depthnet.flight.posed_sequence import PosedSequence, SequenceError
from ros_depthnet.learning.arrays import mapped_array, write_array
from ros_depthnet.learning.recipe import Recipe
from ros_depthnet.ros.bring_up import arguments, bring_up, read_preset
from ros_depthnet.text_files import read_json, read_yaml

SLOW = 'network', 'bag, MCAP', 'bag, sqlite3'


@pytest.mark.parametrize('name', READERS)
def test_only_documented_errors_come_out(name, tmp_path):
    counts = fuzz(name, 40 if name in SLOW else 200, tmp_path)
    assert sum(counts.values()) == (40 if name in SLOW else 200)
    assert counts[''], 'nothing was taken: the inputs are too wild to find anything'
    assert len(counts) > 1 or not READERS[name].documented, 'nothing was refused: the inputs are too tame'


# What two hundred thousand inputs have found, each as small as can be.


def picture(encoding, width, height, step):
    data = np.zeros(step * height, np.uint8)
    return SimpleNamespace(encoding=encoding, width=width, height=height, step=step, is_bigendian=0, data=data)


def test_a_yuv_image_whose_last_pixel_has_no_partner_is_refused():
    with pytest.raises(BadImage, match='cannot be 5 x 4 pixels: set another size'):
        ImageReader().rgb(picture('yuv422', 5, 4, 10))
    assert ImageReader().rgb(picture('yuv422', 6, 4, 12)).shape == (4, 6, 3)


def test_rows_of_half_pixels_are_read():
    assert ImageReader().rgb(picture('mono16', 5, 4, 11)).shape == (4, 5, 3)


def test_a_picture_that_claims_to_be_a_million_wide_is_refused():
    png = bytearray(cv2.imencode('.png', np.zeros((4, 4, 3), np.uint8))[1].tobytes())
    png[16:20] = (2**24).to_bytes(4, 'big')
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, 'big')
    with pytest.raises(BadImage, match='cannot be decoded'):
        ImageReader().rgb(SimpleNamespace(format='png', data=np.frombuffer(bytes(png), np.uint8)))


def compressed(data):
    return SimpleNamespace(format='png', data=np.frombuffer(data, np.uint8))


def test_a_png_whose_chunk_claims_gigabytes_is_refused_at_once():
    whole = cv2.imencode('.png', np.zeros((12, 12, 3), np.uint8))[1].tobytes()
    ImageReader().rgb(compressed(whole))
    start = time.monotonic()
    with pytest.raises(BadImage, match='cannot be decoded'):
        ImageReader().rgb(compressed(whole[:33] + b'\xff\xff\xff\xff' + whole[37:]))
    assert time.monotonic() - start < 0.5  # OpenCV took 17 s


def test_a_png_with_something_after_its_end_is_read():
    whole = cv2.imencode('.png', np.full((12, 12, 3), 7, np.uint8))[1].tobytes()
    assert (ImageReader().rgb(compressed(whole + b'appended by somebody')) == 7).all()


@pytest.mark.parametrize(
    'model, told, meant',
    [
        ('plumb_bob', (-0.2,), (-0.2, 0, 0, 0)),
        ('plumb_bob', (-0.2, 0.1, 0, 0, 0, 0), (-0.2, 0.1, 0, 0, 0)),
        ('equidistant', (0.1,), (0.1, 0, 0, 0)),
        ('equidistant', (0.1, 0.01, 0, 0, 0), (0.1, 0.01, 0, 0)),
    ],
)
def test_coefficients_that_are_not_told_are_zero(model, told, meant):
    camera, image = Camera(64, 48, 40, 40, 31.5, 23.5), np.random.default_rng(0).integers(0, 255, (48, 64), np.uint8)
    straight = [Lens(camera, model, D, tuple(np.eye(3).ravel())).straightened(image, camera) for D in (told, meant)]
    np.testing.assert_array_equal(*straight)
    assert (straight[0] != image).any()


def test_a_camera_that_binning_leaves_nothing_of_is_refused():
    K = np.array([300.0, 0, 160, 0, 300, 120, 0, 0, 1])
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    message = SimpleNamespace(width=320, height=240, k=K, p=np.zeros(12), r=np.eye(3).ravel(), d=(), roi=roi,
                              distortion_model='', binning_x=999, binning_y=1)  # fmt: skip
    with pytest.raises(NoCamera, match='makes no sense: The camera image is empty'):
        to_calibration(message)


@pytest.mark.parametrize('change, sentence', [
    ({'depth_scale': 10**400}, 'no number that makes sense'),
    ({'frames': [{'image': 'a', 'depth': 'a' * 999, 'stamp': 0, 'T_world_cam': np.eye(4).tolist()}]}, 'is not there'),
    ({'camera': {'width': 0.5, 'height': 8, 'fx': 8, 'fy': 8, 'cx': 0, 'cy': 0}}, 'The camera image is empty'),
])  # fmt: skip
def test_numbers_and_names_that_no_machine_holds_are_refused(tmp_path, change, sentence):
    READERS['posed sequence'].prepare(tmp_path)
    content = json.loads((tmp_path / 'sequence.json').read_text()) | change
    (tmp_path / 'sequence.json').write_text(json.dumps(content))
    with pytest.raises(SequenceError, match=sentence):
        PosedSequence.load(tmp_path)


@pytest.mark.parametrize('change, sentence', [
    ({'file': 'a' * 999}, 'cannot be read: .*too long'),
    ({'parallax_range': [1, 10**400]}, 'is malformed'),
])  # fmt: skip
def test_a_card_with_such_is_refused(tmp_path, change, sentence):
    READERS['model card'].prepare(tmp_path)
    path = tmp_path / 'red_is_parallax.yaml'
    path.write_text(json.dumps(yaml.safe_load(path.read_text()) | change))
    with pytest.raises(ModelError, match=sentence):
        load_model(path)


def test_a_network_whose_inputs_are_called_by_no_text_is_refused(tmp_path):
    READERS['network'].prepare(tmp_path)
    path = tmp_path / 'red_is_parallax.onnx'
    path.write_bytes(path.read_bytes().replace(b'displacements', b'displac\xd1ments'))
    card = path.with_suffix('.yaml')
    card.write_text(json.dumps(yaml.safe_load(card.read_text()) | {'sha256': ''}))
    with pytest.raises(ModelError, match='no readable ONNX model'):
        load_model(path)


def test_texts_nested_deeper_than_a_parser_goes_are_refused(tmp_path):
    path = tmp_path / 'nested'
    path.write_text('[' * 9999)
    for read, kind in ((read_json, 'JSON'), (read_yaml, 'YAML')):
        with pytest.raises(ValueError, match=f'nested is not valid {kind}: it is nested too deeply'):
            read(path)


def test_every_text_that_people_write_is_read_so_that_its_faults_are_a_sentence(tmp_path):
    (tmp_path / 'sequence.json').write_text('[' * 9999)
    with pytest.raises(SequenceError, match='nested too deeply'):
        PosedSequence.load(tmp_path)
    path = tmp_path / 'mine.yaml'
    path.write_text('[' * 9999)
    for read in (load_model, Recipe.load, file_parameters, read_preset):
        with pytest.raises(ValueError, match=r'mine.yaml is not valid YAML: it is nested too deeply'):
            read(path)


FUZZED = {
    'cli/many_flights.py': 'summary',
    'engines/card.py': 'model card',
    'engines/costs.py': 'network',
    'engines/split_session.py': 'network',
    'flight/bag.py': 'bag, MCAP',
    'flight/masks.py': 'mask',
    'flight/messages/image.py': 'compressed image',
    'flight/pictures.py': 'compressed image',
    'flight/posed_sequence.py': 'posed sequence',
    'learning/arrays.py': 'rendered set',
    'learning/labels.py': 'label',
    'learning/recipe.py': 'recipe',
    'learning/weights.py': 'checkpoint',
    'ros/bring_up.py': 'preset',
    'ros/parameters.py': 'parameter file',
    'text_files.py': 'parameter file',
}
READ_ALREADY = {  # what its owner has read before, or has just written
    'engines/gpu_sessions.py': 'a model whose session starts; the key in a folder of its own',
    'engines/whole_graph.py': 'a model whose session starts; what is shipped',
    'evaluation/moments.py': 'its own folder of a run',
    'evaluation/provenance.py': 'the kernel',
    'learning/adapt.py': 'a card that was read',
    'learning/curves.py': 'the table of its own run',
    'learning/export.py': 'what it has just exported',
    'learning/quantise.py': 'a card and a model that were read',
    'learning/run_export.py': 'the table of a run whose checkpoint was read; what is shipped',
    'learning/still_box/textures.py': 'photographs of packages',
    'learning/training.py': 'the table of its own run',
    'ros/graph_bench.py': 'the kernel',
    'ros/processes.py': 'the log of its own process',
    'ros/recording.py': 'a picture that is sent as it is, to who decodes it',
}
BYTES = ('read_text', 'read_bytes', 'frombuffer', 'fromfile', 'imread', 'imdecode', 'safe_load', 'DictReader',
         'deserialize_cdr', 'read_yaml', 'read_json', 'read_picture', 'decode_picture')  # fmt: skip
LOADS = ('np.load', 'onnx.load', 'torch.load', 'json.load', 'json.loads', 'ElementTree.parse')


def test_every_module_that_reads_bytes_is_fuzzed_or_reads_what_its_owner_knows():
    root = Path(ros_depthnet.__file__).parent
    reading = set()
    for path in root.rglob('*.py'):
        called = {
            ast.unparse(call.func) for call in ast.walk(ast.parse(path.read_text())) if isinstance(call, ast.Call)
        }
        if called & set(LOADS) or {name.rpartition('.')[2] for name in called} & set(BYTES):
            reading.add(str(path.relative_to(root)))
    assert reading == {*FUZZED, *READ_ALREADY}
    assert set(FUZZED.values()) <= set(READERS)


def test_names_that_no_file_can_have_are_not_there():
    for name in ('a' * 999, '\0', '~nobody'):
        with pytest.raises(ValueError, match='There is no preset'):
            read_preset(name)
        with pytest.raises(ValueError, match='There is no params_file'):
            bring_up({**{argument.name: argument.default for argument in arguments()}, 'params_file': name})


def test_a_folder_and_a_name_that_is_no_text_are_no_parameter_file(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text('/**: {ros__parameters: {on: 3}}')  # YAML says true
    for refused in (tmp_path, path):
        with pytest.raises(ValueError, match='is no parameter file of ROS nodes'):
            file_parameters(refused)


def test_an_array_that_is_cut_short_is_refused(tmp_path):
    write_array(tmp_path / 'a.npy', np.zeros((3, 2)))
    assert mapped_array(tmp_path / 'a.npy', 3).shape == (3, 2)
    with pytest.raises(ValueError, match='a.npy is damaged: remove it'):
        mapped_array(tmp_path / 'a.npy', 4)
    (tmp_path / 'a.npy').write_bytes((tmp_path / 'a.npy').read_bytes()[:90])
    with pytest.raises(ValueError, match='a.npy is damaged: remove it'):
        mapped_array(tmp_path / 'a.npy')


@pytest.mark.parametrize('summary', ['[]', '3', '{', '{"recipe": null}'])
def test_what_is_no_summary_of_a_flight_does_not_finish_it(tmp_path, monkeypatch, summary):
    monkeypatch.setattr(many_flights, 'recipe', lambda *_: 'made of this')
    (tmp_path / 'summary.json').write_text(summary)
    assert not many_flights.is_finished(tmp_path, tmp_path, None)
    (tmp_path / 'summary.json').write_text('{"recipe": "made of this"}')
    assert many_flights.is_finished(tmp_path, tmp_path, None)


def test_an_error_that_is_not_documented_is_a_finding(tmp_path, monkeypatch):
    def reads(rng):
        raise KeyError('x')

    monkeypatch.setitem(READERS, 'broken', type(READERS['image'])(reads, (ValueError,)))
    with pytest.raises(Undocumented, match="broken: seed 0: KeyError: 'x'"):
        fuzz('broken', 1, tmp_path)


def test_a_reader_that_takes_everything_for_damage_hangs_all_the_same(tmp_path, monkeypatch):
    def reads(rng):
        with contextlib.suppress(Exception):
            while True:
                pass

    monkeypatch.setattr(fuzz_module, 'HANG_S', 1)
    monkeypatch.setitem(READERS, 'slow', type(READERS['image'])(reads, (ValueError,)))
    with pytest.raises(Undocumented, match='slow: seed 0: _Hang: hangs for 1 s'):
        fuzz('slow', 1, tmp_path)


def test_mutants_differ_and_are_the_same_for_a_seed():
    data = bytes(range(200))
    found = {mutated(np.random.default_rng(seed), data) for seed in range(50)}
    assert len(found) > 40
    assert mutated(np.random.default_rng(3), data) == mutated(np.random.default_rng(3), data)
