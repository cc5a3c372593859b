"""Which earlier frames to compare the newest with: the frame buffer and the pair choice."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.reasons import Drop

_CLUSTERED = 4096  # pixels are enough to find the clusters of a depth map
_ROUNDS = 20  # of k-means, which settles sooner
_FURTHER = 1.5  # what each further source of a range aims at, over the one before
_MOST = 2.0  # of the target: parallax of further sources
_FAR = 3.0  # of the target: parallax of frames to align with
_FAR_RANGE = (1.8, 10.0)
_APART = math.log(1.25)  # of parallax: frames nearer to each other say the same
_POSITION_NOISE = 0.1  # metres
_ACCELERATION = 50.0  # metres per second squared


@dataclass(frozen=True)
class PairOptions:
    """
    Choices of the pair choice; parallax in pixels at the model's input width.

    ranges: the scene's depths are split into this many, each with sources of its own. max_sources: most
    earlier frames compared with the newest at once, for each range. target_parallax: wanted lateral parallax
    of a range's depth, pixels; None: what suits the model.
    alignment_sources: most further frames, of about three times that parallax, that the depth of each range
    is aligned with. min_parallax: under this the baseline is too short for a range, as when hovering; pixels.
    max_rotation: largest rotation between reference and source, radians. max_rotation_rate: faster turns blur
    the image and bend it by rolling shutter, radians per second. max_speed: odometry that moves faster has
    jumped, metres per second.
    """

    ranges: int = 1
    max_sources: int = 2
    alignment_sources: int = 2
    target_parallax: float | None = None
    min_parallax: float = 1.0
    max_rotation: float = 0.35
    max_rotation_rate: float = 1.0
    max_speed: float = 30.0

    @property
    def parallax(self) -> float:
        """The wanted parallax, pixels; raises ValueError where it is still the model's to say."""
        if self.target_parallax is None:
            raise ValueError('target_parallax must be a number of pixels where there is no model to choose it.')
        return self.target_parallax


@dataclass(frozen=True, eq=False)
class Source:
    """
    An earlier frame as a partner of the reference.

    displacement: (3,) metres after stabilising, reference's axes. rotation: relative to the reference,
    radians.
    parallax: lateral parallax `f |t| / Z` at the depth of its range, pixels.
    """

    frame: Frame
    displacement: np.ndarray
    rotation: float
    parallax: float


def source_of(reference: Frame, frame: Frame, range_depth: float) -> Source:
    """Return an earlier frame as a source of the reference, for a range around a depth in metres."""
    T_src_ref = motion.inverse(frame.T_world_cam) @ reference.T_world_cam
    displacement = motion.displacement(T_src_ref)
    parallax = reference.camera.fx * np.linalg.norm(displacement) / range_depth
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
        self._frames: list[Frame] = []
        self.resize(capacity, max_age)

    def resize(self, capacity: int, max_age: float) -> None:
        """Hold so many from now on."""
        self._capacity, self._max_age_ns = capacity, max_age * 1e9

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
        while len(self._frames) > self._capacity:
            del self._frames[self._least_needed()]

    def remove_newest(self) -> None:
        """Take back the frame that was added last."""
        del self._frames[-1]

    def _least_needed(self) -> int:
        positions = np.array([frame.T_world_cam[:3, 3] for frame in self._frames])
        gaps = np.linalg.norm(positions[2:] - positions[:-2], axis=1)
        distances = np.linalg.norm(positions[1:-1] - positions[-1], axis=1)
        return 1 + int(np.argmin(gaps / (distances + self._SAME_PLACE)))


def depth_ranges(depth_hw: np.ndarray, count: int) -> tuple[float, ...]:
    """
    Return the depths in metres, nearest first, that stand for at most `count` ranges of a depth map.

    They are the medians of clusters by k-means over ln(depth), the ratio being what parallax goes by (Pinard
    2017b clusters depth). Pixels that are not finite count nowhere; without any the result is empty.
    """
    known = depth_hw[np.isfinite(depth_hw) & (depth_hw > 0)]
    logs = np.sort(np.log(known[:: max(1, known.size // _CLUSTERED)]))
    if not logs.size:
        return ()
    # In one dimension clusters are intervals, so a cut between two of them is all there is to find.
    centres = np.unique(np.quantile(logs, (np.arange(count) + 0.5) / count))
    for _ in range(_ROUNDS):
        cuts = np.searchsorted(logs, (centres[1:] + centres[:-1]) / 2)
        means = np.array([part.mean() for part in np.split(logs, cuts) if part.size])
        if np.array_equal(means, centres):
            break
        centres = means
    parts = np.split(logs, np.searchsorted(logs, (centres[1:] + centres[:-1]) / 2))
    return tuple(float(np.exp(np.median(part))) for part in parts if part.size)


def choose_sources(
    reference: Frame, candidates: Sequence[Frame], range_depths: Sequence[float], options: PairOptions
) -> tuple[tuple[Source, ...], ...] | Drop:
    """
    Choose the frames to compare the reference with for each range of depths, or say why there is none.

    candidates: earlier frames, oldest first. range_depths: metres. In a range the first choice, put first, is
    the frame whose lateral parallax at that depth is nearest, in ratio, to the target. Each further one aims
    half as far again, for depths beyond, and differs from all chosen by a quarter at least; a frame of more
    than twice the target is no help to those nearer. A range without a frame of enough parallax is left out,
    as is one with the frames of another.
    """
    if not candidates:
        return Drop.FIRST_FRAME
    if turns_too_fast(reference, candidates[-1], options.max_rotation_rate):
        return Drop.ROTATING_TOO_FAST
    rotations = [source_of(reference, frame, 1).rotation for frame in candidates]
    facing = [frame for frame, rotation in zip(candidates, rotations, strict=True) if rotation <= options.max_rotation]
    if not facing:
        return Drop.ROTATED_TOO_FAR
    chosen: dict[frozenset[int], tuple[Source, ...]] = {}
    for depth in range_depths:
        sources = sources_at(reference, facing, depth, options)
        if sources:
            chosen.setdefault(frozenset(source.frame.stamp_ns for source in sources), sources)
    return tuple(chosen.values()) or Drop.BASELINE_TOO_SHORT


def turns_too_fast(reference: Frame, earlier: Frame, max_rotation_rate: float) -> bool:
    """Tell whether the camera has turned faster than this since an earlier frame, radians per second."""
    seconds = (reference.stamp_ns - earlier.stamp_ns) / 1e9
    return source_of(reference, earlier, 1).rotation > max_rotation_rate * seconds


def sources_at(reference: Frame, frames: Sequence[Frame], depth: float, options: PairOptions) -> tuple[Source, ...]:
    """Return the frames to compare the reference with for a depth in metres, as `choose_sources` does."""
    sources = [source_of(reference, frame, depth) for frame in frames]
    usable = [source for source in sources if source.parallax >= options.min_parallax]
    target = options.parallax
    return _nearest(usable, [target * _FURTHER**n for n in range(options.max_sources)], _MOST * target)


def farther_sources(
    reference: Frame, candidates: Sequence[Frame], chosen: Sequence[Source], options: PairOptions
) -> tuple[Source, ...]:
    """
    Return further frames for a range whose sources are chosen, of several times the parallax.

    A model could not find what has moved that far, but once depth is nearly right it can be aligned with
    them, and they tell far things apart better.
    """
    depth = reference.camera.fx * float(np.linalg.norm(chosen[0].displacement)) / chosen[0].parallax
    least, most = (times * options.parallax for times in _FAR_RANGE)
    usable = [
        source
        for source in (source_of(reference, frame, depth) for frame in candidates)
        if least <= source.parallax <= most and source.rotation <= options.max_rotation
    ]
    for source in chosen:
        usable = _apart(usable, source)
    return _nearest(usable, [_FAR * options.parallax] * options.alignment_sources, most)


def _nearest(usable: Sequence[Source], wanted: Sequence[float], most: float) -> tuple[Source, ...]:
    """Return the sources nearest in ratio to each wanted parallax, apart; none but the first beyond most."""
    chosen: list[Source] = []
    for parallax in wanted:
        if not usable:
            break
        best = min(usable, key=lambda source: abs(math.log(source.parallax / parallax)))
        chosen.append(best)
        usable = [source for source in _apart(usable, best) if source.parallax <= most]
    return tuple(chosen)


def _apart(sources: Sequence[Source], chosen: Source) -> list[Source]:
    return [source for source in sources if abs(math.log(source.parallax / chosen.parallax)) > _APART]


def pose_jumped(frames: Sequence[Frame], reference: Frame, max_speed: float) -> bool:
    """
    Tell whether odometry has teleported between the newest of earlier frames (oldest first) and this one.

    No drone is faster than max_speed, metres per second, nor accelerates by more than 50 m/s^2; 10 cm are
    allowed for the noise of each position.
    """
    stamps = [frame.stamp_ns / 1e9 for frame in (*frames[-2:], reference)]
    positions = [frame.T_world_cam[:3, 3] for frame in (*frames[-2:], reference)]
    if len(positions) < 2:
        return False
    seconds, step = stamps[-1] - stamps[-2], positions[-1] - positions[-2]
    if np.linalg.norm(step) > max_speed * seconds + _POSITION_NOISE:
        return True
    if len(positions) < 3:
        return False
    ratio = seconds / (stamps[-2] - stamps[-3])
    surprise = float(np.linalg.norm(step - ratio * (positions[-2] - positions[-3])))
    return surprise > _POSITION_NOISE * (1 + ratio) + _ACCELERATION / 2 * seconds**2 * (1 + 1 / ratio)
