"""What goes through the estimator: frames in, stabilised views to the model, its prediction back."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera

_BLOCK = 8  # pixels, over which noise averages out
_LEAST_SHOWN = 1  # grey levels of standard deviation
_MOST_KNOWN = 128  # frames: several flights' worth
_Result = TypeVar('_Result')


class BadImage(ValueError):
    """An image that no depth can come from: empty, not 8-bit RGB, or of another size than its camera."""


@dataclass(frozen=True, eq=False)
class Frame:
    """
    An image with the camera that took it and where that was.

    stamp_ns: time of exposure, nanoseconds. image: (H, W, 3) uint8 RGB, undistorted. T_world_cam: (4, 4)
    float64, optical axes. detail: the same with more pixels, where there is such. masked_hw: (h, w) bool, the
    whole field of view at any size, True where the image shows no scene (bars, what flies along); None: nowhere.
    Raises BadImage or motion.InvalidPose, so a frame that exists can be used.
    """

    stamp_ns: int
    image: np.ndarray
    camera: Camera
    T_world_cam: np.ndarray
    detail: 'Frame | None' = None
    masked_hw: np.ndarray | None = None

    def __post_init__(self) -> None:
        image = self.image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise BadImage(f'The image is {image.dtype} of shape {image.shape}, not uint8 (H, W, 3).')
        if image.shape[:2] != (self.camera.height, self.camera.width):
            raise BadImage(
                f'The image has {image.shape[1]} x {image.shape[0]} pixels, its camera '
                f'{self.camera.width} x {self.camera.height}.'
            )
        object.__setattr__(self, 'T_world_cam', motion.checked(self.T_world_cam))

    @property
    def blank(self) -> bool:
        """Whether the image shows nothing but noise: a covered lens, the dark, or the sun."""
        grey = cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY)
        blocks = tuple(max(1, length // _BLOCK) for length in (self.camera.width, self.camera.height))
        return bool(_resized(grey, *blocks).std() < _LEAST_SHOWN)

    def resized(self, width: int, height: int) -> 'Frame':
        """Return the frame with its image and camera resized to width x height pixels."""
        if (width, height) == (self.camera.width, self.camera.height):
            return self
        image = _resized(self.image, width, height)
        return Frame(
            self.stamp_ns, image, self.camera.resized(width, height), self.T_world_cam, masked_hw=self.masked_hw
        )

    @property
    def seen_hw(self) -> np.ndarray:
        """Where the image shows the scene, (H, W) bool."""
        return seen(self.masked_hw, self.camera.width, self.camera.height)


def once_per_frame(function: Callable[[Frame], _Result]) -> Callable[[Frame], _Result]:
    """
    Have what follows from a frame alone computed once and kept for as long as the frame is: it is compared again.

    Of many frames that are kept for longer than any flight keeps them, the newest count.
    """
    known: WeakKeyDictionary[Frame, _Result] = WeakKeyDictionary()

    @functools.wraps(function)
    def of(frame: Frame) -> _Result:
        found = known.get(frame)
        if found is None:
            found = function(frame)
            if len(known) >= _MOST_KNOWN:
                known.pop(next(iter(known)), None)
            known[frame] = found
        return found

    return of


def seen(masked_hw: np.ndarray | None, width: int, height: int) -> np.ndarray:
    """Return where a mask of any size leaves the scene to be seen, (height, width) bool: not where it touches."""
    if masked_hw is None:
        return np.ones((height, width), bool)
    return cv2.resize(masked_hw.astype(np.float32), (width, height)) < math.ulp(1)


@dataclass(frozen=True, eq=False)
class Views:
    """
    What is compared: a reference and its sources as they were taken, all of one camera.

    T_srcs_ref: (S, 4, 4) float64, maps points of the reference into each source; metres.
    """

    reference: Frame
    sources: tuple[Frame, ...]
    T_srcs_ref: np.ndarray

    @property
    def camera(self) -> Camera:
        """The camera of all of them."""
        return self.reference.camera

    @property
    def displacements(self) -> np.ndarray:
        """What is left of each way once its rotation is undone, (S, 3) metres, reference's axes."""
        return np.stack([motion.displacement(T_src_ref) for T_src_ref in self.T_srcs_ref])

    def detailed(self) -> 'Views':
        """Return the same with more pixels where there is such, as many as the reference has."""
        detail = self.reference.detail or self.reference
        size = detail.camera.width, detail.camera.height
        sources = tuple((source.detail or source).resized(*size) for source in self.sources)
        return Views(detail, sources, self.T_srcs_ref)

    def valid(self) -> list[np.ndarray]:
        """Return where each source, turned into the reference's axes, shows the scene: (H, W) bool."""
        return [
            motion.in_view(self.camera, T_src_ref[:3, :3], source.seen_hw)
            for source, T_src_ref in zip(self.sources, self.T_srcs_ref, strict=True)
        ]

    def stabilised(self) -> list[motion.Stabilised]:
        """Return the sources turned into the reference's axes, for those who want nothing but translation left."""
        return [
            motion.stabilise(source.image, source.camera, T_src_ref, source.seen_hw)
            for source, T_src_ref in zip(self.sources, self.T_srcs_ref, strict=True)
        ]


def _resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    # Averaging over areas avoids aliasing when shrinking, but is nearest neighbour when enlarging.
    shrinks = width <= image.shape[1] and height <= image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


@dataclass(frozen=True, eq=False)
class Prediction:
    """A model says, float32: depth_hw in metres and deviation_hw, the standard deviation of ln(depth)."""

    depth_hw: np.ndarray
    deviation_hw: np.ndarray
