"""A few inputs for every reader; `make fuzz` gives each two hundred thousand."""
# ruff: noqa: E402

import json
import time
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip('torch', reason='one of the readers is of the learning room: it needs the `train` extra')

from damage import mutated
from fuzz import READERS, Undocumented, fuzz

from ros_depthnet.cli.flight_options import file_parameters
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import BadImage
from ros_depthnet.core.lens import Lens
from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.model import load_model
from ros_depthnet.flight.messages.camera_info import NoCamera, to_calibration
from ros_depthnet.flight.messages.image import ImageReader
from ros_depthnet.flight.posed_sequence import PosedSequence, SequenceError
from ros_depthnet.learning.recipe import Recipe
from ros_depthnet.ros.bring_up import read_preset
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
    ({'frames': [{'image': 'a' * 999, 'stamp': 0.0, 'T_world_cam': np.eye(4).tolist()}]}, 'which is not there'),
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


def test_an_error_that_is_not_documented_is_a_finding(tmp_path, monkeypatch):
    def reads(rng):
        raise KeyError('x')

    monkeypatch.setitem(READERS, 'broken', type(READERS['image'])(reads, (ValueError,)))
    with pytest.raises(Undocumented, match="broken: seed 0: KeyError: 'x'"):
        fuzz('broken', 1, tmp_path)


def test_mutants_differ_and_are_the_same_for_a_seed():
    data = bytes(range(200))
    found = {mutated(np.random.default_rng(seed), data) for seed in range(50)}
    assert len(found) > 40
    assert mutated(np.random.default_rng(3), data) == mutated(np.random.default_rng(3), data)
