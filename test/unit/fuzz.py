"""
Every reader of what comes from outside, on inputs that nobody meant: only its documented errors may come out.

`python test/unit/fuzz.py [--inputs N] [--seconds S] [--first SEED] [READER ...]` runs many, each reader in a
process of its own, so that a crash or a hang is a finding too. `--first` goes on where an earlier run ended.
"""

import argparse
import contextlib
import copy
import functools
import hashlib
import io
import json
import math
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import cv2
import numpy as np
import onnx
import torch
import yaml
from damage import altered, altered_network, damaged_npy, damaged_png, damaged_zip, mutated, number, odd
from rosbags.rosbag2 import reader as rosbag2_reader
from rosbags.typesys import Stores, get_typestore
from ruamel.yaml import YAML

from ros_depthnet.cli import many_flights
from ros_depthnet.cli.flight_options import file_parameters
from ros_depthnet.cli.main import SUBCOMMANDS, _parser
from ros_depthnet.core.cloud import CloudOptions
from ros_depthnet.core.frames import BadImage
from ros_depthnet.core.motion import InvalidPose
from ros_depthnet.core.obstacles import ObstacleOptions
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines import card as card_module
from ros_depthnet.engines.card import ModelCard, ModelError
from ros_depthnet.engines.model import load_model
from ros_depthnet.evaluation.evaluate import Variant
from ros_depthnet.evaluation.pose_noise import PoseNoise
from ros_depthnet.flight import bag as bag_module
from ros_depthnet.flight.bag import Bag, RecordingError
from ros_depthnet.flight.intake import IntakeOptions
from ros_depthnet.flight.masks import MaskError, read_mask
from ros_depthnet.flight.messages.camera_info import NoCamera, to_calibration
from ros_depthnet.flight.messages.image import _COLOURS, _DEPTHS, ImageReader, to_depth
from ros_depthnet.flight.messages.pose import READERS as POSES
from ros_depthnet.flight.posed_sequence import PosedSequence, SequenceError
from ros_depthnet.flight.topics import CAMERA_INFO, COMPRESSED, IMAGE, ODOM
from ros_depthnet.flight.transforms import TransformPoses
from ros_depthnet.learning import dataset
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.labels import _FIELDS, _read
from ros_depthnet.learning.moving_clues import CluedFlights
from ros_depthnet.learning.recipe import Recipe
from ros_depthnet.learning.weights import take
from ros_depthnet.resources import share_path
from ros_depthnet.ros import bring_up
from ros_depthnet.ros.parameters import DEPTH_NODE

HANG_S = 20  # of computing
_WAITING = 15  # times as long for what only waits: a machine may be busy, or stand still
_MEMORY = Path('/dev/shm')  # where files cost nothing
_PARSED = functools.lru_cache(yaml.safe_load)


@dataclass(frozen=True)
class Reader:
    """
    What is fuzzed: `prepare` a folder once; then `read` takes a random generator, and may raise `documented`.
    """

    read: Callable
    documented: tuple[type[Exception], ...]
    prepare: Callable = lambda folder: None


def _message(rng, share: float = 0.3, **usual) -> SimpleNamespace:
    """Return a message whose whole numbers are now and then others that its fields can hold."""
    for name, value in usual.items():
        if type(value) is int and rng.random() < share:
            usual[name] = int(rng.integers(0, 2 ** int(rng.integers(1, 32))))
    return SimpleNamespace(**usual)


# Messages.


def image(rng):
    encodings = (*_COLOURS, *_DEPTHS, 'rgb16', '', 'x')
    encoding = encodings[rng.integers(len(encodings))]
    width, height, channels = int(rng.integers(0, 20)), int(rng.integers(0, 20)), int(rng.integers(1, 9))
    data = np.frombuffer(rng.bytes(max(0, width * height * channels + int(rng.integers(-9, 9)))), np.uint8)
    message = _message(
        rng, 0.1, width=width, height=height, step=width * channels, is_bigendian=0, encoding=encoding, data=data
    )
    (to_depth if encoding in _DEPTHS else ImageReader().rgb)(message)


def compressed(rng, made={}):  # noqa: B006  (made once)
    if not made:
        picture = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
        for suffix in ('.png', '.jpg', '.webp', '.tiff', '.bmp'):
            made[suffix] = cv2.imencode(suffix, picture)[1].tobytes()
    suffix = sorted(made)[rng.integers(len(made))]
    sealed = suffix == '.png' and rng.random() < 0.7
    data = (damaged_png if sealed else mutated)(rng, made[suffix])
    ImageReader().rgb(SimpleNamespace(format='jpeg', data=np.frombuffer(data, np.uint8)))


def camera_info(rng):
    matrix = np.array([300.0, 0, 160, 0, 300, 120, 0, 0, 1])
    fields_ = {'k': matrix, 'r': np.eye(3).ravel(), 'p': np.insert(matrix, [3, 6, 9], 0), 'd': np.zeros(5)}
    for name, values in fields_.items():
        if rng.random() < 0.5:
            values = values.copy()
            values[rng.integers(len(values))] = number(rng)
            fields_[name] = values
    if rng.random() < 0.3:
        fields_['d'] = np.array([number(rng) for _ in range(int(rng.integers(0, 16)))])
    models = ('plumb_bob', 'equidistant', 'rational_polynomial', '', 'fisheye', 'x')
    roi = _message(rng, 0.1, x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
    small = {'width': 32, 'height': 24} if rng.random() < 0.1 else {'width': 320, 'height': 240}
    calibration = to_calibration(_message(rng, 0.1, **small, binning_x=0, binning_y=0, roi=roi,
                                          distortion_model=models[rng.integers(len(models))], **fields_))  # fmt: skip
    raw, pinhole = calibration.lens.raw if calibration.lens else calibration.pinhole, calibration.pinhole
    if max(raw.width * raw.height, pinhole.width * pinhole.height) < 2000:
        calibration.rectified(np.zeros((raw.height, raw.width, 3), np.uint8))


def pose(rng):
    def vector(names):
        return SimpleNamespace(**{name: number(rng) for name in names})

    stamp = SimpleNamespace(sec=int(rng.integers(-(2**31), 2**31)), nanosec=int(rng.integers(0, 2**32)))
    place = SimpleNamespace(position=vector('xyz'), orientation=vector('xyzw'))
    with_covariance, twist = SimpleNamespace(pose=place), SimpleNamespace(twist=SimpleNamespace(linear=vector('xyz')))
    message = SimpleNamespace(
        header=SimpleNamespace(stamp=stamp, frame_id='odom'), child_frame_id='b', twist=twist,
        timestamp=int(rng.integers(0, 2**63)), timestamp_sample=int(rng.integers(0, 2**63)),
        pose_frame=int(rng.integers(0, 4)), q=[number(rng) for _ in range(4)],
        position=[number(rng) for _ in range(3)], velocity=[number(rng) for _ in range(3)],
    )  # fmt: skip
    kinds = sorted(POSES)
    kind = kinds[rng.integers(len(kinds))]
    message.pose = place if kind.endswith('PoseStamped') else with_covariance
    found = POSES[kind](message)
    assert np.isfinite(found.T_world_body).all()


def transforms(rng):
    def vector(names):
        return SimpleNamespace(**{name: number(rng) for name in names})

    frames = 'odom', 'base_link', 'optical', '', '/odom', 'a' * 999
    tree = TransformPoses(*rng.choice(frames, 2))
    for _ in range(int(rng.integers(1, 6))):
        stamp = SimpleNamespace(sec=int(rng.integers(0, 3)), nanosec=int(rng.integers(0, 2**32)))
        parent, child = rng.choice(frames, 2)
        transform = SimpleNamespace(
            header=SimpleNamespace(stamp=stamp, frame_id=parent), child_frame_id=child,
            transform=SimpleNamespace(translation=vector('xyz'), rotation=vector('xyzw')))  # fmt: skip
        (tree.read if rng.random() < 0.7 else tree.read_static)(SimpleNamespace(transforms=[transform]))
        assert tree.missing


# Files.


class _Files:
    """A folder of a reader's own, with what is in it at first."""

    folder: Path
    content: dict[str, bytes]


def _kept(prepare):
    """Return a `prepare` that makes a folder once and remembers its files."""

    def prepared(folder):
        _Files.folder = folder
        prepare(folder)
        files = [path for path in folder.rglob('*') if path.is_file()]
        _Files.content = {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return prepared


def _spoilt(rng, *names: str, sealed: Callable = mutated) -> None:
    """Spoil one of the files, mostly behind its checksums where it is `sealed`, and put the others back."""
    chosen = names[rng.integers(len(names))]
    damaged = sealed if rng.random() < 0.7 else mutated
    for name in names:
        content = _Files.content[name]
        (_Files.folder / name).write_bytes(damaged(rng, content) if name == chosen else content)


def _make_sequence(folder):
    (folder / 'images').mkdir()
    cv2.imwrite(str(folder / 'images/0.png'), np.full((8, 8, 3), 9, np.uint8))
    cv2.imwrite(str(folder / 'depth.png'), np.full((8, 8), 9, np.uint16))
    frame = {'image': 'images/0.png', 'depth': 'depth.png', 'stamp': 0.0, 'T_world_cam': np.eye(4).tolist()}
    content = {
        'name': 's',
        'camera': {'width': 8, 'height': 8, 'fx': 8.0, 'fy': 8.0, 'cx': 3.5, 'cy': 3.5},
        'depth_scale': 0.001,
        'max_depth': 10.0,
        'frames': [frame, {**frame, 'stamp': 1.0}],
        'pairs': [[0, 1]],
    }
    (folder / 'sequence.json').write_text(json.dumps(content))


def sequence(rng):
    if rng.random() < 0.3:
        _spoilt(rng, 'sequence.json')
    else:
        tree = altered(rng, json.loads(_Files.content['sequence.json']))
        (_Files.folder / 'sequence.json').write_text(json.dumps(tree))
    found = PosedSequence.load(_Files.folder)
    for index in range(len(found.frames)):
        found.frame(index)


def _make_model(folder):
    from tiny_models import red_is_parallax

    red_is_parallax(folder)


def card(rng):
    path, content = _Files.folder / 'red_is_parallax.yaml', _Files.content['red_is_parallax.yaml']
    path.write_bytes(mutated(rng, content) if rng.random() < 0.2 else _altered_text(rng, _PARSED(content)))
    ModelCard.read(path).check_file()


def _altered_text(rng, tree: object) -> bytes:
    return json.dumps(altered(rng, copy.deepcopy(tree))).encode()  # JSON is YAML, and quicker


def network(rng):
    whole = _Files.content['red_is_parallax.onnx']
    data = altered_network(rng, onnx.ModelProto.FromString(whole)) if rng.random() < 0.3 else mutated(rng, whole)
    (_Files.folder / 'red_is_parallax.onnx').write_bytes(data)
    written = {**_PARSED(_Files.content['red_is_parallax.yaml']), 'sha256': hashlib.sha256(data).hexdigest()}
    with mock.patch.object(card_module, 'read_yaml', lambda path: written):  # its card is sound
        load_model(_Files.folder / 'red_is_parallax.onnx', 'cpu')


_STORE, _METADATA = get_typestore(Stores.LATEST), functools.lru_cache(lambda text: YAML(typ='safe').load(text))


def _types(_):
    """Return ROS' types, with the readers of messages that were generated so far; what a bag brings stays its own."""
    for kind in (IMAGE.type, COMPRESSED.type, CAMERA_INFO.type, *POSES):
        if kind in _STORE.types:
            _STORE.get_msgdef(kind)
    found = copy.copy(_STORE)
    found.types, found.fielddefs, found.cache = map(dict, (_STORE.types, _STORE.fielddefs, _STORE.cache))
    return found


def _quick_bags():
    """Make once what opening a bag costs most and few bags change: four times as many inputs."""
    parser = SimpleNamespace(load=lambda text: copy.deepcopy(_METADATA(text)))
    return (
        mock.patch.object(bag_module, 'get_typestore', _types),
        mock.patch.object(rosbag2_reader, 'YAML', lambda typ: parser),
    )


def _make_bag(storage):
    def make(folder):
        from rosbags.rosbag2 import StoragePlugin
        from test_bag import messages, write

        few = (event for event in messages() if event[0] in (0, 100))  # the smaller, the more of it is structure
        write(folder / 'bag', few, StoragePlugin[storage])

    return make


def bag(rng):
    _spoilt(rng, *sorted(_Files.content))
    with contextlib.ExitStack() as stack:
        for quicker in _quick_bags():
            stack.enter_context(quicker)
        _read_bag()


def _read_bag():
    lost = []
    found = Bag(_Files.folder / 'bag', lost.append)
    found.require(CAMERA_INFO, ODOM)
    reader = ImageReader()
    for record, topic in found.events():
        message = found.message(record)
        if message is None:
            continue
        with contextlib.suppress(BadImage, NoCamera, InvalidPose):
            if topic in (IMAGE, COMPRESSED):
                reader.rgb(message)
            elif topic == CAMERA_INFO:
                to_calibration(message)
            else:
                POSES[found.type(topic)](message)


def _make_mask(folder):
    cv2.imwrite(str(folder / 'mask.png'), np.eye(12, dtype=np.uint8) * 255)


def mask(rng):
    _spoilt(rng, 'mask.png', sealed=damaged_png)
    read_mask(_Files.folder / 'mask.png')


def _make_set(folder):
    rng = np.random.default_rng(0)
    shapes = {'images': (2, 2, 4, 6, 3), 'depth': (2, 2, 4, 6), 'intrinsics': (2, 4), 'positions': (2, 2, 3)}
    for name, shape in shapes.items():
        values = rng.uniform(1, 9, shape).astype(np.uint8 if name == 'images' else np.float16)
        np.save(folder / f'00000.{name}.npy', values)


def rendered_set(rng):
    _spoilt(rng, *sorted(_Files.content), sealed=damaged_npy)
    with mock.patch.object(dataset, 'SHARD', 2):
        flights = RenderedFlights.open(_Files.folder)
        for number in range(len(flights)):
            flight = flights[number]
            assert all(values.shape for values in (flight.images, flight.depth, flight.positions))


def _make_clues(folder):
    np.save(folder / 'a.clues.npy', np.zeros((2, 5, 3, 4), np.float16))
    np.save(folder / 'a.moving.npy', np.zeros((2, 3, 4), np.uint8))


def clues(rng):
    _spoilt(rng, *sorted(_Files.content), sealed=damaged_npy)
    flight = CluedFlights.open(_Files.folder)[0]
    assert len(flight.clues) == len(flight.moving)


def _make_label(folder):
    values = 5, np.zeros((2, 3, 3), np.uint8), np.array([3, 2, 3.0, 3.0, 1.0, 0.5]), np.eye(4), np.ones((2, 3))
    np.savez(folder / 'label.npz', **dict(zip(_FIELDS, (*values, np.ones((2, 3))))))


def label(rng):
    _spoilt(rng, 'label.npz', sealed=damaged_zip)
    _read(_Files.folder / 'label.npz')


def _make_checkpoint(folder):
    torch.save({'network': torch.nn.Linear(2, 2).state_dict()}, folder / 'network.pt')


def checkpoint(rng):
    _spoilt(rng, 'network.pt', sealed=damaged_zip)
    take(torch.nn.Linear(2, 2), _Files.folder / 'network.pt')


def _make_exported(folder):
    rng = np.random.default_rng(0)
    shapes = {'0.0.weight': (3, 2, 3, 3), '0.0.bias': (3,)}
    tensors = [onnx.numpy_helper.from_array(rng.random(shape, np.float32), name) for name, shape in shapes.items()]
    graph = onnx.helper.make_graph([], 'exported', [], [], tensors)
    onnx.save(onnx.helper.make_model(graph), folder / 'network.onnx')


def exported(rng):
    path, whole = _Files.folder / 'network.onnx', _Files.content['network.onnx']
    sealed = rng.random() < 0.5
    path.write_bytes(altered_network(rng, onnx.ModelProto.FromString(whole)) if sealed else mutated(rng, whole))
    take(torch.nn.Sequential(torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))), path)


# What people type.


def _written(
    file: str, content: Callable[[], object], read: Callable[[Path], object], documented=(ValueError,)
) -> Reader:
    """Return the reader of a YAML or JSON file that people write, as `content` is where it is sound."""

    def prepare(folder):
        (folder / file).write_text(json.dumps(content()))

    def spoil_and_read(rng):
        path, whole = _Files.folder / file, _Files.content[file]
        path.write_bytes(mutated(rng, whole) if rng.random() < 0.2 else _altered_text(rng, _PARSED(whole)))
        with mock.patch.object(yaml, 'safe_load', _as_json_or_yaml):
            read(path)

    return Reader(spoil_and_read, documented, _kept(prepare))


def _as_json_or_yaml(text: str) -> object:
    """Parse YAML that is JSON in a tenth of the time."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.load(text, yaml.SafeLoader)


def _shipped(*parts: str) -> Callable[[], object]:
    return lambda: yaml.safe_load(share_path(*parts).read_text())


def _some_parameters() -> object:
    chosen = {parameter.name: parameter.default for parameter in DEPTH_NODE[::4]}
    return {'/**/depth_node': {'ros__parameters': {'model': 'default'}}, '/**': {'ros__parameters': chosen}}


_DIGEST = 'what it was made of'
_LAUNCHED = {argument.name: argument.default for argument in bring_up.arguments()}
_TOLD = ('', 'true', 'false', 'True', 'tf', 'forward', 'down', '0 0 0 0 0 0', '0 0 0 0 0', 'nan', '1', '-1', 'x', ' ',
         'inf 0 0 0 0 0', 'mavros', '/nowhere', '..', '~', '~nobody', 'é', '1e999', 'a' * 999, 'odom', '/a/b',
         '\0')  # fmt: skip


def _is_finished(path: Path) -> None:
    with mock.patch.object(many_flights, 'recipe', lambda *_: _DIGEST):
        many_flights.is_finished(path, path.parent, None)


def launch_arguments(rng):
    chosen = rng.choice(sorted(_LAUNCHED), int(rng.integers(1, 5)), replace=False)
    bring_up.bring_up({**_LAUNCHED, **{name: _TOLD[rng.integers(len(_TOLD))] for name in chosen}})


def options(rng):
    kinds = IntakeOptions, EstimatorOptions, CloudOptions, ObstacleOptions
    kind = kinds[rng.integers(len(kinds))]
    chosen = [field for field in fields(kind) if rng.random() < 0.2]
    values = {}
    for field in chosen:
        default = getattr(kind(), field.name)
        value = number(rng)
        values[field.name] = (
            bool(rng.integers(2)) if isinstance(default, bool)
            else int(np.clip(value, -(2**31), 2**31)) if isinstance(default, int) and math.isfinite(value)
            else str(odd(rng)) if isinstance(default, str) else value
        )  # fmt: skip
    kind(**values)


WORDS = ('--out', '--model', '--flight', '--methods', '--protocol', '--options', '--widths', '--threads', '--seconds',
         '--steps', '--size', '--seed', '--json', '--debug', '--version', '--help', '-h', '--', '-1', '0', '1', 'nan',
         '1e9', 'a,b', '1,2', ',', '=', 'x=y', 'default', '/nowhere', '', ' ', '\0', 'é', '--precision',
         'int8')  # fmt: skip


def command_line(rng):
    names = (*SUBCOMMANDS, 'nonsense')
    argv = [names[rng.integers(len(names))], *(WORDS[rng.integers(len(WORDS))] for _ in range(rng.integers(6)))]
    untranslated = mock.patch.object(argparse, '_', str)  # each look for a translation costs as much as the rest
    with untranslated, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            _parser(argv).parse_args(argv)
        except SystemExit as end:
            assert end.code in (0, 2)


def small_texts(rng):
    text = ''.join('0123456789.,=-+einfatrusl_ \0é'[i] for i in rng.integers(0, 29, rng.integers(0, 12)))
    names = [field.name for field in fields(EstimatorOptions)]
    if rng.random() < 0.5:
        Variant.parse(f'{names[rng.integers(len(names))]}={text}')
    else:
        PoseNoise.parse(text)


READERS = {
    'image': Reader(image, (BadImage,)),
    'compressed image': Reader(compressed, (BadImage,)),
    'camera_info': Reader(camera_info, (NoCamera,)),
    'poses': Reader(pose, (InvalidPose,)),
    'transforms': Reader(transforms, (InvalidPose,)),
    'posed sequence': Reader(sequence, (SequenceError,), _kept(_make_sequence)),
    'model card': Reader(card, (ModelError,), _kept(_make_model)),
    'network': Reader(network, (ModelError,), _kept(_make_model)),
    'bag, MCAP': Reader(bag, (RecordingError,), _kept(_make_bag('MCAP'))),
    'bag, sqlite3': Reader(bag, (RecordingError,), _kept(_make_bag('SQLITE3'))),
    'mask': Reader(mask, (MaskError,), _kept(_make_mask)),
    'rendered set': Reader(rendered_set, (ValueError, OSError), _kept(_make_set)),
    'clues': Reader(clues, (ValueError, OSError), _kept(_make_clues)),
    'label': Reader(label, (ValueError,), _kept(_make_label)),
    'checkpoint': Reader(checkpoint, (ValueError,), _kept(_make_checkpoint)),
    'exported weights': Reader(exported, (ValueError, OSError), _kept(_make_exported)),
    'recipe': _written('r.yaml', _shipped('ros_depthnet', 'learning', 'recipes', 'parallaxnet.yaml'), Recipe.load),
    'parameter file': _written('p.yaml', _some_parameters, file_parameters),
    'preset': _written(
        'p.yaml',
        _shipped('config', 'presets', 'zed.yaml'),
        lambda path: bring_up.bring_up({**_LAUNCHED, 'preset': str(path)}),
    ),
    'summary': _written('summary.json', lambda: {'flight': 'a', 'frames': 3, 'recipe': _DIGEST}, _is_finished, ()),
    'launch arguments': Reader(launch_arguments, (ValueError,)),
    'parameters': Reader(options, (ValueError,)),
    'command line': Reader(command_line, ()),
    'options as text': Reader(small_texts, (ValueError,)),
}


class Undocumented(AssertionError):
    """A reader raised what it should not have; the text says with which seed."""


class _Hang(BaseException):
    """What takes too long, raised in the midst of it; a reader that takes any Exception for damage lets it through."""


def fuzz(name: str, inputs: int, folder: Path, first: int = 0, seconds: float = math.inf) -> Counter:
    """
    Give a reader so many inputs, those of the seeds from `first`; returns how often each documented error came.

    '' counts the inputs that were taken. Raises Undocumented, also for what takes longer than HANG_S.
    """
    reader, counts, end = READERS[name], Counter(), time.monotonic() + seconds

    def hangs(*_):
        raise _Hang(f'hangs for {HANG_S} s')

    def watch(patience_s: float):
        signal.setitimer(signal.ITIMER_PROF, patience_s)
        signal.setitimer(signal.ITIMER_REAL, _WAITING * patience_s)

    for kind in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(kind, hangs)
    reader.prepare(folder)
    for seed in range(first, first + inputs):
        if time.monotonic() > end:
            break
        watch(HANG_S)
        try:
            reader.read(np.random.default_rng(seed))
            counts[''] += 1
        except reader.documented as error:
            assert str(error).strip(), f'{name}: seed {seed} is refused without a word'
            counts[type(error).__name__] += 1
        except (Exception, _Hang) as error:
            raise Undocumented(f'{name}: seed {seed}: {type(error).__name__}: {error}') from error
        finally:
            watch(0)
    return counts


def _in_a_process(name: str, inputs: int, first: int, seconds: float, said) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # image decoders complain there of each damaged picture
    folder = Path(tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        said.send(fuzz(name, inputs, folder, first, seconds))
    except Undocumented as finding:
        said.send(str(finding))
    finally:
        shutil.rmtree(folder)


def main() -> int:
    """Run, print a line for each reader, and return 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('readers', nargs='*', metavar='READER', help=', '.join(READERS))
    parser.add_argument('--inputs', type=int, default=200_000, help='for each reader (200000)')
    parser.add_argument('--first', type=int, default=0, metavar='SEED', help='of the first input (0)')
    parser.add_argument('--seconds', type=float, default=600, help='for each reader, at most (600)')
    arguments = parser.parse_args()
    found = 0
    for name in arguments.readers or READERS:
        ours, theirs = multiprocessing.Pipe(False)
        process = multiprocessing.get_context('fork').Process(
            target=_in_a_process, args=(name, arguments.inputs, arguments.first, arguments.seconds, theirs)
        )
        start = time.monotonic()
        process.start()
        theirs.close()
        try:
            outcome = ours.recv()
        except EOFError:
            process.join()
            outcome = f'the process died of {signal.Signals(-process.exitcode).name}'
        process.join()
        if isinstance(outcome, str):
            found += 1
        else:
            taken = outcome.pop('', 0)
            refused = ', '.join(f'{count} {error}' for error, count in outcome.items())
            outcome = f'{taken + sum(outcome.values())} inputs, {taken} taken' + (f', {refused}' if refused else '')
        print(f'{name:18} {time.monotonic() - start:6.0f} s  {outcome}', flush=True)
    return bool(found)


if __name__ == '__main__':
    sys.exit(main())
