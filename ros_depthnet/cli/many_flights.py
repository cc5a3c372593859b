"""
Many flights, each in a process of its own: on the cores of this computer, or on those of a Dask cluster.

A process that dies, of memory say, takes no other flight along and is started again. What is finished says what
it was made of, and is not made again.
"""

import argparse
import contextlib
import hashlib
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from ros_depthnet.evaluation.provenance import commit
from ros_depthnet.text_files import read_json
from ros_depthnet.worker_processes import start_module

_ATTEMPTS = 3


@dataclass(frozen=True)
class FlightDone:
    """What became of a flight: whether it is finished, and the sentence that says how."""

    name: str
    finished: bool
    sentence: str


def folders_of(flights: Iterable[Path], out: Path) -> dict[Path, Path]:
    """Return where the results of each flight go: `out`/NAME; raises ValueError if two have one name."""
    folders: dict[Path, Path] = {}
    for flight in flights:
        folder = out / flight.resolve().name
        if folder in folders.values():
            raise ValueError(f'Two flights are called {folder.name}: process them into folders of their own.')
        folders[flight] = folder
    return folders


def recipe(flight: Path, arguments: argparse.Namespace) -> str:
    """
    Return a digest of all that decides what comes of a flight: its files, the model, the options, the code.

    Recordings are large, so of their files name, size and time of change count; of the others what is in them.
    """
    from ros_depthnet.engines.model import model_card

    card = model_card(arguments.model)
    single_view = model_card(arguments.single_view) if arguments.single_view else None
    digest = hashlib.sha256(f'{commit()} {card} {single_view} {_options(arguments)}'.encode())
    for path in sorted(path for path in flight.rglob('*') if path.is_file()) if flight.is_dir() else [flight]:
        status = path.stat()
        digest.update(f'{path.relative_to(flight.parent)} {status.st_size} {status.st_mtime_ns}\n'.encode())
    files = card.file, card.int8_file, single_view and single_view.file, arguments.params, arguments.mask
    for path in filter(None, files):
        digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return digest.hexdigest()


def is_finished(flight: Path, folder: Path, arguments: argparse.Namespace) -> bool:
    """Tell whether a folder holds what would come of a flight now."""
    try:
        made_of = read_json(folder / 'summary.json')['recipe']
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return made_of == recipe(flight, arguments)


def process_all(folders: dict[Path, Path], arguments: argparse.Namespace) -> Iterator[FlightDone]:
    """Yield what becomes of each flight, as they end; what is finished already comes first."""
    todo = {}
    for flight, folder in folders.items():
        if is_finished(flight, folder, arguments):
            yield FlightDone(folder.name, True, 'finished before')
        else:
            todo[flight] = folder
    jobs = arguments.jobs or 1
    # A cluster's workers take as many flights at a time as they have threads.
    threads = arguments.threads or (1 if arguments.cluster else max(1, (os.cpu_count() or 1) // jobs))
    with _cluster(arguments.cluster) if arguments.cluster else ThreadPoolExecutor(jobs) as executor:
        ends = [
            executor.submit(process_apart, folder.name, _arguments(flight, folder, arguments, threads))
            for flight, folder in todo.items()
        ]
        try:
            for end in as_completed(ends):
                yield end.result()
        finally:
            for end in ends:
                end.cancel()


def process_apart(name: str, arguments: Sequence[str]) -> FlightDone:
    """Run a flight's command, once more where a signal ended it."""
    for _ in range(_ATTEMPTS):
        process = start_module(
            'ros_depthnet.cli.main', arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        printed, complained = process.communicate()
        if process.returncode >= 0:
            break
    finished = process.returncode == 0
    said = (printed.splitlines()[-2:-1] if finished else complained.splitlines()[-1:]) or ['it said nothing']
    if process.returncode < 0:
        said = [f'its process was ended by {signal.Signals(-process.returncode).name} {_ATTEMPTS} times.']
    return FlightDone(name, finished, said[0].removeprefix('depthnet: '))


def _arguments(flight: Path, folder: Path, arguments: argparse.Namespace, threads: int) -> list[str]:
    return [
        'process',
        str(flight.resolve()),
        '--out',
        str(folder.resolve()),
        '--threads',
        str(threads),
        *_options(arguments),
    ]


def _options(arguments: argparse.Namespace) -> list[str]:
    """Return the options that decide what comes of a flight, as they are written."""
    flags = 'contours', 'force', 'remember_unchanged'
    options = [f'--{name.replace("_", "-")}' for name in flags if getattr(arguments, name)]
    for name in ('model', 'single_view'):
        if model := getattr(arguments, name):
            found = str(Path(model).resolve()) if Path(model).suffix else model
            options += [f'--{name.replace("_", "-")}', found]
    for name in ('params', 'mask'):
        if path := getattr(arguments, name):
            options += [f'--{name}', str(Path(path).resolve())]
    for name in ('camera_xyz', 'camera_rpy'):
        if numbers := getattr(arguments, name):
            options += [f'--{name.replace("_", "-")}', *map(str, numbers)]
    return options


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    from distributed import Client

    try:
        client = Client(address, timeout='5s', set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(f'No Dask scheduler answers at {address}.') from error
    with client:
        yield client.get_executor(pure=False)
