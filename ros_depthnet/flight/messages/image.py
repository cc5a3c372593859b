"""
From sensor_msgs/Image or CompressedImage to numpy arrays.

The encodings differ here and nowhere else.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ros_depthnet.core.frames import BadImage
from ros_depthnet.flight.pictures import decode_picture


@dataclass(frozen=True)
class _Encoding:
    dtype: str
    channels: int
    to_rgb: int | None  # OpenCV's colour conversion code; None: the pixels are RGB already


_COLOURS = {
    'rgb8': _Encoding('u1', 3, None),
    'bgr8': _Encoding('u1', 3, cv2.COLOR_BGR2RGB),
    'rgba8': _Encoding('u1', 4, cv2.COLOR_RGBA2RGB),
    'bgra8': _Encoding('u1', 4, cv2.COLOR_BGRA2RGB),
    'mono8': _Encoding('u1', 1, cv2.COLOR_GRAY2RGB),
    '8UC1': _Encoding('u1', 1, cv2.COLOR_GRAY2RGB),
    '8UC3': _Encoding('u1', 3, cv2.COLOR_BGR2RGB),
    'mono16': _Encoding('u2', 1, cv2.COLOR_GRAY2RGB),
    'yuv422': _Encoding('u1', 2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': _Encoding('u1', 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': _Encoding('u1', 2, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': _Encoding('u1', 2, cv2.COLOR_YUV2RGB_YUY2),
    # ROS names the first two pixels of the first row, OpenCV the second row's from the second pixel on.
    'bayer_rggb8': _Encoding('u1', 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': _Encoding('u1', 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': _Encoding('u1', 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': _Encoding('u1', 1, cv2.COLOR_BayerGB2RGB),
}
_DEPTHS = {'32FC1': _Encoding('f4', 1, None), '16UC1': _Encoding('u2', 1, None)}
_LEAST_BITS = 8


class ImageReader:
    """
    Reads the colour or grey images of one camera.

    Sensors of 10 or 12 bits are sent as mono16 whose upper bits are never used: white is the fewest whole
    bits that all images so far have kept to.
    """

    def __init__(self) -> None:
        """Know nothing of the camera yet."""
        self._bits = _LEAST_BITS

    def rgb(self, message: Any) -> np.ndarray:
        """Return an Image or CompressedImage as (H, W, 3) uint8 RGB; raises BadImage."""
        if hasattr(message, 'format'):
            return _decompressed(message)
        encoding = _encoding(message, _COLOURS, 'a colour or grey image')
        pixels = _pixels(message, encoding)
        if encoding.dtype == 'u2':
            self._bits = max(self._bits, int(pixels.max()).bit_length())
            pixels = cv2.convertScaleAbs(pixels, alpha=255 / (2**self._bits - 1))
        if encoding.to_rgb is None:
            return pixels
        try:
            return cv2.cvtColor(pixels, encoding.to_rgb)
        except cv2.error as error:  # two pixels share a colour, and one is left over
            raise BadImage(
                f'The {message.encoding} image cannot be {message.width} x {message.height} '
                'pixels: set another size in the camera driver.'
            ) from error


def _decompressed(message: Any) -> np.ndarray:
    """Return the pixels as they are stored: calibration and tf are of those, whatever EXIF tells viewers."""
    data = np.frombuffer(message.data, np.uint8)
    bgr = decode_picture(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if bgr is None:
        raise BadImage(
            f'The compressed image of {data.size} bytes (format {message.format!r}) cannot be decoded: '
            'it is truncated, or neither JPEG nor PNG.'
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def to_depth(message: Any) -> np.ndarray:
    """
    Return a depth image as (H, W) float32 metres; raises BadImage.

    As REP-118 says: 32FC1 is metres already (NaN unknown), 16UC1 millimetres with 0 for unknown. Many
    cameras say 0 for unknown in metres too, and no distance is negative: both become NaN; -Inf stays.
    """
    metres_hw = _metres(message)
    return np.where(np.isfinite(metres_hw) & (metres_hw <= 0), np.float32(np.nan), metres_hw)


def to_deviation(message: Any) -> np.ndarray:
    """Return a deviation, encoded as depth is, as (H, W) float32 metres; 0.0 m stays. Raises BadImage."""
    return _metres(message)


def _metres(message: Any) -> np.ndarray:
    encoding = _encoding(message, _DEPTHS, 'depth')
    pixels = _pixels(message, encoding)
    if encoding.dtype == 'f4':
        return pixels.astype(np.float32, copy=False)
    return np.where(pixels == 0, np.float32(np.nan), pixels * np.float32(1e-3))


def _encoding(message: Any, known: dict, wanted: str) -> _Encoding:
    if message.encoding not in known:
        raise BadImage(
            f'An image of encoding {message.encoding!r} is no use as {wanted}: publish one of {", ".join(known)}.'
        )
    return known[message.encoding]


def _pixels(message: Any, encoding: _Encoding) -> np.ndarray:
    """View the message's data as (H, W) or (H, W, C) pixels in native byte order, without copying."""
    height, width = message.height, message.width
    if height == 0 or width == 0:
        raise BadImage(f'The image is {width} x {height} pixels: the camera sends empty frames.')
    dtype = np.dtype(encoding.dtype).newbyteorder('>' if message.is_bigendian else '<')
    row = width * encoding.channels * dtype.itemsize
    if message.step < row:
        raise BadImage(
            f'The {message.encoding} image of {width} x {height} has rows of {message.step} bytes, '
            f'but {row} are needed.'
        )
    if len(message.data) < message.step * height:
        raise BadImage(
            f'The {message.encoding} image of {width} x {height} is truncated: it has '
            f'{len(message.data)} of {message.step * height} bytes.'
        )
    shape, strides = (
        (height, width, encoding.channels),
        (message.step, encoding.channels * dtype.itemsize, dtype.itemsize),
    )
    pixels: np.ndarray = np.ndarray(shape, dtype, message.data, 0, strides)
    if encoding.channels == 1:
        pixels = pixels[..., 0]
    if message.step % dtype.itemsize:  # OpenCV takes only whole pixels from row to row
        pixels = pixels.copy()
    return pixels.astype(dtype.newbyteorder('='), copy=False)
