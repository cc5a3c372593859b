"""From numpy arrays to sensor_msgs/Image."""

from array import array

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header


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


def to_jpeg(rgb_hw3: np.ndarray, header: Header) -> CompressedImage:
    """Return (H, W, 3) uint8 RGB as JPEG, named as image_transport names it."""
    _, jpeg = cv2.imencode('.jpg', cv2.cvtColor(rgb_hw3, cv2.COLOR_RGB2BGR))
    return CompressedImage(header=header, format='rgb8; jpeg compressed bgr8', data=octets(jpeg))


def from_probability(probability_hw: np.ndarray, header: Header) -> Image:
    """Return (H, W) float32, 0 to 1, as a mono8 image of 0 to 255."""
    return _message(np.rint(255 * probability_hw).astype(np.uint8), header, 'mono8')


def from_labels(labels_hw: np.ndarray, header: Header) -> Image:
    """Return (H, W) uint8 as a mono8 image."""
    return _message(labels_hw, header, 'mono8')


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
    data.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return data
