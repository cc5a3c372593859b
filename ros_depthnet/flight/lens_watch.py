"""Whether the images show another lens than is told: too little in any one stretch of a flight, enough in many."""

import math
from collections import deque
from collections.abc import Mapping

import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.flight.diagnosis import Evidence, Finding, Pair, Trial, bent_otherwise, cost_of

_BENDS = -0.25, 0.25  # what a ray's slope grows by at a slope of one, as a share: half of it tips the scale
_ZOOMS = 0.88, 0.94, 1.0, 1.06, 1.12  # a focal length a little off is allowed, and bends rays a little too
_STRETCHES = 60  # at most, about a minute of flight
_LEAST_STRETCHES = 12
_SIGMAS = 4.0  # of the mean, from which on a gain is no chance
_GAIN = 0.05  # of the cost


class LensWatch:
    """
    Compares, stretch by stretch, what is believed with a lens that bends more or less.

    Noise of the odometry is another in each stretch; the lens is the same, so what it explains adds up. Straight
    ahead nothing shows: there a lens moves points along their epipolar lines.
    """

    def __init__(self) -> None:
        """Begin without evidence."""
        self._camera: Camera | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._costs: deque[list[float]] = deque(maxlen=_STRETCHES)
        self._last: Evidence | None = None
        self.finding: Finding | None = None

    def look(self, pair: Pair, camera: Camera, poses: Mapping[int, np.ndarray]) -> None:
        """Take the next pair of images of a camera, by poses T_world_cam; `finding` is then what is known."""
        if camera != self._camera:
            self._camera = camera
            self._begin_anew()
        if self._last and self._last.pairs[0].earlier_ns != pair.earlier_ns:
            self._costs.append(_costs(Trial(self._last)))
            self._judge()
        self._last = Evidence((pair,), {stamp_ns: poses[stamp_ns] for stamp_ns in (pair.earlier_ns, pair.later_ns)})

    def _judge(self) -> None:
        self.finding = None
        if len(self._costs) < _LEAST_STRETCHES:
            return
        costs = np.array(self._costs)
        as_told, bent = costs[:, : len(_ZOOMS), None], costs[:, None, len(_ZOOMS) :]
        gains = as_told - bent
        gain = gains.mean(0)
        better = (gain > _SIGMAS * gains.std(0) / math.sqrt(len(gains))) & (gain > _GAIN * as_told.mean(0))
        for bend, explains in zip(_BENDS, better.all(0), strict=True):
            if explains:
                sentence, parameters = bent_otherwise(bend)
                self.finding = Finding(
                    f'The images contradict the calibration over time, so there is no depth: {sentence}', parameters
                )


def _costs(trial: Trial) -> list[float]:
    return [
        *(cost_of(trial.zoomed(ratio)) for ratio in _ZOOMS),
        *(cost_of(trial.bent(bend)) for bend in _BENDS),
    ]
