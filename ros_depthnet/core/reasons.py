"""Why an image gave no depth: a code to count by, the facts, and the one place that makes a sentence of them."""

import enum
import string
from collections.abc import Mapping
from dataclasses import dataclass, field


class Drop(str, enum.Enum):
    """Why a frame gave no depth; the value is the name in diagnostics."""

    NO_POSE = 'no_pose'
    NO_ODOMETRY = 'no_odometry'
    ODOMETRY_LATE = 'odometry_late'
    NO_MOUNTING = 'no_mounting'
    BAD_POSE = 'bad_pose'
    BAD_IMAGE = 'bad_image'
    NO_CAMERA_INFO = 'no_camera_info'
    BAD_CAMERA_INFO = 'bad_camera_info'
    OTHER_BODY = 'other_body'
    FIRST_FRAME = 'first_frame'
    RESIZED = 'resized'
    TIME_JUMP = 'time_jump'
    POSE_JUMP = 'pose_jump'
    STALE = 'stale'
    BUSY = 'busy'
    LOST = 'lost'
    NO_LISTENER = 'no_listener'
    TWO_CAMERAS = 'two_cameras'
    TWO_ODOMETRIES = 'two_odometries'
    BLANK = 'blank'
    FROZEN = 'frozen'
    CONTRADICTED = 'contradicted'
    SCALE_CONTRADICTED = 'scale_contradicted'
    DAMAGED = 'damaged'
    UNMATCHED = 'unmatched'
    ROTATING_TOO_FAST = 'rotating_too_fast'
    ROTATED_TOO_FAR = 'rotated_too_far'
    BASELINE_TOO_SHORT = 'baseline_too_short'


# Only of what somebody can do something about: turning fast or hovering are no mistakes.
_SENTENCES = {
    Drop.NO_POSE: 'The image at {seconds:.3f} s has no pose: {why}; check the rate of the odometry, and that '
    'both use one clock.',
    Drop.NO_ODOMETRY: 'No odometry has come: {why}.',
    Drop.ODOMETRY_LATE: 'The newest odometry is {late:.2f} s older than the image that waits for it: check its '
    'rate, that both use one clock, or raise pose_timeout.',
    Drop.NO_MOUNTING: 'tf does not know {camera_frame!r} in {body_frame!r}: publish it, or set camera_xyz and '
    'camera_rpy, and camera_mounting to parameters.',
    Drop.BAD_POSE: 'Odometry is refused: {why}',
    Drop.OTHER_BODY: 'Odometry is of {body_frame!r}, not of {wanted!r}; it is not used: set body_frame to it, '
    'or remap odom.',
    Drop.TIME_JUMP: 'Time ran back by {back:.3f} s, as in a looped bag or when a clock is set: the flight '
    'before that is forgotten.',
    Drop.TWO_CAMERAS: 'More than one publisher sends images on {topic} ({names}), so there is no depth: stop or '
    'remap all but one.',
    Drop.TWO_ODOMETRIES: 'More than one publisher sends odometry on {topic} ({names}), so none is used: stop or '
    'remap all but one.',
    Drop.BAD_IMAGE: '{why}',
    Drop.BAD_CAMERA_INFO: '{why}',
    Drop.DAMAGED: '{why}',
    Drop.UNMATCHED: 'Depth images come without {missing} within 6 ms of their stamp: stamp what belongs together '
    'alike.',
    Drop.BLANK: 'The images show nothing at all: is the lens covered, or the exposure far off?',
    Drop.FROZEN: 'The camera repeats one image under new stamps: it seems to hang; restart its driver.',
    Drop.CONTRADICTED: '{why}',
    Drop.SCALE_CONTRADICTED: 'The positions of the odometry move {ratio:.2f} times as far as its own velocity '
    'says, so there is no depth: correct the scale of its source (visual odometry of '
    'one camera has none of its own), or leave the twist at zero if it is that which '
    'is wrong.',
}


@dataclass(frozen=True)
class Refusal:
    """An image that gave nothing: why, and the numbers that belong to it."""

    reason: Drop
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """What a user can do about it, in a sentence; empty where there is nothing to do, or no facts."""
        template = _SENTENCES.get(self.reason, '')
        known = all(name in self.facts for _, name, _, _ in string.Formatter().parse(template) if name)
        return template.format(**self.facts) if known else ''


class MessageRefusal(Refusal):
    """A message that is no image gave nothing, or befell the flight: odometry, camera_info, a piece of a bag."""
