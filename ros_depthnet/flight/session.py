"""A flight as it goes on: the frames held, whom to compare the newest with, and what is remembered."""

import functools
import math
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np

from ros_depthnet.core import fusion, motion
from ros_depthnet.core.baseline import (
    FrameBuffer,
    Source,
    choose_sources,
    depth_ranges,
    farther_sources,
    pose_jumped,
    source_of,
    turns_too_fast,
)
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.lasting_threads import as_many_as_opencv, threads
from ros_depthnet.core.measurer import DepthModel, Estimate, Measurer, StageClock
from ros_depthnet.core.moving import MOVES
from ros_depthnet.core.one_image import SingleViewModel
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.core.reasons import Drop
from ros_depthnet.core.refine import Comparing
from ros_depthnet.flight.attached import AttachedParts
from ros_depthnet.flight.diagnosis import Finding
from ros_depthnet.flight.key_frames import KeyFrames
from ros_depthnet.flight.memory import Memory, Panorama
from ros_depthnet.flight.movers import Movers
from ros_depthnet.flight.watch import Watch

# Shares of the initial depth that are tried in turn while the maps come back unknown: it may be far off.
_GUESSES = (1.0, 0.3, 3.0, 0.1, 10.0)
_REHEARSED = 3  # images: the first has no source, the second no memory
_KNOWN_SHARE = 0.05  # a map with less of it known says nothing about the scene
_OVERTAKEN_NS = 100_000_000  # images overtake each other by less; clocks are set by more
_BREATHING = 2e-3  # of the focal length, that intrinsics may change by from image to image
_STILL = (Drop.BASELINE_TOO_SHORT, Drop.ROTATED_TOO_FAR)  # nothing is wrong with the frame: there is no parallax
_LOOKED_AT = 4  # every so many-th pixel of every so many-th row tells what depths are in sight
_TURNS_END = 0.5  # of the wanted parallax: ranges take turns while frames are no farther apart than that


class Session:
    """
    Depth of every frame that has a partner to be compared with, or that shows what is remembered.

    Frames are added in the order of their stamps and kept at the model's input size and, for alignment, with
    about twice as many pixels, so memory is bounded by `buffer_size` small images. Not thread-safe: one
    thread adds, or callers lock.

    With `key_frames` every image gets depth though they come faster than they can be measured: what is
    remembered, seen from there, while a key frame is measured in the background. Such a flight is not repeatable.
    """

    def __init__(
        self,
        model: DepthModel,
        options: EstimatorOptions | None = None,
        key_frames: KeyFrames | None = None,
        single_view: SingleViewModel | None = None,
        movers: Movers | None = None,
    ):
        """
        Begin a flight with a model.

        single_view: while there is no parallax guesses what nothing is remembered of, what is unchanged included.
        """
        self._key_frames = key_frames
        self._panorama = Panorama(single_view) if single_view else None
        self._watch, self._attached, self._movers = Watch(), AttachedParts(), movers or Movers()
        self._measurer = Measurer(model, options)
        self._buffer = FrameBuffer(self.options.buffer_size, self.options.buffer_age)
        self.reset()

    @property
    def options(self) -> EstimatorOptions:
        """The choices in force."""
        return self._measurer.options

    def use(self, measurer: Measurer) -> None:
        """Measure with this from now on, and go on with the flight."""
        self._measurer = measurer
        self._buffer.resize(self.options.buffer_size, self.options.buffer_age)

    @property
    def finding(self) -> Finding | None:
        """What contradicts the odometry at present."""
        return self._watch.finding

    @property
    def masked_share(self) -> float:
        """Share of the picture that shows no scene: bars, what flies along, what a mask file names."""
        newest = self._buffer.frames[-1:]
        return float(1 - newest[0].seen_hw.mean()) if newest else 0.0

    def reset(self) -> None:
        """Forget every frame and what is known of the scene; what flies along stays known."""
        self._watch.begin_anew()
        self._forget_scene()

    def _forget_scene(self) -> None:
        self._buffer.clear()
        self._movers.reset()
        self._memory: Memory | None = None
        self._forget_guesses()
        if self._key_frames:
            self._key_frames.forget()
        self._turn = 0
        self._guess(0)

    def add(self, frame: Frame, T_body_cam: np.ndarray | None = None) -> Estimate | Drop:
        """
        Take the newest frame and return its depth, or why there is none.

        A stamp far before the newest one's, another camera, or odometry that jumped starts afresh from this
        frame. T_body_cam: (4, 4), the camera's mounting, for `finding` to speak of.
        """
        frame, stopped = self._join(frame, T_body_cam)
        if stopped in (Drop.STALE, Drop.CONTRADICTED):
            return stopped
        earlier = [held for held in self._buffer.frames if held is not frame]
        if self._key_frames and (done := self._key_frames.finished()):
            remembered = self._remembered_meanwhile(done.frame)
            self._learn(done.map, self._comparing(done.frame), (), (), StageClock(), remembered)
        chosen = stopped or choose_sources(frame, earlier, self._wanted_depths(frame), self.options)
        if chosen is Drop.ROTATING_TOO_FAST:
            self._buffer.remove_newest()  # it is blurred
        comparing = self._comparing(frame)
        if isinstance(chosen, Drop):
            return self._remembered(comparing, earlier, chosen)
        if self.options.memory and self.options.ranges_in_turn:
            self._turn += 1
            chosen = (chosen[self._turn % len(chosen)],)
        farther = [
            farther_sources(frame, earlier, sources, self.options) if self.options.alignment_rounds else ()
            for sources in chosen
        ]
        clock = StageClock()
        measure = functools.partial(self._measurer.measured, comparing, chosen, farther, clock)
        if key_frames := self._in_background(frame, earlier):
            if key_frames.idle:
                key_frames.begin(frame, measure)
            return self._remembered(comparing, earlier, Drop.BUSY)
        remembered = self._remembered_meanwhile(frame)
        fresh = self._key_frames.wait_for(measure) if self._key_frames else measure()
        sources = tuple(source for sources in chosen for source in sources)
        return self._learn(fresh, comparing, earlier, sources, clock, remembered)

    def _comparing(self, frame: Frame) -> Comparing:
        return Comparing(frame, self._watch.rotation_noise(self.options.rotation_noise))

    def _in_background(self, frame: Frame, earlier: Sequence[Frame]) -> KeyFrames | None:
        """Return who measures while the flight goes on, if what is remembered will do for a frame meanwhile."""
        options = self.options
        if not (options.memory and self._memory) or self._tried or options.find_moving:
            return None
        seconds = (frame.stamp_ns - earlier[-1].stamp_ns) / 1e9
        return None if self._key_frames is None or self._key_frames.keep_up(seconds) else self._key_frames

    def _remembered_meanwhile(self, frame: Frame) -> Future[fusion.DepthMap] | None:
        """Return what is remembered of a frame, as soon as there is a thread that has nothing to measure."""
        if not (self.options.memory and self._memory):
            return None
        return threads(as_many_as_opencv()).submit(self._memory.seen_from, frame)

    def _learn(
        self,
        fresh: fusion.DepthMap,
        comparing: Comparing,
        earlier: Sequence[Frame],
        sources: tuple[Source, ...],
        clock: StageClock,
        remembered: Future[fusion.DepthMap] | None,
    ) -> Estimate:
        """Return what was measured of a frame together with what is remembered of it, and remember that."""
        shown, frame = fresh, comparing.reference
        if remembered:
            shown = fusion.updated(fresh, self._young(remembered.result()))
            clock.lap('memory')
        shown, moving_hw = self._without_movers(comparing, earlier, shown, clock)
        if self.options.memory:
            self._memory = Memory(shown, frame)
        self._forget_guesses()
        estimate = self._measurer.judged(frame, shown, sources, clock, frame.stamp_ns)
        if np.mean(~np.isnan(estimate.depth_hw)) < _KNOWN_SHARE:
            self._guess(self._tried + 1)
        else:
            self._look_at(shown.depth_hw)
        return replace(estimate, moving_hw=moving_hw)

    def hold(self, frame: Frame, T_body_cam: np.ndarray | None = None) -> Drop | None:
        """
        Take a frame there is no time to look at, so that later ones can be compared with it.

        Without these, a slow computer would have only frames too far apart. Return why it is no use, if so.
        """
        held = self._buffer.frames
        if held and frame.stamp_ns <= held[-1].stamp_ns:
            return Drop.STALE
        frame, stopped = self._join(frame, T_body_cam)
        newest = self._buffer.frames[-2:-1]
        if not stopped and newest and turns_too_fast(frame, newest[0], self.options.max_rotation_rate):
            self._buffer.remove_newest()
            return Drop.ROTATING_TOO_FAST
        return stopped

    def _join(self, frame: Frame, T_body_cam: np.ndarray | None) -> tuple[Frame, Drop | None]:
        """
        Buffer a frame; return it at the model's size, and why it can't be compared with those before, if so.

        One that shows no scene, or that the odometry is not to be believed of, is not buffered.
        """
        earlier = self._buffer.frames
        if self.options.find_mask:
            frame = self._attached.masked(frame)
        original = frame
        frame = _with_camera_of(self._measurer.sized(frame), earlier[-1]) if earlier else self._measurer.sized(frame)
        afresh = _break(earlier, frame, self.options.max_speed) if earlier else None
        if afresh is Drop.STALE:
            return frame, afresh
        if afresh:
            self.reset()
        if frame.blank:
            return frame, afresh or Drop.BLANK
        doubt = self._watch.look(original, T_body_cam) if self.options.check_odometry else None
        if self.options.find_mask and doubt is not Drop.FROZEN:
            self._attached.look(original)
        if self._watch.contradicted:  # what was seen before is no better; a single pose that is off spoils itself alone
            self._forget_scene()
        if doubt:
            return frame, doubt
        self._buffer.add(frame)
        return frame, afresh

    def _without_movers(
        self, comparing: Comparing, earlier: Sequence[Frame], depth_map: fusion.DepthMap, clock: StageClock
    ) -> tuple[fusion.DepthMap, np.ndarray | None]:
        """Return a map with what moves by itself unknown, and the probability that it does, if asked for."""
        moving_hw = None
        if self.options.find_moving:
            moving_hw = self._movers.look(comparing, earlier, depth_map)
            clock.lap('moving')
        return (depth_map if moving_hw is None else depth_map.where(moving_hw < MOVES)), moving_hw

    def _remembered(self, comparing: Comparing, earlier: Sequence[Frame], reason: Drop) -> Estimate | Drop:
        """Return what is still known of a frame that nothing was measured from; the reason if nothing is."""
        if not self._memory:
            return reason
        clock, frame = StageClock(), comparing.reference
        if reason in _STILL and (self.options.remember_unchanged or self._panorama):
            old, same_hw = self._memory.unchanged_in(frame)
            old = old.where(same_hw | (old.age_hw <= self.options.memory_age))
            clock.lap('memory')
            if self._panorama:
                old = self._panorama.at(frame, old, self.options.max_relative_deviation)
                clock.lap('one image')
        else:
            old = self._young(self._memory.seen_from(frame))
            clock.lap('memory')
        old, moving_hw = self._without_movers(comparing, earlier, old, clock)
        measured_ns = self._memory.frame.stamp_ns
        estimate = self._measurer.judged(frame, old, (), clock, measured_ns, reason)
        return reason if np.isnan(estimate.depth_hw).all() else replace(estimate, moving_hw=moving_hw)

    def _forget_guesses(self) -> None:
        if self._panorama:
            self._panorama.forget()

    def _young(self, old: fusion.DepthMap) -> fusion.DepthMap:
        return old.where(old.age_hw <= self.options.memory_age)

    def _wanted_depths(self, frame: Frame) -> tuple[float, ...]:
        """
        Return the depths to choose baselines for.

        Ranges can take turns while the map of the last frame still serves. Where the drone has moved on by
        more than that there is one range, the middle of all.
        """
        options = self.options
        if self._memory and options.ranges_in_turn and len(self._range_depths) > 1:
            moved = source_of(frame, self._memory.frame, self._middle_depth).parallax
            if moved > _TURNS_END * options.parallax:
                return (self._middle_depth,)
        return self._range_depths

    def _guess(self, tried: int) -> None:
        """Choose the next baseline without knowing the scene."""
        self._tried = tried
        self._range_depths: tuple[float, ...] = (self.options.initial_depth * _GUESSES[tried % len(_GUESSES)],)

    def _look_at(self, depth_hw: np.ndarray) -> None:
        """Choose the next baselines for what is in sight, as far as it is within range."""
        options, sample = self.options, depth_hw[::_LOOKED_AT, ::_LOOKED_AT]
        limited = np.clip(sample, options.min_range, options.max_range)
        within = np.where(sample <= options.max_range, limited, np.nan)
        enough = np.mean(np.isfinite(within)) >= _KNOWN_SHARE
        self._tried = 0
        seen = within if enough else limited
        self._range_depths = depth_ranges(seen, options.ranges)
        self._middle_depth = float(np.nanmedian(seen))


def rehearse(model: DepthModel, options: EstimatorOptions, camera: Camera) -> None:
    """Fly past a wall of noise and forget it: what is compiled or allocated at its first use is so now."""
    session = Session(model, replace(options, find_moving=True, max_speed=math.inf))  # it may be asked for later
    way = session.options.parallax * session.options.initial_depth / camera.fx
    pixels = round(session.options.parallax)
    coarse = np.random.default_rng(0).integers(0, 256, (camera.height // 8 + 1, camera.width // 8 + 1, 3), np.uint8)
    wall = coarse.repeat(8, 0).repeat(8, 1)[: camera.height, : camera.width]
    for number in range(_REHEARSED):
        image = np.roll(wall, -number * pixels, axis=1)
        session.add(Frame(number * 10**8, image, camera, motion.pose(np.eye(3), (number * way, 0, 0))))


def _break(earlier: Sequence[Frame], frame: Frame, max_speed: float) -> Drop | None:
    """Say why a frame does not follow on the earlier ones."""
    newest = earlier[-1]
    if newest.stamp_ns - _OVERTAKEN_NS <= frame.stamp_ns <= newest.stamp_ns:
        return Drop.STALE
    if frame.stamp_ns < newest.stamp_ns:
        return Drop.TIME_JUMP
    if frame.camera != newest.camera:
        return Drop.RESIZED
    return Drop.POSE_JUMP if pose_jumped(earlier, frame, max_speed) else None


def _with_camera_of(frame: Frame, earlier: Frame) -> Frame:
    """Return a frame with an earlier one's intrinsics where they are the same but for a focus that breathes."""
    one, other = frame.camera, earlier.camera
    if (one.width, one.height) != (other.width, other.height) or one == other:
        return frame
    ours, theirs = (np.array([each.fx, each.fy, each.cx, each.cy]) for each in (one, other))
    if np.abs(ours - theirs).max() > _BREATHING * one.fx:
        return frame
    detail = frame.detail
    if detail and earlier.detail:
        detail = replace(detail, camera=earlier.detail.camera.resized(detail.camera.width, detail.camera.height))
    return replace(frame, camera=other, detail=detail)
