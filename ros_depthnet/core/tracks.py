"""Corners followed from image to image, without any odometry: what the images themselves say of the motion."""

from dataclasses import dataclass

import cv2
import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, seen

WIDTH = 320  # pixels at which corners are followed
_POINTS = 160  # at most
_KEPT = 120  # of them, those followed for longest, at a new key frame: the rest are new ones
_LEAST_POINTS = 24  # fewer say nothing reliable
_LOST_SHARE = 0.5  # of a key frame's corners that are still followed; with fewer a new one begins
_FLOW = 0.07  # of the width: corners that moved this far have shown what they can
_LONGEST_S = 1.0  # seconds from a key frame to the next
_ROUND_TRIP = 0.7  # pixels off after following there and back
_STEP = 6  # pixels between corners, at least
_WINDOW = (15, 15)


@dataclass(frozen=True, eq=False)
class Matches:
    """
    Points seen in an earlier image and in a later one, both of one camera.

    earlier_ns, later_ns: stamps. pixels_earlier, pixels_later: (N, 2) float32, pixels of `camera`. ids: (N,),
    ascending; a point keeps its own from pair to pair.
    """

    earlier_ns: int
    later_ns: int
    pixels_earlier: np.ndarray
    pixels_later: np.ndarray
    camera: Camera
    ids: np.ndarray

    @property
    def flow(self) -> float:
        """How far the middle one of the points moved, pixels."""
        return float(np.median(np.linalg.norm(self.pixels_later - self.pixels_earlier, axis=1)))


class Tracker:
    """
    Follows corners (Shi and Tomasi 1994) by pyramidal Lucas-Kanade from a key frame on.

    When the corners have moved far enough, or too many are lost, the newest image becomes the key frame, with those
    that are still followed and new ones between them.
    """

    def __init__(self) -> None:
        """Begin without a key frame."""
        self._grey: np.ndarray | None = None
        self._key_ns = self._newest_ns = 0
        self._next_id = 0
        self._lose_all()

    def renew(self) -> None:
        """Make the newest image the key frame."""
        assert self._grey is not None, 'There is an image after `follow` alone.'
        self._begin(self._newest_ns, self._grey, self._camera, self._seen_hw)

    def follow(self, frame: Frame) -> Matches | None:
        """
        Take the next frame, whatever its pose; return what of the scene can still be followed from the key frame.

        None where there is no earlier image of this camera and size, or too little to follow. Stamps may run back once.
        """
        stamp_ns, camera = frame.stamp_ns, frame.camera
        camera = camera.resized(WIDTH, max(1, round(WIDTH * camera.height / camera.width)))
        seen_hw = seen(frame.masked_hw, camera.width, camera.height)
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
        self._seen_hw = seen_hw
        if self._grey is None or grey.shape != self._grey.shape:
            self._lose_all()
            self._begin(stamp_ns, grey, camera, seen_hw)
            return None
        self._advance(self._grey, grey, seen_hw)
        self._newest_ns = stamp_ns
        if camera != self._camera:
            self._begin(stamp_ns, grey, camera, seen_hw)
            return None
        matches = self._matches(stamp_ns)
        exhausted = (
            matches is None
            or len(matches.pixels_later) < _LOST_SHARE * self._begun_with
            or matches.flow > _FLOW * WIDTH
            or stamp_ns - self._key_ns > _LONGEST_S * 1e9
        )
        if exhausted:
            self._begin(stamp_ns, grey, camera, seen_hw)
        return matches

    def _lose_all(self) -> None:
        self._now: np.ndarray = np.empty((0, 2), np.float32)
        self._ids: np.ndarray = np.empty(0, int)

    def _begin(self, stamp_ns: int, grey: np.ndarray, camera: Camera, seen_hw: np.ndarray) -> None:
        self._now, self._ids = self._now[:_KEPT], self._ids[:_KEPT]
        free_hw = seen_hw.astype(np.uint8)
        for x, y in np.rint(self._now).astype(int):
            cv2.circle(free_hw, (int(x), int(y)), _STEP, 0, cv2.FILLED)
        found = cv2.goodFeaturesToTrack(grey, _POINTS - len(self._now), 0.01, _STEP, mask=free_hw)
        fresh = np.empty((0, 2), np.float32) if found is None else found[:, 0]
        self._now = self._origin = np.concatenate([self._now, fresh])
        self._ids = np.concatenate([self._ids, self._next_id + np.arange(len(fresh))])
        self._next_id += len(fresh)
        self._begun_with = len(self._origin)
        self._grey, self._camera = grey, camera
        self._key_ns = self._newest_ns = stamp_ns

    def _advance(self, before: np.ndarray, grey: np.ndarray, seen_hw: np.ndarray) -> None:
        if len(self._now):
            # A change of exposure would be taken for motion.
            before = cv2.convertScaleAbs(before, alpha=grey.mean() / max(float(before.mean()), 1.0))
            now, there, _ = cv2.calcOpticalFlowPyrLK(before, grey, self._now, None, winSize=_WINDOW, maxLevel=3)
            back, here, _ = cv2.calcOpticalFlowPyrLK(grey, before, now, None, winSize=_WINDOW, maxLevel=3)
            height, width = grey.shape
            kept = (
                (there[:, 0] == 1)
                & (here[:, 0] == 1)
                & (now >= 0).all(1)
                & (now <= (width - 1, height - 1)).all(1)
                & (np.linalg.norm(back - self._now, axis=1) < _ROUND_TRIP)
            )
            column, row = np.rint(now[kept]).astype(int).T
            kept[kept] = seen_hw[row, column]
            self._origin, self._now, self._ids = self._origin[kept], now[kept], self._ids[kept]
        self._grey = grey

    def _matches(self, stamp_ns: int) -> Matches | None:
        if len(self._now) < _LEAST_POINTS:
            return None
        return Matches(self._key_ns, stamp_ns, self._origin, self._now, self._camera, self._ids)
