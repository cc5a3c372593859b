"""
Between sensor_msgs/Image or CompressedImage and numpy arrays.

The encodings differ here and nowhere else. cv_bridge converts colours where it is installed; the small
conversion below stands in elsewhere and means the same. Both get an image whose size has been checked.
"""

from array import array
from dataclasses import dataclass

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ros_depthnet.core.frames import BadImage

try:
    from cv_bridge import CvBridge
except ImportError:
    CvBridge = None


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
_ONLY_BY_NAME = ('8UC1', '8UC3', 'uyvy', 'yuyv')  # cv_bridge has no colours for these names


def to_rgb(message: Image) -> np.ndarray:
    """Return a colour or grey image as (H, W, 3) uint8 RGB; raises BadImage."""
    encoding = _encoding(message, _COLOURS, 'a colour or grey image')
    pixels = _pixels(message, encoding)
    if CvBridge is not None and message.encoding not in _ONLY_BY_NAME:
        return CvBridge().imgmsg_to_cv2(message, 'rgb8')
    if encoding.dtype == 'u2':
        pixels = cv2.convertScaleAbs(pixels, alpha=255 / 65535)
    return pixels if encoding.to_rgb is None else cv2.cvtColor(pixels, encoding.to_rgb)


def compressed_to_rgb(message: CompressedImage) -> np.ndarray:
    """Return a JPEG or PNG image as (H, W, 3) uint8 RGB; raises BadImage."""
    data = np.frombuffer(message.data, np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise BadImage(
            f'The compressed image of {data.size} bytes (format {message.format!r}) cannot be decoded: '
            'it is truncated, or neither JPEG nor PNG.'
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def to_depth(message: Image) -> np.ndarray:
    """
    Return a depth image as (H, W) float32 metres; raises BadImage.

    As REP-118 says: 32FC1 is metres already (NaN unknown), 16UC1 millimetres with 0 for unknown. Many
    cameras say 0 for unknown in metres too, and no distance is negative: both become NaN; -Inf stays.
    """
    metres_hw = _metres(message)
    return np.where(np.isfinite(metres_hw) & (metres_hw <= 0), np.float32(np.nan), metres_hw)


def to_deviation(message: Image) -> np.ndarray:
    """Return a deviation, encoded as depth is, as (H, W) float32 metres; 0.0 m stays. Raises BadImage."""
    return _metres(message)


def _metres(message: Image) -> np.ndarray:
    encoding = _encoding(message, _DEPTHS, 'depth')
    pixels = _pixels(message, encoding)
    if encoding.dtype == 'f4':
        return pixels.astype(np.float32, copy=False)
    return np.where(pixels == 0, np.float32(np.nan), pixels * np.float32(1e-3))


def from_depth(depth_hw: np.ndarray, header: Header, encoding: str) -> Image:
    """
    Return (H, W) float32 metres as a depth image in 32FC1 metres or 16UC1 millimetres (REP-118).

    16UC1 has one value for "no depth", 0: unknown, too close, and anything from 65.535 m on become that.
    """
    if encoding == '16UC1':
        with np.errstate(invalid='ignore'):
            known = (depth_hw > 0) & (depth_hw < 65.535)
        depth_hw = np.where(known, np.rint(np.where(known, depth_hw, 0) * 1000), 0).astype(np.uint16)
    return _message(depth_hw, header, encoding)


def from_rgb(rgb_hw3: np.ndarray, header: Header) -> Image:
    """Return (H, W, 3) uint8 RGB as an rgb8 image."""
    return _message(rgb_hw3, header, 'rgb8')


def _encoding(message, known: dict, wanted: str) -> _Encoding:
    if message.encoding not in known:
        raise BadImage(
            f'An image of encoding {message.encoding!r} is no use as {wanted}: publish one of '
            f'{", ".join(known)}.'
        )
    return known[message.encoding]


def _pixels(message: Image, encoding: _Encoding) -> np.ndarray:
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
    pixels = np.ndarray(shape, dtype, message.data, 0, strides)
    if encoding.channels == 1:
        pixels = pixels[..., 0]
    return pixels.astype(dtype.newbyteorder('='), copy=False)


def _message(pixels: np.ndarray, header: Header, encoding: str) -> Image:
    pixels = np.ascontiguousarray(pixels)
    message = Image(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
    )
    message.data = octets(pixels)
    return message


def octets(values: np.ndarray) -> array:
    """Return an array's memory as the one type that a `uint8[]` field takes without checking each."""
    data = array('B')
    data.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
    return data
