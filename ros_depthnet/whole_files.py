"""Files that are there whole or not at all: nothing half-written, of a full disk say, is ever taken for a result."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """
    Give a file to write to that comes to be at `path` once all is written; until then what was there stays.

    A link, a device or a pipe is written to as it is. Raises OSError that names the path.
    """
    plain = not path.is_symlink() and (path.is_file() or not path.exists())
    written = path.with_name(f'.{path.name}.part') if plain else path
    try:
        with written.open('w+b' if plain else 'wb') as file:  # in 'wb' NumPy writes past Python and loses the reason
            yield file
        if plain:
            written.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        if plain:
            written.unlink(missing_ok=True)


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file, text as UTF-8; its folder is made. See `whole_file`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
