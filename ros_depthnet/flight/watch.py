"""
The images vouch for the odometry: what corners do, whatever their depth, tells whether the rest can be true.

Corners are followed without any odometry (`core.tracks`). What is off the ray on which odometry, mounting and
calibration allow a static point to be (`core.epipolar`) is a contradiction; `flight.diagnosis` looks for the
one mistake that explains it.
"""

from collections import deque

import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.reasons import Drop
from ros_depthnet.core.tracks import Tracker
from ros_depthnet.flight.diagnosis import LEAST_STRETCHES, Evidence, Finding, Pair, diagnose, lurking
from ros_depthnet.flight.landmarks import Pace, Step
from ros_depthnet.flight.lens_watch import LensWatch
from ros_depthnet.flight.rotation_noise import RotationNoise

_LEAST_FLOW = 3.0  # pixels at the tracker's size: less shows nothing
SUSPICIOUS = 1.0  # allowances, the middle of a pair's matches: more contradicts
_RELIEVED = 0.7  # allowances: what has contradicted agrees again
_GROSS = 2.0  # a single pair that is off by this is enough
_RECENT = 7  # pairs whose middle one counts
_HISTORY_S = 8.0  # seconds of evidence kept for a diagnosis
_PAIRS = 40  # of them, at most
_AGAIN_S = 4.0  # seconds of flight between two diagnoses
_DENSEST_S = 0.06  # seconds between two images looked at
_SAMPLED = 4  # every so many-th pixel of every so many-th row is compared
_SAME_IMAGE = 0.1  # levels, mean difference: less is the same image once more
_MOVED_M, _TURNED_RAD = 0.05, 0.01  # motion that shows in any image
_LEAST_ROBUST = 6  # stretches for a time offset of an otherwise healthy flight


class Watch:
    """
    Looks at every frame of a flight, a few milliseconds each, and tells whether to believe its odometry.

    A contradiction stands until the images agree again. With nothing to follow there is no verdict, and
    nothing is held against the odometry.
    """

    def __init__(self, survey: bool = False):
        """Begin a flight; a survey keeps the evidence of the whole flight, for a diagnosis at its end."""
        self._survey = survey
        self._tracker, self._pace, self._lens = Tracker(), Pace(), LensWatch()
        self._pixels: np.ndarray | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        """Go on though what comes has no motion in common with what was: points that are seen still are known still."""
        self._seen: Frame | None = None
        self._poses: dict[int, np.ndarray] = {}
        self._flown: dict[int, float] = {}  # metres by stamp
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._pairs: deque[Pair] = deque(maxlen=None if self._survey else _PAIRS)
        self._diagnosed_ns: int | None = None
        self._diagnosed_by = 0
        self._T_body_cam: np.ndarray | None = None
        self._rotation_noise = RotationNoise()
        self._finding: Finding | None = None
        self._rushed: Finding | None = None

    @property
    def finding(self) -> Finding | None:
        """What contradicts the odometry at present."""
        return self._rushed or self._lens.finding or self._finding

    @property
    def contradicted(self) -> bool:
        """Whether that is more than depth can live with."""
        return self.finding is not None and not self.finding.subtle

    def rotation_noise(self, told: float) -> float:
        """Return how far rotations between frames are off, radians: as told, or more where images show more."""
        return self._rotation_noise.at_least(told)

    @property
    def deviation(self) -> float | None:
        """How far the images are off from what odometry allows, in allowances; None before they show it."""
        return float(np.median(self._recent)) if self._recent else None

    @property
    def evidence(self) -> Evidence:
        """What a diagnosis goes by."""
        return Evidence(tuple(self._pairs), dict(self._poses), self._T_body_cam)

    def look(self, frame: Frame, T_body_cam: np.ndarray | None = None) -> Drop | None:
        """
        Take the next frame; return FROZEN or CONTRADICTED if no depth must come of it.

        T_body_cam: (4, 4), its mounting where known, for diagnoses.
        """
        if self._seen is not None and frame.stamp_ns <= self._seen.stamp_ns:
            return None
        if self._frozen(frame):
            return Drop.FROZEN
        if self._seen is not None and frame.stamp_ns - self._seen.stamp_ns < _DENSEST_S * 1e9:
            return Drop.CONTRADICTED if self.contradicted else None
        self._remember(frame)
        begins, self._seen, self._T_body_cam = self._seen is None, frame, T_body_cam
        matches = self._tracker.follow(frame)
        if matches is None or begins or matches.earlier_ns not in self._poses:
            if matches is not None:
                self._tracker.renew()
            self._pace.go_on_from(frame.stamp_ns)
            return Drop.CONTRADICTED if self.contradicted else None
        way = self._flown[matches.later_ns] - self._flown[matches.earlier_ns]
        pair = Pair.of(matches, way)
        now = float(np.median(pair.deviations(self._poses)))
        step = self._pace.look(matches, self._poses, way, believable=now < SUSPICIOUS)
        if step and not self._rushed:
            self._recent.clear()  # that all was well before says nothing of what comes after a jump
        self._rushed = _rushed(step) if step else None
        if matches.flow < _LEAST_FLOW:
            return Drop.CONTRADICTED if self.contradicted else None
        self._recent.append(now)
        self._pairs.append(pair)
        if self._survey:
            return None
        if now < SUSPICIOUS:
            self._lens.look(pair, matches.camera, self._poses)
        if now < _GROSS:
            self._rotation_noise.look(pair, self._poses)
        self._judge(frame.stamp_ns, now)
        return Drop.CONTRADICTED if self.contradicted or now > _GROSS else None

    def _judge(self, stamp_ns: int, now: float) -> None:
        # Of few pairs the newest counts, if it is far off.
        deviation = now if now > _GROSS and len(self._recent) < _RECENT else float(np.median(self._recent))
        doubted = self._finding is not None and not self._finding.subtle
        contradicted = deviation > (_RELIEVED if doubted else SUSPICIOUS)
        if doubted and not contradicted:
            self._finding = None
            return
        # With little to go by there is no diagnosis yet, which costs nothing.
        due = (
            self._diagnosed_ns is None
            or self._diagnosed_by < LEAST_STRETCHES
            or stamp_ns - self._diagnosed_ns > _AGAIN_S * 1e9
        )
        if contradicted and (due or self._finding is None):
            self._diagnosed_ns, self._diagnosed_by = stamp_ns, self.evidence.stretches
            self._finding = diagnose(self.evidence, deviation)
        elif due and self.evidence.stretches >= _LEAST_ROBUST:
            self._diagnosed_ns, self._diagnosed_by = stamp_ns, self.evidence.stretches
            self._finding = lurking(self.evidence)

    def _remember(self, frame: Frame) -> None:
        before = self._seen or frame
        step = np.linalg.norm(frame.T_world_cam[:3, 3] - before.T_world_cam[:3, 3])
        self._flown[frame.stamp_ns] = self._flown.get(before.stamp_ns, 0.0) + float(step)
        self._poses[frame.stamp_ns] = frame.T_world_cam
        if self._survey:
            return
        oldest = frame.stamp_ns - _HISTORY_S * 1e9
        while self._pairs and self._pairs[0].earlier_ns < oldest:
            self._pairs.popleft()
        for stamp_ns in [stamp_ns for stamp_ns in self._poses if stamp_ns < oldest]:
            del self._poses[stamp_ns], self._flown[stamp_ns]

    def _frozen(self, frame: Frame) -> bool:
        """Tell whether the image is the last one once more, though the drone has moved since."""
        # Single pixels, not means: their noise tells a new image of a scene that hardly changes from an old one.
        pixels = np.ascontiguousarray(frame.image[::_SAMPLED, ::_SAMPLED])
        before, self._pixels = self._pixels, pixels
        if self._seen is None or before is None or before.shape != pixels.shape:
            return False
        if cv2.absdiff(pixels, before).mean() > _SAME_IMAGE:
            return False
        T = motion.inverse(self._seen.T_world_cam) @ frame.T_world_cam
        return bool(np.linalg.norm(T[:3, 3]) > _MOVED_M or motion.rotation_angle(T) > _TURNED_RAD)


def _rushed(step: Step) -> Finding:
    return Finding(
        f'The odometry moves {step.ratio:.2f} times as far as the images do, which it did not before, so there is no '
        'depth: it has jumped, stopped, changed its scale or its clock, or camera_info its focal length; check its '
        'source.'
    )
