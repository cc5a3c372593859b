"""Which earlier frames to compare the newest with: the frame buffer, the pair choice, reasons to drop."""
import enum
from dataclasses import dataclass

import numpy as np

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


@dataclass(frozen=True, eq=False)
class Source:
    """
    An earlier frame as a partner of the reference.

    displacement: (3,) metres after stabilising, reference's axes. rotation: relative to the reference,
    radians.
    parallax: lateral parallax `f |t| / Z` of the scene's usual depth, pixels.
    """

    frame: Frame
    displacement: np.ndarray
    rotation: float
    parallax: float
