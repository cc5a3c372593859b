"""
How soon a lens that is not as told is noticed in flight, and how often one that is right is doubted.

`python test/lens_alarms.py [FOLDER ...] [--only NAME ...]` flies posed sequences, those of `false_alarms.py` unless
there are others, to and fro for 300 images: as they are, bent as by a lens that nothing tells, and rectified once more;
with exact odometry and with 0.1 degrees and 3 % of noise, two seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from false_alarms import RENDERED, asked, rendered, to_and_fro, wanted  # noqa: E402

from ros_depthnet.core.camera import Camera  # noqa: E402
from ros_depthnet.evaluation.pose_noise import PoseNoise  # noqa: E402
from ros_depthnet.flight.posed_sequence import PosedSequence  # noqa: E402
from ros_depthnet.flight.watch import Watch  # noqa: E402
from ros_depthnet.resources import share_path  # noqa: E402

_K1 = -0.28
_NOISE = 0.1, 3.0  # degrees, percent
_SEEDS = None, 0, 1

Seen = tuple[Camera, Callable[[np.ndarray], np.ndarray]]


def untold(camera: Camera) -> Seen:
    """Return the camera that is told, and what it makes of an image: bent, and cut to where there is one."""
    for share in np.linspace(1, 0.3, 71):
        width, height = (round(share * size / 2) * 2 for size in (camera.width, camera.height))
        left, top = (camera.width - width) / 2, (camera.height - height) / 2
        raw = Camera(width, height, camera.fx, camera.fy, camera.cx - left, camera.cy - top)
        rays = cv2.undistortPoints(np.argwhere(np.ones((width, height))).astype(float), raw.K, np.array([_K1, 0, 0, 0]))
        pixels = (rays.reshape(width, height, 2) * (camera.fx, camera.fy) + (camera.cx, camera.cy)).astype(np.float32)
        if (pixels >= 0).all() and (pixels <= (camera.width - 1, camera.height - 1)).all():
            break
    x, y = (np.ascontiguousarray(pixels[..., axis].T) for axis in (0, 1))
    return raw, lambda image: cv2.remap(image, x, y, cv2.INTER_CUBIC)


def twice(camera: Camera) -> Seen:
    """Return the same of an image that is rectified once more."""
    return camera, lambda image: cv2.undistort(image, camera.K, np.array([_K1, 0, 0, 0]))


LENSES = {'right': lambda camera: (camera, lambda image: image), 'untold': untold, 'rectified twice': twice}


def noticed(sequence: PosedSequence, seen: Seen, seed: int | None) -> float | None:
    """Return after how many seconds the watch finds the lens wrong, None if it never does."""
    camera, through = seen
    if seed is not None:
        sequence = PoseNoise(*_NOISE, seed=seed).degraded(sequence)
    watch = Watch()
    for number in range(len(sequence.frames)):
        frame = sequence.frame(number)
        watch.look(replace(frame, image=through(frame.image), camera=camera))
        if watch.finding and 'the calibration over time' in watch.finding.sentence:
            return frame.stamp_ns / 1e9
    return None


def main() -> int:
    """Print after how many seconds each is noticed; return 1 where a lens is doubted that is right."""
    options = asked(__doc__)
    folders = [PosedSequence.load(folder) for folder in options.folders]
    flights = folders or [
        *(rendered(healthy, options.cache) for healthy in wanted(RENDERED, options.only)),
        PosedSequence.load(share_path('flights', 'park')),
    ]
    doubted = 0
    for sequence in flights:
        for name, lens in LENSES.items():
            found = [noticed(to_and_fro(sequence), lens(sequence.camera), seed) for seed in _SEEDS]
            told = ', '.join('-' if seconds is None else f'{seconds:.0f} s' for seconds in found)
            print(f'{sequence.name}, {name}: {told}', flush=True)
            doubted += name == 'right' and any(seconds is not None for seconds in found)
    return int(doubted > 0)


if __name__ == '__main__':
    sys.exit(main())
