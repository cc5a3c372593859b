"""Which earlier frames to compare the newest with: the frame buffer, the pair choice, reasons to drop."""
import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.frames import Frame


class Drop(str, enum.Enum):
    """Why a frame gave no depth; the value is the name in diagnostics."""

    NO_POSE = 'no_pose'
    BAD_POSE = 'bad_pose'
    BAD_IMAGE = 'bad_image'
    NO_CAMERA_INFO = 'no_camera_info'
    FIRST_FRAME = 'first_frame'
    RESIZED = 'resized'
    TIME_JUMP = 'time_jump'
    STALE = 'stale'
    BUSY = 'busy'
    ROTATING_TOO_FAST = 'rotating_too_fast'
    ROTATED_TOO_FAR = 'rotated_too_far'
    BASELINE_TOO_SHORT = 'baseline_too_short'


@dataclass(frozen=True)
class PairOptions:
    """
    Choices of the pair choice; parallax in pixels at the model's input width.

    max_sources: most earlier frames compared with the newest at once. target_parallax: wanted lateral
    parallax of the scene's median depth, pixels; None: the geometric middle of what the model was trained
    for.
    min_parallax: under this at the median depth the baseline is too short, as when hovering; pixels.
    max_rotation: largest rotation between reference and source, radians. max_rotation_rate: faster turns blur
    the image and bend it by rolling shutter, radians per second.
    """

    max_sources: int = 2
    target_parallax: float | None = None
    min_parallax: float = 1.0
    max_rotation: float = 0.35
    max_rotation_rate: float = 1.0


@dataclass(frozen=True, eq=False)
class Source:
    """
    An earlier frame as a partner of the reference.

    displacement: (3,) metres after stabilising, reference's axes. rotation: relative to the reference,
    radians.
    parallax: lateral parallax `f |t| / Z` at the scene's median depth, pixels.
    """

    frame: Frame
    displacement: np.ndarray
    rotation: float
    parallax: float


def source_of(reference: Frame, frame: Frame, scene_depth: float) -> Source:
    """Return an earlier frame as a source of the reference, for a median depth in metres."""
    T_src_ref = motion.inverse(frame.T_world_cam) @ reference.T_world_cam
    displacement = motion.displacement(T_src_ref)
    parallax = reference.camera.fx * np.linalg.norm(displacement) / scene_depth
    return Source(frame, displacement, motion.rotation_angle(T_src_ref), float(parallax))


class FrameBuffer:
    """
    The frames that later ones may be compared with: bounded in number and age, yet reaching far back.

    Keeping the last N frames would hold half a second at 60 Hz, too little baseline for a far scene. So when
    it is
    full, the frame goes whose loss matters least: the one in the narrowest gap between its neighbours,
    relative to its own distance from the newest. What stays is dense near the newest and sparse far away, so
    that any baseline up to the longest is within a constant ratio of one at hand; frames taken while hovering
    go first.
    """

    _SAME_PLACE = 0.05  # metres; odometry does not tell smaller distances apart

    def __init__(self, capacity: int, max_age: float):
        """Hold at most `capacity` (2 or more) frames, none over `max_age` seconds older than the newest."""
        self._capacity, self._max_age_ns = capacity, round(max_age * 1e9)
        self._frames: list[Frame] = []

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames held, oldest first."""
        return tuple(self._frames)

    def clear(self) -> None:
        """Forget every frame."""
        self._frames = []

    def add(self, frame: Frame) -> None:
        """Append a frame newer than all others; let go of what is too old or needed least."""
        oldest_ns = frame.stamp_ns - self._max_age_ns
        self._frames = [held for held in self._frames if held.stamp_ns >= oldest_ns] + [frame]
        if len(self._frames) > self._capacity:
            del self._frames[self._least_needed()]

    def _least_needed(self) -> int:
        positions = np.array([frame.T_world_cam[:3, 3] for frame in self._frames])
        gaps = np.linalg.norm(positions[2:] - positions[:-2], axis=1)
        distances = np.linalg.norm(positions[1:-1] - positions[-1], axis=1)
        return 1 + int(np.argmin(gaps / (distances + self._SAME_PLACE)))


def choose_sources(reference: Frame, candidates: Sequence[Frame], scene_depth: float,
                   options: PairOptions) -> tuple[Source, ...] | Drop:
    """
    Choose the frames to compare the reference with, best first, or say why there is none.

    candidates: earlier frames, oldest first. scene_depth: median depth, metres. The first choice is the frame
    whose lateral parallax at that depth is nearest, in ratio, to the target. Each further one aims at half
    the target before, so that depths nearer than the median are covered too, and differs from all chosen by a
    quarter at least.
    """
    if not candidates:
        return Drop.FIRST_FRAME
    previous = source_of(reference, candidates[-1], scene_depth)
    if previous.rotation > options.max_rotation_rate * (reference.stamp_ns - previous.frame.stamp_ns) / 1e9:
        return Drop.ROTATING_TOO_FAST
    sources = [source_of(reference, frame, scene_depth) for frame in candidates]
    facing = [source for source in sources if source.rotation <= options.max_rotation]
    usable = [source for source in facing if source.parallax >= options.min_parallax]
    if not usable:
        return Drop.BASELINE_TOO_SHORT if facing else Drop.ROTATED_TOO_FAR
    chosen: list[Source] = []
    while usable and len(chosen) < options.max_sources:
        wanted = options.target_parallax / 2 ** len(chosen)
        best = min(usable, key=lambda source: abs(math.log(source.parallax / wanted)))
        chosen.append(best)
        usable = [source for source in usable
                  if abs(math.log(source.parallax / best.parallax)) > math.log(1.25)]
    return tuple(chosen)
