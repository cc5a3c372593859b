"""
Parts of the picture that show no scene: bars, landing gear, a vignette's corners, dirt, a display's text.

They fly along: what stays in the image although no point of the scene, at any depth, could have stayed there.
Between two frames the odometry says where each pixel's point may have gone, a segment of its epipolar line
from the rotation alone (infinitely far) to the nearest depth there is. Where that segment keeps well away from
the pixel itself, and yet the picture there is the same, it is attached to the camera. The construction is this
project's own.
"""

from dataclasses import replace

import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, seen

_WIDTH = 256  # pixels at which pictures are compared
_AWAY = 3.0  # pixels of these that a point of the scene must have moved, whatever its depth
_LEAST_SHARE = 0.3  # of the picture for which a comparison must say something
_NEAREST_M = 0.3  # nothing of the scene is nearer
_LONGEST_S = 6.0  # light changes: pictures farther apart are not compared
_SAME = 4.0  # grey levels of noise; a share of brightness is added, for exposure
_SAME_SHARE = 0.04
_TELLING = 3.0  # times that: a difference the scene's moving would have made
_LEAST_NUMBER = 6  # comparisons before a pixel is judged
_STAYS = 0.9  # share of comparisons in which what is attached stays the same
_KEPT = 0.97  # of the evidence so far at each comparison: dirt is wiped off, gear is retracted
_ENCLOSED = 0.4  # share of a still region's rim that is attached, for all of it to be
_LEAST_REGION = 12  # pixels, fewer are chance
_MOST_SHARE = 0.7  # of the picture: where more stands still, it is the camera that does
_MARGIN = 2  # pixels round it that blur spoils


class AttachedParts:
    """
    Learns over a flight which pixels fly along with the camera.

    Needs odometry that is to be believed, and that the camera turns now and then: without turning, the infinitely
    far stays in place too.
    """

    def __init__(self) -> None:
        """Begin knowing nothing."""
        self._key: Frame | None = None
        self._camera: Camera | None = None
        self.mask_hw: np.ndarray | None = None

    def look(self, frame: Frame) -> None:
        """
        Take the next frame, whose pose is believed.

        Afterwards `mask_hw`, (h, w) bool of the whole field of view at a small size, is True where the picture
        is attached to the camera; None while nothing is.
        """
        if frame.camera != self._camera:
            self._begin(frame.camera)
        if self._key is None or not 0 < frame.stamp_ns - self._key.stamp_ns < _LONGEST_S * 1e9:
            self._key = frame
            return
        T_earlier_now = motion.inverse(self._key.T_world_cam) @ frame.T_world_cam
        if motion.rotation_angle(T_earlier_now) * self._small.fx < _AWAY:
            return
        far, away = self._scene_motion(T_earlier_now)
        tells = away > _AWAY
        if tells.mean() < _LEAST_SHARE:
            return
        before, grey = self._grey(self._key), self._grey(frame)
        self._key = frame
        same = np.float32(_SAME) + np.float32(_SAME_SHARE) * before
        still = np.abs(grey - before) < same
        # Where the scene is plain, moving would not have shown either: neither what came nor what went.
        here = np.mgrid[: before.shape[0], : before.shape[1]][::-1].astype(np.float32)
        moved = (
            cv2.remap(before, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for places in (far, 2 * here - far)
        )
        telling = tells & (np.max([np.abs(each - before) for each in moved], axis=0) > _TELLING * same)
        for counts, counted in (
            (self._compared, tells),
            (self._stayed, tells & still),
            (self._told, telling),
            (self._told_still, telling & still),
        ):
            counts *= _KEPT
            counts += counted
        self.mask_hw = self._attached()

    def masked(self, frame: Frame) -> Frame:
        """Return a frame with what is known to be attached masked too."""
        if self.mask_hw is None or frame.camera != self._camera:
            return frame
        mask_hw = self.mask_hw
        if frame.masked_hw is not None:
            mask_hw = mask_hw | ~seen(frame.masked_hw, *mask_hw.shape[::-1])
        return replace(frame, masked_hw=mask_hw)

    def _begin(self, camera: Camera) -> None:
        height = max(1, round(_WIDTH * camera.height / camera.width))
        self._camera, self._small = camera, camera.resized(_WIDTH, height)
        self._key, self.mask_hw = None, None
        self._compared, self._stayed, self._told, self._told_still = np.zeros((4, height, _WIDTH), np.float32)

    def _grey(self, frame: Frame) -> np.ndarray:
        small = cv2.resize(frame.image, (self._small.width, self._small.height), interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)

    def _scene_motion(self, T_earlier_now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Return where the infinitely far of each pixel was, (2, h, w) pixels, and how far the scene moved at least.

        The latter, (h, w) pixels, is the distance from the pixel itself to the segment on which its point was.
        """
        camera = self._small
        rays = camera.rays_hw3() @ T_earlier_now[:3, :3].T.astype(np.float32)
        near = rays + T_earlier_now[:3, 3].astype(np.float32) / np.float32(_NEAREST_M)
        # A segment that ends behind the camera reaches infinity: it is cut just in front of it.
        cut = np.clip((rays[..., 2] - 0.05) / np.maximum(rays[..., 2] - near[..., 2], 1e-6), 0, 1)
        cut = np.where(near[..., 2] < 0.05, cut, 1)[..., None].astype(np.float32)
        near = rays + cut * (near - rays)

        def project(points: np.ndarray) -> np.ndarray:
            z = np.maximum(points[..., 2], np.float32(1e-3))
            return np.stack(
                [points[..., 0] / z * camera.fx + camera.cx, points[..., 1] / z * camera.fy + camera.cy]
            ).astype(np.float32)

        far, nearest = project(rays), project(near)
        here = np.mgrid[: camera.height, : camera.width][::-1].astype(np.float32)
        way, to_here = nearest - far, here - far
        along = np.clip((way * to_here).sum(0) / np.maximum((way * way).sum(0), 1e-6), 0, 1)
        return far, np.linalg.norm(to_here - along * way, axis=0)

    def _attached(self) -> np.ndarray | None:
        least = sum(_KEPT**age for age in range(_LEAST_NUMBER)) - 1e-3
        structure = (self._told >= least) & (self._told_still >= _STAYS * self._told)
        still = (self._compared >= least) & (self._stayed >= _STAYS * self._compared)
        structure = _without_specks(structure)
        attached = structure | self._enclosed(still & ~structure, structure)
        if not 0 < attached.mean() < _MOST_SHARE:
            return None
        kernel = np.ones((2 * _MARGIN + 1, 2 * _MARGIN + 1), np.uint8)
        closed = cv2.morphologyEx(attached.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
        return cv2.dilate(closed, kernel).astype(bool)

    @staticmethod
    def _enclosed(still: np.ndarray, structure: np.ndarray) -> np.ndarray:
        """Return the still regions whose rim is attached: the inside of bars and of plain gear."""
        number, labels = cv2.connectedComponents(still.astype(np.uint8), connectivity=4)
        near_structure = cv2.dilate(structure.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        padded = np.pad(labels, 1, constant_values=-1)
        inside = np.zeros_like(still)
        rim, held = np.zeros(number), np.zeros(number)
        for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
            neighbour = padded[dy : dy + labels.shape[0], dx : dx + labels.shape[1]]
            edge = (labels > 0) & (neighbour != labels) & (neighbour >= 0)  # the image's border is no rim
            rim += np.bincount(labels[edge], minlength=number)
            held += np.bincount(labels[edge & near_structure], minlength=number)
        attached = (rim > 0) & (held >= _ENCLOSED * rim)
        attached[0] = False
        inside[attached[labels]] = True
        return inside


def _without_specks(mask: np.ndarray) -> np.ndarray:
    number, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= _LEAST_REGION
    large[0] = False
    return large[labels]
