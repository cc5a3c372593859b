"""Why there is no depth of a flight, or why it is wrong: what a recording lacks, and what its images contradict."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ros_depthnet.core.reasons import Drop, MessageRefusal, Refusal
from ros_depthnet.flight.attached import AttachedParts
from ros_depthnet.flight.bag import Bag
from ros_depthnet.flight.diagnosis import LEAST_STRETCHES, Evidence, diagnose, lurking
from ros_depthnet.flight.intake import IntakeOptions
from ros_depthnet.flight.messages.camera_info import NoCamera, to_calibration
from ros_depthnet.flight.mounting import MountingSource, RecordedMounting
from ros_depthnet.flight.posed_sequence import INDEX_NAME
from ros_depthnet.flight.recorded import RecordedFrame, recorded_frames
from ros_depthnet.flight.topics import CAMERA_INFO, COMPRESSED, IMAGE, ODOM, Topic
from ros_depthnet.flight.transforms import DEFAULT_BODY_FRAME
from ros_depthnet.flight.watch import SUSPICIOUS, Watch

_ODOM_HZ, _IMAGE_HZ = 15, 4  # below these, poses and pairs are too far apart
_LEAST_SHARE = 0.5  # of the images that must make frames
_CONTRADICTED_SHARE = 0.1  # of the frames looked at from which on the odometry is not to be believed
_FROZEN_SHARE = 0.02
_STILL_M = 0.3  # metres flown in all, below which nothing can be measured
_EPOCHS_APART_NS = 10**11
_PAIRS = 60  # for the diagnosis


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong: a sentence, whether it forbids depth, and the parameters that mend it."""

    sentence: str
    grave: bool = True
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Examination:
    """What the doctor found: facts by name, and complaints, the grave ones first."""

    facts: Mapping[str, str]
    complaints: tuple[Complaint, ...]

    @property
    def healthy(self) -> bool:
        """Whether depth of this flight can be believed."""
        return not any(complaint.grave for complaint in self.complaints)

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters that mend what is wrong."""
        return {name: value for complaint in self.complaints for name, value in complaint.parameters.items()}


def examine(path: Path, options: IntakeOptions | None = None) -> Examination:
    """
    Look through a recorded flight, a bag or a posed sequence; no model is needed.

    Raises RecordingError or SequenceError for what is no flight.
    """
    options = options or IntakeOptions()
    facts: dict[str, str] = {}
    complaints = _of_the_bag(path, options, facts)
    survey = Survey()
    for recorded in recorded_frames(path, survey.refuse, options):
        survey.look(recorded)
    return examination(facts, complaints + survey.complaints(facts))


def examination(facts: Mapping[str, str], complaints: list[Complaint]) -> Examination:
    """Return what was found, the grave complaints first."""
    return Examination(facts, tuple(sorted(complaints, key=lambda complaint: not complaint.grave)))


def _of_the_bag(path: Path, options: IntakeOptions, facts: dict[str, str]) -> list[Complaint]:
    if (path / INDEX_NAME).is_file():
        return []
    bag = Bag(path, world_frame=options.world_frame)
    bag.require(CAMERA_INFO, ODOM)
    images = IMAGE if IMAGE in bag.topics else COMPRESSED
    complaints: list[Complaint] = []
    stamps: dict[Topic, list[int]] = {topic: [] for topic in (images, CAMERA_INFO, ODOM)}
    frames = {}
    info = None
    for record, topic in bag.events():
        if topic not in stamps:
            continue
        stamps[topic].append(record.time_ns)
        if topic is CAMERA_INFO or topic not in frames:
            message = bag.message(record)
            if message is None:
                continue
            if topic is CAMERA_INFO:
                info = message
            elif topic is not images:
                frames[topic] = getattr(message, 'child_frame_id', '')
            else:
                frames[topic] = message.header.frame_id
    for topic, times in stamps.items():
        hz = _rate(times)
        facts[bag.name(topic)] = f'{bag.type(topic)}, {len(times)} messages' + (f', {hz:.1f} Hz' if hz else '')
        complaints += of_the_rate(topic, bag.name(topic), hz)
    body, camera = frames.get(ODOM) or options.body_frame or DEFAULT_BODY_FRAME, frames.get(images, '')
    complaints += of_the_mounting(RecordedMounting(bag.static_transforms(), options), body, camera, options, facts)
    return complaints + of_the_calibration(info, facts)


def of_the_rate(topic: Topic, name: str, hz: float | None) -> list[Complaint]:
    """Complain of messages that come too rarely; None is a rate that nobody knows."""
    least = {ODOM: _ODOM_HZ, IMAGE: _IMAGE_HZ, COMPRESSED: _IMAGE_HZ}.get(topic, 0)
    return (
        [Complaint(f'{name} has {hz:.1f} Hz, but {least} Hz or more are needed: raise its rate.', grave=False)]
        if hz and hz < least
        else []
    )


def of_the_mounting(
    mounting: MountingSource, body: str, camera: str, options: IntakeOptions, facts: dict[str, str]
) -> list[Complaint]:
    """Tell where the camera's place on the body is from, and complain where nobody has told it."""
    mounting.T_body_cam(body, camera)
    facts['camera mounting'] = mounting.origin or 'unknown'
    told = options.camera_mounting == 'parameters' or not np.allclose(
        options.T_body_cam, IntakeOptions().T_body_cam, atol=1e-5
    )
    if mounting.origin != 'parameters' or told:
        return []
    return [
        Complaint(
            f'/tf_static does not say where {camera!r} sits on {body!r}, so the camera is taken to look '
            'ahead: publish that transform, or set camera_xyz and camera_rpy.',
            grave=False,
        )
    ]


def of_the_calibration(info: Any, facts: dict[str, str]) -> list[Complaint]:
    """Tell what a sensor_msgs/CameraInfo says, None where none has come, and complain of what it lacks."""
    if info is None:
        return []
    try:
        calibration = to_calibration(info)
    except NoCamera as error:
        return [Complaint(str(error))]
    camera = calibration.pinhole
    facts['camera'] = (
        f'{camera.width} x {camera.height}, fx {camera.fx:.1f}, '
        f'{2 * math.degrees(math.atan(camera.width / 2 / camera.fx)):.0f} degrees wide'
        + (', distorted: rectified here' if calibration.lens else '')
    )
    return [Complaint(calibration.oddity, grave=False)] if calibration.oddity else []


class Survey:
    """The whole flight as the intake and the watch see it, judged at its end."""

    def __init__(self) -> None:
        """Begin without frames."""
        self.frames, self.way, self.frozen = 0, 0.0, 0
        self._refused: Counter[Drop] = Counter()
        self._lost = 0  # images
        self._sentences: dict[Drop, str] = {}
        self._epoch = 0
        self._last: np.ndarray | None = None
        self._shift_ns = self._newest_ns = 0
        self._watch, self._attached = Watch(survey=True), AttachedParts()

    def refuse(self, refusal: Refusal) -> None:
        """Take what made no frame."""
        self._refused[refusal.reason] += 1
        self._lost += not isinstance(refusal, MessageRefusal)
        if refusal.sentence:
            self._sentences.setdefault(refusal.reason, refusal.sentence)

    def look(self, recorded: RecordedFrame) -> None:
        """Take a frame."""
        place = recorded.frame.T_world_cam[:3, 3]
        if recorded.epoch != self._epoch:
            # Evidence of all epochs counts, side by side on one axis of time.
            self._shift_ns += self._newest_ns + _EPOCHS_APART_NS - (recorded.frame.stamp_ns + self._shift_ns)
            self._epoch, self._last = recorded.epoch, None
        if self._last is not None:
            self.way += float(np.linalg.norm(place - self._last))
        self._last = place
        self.frames += 1
        self._newest_ns = recorded.frame.stamp_ns + self._shift_ns
        shifted = replace(recorded.frame, stamp_ns=self._newest_ns)
        frozen = self._watch.look(self._attached.masked(shifted), recorded.T_body_cam) is Drop.FROZEN
        self.frozen += frozen
        if not frozen:
            self._attached.look(shifted)

    @property
    def undecided(self) -> bool:
        """Whether the images contradict the odometry, and more of the flight will show why."""
        evidence = self._watch.evidence
        return evidence.stretches < LEAST_STRETCHES and _contradicted(_middles(evidence))

    def complaints(self, facts: dict[str, str]) -> list[Complaint]:
        """Judge, and add to the facts."""
        facts['frames'] = f'{self.frames} of {self.frames + self._lost} images'
        facts['way'] = f'{self.way:.1f} m'
        wrong_scale = self._refused[Drop.SCALE_CONTRADICTED] > 0
        found = [
            Complaint(sentence, grave=reason is Drop.SCALE_CONTRADICTED) for reason, sentence in self._sentences.items()
        ]
        if self.frames < _LEAST_SHARE * (self.frames + self._lost) and not wrong_scale:
            reasons = ', '.join(f'{count} {reason.value}' for reason, count in self._refused.most_common())
            found.append(Complaint(f'Only {self.frames} of {self.frames + self._lost} images can be used ({reasons}).'))
        return found + self._of_the_images(facts)

    def _of_the_images(self, facts: dict[str, str]) -> list[Complaint]:
        found = []
        if self.frames and self.frozen > _FROZEN_SHARE * self.frames:
            found.append(
                Complaint(
                    f'{self.frozen} of {self.frames} images repeat the one before under new stamps, '
                    'and have no depth: the camera seems to hang; restart its driver.',
                    grave=False,
                )
            )
        if self.frames > 1 and self.way < _STILL_M:
            found.append(Complaint(f'The camera moved {self.way:.2f} m in all: depth from motion needs motion.'))
        if self._attached.mask_hw is not None:
            share = self._attached.mask_hw.mean()
            found.append(
                Complaint(
                    f'{share:.1%} of the picture flies along with the camera (bars, landing gear, an '
                    'overlay) and gets no depth; a `mask_file` would tell from the first image on.',
                    grave=False,
                )
            )
        evidence = self._watch.evidence
        if not evidence.pairs:
            facts['images against odometry'] = 'too little to follow to tell'
            return found
        middles = _middles(evidence)
        facts['images against odometry'] = (
            f'{np.median(middles):.2f} of what is allowed, '
            f'{(middles < SUSPICIOUS).mean():.0%} of {len(middles)} pairs within'
        )
        step = math.ceil(len(evidence.pairs) / _PAIRS)
        some = replace(evidence, pairs=evidence.pairs[::step])
        finding = None
        if _contradicted(middles):
            finding = diagnose(some, float(np.quantile(middles, 0.9)))
        elif evidence.stretches >= LEAST_STRETCHES:
            finding = lurking(some, thorough=True)
        if finding:
            found.append(Complaint(finding.sentence, parameters=finding.parameters))
        return found


def _middles(evidence: Evidence) -> np.ndarray:
    """Return what the middle match of each pair is off, in allowances, (P,)."""
    return np.array([np.median(pair.deviations(evidence.poses)) for pair in evidence.pairs])


def _contradicted(middles: np.ndarray) -> bool:
    return len(middles) > 0 and (middles > SUSPICIOUS).mean() > _CONTRADICTED_SHARE


def _rate(times_ns: list[int]) -> float | None:
    gaps = [later - earlier for earlier, later in zip(times_ns, times_ns[1:]) if later > earlier]
    return 1e9 / statistics.median(gaps) if gaps else None
