"""What depth is worth in flight: what a planner knows of the scene when an image is taken, late depth carried there."""

from collections.abc import Iterator, Mapping

import numpy as np

from ros_depthnet.core import fusion, motion
from ros_depthnet.evaluation.metrics import DepthAndDeviation, PixelErrors, Scores
from ros_depthnet.evaluation.moments import Moment, Moments
from ros_depthnet.flight.posed_sequence import PosedSequence


def newest(arrivals: Mapping[int, float], now: float) -> int | None:
    """Return the latest stamp of what had arrived; arrivals: seconds by stamp, on the clock of now."""
    return max((stamp_ns for stamp_ns, arrived in arrivals.items() if arrived <= now), default=None)


def scores_in_time(
    sequence: PosedSequence,
    moments: Moments,
    image_arrivals: Mapping[int, float],
    depth_arrivals: Mapping[int, float],
) -> Iterator[Scores]:
    """
    Yield the scores of the newest depth at hand as each image with truth arrives, seen from that image's pose.

    Nothing is yielded before the first depth. What no depth at hand knows counts as in any other score.
    """
    whole = {moment_ns: index for index, moment_ns in enumerate(moments.stamps_ns)}
    complete = {stamp_ns: arrived for stamp_ns, arrived in depth_arrivals.items() if stamp_ns in whole}
    for i in sequence.with_truth:
        frame, truth_hw = sequence.frames[i], sequence.truth(i)
        known_ns = newest(complete, image_arrivals.get(frame.stamp_ns, -np.inf))
        if known_ns is None or truth_hw is None:
            continue
        depth_hw = _seen_from(moments[whole[known_ns]], frame.T_world_cam)
        scored_hw = (truth_hw > 0) & (truth_hw < sequence.max_depth)
        yield PixelErrors.of(DepthAndDeviation(depth_hw), truth_hw, scored_hw, sequence.max_depth).scores()


def _seen_from(moment: Moment, T_world_cam: np.ndarray) -> np.ndarray:
    height, width = moment.depth_hw.shape
    depth_map = fusion.DepthMap.fresh(moment.depth_hw, moment.deviation_hw / moment.depth_hw)
    T_now_then = motion.inverse(T_world_cam) @ moment.T_world_cam
    return fusion.carried(depth_map, moment.camera.resized(width, height), T_now_then, 0).depth_hw
