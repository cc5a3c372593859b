"""Arrays in files of their own, memory-mapped: what training sets are made of."""

from pathlib import Path

import numpy as np

from ros_depthnet.whole_files import whole_file


def write_array(path: Path, values: np.ndarray) -> None:
    """Write an array as .npy, whole or not at all."""
    with whole_file(path) as file:
        np.save(file, values)


def mapped_array(path: Path, rows: int | None = None) -> np.ndarray:
    """Return an array that stays on the disk, of so many rows; raises OSError, or ValueError if it is none."""
    try:
        found = np.load(path, mmap_mode='r')
        if rows not in (None, len(found)):
            raise ValueError(f'{len(found)} rows instead of {rows}')
        return found
    except OSError:
        raise
    except Exception as error:  # what NumPy raises of damaged headers has no common base
        raise ValueError(f'{path} is damaged: remove it, and make it again.') from error
