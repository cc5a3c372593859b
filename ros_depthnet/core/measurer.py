"""What one frame and its partners show: a model's depth, aligned with the images, judged by geometry."""

import dataclasses
import enum
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ros_depthnet.core import fusion, motion, photometric
from ros_depthnet.core.baseline import Source, source_of
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Prediction, Views
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.core.reasons import Drop
from ros_depthnet.core.refine import Comparing

_ON_TARGET = 4.0  # ratio of parallax to the target up to which a range is relied upon
_DETAIL = 2.0  # times as many pixels as the model's input that are worth aligning
_NEARLY = 1.1  # times as wide and high as that, or as narrow and low, is as good


class DepthModel(Protocol):
    """What the estimator needs of a model: `engines.model.Model` is one."""

    @property
    def parallax_range(self) -> tuple[float, float]:
        """Least and most lateral parallax it is good for, pixels of its input."""

    def input_size(self, camera: Camera) -> tuple[int, int]:
        """Return the (width, height) at which a camera's images go in."""

    def predict(self, ranges: Sequence[Views]) -> list[Prediction]:
        """Return depth of each range's reference view in metres, in one batch."""


@runtime_checkable
class WholeModel(DepthModel, Protocol):
    """A model that can do all that follows it too, in one call of a GPU: `engines.whole_model.WholeModel` is one."""

    alignment_rounds: int

    def measures(self, camera: Camera) -> bool:
        """Return whether it can for details of a camera's size."""

    def measure(self, near: Views, far: Views, options: EstimatorOptions, parallax: tuple[float, float]) -> Prediction:
        """Return depth by near sources, aligned with the far too, and its deviation, geometry's included."""


class Origin(enum.IntEnum):
    """Where the depth of a pixel comes from."""

    UNKNOWN = 0
    MEASURED = 1
    REMEMBERED = 2
    ONE_IMAGE = 3


@dataclass(frozen=True, eq=False)
class Estimate:
    """
    Depth of one frame, at the model's input size.

    depth_hw: (H, W) float32 metres along z; NaN unknown, +Inf beyond max_range, -Inf below min_range
    (REP-117, REP-118). deviation_hw: (H, W) float32, one standard deviation in metres, NaN where depth is not
    finite. age_hw: (H, W) float32, seconds since depth was measured, +Inf where it never was but comes from one
    image alone, NaN where it is unknown.
    camera: of depth_hw's size. image: (H, W, 3) uint8 RGB, the reference at that size. sources: of all
    ranges. milliseconds: by stage. measured_ns: stamp of the newest frame that depth was measured from;
    carried: why it was not this one, None if it was. moving_hw: (H, W) float32, the probability that what a
    pixel shows moves by itself; None where that was not looked into.
    """

    stamp_ns: int
    depth_hw: np.ndarray
    deviation_hw: np.ndarray
    age_hw: np.ndarray
    image: np.ndarray
    camera: Camera
    T_world_cam: np.ndarray
    sources: tuple[Source, ...]
    milliseconds: dict[str, float]
    measured_ns: int
    carried: Drop | None = None
    moving_hw: np.ndarray | None = None

    @property
    def origin_hw(self) -> np.ndarray:
        """Where the depth of each pixel comes from, (H, W) uint8 of Origin."""
        old = np.where(np.isinf(self.age_hw), Origin.ONE_IMAGE, Origin.REMEMBERED)
        known = np.where(self.age_hw > 0, old, Origin.MEASURED)
        return np.where(np.isnan(self.depth_hw), Origin.UNKNOWN, known).astype(np.uint8)


class Measurer:
    """Depth of a reference compared with given sources; it keeps nothing of the frames it has seen."""

    def __init__(self, model: DepthModel, options: EstimatorOptions | None = None):
        """Use a model; unset options follow from what it was trained for."""
        options = options or EstimatorOptions()
        target = options.target_parallax or wanted_parallax(*model.parallax_range)
        self.options = dataclasses.replace(options, target_parallax=target)
        self.model = model

    def estimate(self, reference: Frame, sources: Sequence[Frame]) -> Estimate:
        """
        Return the depth of a reference compared with these sources.

        Raises ValueError without sources, for a source of another camera, or one at the reference's place.
        """
        if not sources:
            raise ValueError('There is no source to compare the reference with.')
        if any(source.camera != reference.camera for source in sources):
            raise ValueError('The reference and its sources must be of one camera.')
        reference, *sources = map(self.sized, (reference, *sources))
        depth, clock = self.options.initial_depth, StageClock()
        chosen = tuple(source_of(reference, source, depth) for source in sources)
        fresh = self.measured(self.comparing(reference), [chosen], [()], clock)
        return self.judged(reference, fresh, chosen, clock, reference.stamp_ns)

    def sized(self, frame: Frame) -> Frame:
        """Return a frame of the model's size, with what more of the image is worth keeping as its detail."""
        width, height = self.model.input_size(frame.camera)
        detail = frame.resized(*_detail_size(frame.camera, _DETAIL * width * height))
        small = dataclasses.replace(detail.resized(width, height), camera=frame.camera.resized(width, height))
        return dataclasses.replace(small, detail=detail)

    def comparing(self, reference: Frame) -> Comparing:
        """Return what makes views of a reference of the model's size, as the options have it."""
        return Comparing(reference, self.options.rotation_noise)

    def measured(
        self,
        comparing: Comparing,
        ranges: Sequence[Sequence[Source]],
        farther: Sequence[Sequence[Source]],
        clock: 'StageClock',
    ) -> fusion.DepthMap:
        """Return what the model sees in the ranges' sources, aligned with these and the farther, fused."""
        reference = comparing.reference
        whole = self._whole_for(reference)
        depths = (
            self._at_once(whole, comparing, ranges, farther, clock)
            if whole
            else self._in_steps(comparing, ranges, farther, clock)
        )
        fresh = fusion.fused([fusion.DepthMap.fresh(each.depth_hw, each.deviation_hw) for each in depths])
        fresh = fresh.where(reference.seen_hw)
        clock.lap('fuse')
        return fresh

    def _whole_for(self, reference: Frame) -> WholeModel | None:
        """Return the model if it can do everything at once, for this reference and with these options."""
        model, detail = self.model, reference.detail or reference
        if not isinstance(model, WholeModel) or not model.measures(detail.camera):
            return None
        return model if model.alignment_rounds == self.options.alignment_rounds else None

    def _at_once(
        self,
        whole: WholeModel,
        comparing: Comparing,
        ranges: Sequence[Sequence[Source]],
        farther: Sequence[Sequence[Source]],
        clock: 'StageClock',
    ) -> list[Prediction]:
        as_flown = Comparing(comparing.reference, rotation_noise=0)
        options = dataclasses.replace(self.options, rotation_noise=comparing.rotation_noise)
        depths = [
            whole.measure(
                as_flown.with_sources(_frames(near)),
                as_flown.with_sources(_frames(far)),
                options,
                self._relied_upon,
            )
            for near, far in zip(ranges, farther, strict=True)
        ]
        clock.lap('model')
        return depths

    def _in_steps(
        self,
        comparing: Comparing,
        ranges: Sequence[Sequence[Source]],
        farther: Sequence[Sequence[Source]],
        clock: 'StageClock',
    ) -> list[Prediction]:
        views = [comparing.with_sources(_frames(near)) for near in ranges]
        aligning = [comparing.with_sources(_frames((*near, *far))) for near, far in zip(ranges, farther, strict=True)]
        clock.lap('rotation')
        predictions = self.model.predict(views)
        clock.lap('model')
        if self.options.alignment_rounds:
            predictions = [
                photometric.aligned(prediction, each.detailed(), self.options.alignment_rounds)
                for prediction, each in zip(predictions, aligning, strict=True)
            ]
            clock.lap('align')
        return [self._with_geometry(*each) for each in zip(predictions, views, strict=True)]

    @property
    def _relied_upon(self) -> tuple[float, float]:
        """Least and most parallax that a prediction is relied upon for, pixels."""
        (least, most), target = self.model.parallax_range, self.options.parallax
        return max(least, target / _ON_TARGET), min(most, target * _ON_TARGET)

    def _with_geometry(self, prediction: Prediction, views: Views) -> Prediction:
        """
        Return a prediction with the deviation that matching and odometry cause at best.

        Parallax out of the model's range, or far from the target of the pair choice, makes it doubtful by the
        ratio it is out: another range will know better.
        """
        options, depth_hw = self.options, prediction.depth_hw
        longest = np.linalg.norm(views.displacements, axis=1).max()
        least, most = self._relied_upon
        with np.errstate(invalid='ignore', over='ignore', divide='ignore'):
            parallax_hw = np.float32(views.camera.fx * longest) / depth_hw
            doubt_hw = np.maximum(np.maximum(least / parallax_hw, parallax_hw / most), 1).astype(np.float32)
            geometric = geometric_deviation(depth_hw, views, options.matching_noise) / depth_hw
            squares_hw = np.square(prediction.deviation_hw * doubt_hw) + np.square(geometric)
            deviation_hw = np.sqrt(squares_hw + np.float32(options.position_noise / longest) ** 2)
        return Prediction(depth_hw, deviation_hw)

    def judged(
        self,
        frame: Frame,
        depth_map: fusion.DepthMap,
        sources: tuple[Source, ...],
        clock: 'StageClock',
        measured_ns: int,
        carried: Drop | None = None,
    ) -> Estimate:
        """Return a map as others may use it: range limits applied and the too uncertain taken out."""
        options, nan = self.options, np.float32(np.nan)
        known = (depth_map.deviation_hw <= options.max_relative_deviation) & frame.seen_hw
        depth_hw = np.where(known, depth_map.depth_hw, nan)
        depth_hw[depth_hw > options.max_range] = np.inf
        depth_hw[depth_hw < options.min_range] = -np.inf
        deviation_hw = depth_map.depth_hw * depth_map.deviation_hw
        deviation_hw = np.where(np.isfinite(depth_hw), deviation_hw, nan)
        clock.lap('judge')
        return Estimate(
            frame.stamp_ns,
            depth_hw,
            deviation_hw,
            np.where(known, depth_map.age_hw, nan),
            frame.image,
            frame.camera,
            frame.T_world_cam,
            sources,
            clock.milliseconds,
            measured_ns,
            carried,
        )


def _detail_size(camera: Camera, pixels: float) -> tuple[int, int]:
    """
    Return the (width, height) of about so many pixels to which images of a camera are shrunk, never enlarged.

    Where that comes near, whole blocks of pixels become one: their means take a tenth of the time that shares of
    pixels do.
    """
    shrink = math.sqrt(pixels / (camera.width * camera.height))
    block = max(1, round(1 / shrink))
    near = 1 / _NEARLY <= shrink * block <= _NEARLY
    if near and not (camera.width % block or camera.height % block):
        return camera.width // block, camera.height // block
    shrink = min(1.0, shrink)
    return round(shrink * camera.width), round(shrink * camera.height)


def _frames(sources: Sequence[Source]) -> tuple[Frame, ...]:
    return tuple(source.frame for source in sources)


def wanted_parallax(least: float, most: float) -> float:
    """
    Return where in a model's range the middle of a range of depths does best, pixels.

    Three fifths of the way, in ratio: matching is off by pixels, so more parallax is better, but the nearest
    things have several times that of the middle.
    """
    return least**0.4 * most**0.6


def geometric_deviation(depth_hw: np.ndarray, views: Views, matching_noise: float) -> np.ndarray:
    """
    Return what matching noise alone makes of depth, `sigma_Z = Z^2 s / (f D)`, (H, W) float32 metres.

    matching_noise: s, pixels. f D: see `motion.squared_parallax`. Sources that see a pixel add up by inverse
    variance; where none does, the deviation is infinite.
    """
    information_hw = np.zeros(depth_hw.shape, np.float32)
    for T_src_ref, valid_hw in zip(views.T_srcs_ref, views.valid(), strict=True):
        displacement = motion.displacement(T_src_ref).astype(np.float32)
        information_hw += valid_hw * motion.squared_parallax(views.camera, displacement)
    with np.errstate(divide='ignore', over='ignore', invalid='ignore'):
        return np.square(depth_hw) * np.float32(matching_noise) / np.sqrt(information_hw)


class StageClock:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.milliseconds[stage] = (now - self._last) * 1e3
        self._last = now
