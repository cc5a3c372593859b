"""The whole of depth from motion: frames with poses in, depth with its deviation out."""
import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.baseline import Drop, FrameBuffer, PairOptions, Source, choose_sources, source_of
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Prediction, Views


class DepthModel(Protocol):
    """What the estimator needs of a model: `engines.model.Model` is one."""

    parallax_range: tuple[float, float]

    def input_size(self, camera: Camera) -> tuple[int, int]:
        """Return the (width, height) at which a camera's images go in."""

    def predict(self, views: Views) -> Prediction:
        """Return depth of the reference view in metres."""


@dataclass(frozen=True)
class EstimatorOptions(PairOptions):
    """
    Choices of the estimator, those of PairOptions included. Raises ValueError.

    initial_depth: median depth assumed until there is a depth map, metres. min_range, max_range: nearer depth
    is -Inf, farther is +Inf (REP-117), metres. max_relative_deviation: depth with a larger ratio of deviation
    to depth is NaN. matching_noise: one standard deviation of what matching can resolve, pixels at the
    model's input width. buffer_size: most frames held. buffer_age: longest a frame is held, seconds.
    """

    initial_depth: float = 10.0
    min_range: float = 0.3
    max_range: float = 100.0
    max_relative_deviation: float = 0.5
    matching_noise: float = 0.1
    buffer_size: int = 24
    buffer_age: float = 5.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
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


class Estimator:
    """
    Depth of every frame that has a partner to be compared with.

    Frames are added in the order of their stamps and resized to the model's input, so memory is bounded by
    `buffer_size` small images. Not thread-safe: one thread adds, or callers lock.
    """

    def __init__(self, model: DepthModel, options: EstimatorOptions | None = None):
        """Use a model; unset options follow from what it was trained for."""
        options = options or EstimatorOptions()
        target = options.target_parallax or math.sqrt(math.prod(model.parallax_range))
        self.options = dataclasses.replace(options, target_parallax=target)
        self._model = model
        self._buffer = FrameBuffer(options.buffer_size, options.buffer_age)
        self.reset()

    def reset(self) -> None:
        """Forget every frame and what is known of the scene."""
        self._buffer.clear()
        self._scene_depth = self.options.initial_depth

    def add(self, frame: Frame) -> Estimate | Drop:
        """
        Take the newest frame and return its depth, or why there is none.

        A stamp before the newest one's, or another camera, starts afresh from this frame.
        """
        frame = frame.resized(*self._model.input_size(frame.camera))
        earlier = self._buffer.frames
        afresh = earlier and _break(earlier[-1], frame)
        if afresh is Drop.STALE:
            return afresh
        if afresh:
            self.reset()
        self._buffer.add(frame)
        chosen = afresh or choose_sources(frame, earlier, self._scene_depth, self.options)
        if isinstance(chosen, Drop):
            return chosen
        estimate = self._estimate(frame, chosen)
        self._scene_depth = self._median(estimate.depth_hw)
        return estimate

    def estimate(self, reference: Frame, sources: Sequence[Frame]) -> Estimate:
        """
        Return the depth of a reference compared with these sources; what `add` has seen plays no part.

        Raises ValueError without sources, for a source of another camera, or one at the reference's place.
        """
        if not sources:
            raise ValueError('There is no source to compare the reference with.')
        size = self._model.input_size(reference.camera)
        reference = reference.resized(*size)
        sources = [source.resized(*size) for source in sources]
        if any(source.camera != reference.camera for source in sources):
            raise ValueError('The reference and its sources must be of one camera.')
        depth = self.options.initial_depth
        return self._estimate(reference, tuple(source_of(reference, source, depth) for source in sources))

    def _estimate(self, reference: Frame, sources: tuple[Source, ...]) -> Estimate:
        clock = _Clock()
        camera = reference.camera
        stabilised = [motion.stabilise(source.frame.image, camera,
                                       motion.inverse(source.frame.T_world_cam) @ reference.T_world_cam)
                      for source in sources]
        views = Views(reference.image,
                      np.stack([view.image for view in stabilised]),
                      np.stack([view.valid_hw for view in stabilised]),
                      np.stack([view.displacement for view in stabilised]),
                      camera)
        clock.lap('stabilise')
        prediction = self._model.predict(views)
        clock.lap('model')
        depth_hw, deviation_hw = self._judged(prediction, views)
        clock.lap('judge')
        return Estimate(reference.stamp_ns, depth_hw, deviation_hw, reference.image, camera,
                        reference.T_world_cam, sources, clock.milliseconds)

    def _judged(self, prediction: Prediction, views: Views) -> tuple[np.ndarray, np.ndarray]:
        """Return depth and deviation in metres with the range limits applied and the unknown taken out."""
        options, depth_hw = self.options, prediction.depth_hw
        with np.errstate(invalid='ignore', over='ignore'):
            deviation_hw = np.hypot(depth_hw * prediction.deviation_hw,
                                    geometric_deviation(depth_hw, views, options.matching_noise))
            known = deviation_hw <= options.max_relative_deviation * depth_hw
        depth_hw = np.where(known, depth_hw, np.float32(np.nan))
        depth_hw[depth_hw > options.max_range] = np.inf
        depth_hw[depth_hw < options.min_range] = -np.inf
        return depth_hw, np.where(np.isfinite(depth_hw), deviation_hw, np.float32(np.nan))

    def _median(self, depth_hw: np.ndarray) -> float:
        known = depth_hw[~np.isnan(depth_hw)]
        if known.size < .05 * depth_hw.size:
            return self.options.initial_depth
        return float(np.clip(np.median(known), self.options.min_range, self.options.max_range))


def geometric_deviation(depth_hw: np.ndarray, views: Views, matching_noise: float) -> np.ndarray:
    """
    Return what matching noise alone makes of depth, `sigma_Z = Z^2 s / (f D)`, (H, W) float32 metres.

    matching_noise: s, pixels. f D is the parallax in the image per inverse metre of depth, `f |t_xy - t_z
    r_xy|` for
    the ray r: it vanishes at the focus of expansion. Sources that see a pixel add up by inverse variance;
    where none does, the deviation is infinite.
    """
    camera, rays_hw3 = views.camera, views.camera.rays_hw3()
    information_hw = np.zeros(depth_hw.shape, np.float32)
    for (x, y, z), valid_hw in zip(views.displacements.astype(np.float32), views.valid, strict=True):
        information_hw += valid_hw * ((camera.fx * (x - z * rays_hw3[..., 0])) ** 2 +
                                      (camera.fy * (y - z * rays_hw3[..., 1])) ** 2)
    with np.errstate(divide='ignore', over='ignore', invalid='ignore'):
        return np.square(depth_hw) * np.float32(matching_noise) / np.sqrt(information_hw)


def _break(newest: Frame, frame: Frame) -> Drop | None:
    """Say why a frame does not follow on the newest one."""
    if frame.stamp_ns == newest.stamp_ns:
        return Drop.STALE
    if frame.stamp_ns < newest.stamp_ns:
        return Drop.TIME_JUMP
    return Drop.RESIZED if frame.camera != newest.camera else None


class _Clock:
    """Milliseconds by stage."""

    def __init__(self):
        self.milliseconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.milliseconds[stage] = (now - self._last) * 1e3
        self._last = now
