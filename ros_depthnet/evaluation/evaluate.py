"""The judge: every method on posed sequences, as fixed pairs and as a stream, with the same scoring."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.measurer import Estimate, Measurer
from ros_depthnet.core.moving import MOVES
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.core.reasons import Drop
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.engines.model import load_model, shipped_models
from ros_depthnet.engines.moving_model import load_moving_model
from ros_depthnet.evaluation.methods import CLASSICAL, Method, NotApplicable, constant, depth_noise
from ros_depthnet.evaluation.metrics import (
    DepthAndDeviation,
    MovingScores,
    PixelErrors,
    Scores,
    Trust,
    average,
    flicker,
)
from ros_depthnet.flight.movers import Movers
from ros_depthnet.flight.posed_sequence import BadPicture, PosedSequence
from ros_depthnet.flight.session import Session

PROTOCOLS = ('pairs', 'stream')
COMMON_SCORES = ('mae_log', 'ause')  # those of `Row.common` that are reported
LIMIT_NOISE = 0.1  # pixels: matching noise of the physical limit shown beside the scores
_PICTURED = 3  # examples a set and method contribute to the HTML page
_DEPTH_EDGES = (0, 1, 2, 4, 8, 16, 32, 64, 128, np.inf)  # metres
_FOE_EDGES = (0, 5, 10, 20, 40, 90)  # degrees between the ray and the motion
_CONTRAST_EDGES = (0, 1, 2, 4, 8, 16, 32, np.inf)  # grey levels
_CONTRAST_WINDOW = 9  # pixels
_SEEN_EDGES = (0, 1, 2)  # no, yes
_NEARER = 0.9  # ratio of distances from the source at which one thing hides another
_NO_RANGE = 1e-6  # metres: sets in other units than metres have no natural shortest depth


@dataclass(frozen=True)
class Row:
    """
    The scores of one method on one set; `pairs` counts frames where the protocol is `stream`.

    common: the scores on those pixels alone of which every flight along the set in this run gave a depth;
    None where nothing flew beside it. flicker: mean of `metrics.flicker` along the set; NaN of pairs.
    """

    set: str
    method: str
    protocol: str
    pairs: int
    scores: Scores
    ms_per_pair: float
    common: Scores | None = None
    flicker: float = float('nan')

    def as_dict(self) -> dict:
        """Return one flat JSON object."""
        scores = asdict(self.scores)
        del scores['within']  # it says how well the deviation is calibrated, not how good the depth is
        common = {} if self.common is None else {f'{name}_common': getattr(self.common, name) for name in COMMON_SCORES}
        return {
            'set': self.set,
            'method': self.method,
            'protocol': self.protocol,
            'pairs': self.pairs,
            **scores,
            **common,
            'flicker': self.flicker,
            'ms_per_pair': self.ms_per_pair,
        }


@dataclass(frozen=True)
class Band:
    """
    The scores of one method on one set's pixels that have something in common.

    by: 'depth' (metres), 'foe' (degrees between ray and line of motion, 0 at the focus of expansion),
    'contrast' (standard deviation of grey levels, 0 to 255, in the 9 x 9 pixels around, 0 without texture)
    or, of pairs, 'seen' (from 0 what the source does not see, hidden by something nearer or out of its image;
    from 1 what it does).
    deviation: mean relative deviation that the method claims. limit: mean relative deviation, at most 1, that
    a matching noise of 0.1 px leaves to any method.
    """

    set: str
    method: str
    protocol: str
    by: str
    low: float
    high: float
    pixels: int
    abs_rel: float
    mae_log: float
    delta_125: float
    coverage: float
    within: float
    deviation: float
    limit: float


@dataclass(frozen=True, eq=False)
class Example:
    """One estimate kept for looking at; depth and deviation at the method's own size."""

    label: str
    image: np.ndarray
    truth_hw: np.ndarray
    estimate: DepthAndDeviation
    scores: Scores


@dataclass(frozen=True, eq=False)
class Result:
    """All that one method did on one set."""

    row: Row
    trust: Trust
    bands: tuple[Band, ...]
    examples: tuple[Example, ...]
    dropped: dict[str, int]
    moving: MovingScores | None = None

    @property
    def method(self) -> str:
        """Return the method's name."""
        return self.row.method

    def renamed(self, method: str) -> 'Result':
        """Return the same result under another name of the same model."""
        return replace(
            self, row=replace(self.row, method=method), bands=tuple(replace(band, method=method) for band in self.bands)
        )


@dataclass(frozen=True)
class Skipped:
    """A method that says nothing about a set, and why."""

    set: str
    method: str
    protocol: str
    why: str

    def renamed(self, method: str) -> 'Skipped':
        """Return the same under another name of the same model."""
        return replace(self, method=method)


def all_methods() -> tuple[str, ...]:
    """Return the name of every method there is."""
    return ('constant', *CLASSICAL, *shipped_models(), 'default')


@dataclass(frozen=True)
class Variant:
    """Estimator options other than the shipped ones, and how to call them in a table ('' for none)."""

    label: str = ''
    changes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> 'Variant':
        """Read `name=value,...`; raise ValueError with a sentence for what is no option."""
        defaults = vars(EstimatorOptions())
        changes: dict[str, Any] = {}
        for part in text.split(','):
            name, _, value = part.partition('=')
            if name not in defaults:
                raise ValueError(f'{name!r} is none of the options {", ".join(defaults)}.')
            try:
                changes[name] = (
                    {'true': True, 'false': False}[value]
                    if isinstance(defaults[name], bool)
                    else type(defaults[name] or 0.0)(value)
                )
            except (KeyError, ValueError):
                raise ValueError(f'{value!r} is no value for the option {name}.') from None
        EstimatorOptions(**changes)
        return cls(text, changes)

    def named(self, method: str) -> str:
        """Return what a method is called with these options."""
        return f'{method}[{self.label}]' if self.label else method


Entries = Mapping[str, tuple[str, Variant]]  # what is compared, by label: a method with its options


def evaluate(
    sequences: Iterable[PosedSequence],
    methods: Sequence[str],
    protocols: Sequence[str],
    progress: Callable[[str], None],
    variants: Sequence[Variant] = (Variant(),),
    precision: str = 'auto',
) -> Iterator[Result | Skipped]:
    """
    Run methods on sequences; a name is one of `all_methods()` or the path of a model.

    Models run once with each variant of the estimator's options; precision: see `load_model`. `progress` is
    told in a few words what is being done. A picture that is lost costs its own frame, or pairs, alone. Raises
    ModelError.
    """
    models = {
        name: load_model(name, precision=precision) for name in methods if name != 'constant' and name not in CLASSICAL
    }
    cards = {name: model.card for name, model in models.items()}
    same = {
        name: card.name
        for name, card in cards.items()
        if card.name != name and card.name in cards and card.file == cards[card.name].file
    }
    runs = [name for name in methods if name not in same]
    # The classical methods have no options.
    entries = {
        variant.named(name): (name, variant)
        for name in runs
        for variant in (variants if name in models else (Variant(),))
    }
    for sequence in sequences:
        for protocol, judge in zip(PROTOCOLS, (_pairs, _streams), strict=True):
            for outcome in judge(sequence, entries, models, progress) if protocol in protocols else ():
                yield outcome
                judged, variant = entries[outcome.method]
                yield from (outcome.renamed(variant.named(name)) for name in methods if same.get(name) == judged)


def stream_options(sequence: PosedSequence, variant: Variant) -> EstimatorOptions:
    """
    Return the options with the ranges of a set: what it doesn't score is beyond range.

    In a set without a metric scale lengths in metres mean nothing.
    """
    unit = {} if sequence.metric else {'max_speed': np.inf, 'position_noise': _NO_RANGE, 'check_odometry': False}
    return EstimatorOptions(**{'min_range': _NO_RANGE, 'max_range': sequence.max_depth, **unit, **variant.changes})


def pair_options(sequence: PosedSequence, variant: Variant) -> EstimatorOptions:
    """Return the options for pairs: with every pixel judged it shows how well a model knows what it knows."""
    return EstimatorOptions(
        **{'min_range': _NO_RANGE, 'max_range': sequence.max_depth, 'max_relative_deviation': np.inf, **variant.changes}
    )


def _pairs(
    sequence: PosedSequence, entries: Entries, models: Mapping[str, Model], progress: Callable[[str], None]
) -> Iterator[Result | Skipped]:
    fixed = {
        label: CLASSICAL.get(name) or _of_pairs(Measurer(models[name], pair_options(sequence, variant)))
        for label, (name, variant) in entries.items()
        if name != 'constant'
    }
    tallies = {label: _Tally(sequence, label, 'pairs') for label in entries}
    why = dict.fromkeys(entries, 'the set has no pair with a pixel to score')
    for number, (i, j) in enumerate(sequence.pairs):
        progress(f'{sequence.name}: pair {number + 1} of {len(sequence.pairs)}')
        try:
            reference, source = sequence.frame(i), sequence.frame(j)
            view = _View.of_pair(reference, source, sequence.depth(i), sequence.max_depth)
        except BadPicture as lost:
            why = dict.fromkeys(entries, str(lost).rstrip('.'))
            for tally in tallies.values():
                tally.drop(Drop.BAD_IMAGE)
            continue
        if not view.scored_hw.any():
            continue
        for name in entries:
            method = constant(view.truth_hw[view.scored_hw]) if name == 'constant' else fixed[name]
            try:
                if not tallies[name].count:  # what happens once only is not what a pair costs
                    method(reference, source)
                started = time.perf_counter()
                estimate = method(reference, source)
                tallies[name].add(f'{i} from {j}', view, estimate, time.perf_counter() - started)
            except NotApplicable as reason:
                why[name] = str(reason)
    yield from (tallies[name].result() or Skipped(sequence.name, name, 'pairs', why[name]) for name in entries)


def _of_pairs(measurer: Measurer) -> Method:
    def method(reference: Frame, source: Frame) -> DepthAndDeviation:
        if np.array_equal(reference.T_world_cam[:3, 3], source.T_world_cam[:3, 3]):
            raise NotApplicable('the camera did not move')
        estimate = measurer.estimate(reference, [source])
        return DepthAndDeviation(estimate.depth_hw, estimate.deviation_hw)

    return method


def _streams(
    sequence: PosedSequence, entries: Entries, models: Mapping[str, Model], progress: Callable[[str], None]
) -> Iterator[Result | Skipped]:
    # All side by side, so that nothing need be kept to compare them on common pixels.
    flights = {
        label: _Flight(sequence, label, models[name], stream_options(sequence, variant))
        for label, (name, variant) in entries.items()
        if name in models
    }
    for i, entry in enumerate(sequence.frames if flights else ()):
        progress(f'{sequence.name}: frame {i + 1} of {len(sequence.frames)}')
        try:
            frame, moving_hw = sequence.frame(i), sequence.moving(i)
            truth_hw = None if entry.depth_path is None else sequence.depth(i)
        except BadPicture:
            for flight in flights.values():
                flight.tally.drop(Drop.BAD_IMAGE)
            continue
        added = ((flight.tally, flight.add(f'frame {i}', frame, truth_hw, moving_hw)) for flight in flights.values())
        scored = [(tally, errors) for tally, errors in added if errors]
        if len(scored) > 1:
            known = np.logical_and.reduce([np.isfinite(errors.depth) for _, errors in scored])
            for tally, errors in scored:
                tally.add_common(errors.scores(known))
    for label, (name, _) in entries.items():
        why = 'no frame but the first has true depth' if name in models else 'it compares given pairs only'
        result = flights[label].tally.result() if label in flights else None
        yield result or Skipped(sequence.name, label, 'stream', why)


class _Flight:
    """The estimator along a sequence; where it gives nothing for a frame, all is unknown."""

    def __init__(self, sequence: PosedSequence, label: str, model: Model, options: EstimatorOptions):
        self.tally = _Tally(sequence, label, 'stream')
        self._session, self._max_depth = Session(model, options, movers=Movers(load_moving_model)), sequence.max_depth
        self._before: Estimate | None = None
        model.warm_up(sequence.camera, options)

    def add(
        self, label: str, frame: Frame, truth_hw: np.ndarray | None, moving_hw: np.ndarray | None
    ) -> PixelErrors | None:
        """Fly on to a frame; return its errors if it is scored: all that have truth but the first are."""
        started = time.perf_counter()
        outcome = self._session.add(frame)
        seconds, displacements, found_hw = time.perf_counter() - started, [], None
        estimate = DepthAndDeviation(np.full(frame.image.shape[:2], np.nan))
        if isinstance(outcome, Drop):
            self.tally.drop(outcome)
            seconds = np.nan
        else:
            if outcome.carried:
                self.tally.drop(outcome.carried)
            if self._before:
                self.tally.add_flicker(flicker(self._before, outcome))
            estimate = DepthAndDeviation(outcome.depth_hw, outcome.deviation_hw)
            displacements = [source.displacement for source in outcome.sources]
            found_hw = None if outcome.moving_hw is None else outcome.moving_hw >= MOVES
        self._before = outcome if isinstance(outcome, Estimate) else None
        if truth_hw is None or outcome is Drop.FIRST_FRAME:
            return None
        view = _View.of(frame, truth_hw, self._max_depth, displacements)
        errors = self.tally.add(label, view, estimate, seconds)
        if moving_hw is not None:
            self.tally.add_moving(moving_hw, found_hw, errors.part(moving_hw[view.scored_hw]))
        return errors


@dataclass(frozen=True, eq=False)
class _View:
    """A reference with its truth, and how well motion could show its depth; all images (H, W)."""

    image: np.ndarray
    truth_hw: np.ndarray
    scored_hw: np.ndarray
    max_depth: float
    contrast_hw: np.ndarray  # deviation of grey levels nearby
    angle_hw: np.ndarray  # degrees between the ray and the motion; NaN: not known
    limit_hw: np.ndarray  # relative deviation of depth at the physical limit; NaN: not known
    seen_hw: np.ndarray  # 1 where the source sees the place, 0 where not; NaN: not known

    @classmethod
    def of(
        cls, reference: Frame, truth_hw: np.ndarray, max_depth: float, displacements: Sequence[np.ndarray]
    ) -> '_View':
        scored_hw = (truth_hw > 0) & (truth_hw < max_depth)
        unknown, contrast_hw = np.full(truth_hw.shape, np.nan), _contrast(reference.image)
        if not displacements:
            return cls(reference.image, truth_hw, scored_hw, max_depth, contrast_hw, *[unknown] * 3)
        limit_hw = depth_noise(truth_hw, reference.camera, displacements, LIMIT_NOISE) / truth_hw
        longest = max(displacements, key=np.linalg.norm)
        return cls(
            reference.image,
            truth_hw,
            scored_hw,
            max_depth,
            contrast_hw,
            _angle(reference.camera.rays_hw3(), longest),
            np.minimum(limit_hw, 1),
            unknown,
        )

    @classmethod
    def of_pair(cls, reference: Frame, source: Frame, truth_hw: np.ndarray, max_depth: float) -> '_View':
        T_src_ref = motion.inverse(source.T_world_cam) @ reference.T_world_cam
        displacement = motion.displacement(T_src_ref)
        view = cls.of(reference, truth_hw, max_depth, [displacement] if displacement.any() else [])
        visible_hw = motion.stabilise(source.image, source.camera, T_src_ref).valid_hw
        return replace(
            view,
            scored_hw=view.scored_hw & visible_hw,
            seen_hw=_seen(truth_hw, reference.camera, T_src_ref).astype(np.float32),
        )


def _seen(truth_hw: np.ndarray, camera: Camera, T_src_ref: np.ndarray) -> np.ndarray:
    """Return which pixels of a true depth image a source of the same camera sees too, as far as it tells."""
    known_hw = truth_hw > 0
    points_ref = camera.rays_hw3()[known_hw] * truth_hw[known_hw, None]
    points_src = points_ref @ T_src_ref[:3, :3].T + T_src_ref[:3, 3]
    distance = points_src[:, 2]
    column, row = np.rint(np.nan_to_num(camera.project(points_src), nan=-1)).astype(int).T
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    place = row[inside], column[inside]
    nearest_hw = np.full(truth_hw.shape, np.inf)
    np.minimum.at(nearest_hw, place, distance[inside])
    nearest_hw = cv2.erode(nearest_hw, np.ones((3, 3)))  # points fall on some pixels only
    seen = inside.copy()
    seen[inside] = nearest_hw[place] > _NEARER * distance[inside]
    seen_hw = np.zeros(truth_hw.shape, bool)
    seen_hw[known_hw] = seen
    return seen_hw


def _angle(rays_hw3: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return degrees, 0 to 90, between rays and a line."""
    cosine = np.abs(rays_hw3 @ (direction / np.linalg.norm(direction))) / np.linalg.norm(rays_hw3, axis=-1)
    return np.degrees(np.arccos(np.minimum(cosine, 1)))


def _contrast(image: np.ndarray) -> np.ndarray:
    """Return the standard deviation (H, W) of an RGB image's grey levels in the window round each pixel."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean, square = (cv2.blur(each, (_CONTRAST_WINDOW,) * 2) for each in (grey, grey * grey))
    return np.sqrt(np.maximum(square - mean * mean, 0))


class _Tally:
    """Gathers the scores of one method on one set, pair by pair, so that memory doesn't grow with the set."""

    def __init__(self, sequence: PosedSequence, method: str, protocol: str):
        self._set, self._method, self._protocol = sequence.name, method, protocol
        candidates = len(sequence.pairs if protocol == 'pairs' else sequence.with_truth)
        self._pictured = set(np.linspace(0, candidates - 1, min(_PICTURED, candidates)).round().astype(int))
        self._scores: list[Scores] = []
        self._common: list[Scores] = []
        self._flickers: list[float] = []
        self._trust: list[Trust] = []
        self._seconds: list[float] = []
        self._examples: list[Example] = []
        self._parts: dict[tuple[str, float, float], list[tuple[int, Scores, Trust, float]]] = {}
        self._dropped: dict[str, int] = {}
        self._moving: list[tuple[np.ndarray, np.ndarray | None, PixelErrors]] = []

    @property
    def count(self) -> int:
        return len(self._scores)

    def drop(self, reason: Drop) -> None:
        self._dropped[reason.value] = self._dropped.get(reason.value, 0) + 1

    def add_common(self, scores: Scores) -> None:
        """Add what a frame scores on the pixels that all know."""
        self._common.append(scores)

    def add_flicker(self, change: float) -> None:
        """Add by how much a map differs from the one before."""
        self._flickers.append(change)

    def add_moving(self, truth_hw: np.ndarray, found_hw: np.ndarray | None, errors: PixelErrors) -> None:
        """Add what moves in a frame, what was found to, and the errors there."""
        self._moving.append((truth_hw, found_hw, errors))

    def add(self, label: str, view: _View, estimate: DepthAndDeviation, seconds: float) -> PixelErrors:
        """Score an estimate and return its errors."""
        errors = PixelErrors.of(estimate, view.truth_hw, view.scored_hw, view.max_depth)
        scores = errors.scores()
        if self.count in self._pictured:
            self._examples.append(Example(label, view.image, view.truth_hw, estimate, scores))
        self._scores.append(scores)
        self._trust.append(errors.trust())
        self._seconds.append(seconds)
        limits = view.limit_hw[view.scored_hw]
        for by, edges, values in (
            ('depth', _DEPTH_EDGES, errors.truth),
            ('foe', _FOE_EDGES, view.angle_hw[view.scored_hw]),
            ('contrast', _CONTRAST_EDGES, view.contrast_hw[view.scored_hw]),
            ('seen', _SEEN_EDGES, view.seen_hw[view.scored_hw]),
        ):
            for low, high in zip(edges, edges[1:], strict=False):
                chosen = (values >= low) & ((values < high) | (high == edges[-1]))
                pixels = int(chosen.sum())
                if pixels:
                    part = pixels, errors.scores(chosen), errors.trust(chosen), _finite_mean(limits[chosen])
                    self._parts.setdefault((by, low, high), []).append(part)
        return errors

    def result(self) -> Result | None:
        if not self._scores:
            return None
        seconds = [spent for spent in self._seconds if np.isfinite(spent)]
        row = Row(
            self._set,
            self._method,
            self._protocol,
            self.count,
            average(self._scores),
            1e3 * float(np.median(seconds)) if seconds else np.nan,
            average(self._common) if self._common else None,
            _finite_mean(np.array(self._flickers)),
        )
        bands = tuple(self._band(*key, parts) for key, parts in sorted(self._parts.items()))
        moving = None
        if self._moving:
            truths, found, errors = zip(*self._moving, strict=True)
            moving = MovingScores.of(truths, found, PixelErrors.joined(errors))
        return Result(row, average(self._trust), bands, tuple(self._examples), self._dropped, moving)

    def _band(self, by: str, low: float, high: float, parts: list[tuple[int, Scores, Trust, float]]) -> Band:
        counts, all_scores, trusts, limits = zip(*parts, strict=True)
        pixels, nan = np.array(counts), float('nan')
        covered = pixels * [scores.coverage for scores in all_scores]

        def mean(values: Sequence[float], weights: np.ndarray) -> float:
            known = np.isfinite(values) & (weights > 0)
            return float(np.average(np.array(values)[known], weights=weights[known])) if known.any() else nan

        return Band(
            self._set,
            self._method,
            self._protocol,
            by,
            float(low),
            float(high),
            int(pixels.sum()),
            abs_rel=mean([scores.abs_rel for scores in all_scores], covered),
            mae_log=mean([scores.mae_log for scores in all_scores], covered),
            delta_125=mean([scores.delta_125 for scores in all_scores], pixels),
            coverage=mean([scores.coverage for scores in all_scores], pixels),
            within=mean([scores.within for scores in all_scores], covered),
            deviation=mean([trust.deviation for trust in trusts], covered),
            limit=mean(limits, pixels),
        )


def _finite_mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan


def load_sets(paths: Iterable[str | Path]) -> list[PosedSequence]:
    """Read every set before the work starts, so that a typing error shows at once."""
    return [PosedSequence.load(path) for path in paths]
