"""Picture files and compressed images as arrays; what is damaged is no picture, and costs neither time nor memory."""

from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.whole_files import write_file

_PNG = b'\x89PNG\r\n\x1a\n'


def read_picture(path: str | Path, mode: int) -> np.ndarray | None:
    """Return a picture file as cv2.imread does with a mode, BGR if in colour; None where it is none."""
    try:
        return decode_picture(np.fromfile(path, np.uint8), mode)
    except OSError:
        return None


def write_picture(path: Path, picture: np.ndarray, quality: int = 95) -> None:
    """Write a picture, BGR if in colour, by the path's extension, as JPEG of a quality; raises OSError, ValueError."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix in ('.jpg', '.jpeg') else []
    try:
        _, data = cv2.imencode(path.suffix, picture, options)
    except cv2.error as error:
        raise ValueError(f'{path} cannot be written: name a picture .png or .jpg.') from error
    write_file(path, data.tobytes())


def decode_picture(data: np.ndarray, mode: int) -> np.ndarray | None:
    """Return the picture in bytes, (N,) uint8, as cv2.imdecode does with a mode; None where there is none."""
    if not data.size or not _holds_its_chunks(data):
        return None
    try:
        return cv2.imdecode(data, mode)
    except cv2.error:
        return None


def _holds_its_chunks(data: np.ndarray) -> bool:
    """Tell whether a PNG ends after its chunks: OpenCV sets aside, for seconds, whatever length a chunk claims."""
    if data[:8].tobytes() != _PNG:
        return True
    at = 8
    while at + 8 <= data.size and data[at + 4 : at + 8].tobytes() != b'IEND':
        at += 12 + int.from_bytes(data[at : at + 4].tobytes(), 'big')  # length, name, content, checksum
    return at <= data.size
