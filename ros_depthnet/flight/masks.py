"""A mask given as a picture: where a camera sees the scene, and where bars, landing gear or the drone itself."""

from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.flight.pictures import read_picture

_HALF = 128


class MaskError(ValueError):
    """A mask that cannot be used, in one sentence that says what to do."""


def read_mask(path: str | Path) -> np.ndarray:
    """
    Return a mask file, white where the scene is seen and black where not (as COLMAP's), of the raw image.

    (H, W) bool, True where no scene is seen. Any size of the image's aspect will do. Raises MaskError.
    """
    picture = read_picture(path, cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise MaskError(
            f'The mask {path} is no readable picture: give a PNG as large as the image, white where the '
            'scene is seen and black where not.'
        )
    masked_hw = picture < _HALF
    if masked_hw.all():
        raise MaskError(f'The mask {path} is black all over: white is where the scene is seen.')
    return masked_hw
