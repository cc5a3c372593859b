"""Depth, deviation, error and obstacles as pictures that people can read; all (H, W, 3) uint8 RGB."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.obstacles import Box
from ros_depthnet.flight.pictures import write_picture

UNKNOWN = (52, 52, 56)
"""Colour of pixels about which nothing is known."""
DOUBTFUL = 0.5
"""Relative deviation at the end of the deviation's scale."""
WRONG = 0.5
"""|ln d - ln z| at both ends of the error's scale."""
_INK, _PAPER, _GAP = (235, 235, 235), (24, 24, 27), 6
_OBSTACLE_COLOURS = (1.5, 40.0)  # metres: red, and a blue that boxes never reach
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Too near is blue, right is nearly white, too far (the dangerous way to be wrong) is red.
_DIVERGING = np.array([[20, 80, 200], [130, 175, 240], [245, 245, 240], [245, 150, 110], [190, 10, 30]])


@dataclass(frozen=True)
class Range:
    """The depths, in metres, at the two ends of a colour scale."""

    near: float
    far: float

    @classmethod
    def of(cls, depths: Iterable[np.ndarray]) -> 'Range':
        """Return the range that holds all but the outermost 2 % of the known depths."""
        known = np.concatenate([depth[np.isfinite(depth) & (depth > 0)] for depth in depths] or [np.empty(0)])
        if not known.size:
            return cls(1.0, 10.0)
        near, far = np.percentile(known, [2, 98])
        return cls(float(near), float(max(far, 1.05 * near)))


def depth_picture(depth_hw: np.ndarray, near: float, far: float) -> np.ndarray:
    """
    Show depth in metres by its inverse: near is red, far is blue, unknown (NaN) is dark grey.

    +Inf (beyond range) is as far and -Inf (too close) as near as the scale goes.
    """
    inverse = np.where(depth_hw == -np.inf, np.inf, 1 / np.where(depth_hw > 0, depth_hw, np.nan))
    inverse = np.where(np.isposinf(depth_hw), 0, inverse)
    share = np.clip((inverse - 1 / far) / (1 / near - 1 / far), 0, 1)
    return _coloured(0.05 + 0.9 * share, cv2.COLORMAP_TURBO)  # its ends are too dark to tell from unknown


def deviation_picture(deviation_hw: np.ndarray, depth_hw: np.ndarray) -> np.ndarray:
    """Show the deviation relative to depth: dark is sure, bright is DOUBTFUL or worse, grey is unknown."""
    with np.errstate(invalid='ignore', divide='ignore'):
        relative = np.where(np.isfinite(depth_hw), deviation_hw / depth_hw, np.nan)
    return _coloured(relative / DOUBTFUL, cv2.COLORMAP_INFERNO)


def error_picture(depth_hw: np.ndarray, truth_hw: np.ndarray) -> np.ndarray:
    """Show ln d - ln z: white is right, red too far, blue too near, grey has no estimate or no truth."""
    with np.errstate(invalid='ignore', divide='ignore'):
        error = np.log(np.where(depth_hw > 0, depth_hw, np.nan) / truth_hw)
    position = (np.clip(np.nan_to_num(error, posinf=WRONG) / WRONG, -1, 1) + 1) / 2
    stops = np.linspace(0, 1, len(_DIVERGING))
    picture = np.stack([np.interp(position, stops, channel) for channel in _DIVERGING.T], -1).astype(np.uint8)
    picture[np.isnan(error)] = UNKNOWN
    return picture


def obstacle_picture(
    image: np.ndarray, camera: Camera, T_world_cam: np.ndarray, boxes_world: Sequence[Box]
) -> np.ndarray:
    """Draw boxes (world frame) with their distances over an image of this camera; near ones are red."""
    picture = image.copy()
    R_cam_world = T_world_cam[:3, :3].T
    for box in sorted(boxes_world, key=lambda box: -box.distance):
        corners_world = box.centre + box.size * (_UNIT_CORNERS - 0.5)
        corners_cam = (corners_world - T_world_cam[:3, 3]) @ R_cam_world.T
        if corners_cam[:, 2].max() <= 0:
            continue
        corners_cam[:, 2] = np.maximum(corners_cam[:, 2], 0.05)  # a box beside the lens reaches behind it
        pixels = camera.project(corners_cam)
        colour = tuple(int(c) for c in depth_picture(np.array([[box.distance]]), *_OBSTACLE_COLOURS)[0, 0])
        thickness = 2 if box.distance < 5 else 1
        for a, b in _EDGES:
            _line(picture, pixels[a], pixels[b], colour, thickness)
        _label(picture, f'{box.distance:.1f} m', pixels.mean(0), colour)
    return picture


_UNIT_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
_EDGES = [(a, b) for a in range(8) for b in range(a) if np.abs(_UNIT_CORNERS[a] - _UNIT_CORNERS[b]).sum() == 1]


def _line(picture: np.ndarray, start: np.ndarray, end: np.ndarray, colour: tuple, thickness: int) -> None:
    height, width = picture.shape[:2]
    far = 4 * max(width, height)
    a, b = (tuple(round(v) for v in np.clip(point, -far, far).tolist()) for point in (start, end))
    seen, a, b = cv2.clipLine((0, 0, width, height), a, b)
    if seen:
        cv2.line(picture, a, b, colour, thickness, cv2.LINE_AA)


def _label(picture: np.ndarray, text: str, centre: np.ndarray, colour: tuple) -> None:
    height, width = picture.shape[:2]
    scale = max(0.4, width / 1200)
    (text_width, text_height), _ = cv2.getTextSize(text, _FONT, scale, 1)
    x = int(np.clip(centre[0] - text_width / 2, 0, max(0, width - text_width)))
    y = int(np.clip(centre[1], text_height, height - 2))
    cv2.putText(picture, text, (x, y), _FONT, scale, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, text, (x, y), _FONT, scale, colour, 1, cv2.LINE_AA)


def _coloured(share: np.ndarray, colour_map: int) -> np.ndarray:
    """Map 0..1 to colours and NaN to UNKNOWN."""
    levels = np.round(np.clip(np.nan_to_num(share, posinf=1, neginf=0), 0, 1) * 255).astype(np.uint8)
    picture = cv2.cvtColor(cv2.applyColorMap(levels, colour_map), cv2.COLOR_BGR2RGB)
    picture[np.isnan(share)] = UNKNOWN
    return picture


@dataclass(frozen=True)
class Column:
    """One column of a strip: its heading, its pictures from top to bottom, and a scale to stand under it."""

    heading: str
    pictures: Sequence[np.ndarray]
    scale: np.ndarray | None = None


def depth_scale(scale: Range, width: int) -> np.ndarray:
    """Return a colour bar of depth with five values in metres, equal steps of inverse depth."""
    inverse = np.linspace(1 / scale.near, 1 / scale.far, width)
    labels = [_metres(1 / value) for value in np.linspace(1 / scale.near, 1 / scale.far, 5)]
    return _bar(depth_picture(1 / inverse[None], scale.near, scale.far), labels)


def _metres(depth: float) -> str:
    return f'{depth:.1f} m' if depth < 10 else f'{depth:.0f} m'


def deviation_scale(width: int) -> np.ndarray:
    """Return a colour bar of relative deviation."""
    share = np.linspace(0, DOUBTFUL, width)[None]
    labels = [f'{100 * value:.0f} %' for value in np.linspace(0, DOUBTFUL, 3)]
    return _bar(deviation_picture(share, np.ones_like(share)), labels)


def error_scale(width: int, equal: str = 'right') -> np.ndarray:
    """Return a colour bar of the logarithmic error; equal: what no error is called."""
    ratio = np.exp(np.linspace(-WRONG, WRONG, width))[None]
    labels = [f'{100 * np.exp(-WRONG) - 100:.0f} %', equal, f'+{100 * np.exp(WRONG) - 100:.0f} %']
    return _bar(error_picture(ratio, np.ones_like(ratio)), labels)


def _bar(colours: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    width = colours.shape[1]
    bar = np.full((28, width, 3), _PAPER, np.uint8)
    bar[2:11] = colours
    for label, centre in zip(labels, np.linspace(0, width - 1, len(labels)), strict=True):
        (text_width, _), _ = cv2.getTextSize(label, _FONT, 0.36, 1)
        x = int(np.clip(centre - text_width / 2, 0, width - text_width))
        cv2.putText(bar, label, (x, 24), _FONT, 0.36, _INK, 1, cv2.LINE_AA)
    return bar


def strip(columns: Sequence[Column], row_labels: Sequence[str] = ()) -> np.ndarray:
    """Lay pictures of one size out as a table with headings above and scales below."""
    height, width = columns[0].pictures[0].shape[:2]
    rows, margin = len(columns[0].pictures), 62 if row_labels else _GAP
    top, bottom = 26, 34 if any(column.scale is not None for column in columns) else _GAP
    sheet = np.full(
        (top + rows * (height + _GAP) + bottom, margin + len(columns) * (width + _GAP), 3), _PAPER, np.uint8
    )
    for number, column in enumerate(columns):
        x = margin + number * (width + _GAP)
        cv2.putText(sheet, column.heading, (x, 18), _FONT, 0.48, _INK, 1, cv2.LINE_AA)
        for row, picture in enumerate(column.pictures):
            y = top + row * (height + _GAP)
            sheet[y : y + height, x : x + width] = picture
        if column.scale is not None:
            y = top + rows * (height + _GAP)
            sheet[y : y + column.scale.shape[0], x : x + column.scale.shape[1]] = column.scale
    for row, label in enumerate(row_labels):
        y = top + row * (height + _GAP) + height // 2
        cv2.putText(sheet, label, (8, y), _FONT, 0.42, _INK, 1, cv2.LINE_AA)
    return sheet


def fitted(picture: np.ndarray, width: int) -> np.ndarray:
    """Return a picture at another width and its own aspect; colours of unknown pixels are not blended."""
    height = round(picture.shape[0] * width / picture.shape[1])
    shrinking = width < picture.shape[1]
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_NEAREST
    return cv2.resize(picture, (width, height), interpolation=interpolation)


def save(path: Path, picture: np.ndarray, quality: int = 90) -> None:
    """Write a picture as PNG, or as JPEG of a quality, by the path's extension."""
    write_picture(path, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)
