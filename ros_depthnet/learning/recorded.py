"""Flights somebody has flown, as training takes them: images and odometry, no depth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch.utils.data import Dataset

from ros_depthnet.core.frames import Frame

WINDOW = 7
"""Frames that are seen together, as in the classic Still Box."""
APART = 0.05
"""Metres from each of them to the next, at least."""
_WIDTH = 256  # pixels that images are kept with


@dataclass(frozen=True, eq=False)
class Window:
    """
    F neighbouring frames of a flight.

    `images` (F, H, W, 3) uint8 RGB; `intrinsics` (4,) fx, fy, cx, cy pixels; `T_world_cam` (F, 4, 4) metres.
    """

    images: np.ndarray
    intrinsics: np.ndarray
    T_world_cam: np.ndarray


@dataclass(frozen=True, eq=False)
class RecordedFlights(Dataset[Window]):
    """The windows of flights, one beginning at each frame that is followed by enough others."""

    flights: tuple[Window, ...]

    @classmethod
    def of(cls, flights: Iterable[Iterable[Frame]]) -> RecordedFlights:
        """Keep the frames that are far enough from those before; raise ValueError if a flight fills no window."""
        return cls(tuple(_apart(frames) for frames in flights))

    @cached_property
    def _starts(self) -> list[tuple[Window, int]]:
        return [(flight, start) for flight in self.flights for start in range(len(flight.images) - WINDOW + 1)]

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> Window:
        flight, start = self._starts[number]
        chosen = slice(start, start + WINDOW)
        return Window(flight.images[chosen], flight.intrinsics, flight.T_world_cam[chosen])


def _apart(frames: Iterable[Frame]) -> Window:
    """Return all frames of a flight that are far enough from those before."""
    chosen: list[Frame] = []
    for frame in frames:
        way = frame.T_world_cam[:3, 3] - chosen[-1].T_world_cam[:3, 3] if chosen else np.inf
        if np.linalg.norm(way) >= APART:
            width = min(_WIDTH, frame.camera.width)
            chosen.append(frame.resized(width, round(width * frame.camera.height / frame.camera.width)))
    if len(chosen) < WINDOW:
        raise ValueError(f'A flight has {len(chosen)} frames {APART:g} m apart, and {WINDOW} are needed to learn.')
    camera = chosen[0].camera
    return Window(
        np.stack([frame.image for frame in chosen]),
        np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
        np.stack([frame.T_world_cam for frame in chosen]),
    )
