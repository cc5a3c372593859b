"""Read and write posed sequences: folders of images, poses, (some) true depth and where things move."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import BadImage, Frame
from ros_depthnet.flight.pictures import read_picture, write_picture
from ros_depthnet.text_files import read_json
from ros_depthnet.whole_files import write_file

INDEX_NAME = 'sequence.json'
_LARGEST_UNIT = np.iinfo(np.uint16).max
_MOST = 9e9  # of any number; of seconds it is what 64 bits of nanoseconds hold
_RIGID_TOLERANCE = 1e-2  # poses are often printed with few digits; what is off is made a rotation


class SequenceError(ValueError):
    """A folder is not a posed sequence that can be used; the message is one sentence naming the file."""


class BadPicture(SequenceError, BadImage):
    """A picture of a posed sequence that is lost; the others may be sound."""


@dataclass(frozen=True, eq=False)
class SequenceFrame:
    """One frame's files and pose; `T_world_cam` is (4, 4), optical axes, in the sequence's unit of length."""

    image_path: Path
    stamp_ns: int
    T_world_cam: np.ndarray
    depth_path: Path | None
    moving_path: Path | None = None


@dataclass(frozen=True, eq=False)
class PosedSequence:
    """
    A recorded flight with poses, and depth of some frames, all from one undistorted pinhole camera.

    `pairs` holds (reference, source) frame indices whose reference has true depth. Truth at or beyond
    `max_depth` is not scored. Where `metric` is false the unit of length is arbitrary.
    """

    folder: Path
    name: str
    source: str
    licence: str
    kind: str
    camera: Camera
    depth_scale: float
    max_depth: float
    metric: bool
    frames: tuple[SequenceFrame, ...]
    pairs: tuple[tuple[int, int], ...]

    @classmethod
    def load(cls, path: str | Path) -> 'PosedSequence':
        """Read and check `path/sequence.json`; raises SequenceError where something does not fit."""
        folder = Path(path)
        index = _Index.open(folder)
        frames = tuple(_frame(index.item('frames', i), folder) for i in range(index.count('frames')))
        if not frames:
            raise index.error('has no frames')
        return cls(
            folder=folder,
            name=index.text('name', folder.name),
            source=index.text('source'),
            licence=index.text('licence'),
            kind=index.text('kind'),
            camera=_camera(index.section('camera')),
            depth_scale=index.positive('depth_scale'),
            max_depth=index.positive('max_depth'),
            metric=bool(index.content.get('metric', True)),
            frames=frames,
            pairs=_pairs(index, frames),
        )

    @cached_property
    def with_truth(self) -> tuple[int, ...]:
        """Return the indices of the frames that have true depth."""
        return tuple(i for i, frame in enumerate(self.frames) if frame.depth_path is not None)

    def image(self, i: int) -> np.ndarray:
        """Return frame i's image, (H, W, 3) uint8 RGB; raises BadPicture."""
        path = self.frames[i].image_path
        return cv2.cvtColor(self._read(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def depth(self, i: int) -> np.ndarray:
        """
        Return frame i's true depth, (H, W) float32 in the sequence's unit (metres), NaN where unknown.

        Raises BadPicture, and SequenceError where the frame has none.
        """
        path = self.frames[i].depth_path
        if path is None:
            raise SequenceError(f'Frame {i} of {self.folder} has no depth.')
        units = self._read(path, cv2.IMREAD_UNCHANGED)
        if units.dtype != np.uint16 or units.ndim != 2:
            raise BadPicture(f'{path} is not a 16-bit grey image, so it is not a depth map.')
        return np.where(units > 0, units * np.float32(self.depth_scale), np.float32('nan')).astype(np.float32)

    def truth(self, i: int) -> np.ndarray | None:
        """Return frame i's true depth, see `depth`; None where there is none, or it is lost."""
        try:
            return None if self.frames[i].depth_path is None else self.depth(i)
        except BadPicture:
            return None

    def moving(self, i: int) -> np.ndarray | None:
        """Return where frame i shows what moves by itself, (H, W) bool; None where that is not known."""
        path = self.frames[i].moving_path
        return None if path is None else self._read(path, cv2.IMREAD_GRAYSCALE) > 0

    def frame(self, i: int) -> Frame:
        """Return frame i as the estimator takes it; raises BadPicture."""
        frame = self.frames[i]
        return Frame(stamp_ns=frame.stamp_ns, image=self.image(i), camera=self.camera, T_world_cam=frame.T_world_cam)

    def _read(self, path: Path, mode: int) -> np.ndarray:
        image = read_picture(path, mode)
        if image is None:
            raise BadPicture(f'{path} cannot be read as an image.')
        height, width = image.shape[:2]
        if (width, height) != (self.camera.width, self.camera.height):
            raise BadPicture(
                f'{path} is {width}x{height}, but the camera of {self.folder} is '
                f'{self.camera.width}x{self.camera.height}.'
            )
        return image


@dataclass(frozen=True, eq=False)
class NewFrame:
    """
    A frame to be written: what the estimator takes, and the truth where it is known.

    depth_hw: (H, W) metres. moving_hw: (H, W) bool, where something moves by itself.
    """

    frame: Frame
    depth_hw: np.ndarray | None = None
    moving_hw: np.ndarray | None = None


def write_posed_sequence(
    folder: str | Path,
    frames: Iterable[NewFrame],
    pairs: Sequence[tuple[int, int]],
    *,
    name: str,
    source: str,
    licence: str,
    kind: str,
    max_depth: float,
    depth_scale: float = 0.001,
    metric: bool = True,
    jpeg_quality: int | None = None,
) -> Path:
    """
    Write a posed sequence and return its folder; `frames` may be a generator, so that memory stays bounded.

    Depth is rounded to `depth_scale` metres; what is not finite, not positive or beyond 65535 units becomes
    unknown. Images are PNG, or JPEG where `jpeg_quality` (0..100) is given. Every frame must have one camera.
    """
    folder = Path(folder)
    extension = 'png' if jpeg_quality is None else 'jpg'
    camera, entries = None, []
    for i, new in enumerate(frames):
        camera = camera or new.frame.camera
        if new.frame.camera != camera:
            raise SequenceError(f'Frame {i} has another camera than frame 0: a posed sequence has one.')
        image_name, depth_name = f'images/{i:05d}.{extension}', None
        write_picture(folder / image_name, cv2.cvtColor(new.frame.image, cv2.COLOR_RGB2BGR), jpeg_quality or 0)
        if new.depth_hw is not None:
            depth_name = f'depth/{i:05d}.png'
            write_picture(folder / depth_name, _units(new.depth_hw, depth_scale))
        entry = {
            'image': image_name,
            'stamp': new.frame.stamp_ns / 1e9,
            'T_world_cam': np.asarray(new.frame.T_world_cam).tolist(),
            'depth': depth_name,
        }
        if new.moving_hw is not None:
            entry['moving'] = f'moving/{i:05d}.png'
            write_picture(folder / entry['moving'], new.moving_hw.astype(np.uint8) * 255)
        entries.append(entry)
    if camera is None:
        raise SequenceError(f'There are no frames to write to {folder}.')
    index = {
        'name': name,
        'source': source,
        'licence': licence,
        'kind': kind,
        'camera': {key: getattr(camera, key) for key in ('width', 'height', 'fx', 'fy', 'cx', 'cy')},
        'depth_scale': depth_scale,
        'max_depth': max_depth,
        'metric': metric,
        'frames': entries,
        'pairs': [list(pair) for pair in pairs],
    }
    write_file(folder / INDEX_NAME, json.dumps(index, indent=1) + '\n')
    return folder


def _units(depth_hw: np.ndarray, depth_scale: float) -> np.ndarray:
    units = np.round(np.asarray(depth_hw, np.float64) / depth_scale)
    known = np.isfinite(units) & (units > 0) & (units <= _LARGEST_UNIT)
    return np.where(known, units, 0).astype(np.uint16)


@dataclass(frozen=True)
class _Index:
    """A JSON object and where it was found, so that every complaint names the file and the key."""

    path: Path
    content: dict
    prefix: str = ''

    @classmethod
    def open(cls, folder: Path) -> '_Index':
        path = folder / INDEX_NAME
        try:
            content = read_json(path)
        except (FileNotFoundError, NotADirectoryError) as missing:
            raise SequenceError(f'{folder} is not a posed sequence: it has no {INDEX_NAME}.') from missing
        except OSError as error:
            raise SequenceError(f'{path} cannot be read: {error.strerror}.') from error
        except ValueError as error:
            raise SequenceError(str(error)) from error
        if not isinstance(content, dict):
            raise SequenceError(f'{path} is not a JSON object.')
        return cls(path, content)

    def error(self, complaint: str) -> SequenceError:
        return SequenceError(f'{self.path} {complaint}.')

    def value(self, key: str, kind: type | tuple[type, ...], what: str) -> Any:
        value = self.content.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(f'needs {what} under "{self.prefix}{key}"')
        return value

    def text(self, key: str, default: str = '') -> str:
        return str(self.content.get(key, default))

    def number(self, key: str) -> float:
        number = self.value(key, (int, float), 'a number')
        if not abs(number) <= _MOST:
            raise self.error(f'has {number} under "{self.prefix}{key}", which is no number that makes sense')
        return float(number)

    def positive(self, key: str) -> float:
        number = self.number(key)
        if number <= 0:
            raise self.error(f'has {number:g} under "{self.prefix}{key}", which must be positive')
        return number

    def section(self, key: str) -> '_Index':
        return _Index(self.path, self.value(key, dict, 'an object'), f'{self.prefix}{key}.')

    def count(self, key: str) -> int:
        return len(self.value(key, list, 'a list'))

    def item(self, key: str, i: int) -> '_Index':
        content = self.content[key][i]
        if not isinstance(content, dict):
            raise self.error(f'needs an object as entry {i} of "{key}"')
        return _Index(self.path, content, f'{key}[{i}].')


def _camera(section: _Index) -> Camera:
    width, height = (int(section.positive(key)) for key in ('width', 'height'))
    fx, fy = (section.positive(key) for key in ('fx', 'fy'))
    cx, cy = (section.number(key) for key in ('cx', 'cy'))
    try:
        return Camera(width, height, fx, fy, cx, cy)
    except ValueError as error:
        raise section.error(f'has no camera: {error}') from error


def _frame(entry: _Index, folder: Path) -> SequenceFrame:
    image_path = folder / entry.value('image', str, 'a file name')  # one that is not there costs itself alone
    depth_path, moving_path = (
        folder / entry.value(key, str, 'a file name') if entry.content.get(key) is not None else None
        for key in ('depth', 'moving')
    )
    for path in filter(None, (depth_path, moving_path)):
        if not os.path.isfile(path):  # unlike Path's, it takes names that no file can have
            raise entry.error(f'names {path}, which is not there')
    return SequenceFrame(image_path, round(entry.number('stamp') * 1e9), _pose(entry), depth_path, moving_path)


def _pose(entry: _Index) -> np.ndarray:
    try:
        T_world_cam = np.asarray(entry.content.get('T_world_cam'), np.float64)
    except (TypeError, ValueError, OverflowError):
        T_world_cam = np.empty(0)
    if T_world_cam.shape != (4, 4) or not np.isfinite(T_world_cam).all():
        raise entry.error(f'needs a 4x4 matrix of finite numbers under "{entry.prefix}T_world_cam"')
    R = T_world_cam[:3, :3]
    U, stretch, Vt = np.linalg.svd(R)
    rigid = np.allclose(stretch, 1, atol=_RIGID_TOLERANCE) and np.linalg.det(R) > 0
    if not rigid or not np.allclose(T_world_cam[3], [0, 0, 0, 1]):
        raise entry.error(f'has no rotation and translation under "{entry.prefix}T_world_cam"')
    T_world_cam[:3, :3] = U @ Vt
    return T_world_cam


def _pairs(index: _Index, frames: Sequence[SequenceFrame]) -> tuple[tuple[int, int], ...]:
    pairs = []
    for pair in index.value('pairs', list, 'a list') if 'pairs' in index.content else ():
        if not (
            isinstance(pair, list)
            and len(pair) == 2
            and all(isinstance(i, int) and 0 <= i < len(frames) for i in pair)
            and pair[0] != pair[1]
        ):
            raise index.error(f'has the pair {pair}, which is not two different frames of {len(frames)}')
        if frames[pair[0]].depth_path is None:
            raise index.error(f'has the pair {pair}, whose reference has no depth')
        pairs.append(tuple(pair))
    return tuple(pairs)
