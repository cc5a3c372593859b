"""What a flight leaves for people: picture strip, depth video, cloud, and a page that shows them."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.evaluation import page
from ros_depthnet.evaluation.cloud_map import CloudMap, cloud_picture, write_ply
from ros_depthnet.evaluation.metrics import DepthAndDeviation, resample
from ros_depthnet.evaluation.moments import Moment
from ros_depthnet.evaluation.pictures import (
    Column,
    Range,
    depth_picture,
    depth_scale,
    deviation_picture,
    deviation_scale,
    fitted,
    obstacle_picture,
    save,
    strip,
)

_WIDTH = 320  # pixels of one picture of the strip
MOMENTS = '.moments'  # sub-folder for what is needed only until the report is written
_FILES = (
    'strip.png',
    'depth.webm',
    'depth.mp4',
    'depth.avi',
    'cloud.ply',
    'cloud.png',
    'report.html',
    'summary.json',
    MOMENTS,
)
_VIDEO_WIDTH = 400  # pixels of one picture of the video
_VIDEO_FRAMES = 600  # at most; a longer flight shows every n-th
_STRIP_MOMENTS = 5
_RANGE_MOMENTS = 12  # looked at to choose the colour scale
# VP8 plays in browsers, and is four times faster to make than VP9; the others need a player.
_CODECS = (('VP80', 'webm'), ('mp4v', 'mp4'), ('MJPG', 'avi'))


def write_flight_report(
    folder: Path, title: str, moments: Sequence[Moment], cloud: CloudMap, facts: dict[str, str], summary: dict
) -> Path:
    """
    Write strip.png, depth.webm, cloud.ply, cloud.png and report.html; return the page's path.

    cloud: in the world frame. facts: numbers for the head of the page. summary: all numbers, with `commit`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    points, rgb = cloud.points()
    write_ply(folder / 'cloud.ply', points, rgb)
    parts = [page.facts(facts)]
    if len(moments):
        scale = Range.of(moments[i].depth_hw for i in _spread(len(moments), _RANGE_MOMENTS))
        save(folder / 'strip.png', flight_strip(moments, scale))
        parts += [
            page.heading('What it saw'),
            page.figure(
                'strip.png',
                (
                    'Depth: near is red, far is blue, unknown is grey. Deviation: one standard deviation relative to '
                    'the depth, dark is sure. Obstacles: boxes with the distance to the camera.'
                ),
            ),
        ]
        video_path = write_video(folder / 'depth', moments, scale)
        parts += [page.heading('Depth along the flight'), page.video(video_path.name, 'Image and depth.')]
        middle = moments[len(moments) // 2]
        if middle.T_world_cam is not None:
            save(folder / 'cloud.png', cloud_picture(points, rgb, middle.T_world_cam))
            parts += [
                page.heading('The cloud'),
                page.figure('cloud.png', ('Seen from behind and above the camera in the middle of the flight.')),
            ]
        parts += [
            page.link(
                'cloud.ply',
                f'{len(points)} points in the odometry frame, for CloudCompare, MeshLab, Open3D or Blender.',
            )
        ]
    else:
        parts += [page.paragraph('There was no depth, so there is nothing to show; the numbers say why.')]
    parts += [page.heading('Numbers'), page.table(['', ''], _rows(summary))]
    return page.write_page(
        folder / 'report.html',
        title,
        'Depth from motion: metres at every pixel that is known, and how sure it is.',
        parts,
        f'ros_depthnet {summary["commit"]}',
    )


def _rows(summary: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Return names and texts; what belongs to a name has it before its own, as in diagnostics."""
    for name, value in summary.items():
        if isinstance(value, Mapping):
            yield from ((f'{name}/{inner}', text) for inner, text in _rows(value))
        else:
            yield name, 'unknown' if value is None else str(value)


def flight_strip(moments: Sequence[Moment], scale: Range) -> np.ndarray:
    """Return image, depth, deviation and obstacles at several moments of a flight, as one picture."""
    shown = [moments[i] for i in _spread(len(moments), _STRIP_MOMENTS)]
    start = moments[0].stamp_ns
    images = [fitted(moment.image, _WIDTH) for moment in shown]
    columns = [
        Column('image', images),
        Column(
            'depth',
            [_depth(moment, scale, image) for moment, image in zip(shown, images, strict=True)],
            depth_scale(scale, _WIDTH),
        ),
        Column(
            'deviation',
            [
                _like(image, deviation_picture(moment.deviation_hw, moment.depth_hw))
                for moment, image in zip(shown, images, strict=True)
            ],
            deviation_scale(_WIDTH),
        ),
        Column('obstacles', [_obstacles(moment, image) for moment, image in zip(shown, images, strict=True)]),
    ]
    return strip(columns, [f'{(moment.stamp_ns - start) / 1e9:.1f} s' for moment in shown])


def write_video(stem: Path, moments: Sequence[Moment], scale: Range) -> Path:
    """
    Write image and depth side by side, in real time, and return the file's path.

    VP8 in WebM where OpenCV has it, which its wheels do; else what it has.
    """
    shown = range(0, len(moments), -(-len(moments) // _VIDEO_FRAMES))
    first, last = moments[0], moments[shown[-1]]
    seconds = max((last.stamp_ns - first.stamp_ns) / 1e9, 1e-3)
    rate = float(np.clip((len(shown) - 1) / seconds, 1, 60))
    size = _video_frame(first, scale).shape[1::-1]
    for codec, extension in _CODECS:
        path = stem.with_suffix(f'.{extension}')
        with _silent_ffmpeg():
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, size)
        if writer.isOpened():
            for i in shown:
                writer.write(cv2.cvtColor(_video_frame(moments[i], scale), cv2.COLOR_RGB2BGR))
            writer.release()
            return path
    raise OSError(f'OpenCV can write no video to {stem.parent}: install opencv-python-headless with pip.')


@contextlib.contextmanager
def _silent_ffmpeg() -> Iterator[None]:
    """Keep FFmpeg, which writes past Python's stderr, from its remark that WebM has no tag for VP8."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _video_frame(moment: Moment, scale: Range) -> np.ndarray:
    image = fitted(moment.image, _VIDEO_WIDTH)
    sheet = strip(
        [Column('image', [image]), Column('depth', [_depth(moment, scale, image)], depth_scale(scale, image.shape[1]))]
    )
    height, width = (size - size % 2 for size in sheet.shape[:2])  # video codecs halve the colours' size
    return np.ascontiguousarray(sheet[:height, :width])


def _depth(moment: Moment, scale: Range, image: np.ndarray) -> np.ndarray:
    """Return the depth picture at the image's size."""
    height, width = image.shape[:2]
    depth_hw = resample(DepthAndDeviation(moment.depth_hw), width, height).depth_hw
    return depth_picture(depth_hw, scale.near, scale.far)


def _obstacles(moment: Moment, image: np.ndarray) -> np.ndarray:
    if moment.T_world_cam is None:
        return image
    camera = moment.camera.resized(image.shape[1], image.shape[0])
    return obstacle_picture(image, camera, moment.T_world_cam, moment.boxes)


def _like(image: np.ndarray, picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def _spread(count: int, most: int) -> list[int]:
    """Return up to `most` indices spread evenly over `count`, a little in from both ends."""
    number = min(count, most)
    return [int((i + 0.5) * count / number) for i in range(number)]


def fresh_folder(folder: Path, *others: str) -> Path:
    """Make a folder without what an earlier report, with these other names, left there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*_FILES, *others):
        remove(folder / name)
    return folder


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
