"""Scores of an estimated depth map against the truth."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import cv2
import numpy as np

from ros_depthnet.core.cloud import CloudOptions
from ros_depthnet.core.measurer import Estimate
from ros_depthnet.core.motion import inverse

_OTHER_THING = np.log(1.25)  # what changes by more was hidden, or is now
TRUSTED = CloudOptions().max_relative_deviation


@dataclass(frozen=True, eq=False)
class DepthAndDeviation:
    """
    An estimate: depth (H, W) in metres and one standard deviation (H, W) in metres, None where not given.

    NaN is no estimate and +Inf beyond range; -Inf (too close, REP-117) is not scored as a depth either.
    """

    depth_hw: np.ndarray
    deviation_hw: np.ndarray | None = None


@dataclass(frozen=True)
class Scores:
    """
    What one estimate, or the mean of many, scores; all without unit but `rmse` (metres).

    delta_103: the inliers of the multi-view depth benchmark (Schroeppel 2022, arXiv:2209.06681), which are counted
    with max(d / z, z / d) below 1.03, of all scored pixels.

    within: share of estimates that are off by less than their deviation; .68 where errors are normal.
    NaN: `ause` and `within` without a deviation; the means over estimates where there is no estimate at all.
    """

    abs_rel: float
    rmse: float
    mae_log: float
    delta_103: float
    delta_105: float
    delta_125: float
    coverage: float
    ause: float
    within: float


@dataclass(frozen=True)
class Trust:
    """
    What leaving out by deviation is worth, one estimate or the mean of many; shares without unit.

    wrong: of estimates, those off by more than a quarter either way. trusted: of scored pixels, those that
    clouds and obstacles take by default, the deviation being small enough for the depth. trusted_wrong: of
    these, the wrong ones. deviation: mean relative deviation of estimates.
    """

    wrong: float
    trusted: float
    trusted_wrong: float
    deviation: float


@dataclass(frozen=True)
class MovingScores:
    """
    How well what moves was found, over all pixels of all frames; shares without unit.

    share: of pixels, those that move. f1, precision, recall: of what is called moving; NaN where nothing was
    looked into. wrong: of pixels that move and are scored, those given a depth off by more than a quarter that
    clouds and obstacles trust. mae_log: of the depths given to what moves.
    """

    share: float
    f1: float
    precision: float
    recall: float
    wrong: float
    mae_log: float

    @classmethod
    def of(
        cls, truths: Sequence[np.ndarray], found: Sequence[np.ndarray | None], errors: 'PixelErrors'
    ) -> 'MovingScores':
        """Compare with the truth (H, W) what was called moving, of any size; errors: of scored pixels that move."""
        hits = called = there = nan = float('nan')
        given = [each for each in found if each is not None]
        if len(given) == len(truths):
            sized = [
                cv2.resize(each.astype(np.float32), truth.shape[::-1]) >= 0.5
                for each, truth in zip(given, truths, strict=True)
            ]
            hits, called, there = (
                sum(int(each.sum()) for each in masks)
                for masks in ([truth & each for truth, each in zip(truths, sized, strict=True)], sized, truths)
            )
        trusted_wrong = (errors.doubt <= TRUSTED) & ~(errors.log < np.log(1.25))
        return cls(
            share=float(np.mean([truth.mean() for truth in truths])),
            f1=2 * hits / (called + there) if called + there else nan,
            precision=hits / called if called else nan,
            recall=hits / there if there else nan,
            wrong=_share(trusted_wrong),
            mae_log=_mean(errors.log),
        )


def resample(estimate: DepthAndDeviation, width: int, height: int) -> DepthAndDeviation:
    """
    Bring an estimate to the truth's size, as a consumer of the depth image would.

    Inverse depth is interpolated bilinearly: it is affine in the image on any plane, so planes stay exact,
    and +Inf takes part as 0. Where a neighbour is unknown the nearest pixel decides, so NaN does not spread.
    """
    if estimate.depth_hw.shape == (height, width):
        return estimate
    depth = np.where(estimate.depth_hw > 0, estimate.depth_hw, np.nan).astype(np.float32)
    inverse = _interpolate(1 / depth, width, height)
    deviation = estimate.deviation_hw
    if deviation is not None:
        deviation = _interpolate(deviation.astype(np.float32), width, height)
    with np.errstate(divide='ignore'):
        return DepthAndDeviation(1 / inverse, deviation)


def flicker(before: Estimate, after: Estimate) -> float:
    """
    Return how much the depth of a point changes from one map of a flight to the next: mean |d ln(depth)|.

    Over the pixels of `after` whose point both maps know, its depth in the camera of `before` is compared with what
    that said there. What changes by a quarter or more counts as a quarter: there it is another point that is seen.
    """
    T_before_after = inverse(before.T_world_cam) @ after.T_world_cam
    points = after.camera.back_project(after.depth_hw) @ T_before_after[:3, :3].T + T_before_after[:3, 3]
    pixels = np.nan_to_num(before.camera.project(points), nan=-2).astype(np.float32)
    was_hw = cv2.remap(before.depth_hw, pixels, None, cv2.INTER_NEAREST, borderValue=np.nan)
    with np.errstate(invalid='ignore', divide='ignore'):
        return _mean(np.minimum(np.abs(np.log(points[..., 2] / np.where(was_hw > 0, was_hw, np.nan))), _OTHER_THING))


def _interpolate(image: np.ndarray, width: int, height: int) -> np.ndarray:
    smooth = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    nearest = cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.where(np.isfinite(smooth) & np.isfinite(nearest), smooth, nearest)


@dataclass(frozen=True, eq=False)
class PixelErrors:
    """The scored pixels of one estimate, each (N,); means leave out those without an estimate."""

    truth: np.ndarray
    depth: np.ndarray  # clipped to the set's largest depth; NaN: no estimate
    deviation: np.ndarray  # NaN: none given

    @classmethod
    def of(
        cls, estimate: DepthAndDeviation, truth_hw: np.ndarray, scored_hw: np.ndarray, max_depth: float
    ) -> 'PixelErrors':
        """Compare an estimate of any size with the truth on the scored pixels."""
        height, width = truth_hw.shape
        estimate = resample(estimate, width, height)
        depth = estimate.depth_hw[scored_hw].astype(np.float64)
        depth = np.where(depth > 0, np.minimum(depth, max_depth), np.nan)
        deviation = np.full(depth.shape, np.nan)
        if estimate.deviation_hw is not None:
            deviation = estimate.deviation_hw[scored_hw].astype(np.float64)
        return cls(truth_hw[scored_hw].astype(np.float64), depth, deviation)

    @property
    def relative(self) -> np.ndarray:
        """Return |d - z| / z."""
        return np.abs(self.depth - self.truth) / self.truth

    @property
    def log(self) -> np.ndarray:
        """Return |ln d - ln z|."""
        return np.abs(np.log(self.depth / self.truth))

    @property
    def doubt(self) -> np.ndarray:
        """Return the deviation relative to the depth."""
        return self.deviation / self.depth

    def scores(self, chosen: np.ndarray | slice = slice(None)) -> Scores:
        """Average over the chosen pixels, by default all."""
        truth, depth, relative, log = (x[chosen] for x in (self.truth, self.depth, self.relative, self.log))
        return Scores(
            abs_rel=_mean(relative),
            rmse=_mean((depth - truth) ** 2) ** 0.5,
            mae_log=_mean(log),
            delta_103=_share(log < np.log(1.03)),
            delta_105=_share(log < np.log(1.05)),
            delta_125=_share(log < np.log(1.25)),
            coverage=_share(np.isfinite(depth)),
            ause=_ause(relative, self.doubt[chosen]),
            within=_within(np.abs(depth - truth), self.deviation[chosen]),
        )

    def trust(self, chosen: np.ndarray | slice = slice(None)) -> Trust:
        """Say what the deviation of the chosen pixels is worth, by default of all."""
        depth, doubt = self.depth[chosen], self.doubt[chosen]
        wrong = ~(self.log[chosen] < np.log(1.25))
        trusted = doubt <= TRUSTED
        return Trust(_share(wrong[np.isfinite(depth)]), _share(trusted), _share(wrong[trusted]), _mean(doubt))

    def part(self, chosen: np.ndarray) -> 'PixelErrors':
        """Return the errors of the chosen pixels (N,) bool."""
        return PixelErrors(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence['PixelErrors']) -> 'PixelErrors':
        """Pool the pixels of several estimates."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


Averaged = TypeVar('Averaged', Scores, Trust)


def average(scores: Iterable[Averaged]) -> Averaged:
    """Average over pairs; one without any estimate has no means, so it counts in delta and coverage only."""
    scores = list(scores)
    return type(scores[0])(
        **{field.name: _mean(np.array([getattr(each, field.name) for each in scores])) for field in fields(scores[0])}
    )


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float('nan')


def _share(flags: np.ndarray) -> float:
    return float(flags.mean()) if flags.size else float('nan')


def _within(errors: np.ndarray, deviations: np.ndarray) -> float:
    both = np.isfinite(errors) & np.isfinite(deviations)
    return _share(errors[both] < deviations[both])


def _ause(relative: np.ndarray, relative_deviation: np.ndarray) -> float:
    """
    Return the area between the sparsification curve and the oracle's (Ilg 2018, arXiv:1802.07095).

    The curve is the mean of `abs_rel` over what is left when the least certain pixels are taken away, over
    the share taken away. Certainty is the deviation relative to the depth, as the error is.
    """
    known = np.isfinite(relative)
    if not np.isfinite(relative_deviation[known]).any():
        return float('nan')
    errors, doubt = relative[known], np.nan_to_num(relative_deviation[known], nan=np.inf)
    left = np.arange(1, errors.size + 1)
    by_deviation = np.cumsum(errors[np.argsort(doubt, kind='stable')]) / left
    by_error = np.cumsum(np.sort(errors)) / left
    return float((by_deviation - by_error).mean())
