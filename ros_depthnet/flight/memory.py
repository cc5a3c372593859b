"""What is remembered of a scene: maps of earlier frames, and what they say of the view now."""

from dataclasses import dataclass, replace

import numpy as np

from ros_depthnet.core import fusion, motion
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.one_image import SingleViewModel, filled, unchanged

_DOUBT = 0.02  # deviation of ln(depth) that a second adds where the image has not changed
_ENOUGH = 0.65  # share of the view: where less of it is known the view is worth remembering
_MOST_VIEWS = 8


@dataclass(frozen=True, eq=False)
class Memory:
    """A map, and the frame it is of."""

    map: fusion.DepthMap
    frame: Frame

    def seen_from(self, frame: Frame) -> fusion.DepthMap:
        """Return what the map says of a later frame."""
        return fusion.carried(self.map, frame.camera, self._to(frame), self._seconds(frame))

    def unchanged_in(self, frame: Frame) -> tuple[fusion.DepthMap, np.ndarray]:
        """Return the same, surer where the image has not changed, and where that is, (H, W) bool."""
        old, seconds = self.seen_from(frame), self._seconds(frame)
        same_hw = unchanged(frame, old.depth_hw, self.frame)
        # What looks as it did has hardly moved: most of what `carried` adds for time is taken back.
        back = np.float32((fusion.FORGETTING**2 - _DOUBT**2) * seconds)
        surer_hw = np.sqrt(np.maximum(np.square(old.deviation_hw) - back, 0))
        return replace(old, deviation_hw=np.where(same_hw, surer_hw, old.deviation_hw)), same_hw

    def _to(self, frame: Frame) -> np.ndarray:
        return motion.inverse(frame.T_world_cam) @ self.frame.T_world_cam

    def turned(self, frame: Frame) -> float:
        """Return by how much a later frame is turned against it, radians."""
        return motion.rotation_angle(self._to(frame))

    def _seconds(self, frame: Frame) -> float:
        return (frame.stamp_ns - self.frame.stamp_ns) / 1e9


class Panorama:
    """
    What one image tells beside what is remembered, while nothing can be measured.

    A guess takes its scale from what was measured, and is remembered too where much of the view is new: so a drone
    that turns on the spot goes on from guess to guess, and sees the same again when it turns back.
    """

    def __init__(self, model: SingleViewModel):
        """Guess with a model."""
        self._model = model
        self._views: list[Memory] = []

    def forget(self) -> None:
        """Forget every guess: there is parallax again, or another scene."""
        self._views.clear()

    def at(self, frame: Frame, known: fusion.DepthMap, most_deviation: float) -> fusion.DepthMap:
        """
        Return what is known of a frame and, where that is nothing, guesses.

        most_deviation: of ln(depth), from which depth counts as unknown.
        """
        known = known.where(known.deviation_hw <= most_deviation)
        for view in sorted(self._views, key=lambda view: view.turned(frame)):
            old, same_hw = view.unchanged_in(frame)
            known = known.or_else(old.where(same_hw & (old.deviation_hw <= most_deviation)))
        share = float(np.isfinite(known.depth_hw).mean())
        shown = filled(known, self._model.predict(frame.image))
        if share < _ENOUGH and np.isfinite(shown.depth_hw).mean() > share:
            self._views = [*self._views[-_MOST_VIEWS + 1 :], Memory(shown, frame)]
        return shown
