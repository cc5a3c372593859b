"""The lens in front of the pinhole: what bends its images, and how they are straightened."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from ros_depthnet.core.camera import Camera

FISHEYE = ('equidistant', 'fisheye')
MODELS = ('plumb_bob', 'rational_polynomial', 'thin_prism', *FISHEYE)


class UnknownLens(ValueError):
    """A distortion model that cannot be undone; the text says which can."""


@dataclass(frozen=True)
class Lens:
    """
    A distorted camera as sensor_msgs/CameraInfo has it: the raw image's camera, and what bends its rays.

    raw: pinhole part of the raw image (K), pixels. D: coefficients of `model`. R: (3, 3) by rows, turns raw
    axes into those of the rectified camera. Raises UnknownLens.
    """

    raw: Camera
    model: str
    D: tuple[float, ...]
    R: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise UnknownLens(
                f'The lens model {self.model!r} of camera_info is unknown; known are '
                f'{", ".join(MODELS)}. Rectify the images beforehand, as image_proc does.'
            )
        if not np.isfinite([*self.D, *self.R]).all() or any(self.D[self._numbers[-1] :]):
            raise UnknownLens(
                f'The distortion coefficients of camera_info, {self.D}, are not all numbers, or more '
                f'than the {self._numbers[-1]} of {self.model}: calibrate the camera.'
            )

    @property
    def _numbers(self) -> tuple[int, ...]:
        """How many coefficients OpenCV takes of the model."""
        return (4,) if self.model in FISHEYE else (4, 5, 8, 12, 14)

    def straightened(self, image: np.ndarray, pinhole: Camera) -> np.ndarray:
        """Return the image (H, W, ...) of the raw camera as the pinhole camera sees it, black beyond its edge."""
        return cv2.remap(image, *self._maps(pinhole), cv2.INTER_LINEAR)

    @functools.lru_cache(maxsize=4)  # noqa: B019 (frozen: equal lenses share their maps)
    def _maps(self, pinhole: Camera) -> tuple[np.ndarray, np.ndarray]:
        size, D, R = (pinhole.width, pinhole.height), np.array(self.D), np.reshape(self.R, (3, 3))
        undistort = cv2.fisheye if self.model in FISHEYE else cv2
        D = D[: self._numbers[-1]]
        D = np.pad(D, (0, next(number for number in self._numbers if number >= len(D)) - len(D)))
        return undistort.initUndistortRectifyMap(self.raw.K, D, R, pinhole.K, size, cv2.CV_16SC2)
