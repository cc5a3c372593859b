"""Choices of the estimator. What is compiled is not loaded for them: nodes that only name them start without it."""

import dataclasses
from dataclasses import dataclass

from ros_depthnet.core.baseline import PairOptions

_MAY_BE_ZERO = ('rotation_noise', 'alignment_rounds', 'alignment_sources')


@dataclass(frozen=True)
class EstimatorOptions(PairOptions):
    """
    Choices of the estimator, those of PairOptions included. Raises ValueError.

    initial_depth: median depth assumed until there is a depth map, metres. min_range, max_range: nearer depth
    is -Inf, farther is +Inf (REP-117), metres. max_relative_deviation: depth with a larger ratio of deviation
    to depth is NaN. matching_noise: one standard deviation of what matching can resolve, pixels at the
    model's input width. position_noise: one standard deviation of what odometry says of the way between two
    frames, metres. rotation_noise: what it says of the rotation between two frames is off by up to this
    standard deviation about each axis, radians, or more where the images of a flight show it, and corrected from
    them; 0: it is taken as it is.
    alignment_rounds: Gauss-Newton steps that move the model's depth along its epipolar lines until the images
    agree, and lean on planes where it is unsure (`core.photometric`); 0: it stays as the model says.
    buffer_size: most frames held. buffer_age: longest a frame is held, seconds. memory: carry depth along the
    motion, so that maps improve over time and outlast hovering. memory_age: depth measured longer ago is NaN,
    seconds. remember_unchanged: not while there is no parallax, hovering or turning on the spot, and the image still
    shows the same there. ranges_in_turn: with memory, measure one range a frame and remember the others, which costs no
    more than one range; while frames are too far apart for that there is one range. Otherwise all at once.
    check_odometry: give no depth while the images contradict the odometry. find_mask: find out what flies along
    (bars, landing gear, an overlay), and give no depth there. find_moving: find out what moves by itself, and
    give no depth there: no still scene explains it.
    """

    initial_depth: float = 10.0
    min_range: float = 0.3
    max_range: float = 100.0
    max_relative_deviation: float = 0.5
    matching_noise: float = 0.1
    position_noise: float = 0.005
    rotation_noise: float = 0.0005
    alignment_rounds: int = 3
    buffer_size: int = 24
    buffer_age: float = 5.0
    memory: bool = True
    memory_age: float = 3.0
    remember_unchanged: bool = False
    ranges_in_turn: bool = False
    check_odometry: bool = True
    find_mask: bool = True
    find_moving: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None or isinstance(value, bool):
                continue
            if field.name in _MAY_BE_ZERO and not value >= 0:
                raise ValueError(f'{field.name} must be 0 or more, not {value}.')
            if field.name not in _MAY_BE_ZERO and not value > 0:
                raise ValueError(f'{field.name} must be positive, not {value}.')
        if self.min_range >= self.max_range:
            raise ValueError(f'min_range ({self.min_range} m) must be below max_range ({self.max_range} m).')
        if self.buffer_size < 2:
            raise ValueError(f'buffer_size must be at least 2, not {self.buffer_size}.')
