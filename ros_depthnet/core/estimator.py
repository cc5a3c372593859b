"""The whole of depth from motion: frames with poses in, depth with its deviation out."""
from dataclasses import dataclass, fields

import numpy as np

from ros_depthnet.core.baseline import Source
from ros_depthnet.core.camera import Camera


@dataclass(frozen=True)
class EstimatorOptions:
    """
    Choices of the estimator; parallax in pixels at the model's input width. Raises ValueError.

    max_sources: most earlier frames compared with the newest at once.
    target_parallax: wanted lateral parallax of the scene's median depth, pixels; None: the (geometric) middle
        of the range the model was trained for.
    min_parallax: under this at the median depth the baseline is too short, as when hovering; pixels.
    max_rotation: largest rotation between reference and source, radians.
    max_rotation_rate: faster turns blur the image and bend it by rolling shutter, radians per second.
    initial_depth: median depth assumed until there is a depth map, metres.
    min_range, max_range: nearer depth is -Inf, farther is +Inf (REP-117), metres.
    max_relative_deviation: depth with a larger ratio of deviation to depth is NaN.
    matching_noise: one standard deviation of what matching can resolve, pixels.
    buffer_size: most frames held.
    buffer_age: longest a frame is held, seconds.
    """

    max_sources: int = 2
    target_parallax: float | None = None
    min_parallax: float = 1.0
    max_rotation: float = 0.35
    max_rotation_rate: float = 1.0
    initial_depth: float = 10.0
    min_range: float = 0.3
    max_range: float = 100.0
    max_relative_deviation: float = 0.5
    matching_noise: float = 0.1
    buffer_size: int = 24
    buffer_age: float = 5.0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise ValueError(f'{field.name} must be positive, not {value}.')
        if self.min_range >= self.max_range:
            raise ValueError(f'min_range ({self.min_range} m) must be below max_range ({self.max_range} m).')
        if self.buffer_size < 2:
            raise ValueError(f'buffer_size must be at least 2, not {self.buffer_size}.')


@dataclass(frozen=True, eq=False)
class Estimate:
    """
    Depth of one frame, at the model's input size.

    depth_hw: (H, W) float32 metres along z; NaN unknown, +Inf beyond max_range, -Inf below min_range
    (REP-117, REP-118). deviation_hw: (H, W) float32, one standard deviation in metres, NaN where depth is not
    finite.
    camera: of depth_hw's size. image: (H, W, 3) uint8 RGB, the reference at that size. milliseconds: by
    stage.
    """

    stamp_ns: int
    depth_hw: np.ndarray
    deviation_hw: np.ndarray
    image: np.ndarray
    camera: Camera
    T_world_cam: np.ndarray
    sources: tuple[Source, ...]
    milliseconds: dict[str, float]
