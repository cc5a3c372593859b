"""`depthnet label`: depth of flights or of a rendered set by their own images alone."""

from __future__ import annotations

import argparse
import os
from itertools import repeat
from pathlib import Path

from ros_depthnet.cli.flight_options import add_flight_arguments, intake_options, positive, say_what_is_wrong
from ros_depthnet.cli.many_flights import folders_of
from ros_depthnet.cli.progress import Progress
from ros_depthnet.worker_processes import worker_processes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flights and what measures them."""
    parser.add_argument(
        'flights',
        type=Path,
        nargs='+',
        metavar='FLIGHT',
        help='a posed-sequence folder or a rosbag2; needs no depth; or one '
        'set of `depthnet render set`, of which a set with measured depth is made',
    )
    parser.add_argument('--out', type=Path, required=True, metavar='FOLDER', help='where labels go, a folder a flight')
    parser.add_argument('--teacher', default='default', help='the model that measures (default: the best shipped)')
    parser.add_argument(
        '--held-out', type=float, default=0.25, metavar='SHARE', help='end of each flight that is held out (0.25)'
    )
    parser.add_argument('--jobs', type=positive, default=1, metavar='n', help='processes that measure (1)')
    add_flight_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Label each flight, or measure a set; what is there already is kept."""
    if _is_set(arguments.flights[0]):
        _measure_set(arguments)
    else:
        label(arguments, arguments.out)
    print(f'Labels: {arguments.out}')


def label(arguments: argparse.Namespace, out: Path) -> list[Path]:
    """Label the flights of a command line; return a folder for each."""
    from ros_depthnet.flight.doctor import examine
    from ros_depthnet.learning.labelling import Labelling, label_flights

    intake, folders = intake_options(arguments), folders_of(arguments.flights, out)
    threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
    labelling = Labelling(arguments.teacher, intake, arguments.held_out, threads)
    with Progress() as progress, worker_processes(arguments.jobs) as workers:
        progress('Checking what was recorded ...')
        for examination in workers.map(examine, folders, repeat(intake)):
            say_what_is_wrong(examination, arguments.force)
        label_flights(workers, labelling, folders, progress)
    return list(folders.values())


def _is_set(folder: Path) -> bool:
    """Tell whether a folder is one of `depthnet render set`."""
    return any(folder.glob('*.positions.npy'))


def _measure_set(arguments: argparse.Namespace) -> None:
    from ros_depthnet.engines.model import load_model
    from ros_depthnet.learning.dataset import RenderedFlights
    from ros_depthnet.learning.measured import measure_shards

    if len(arguments.flights) > 1:
        raise ValueError('Measure one rendered set at a time, each into a folder of its own.')
    flights = RenderedFlights.open(arguments.flights[0])
    width = flights[0].images.shape[2]
    with Progress() as progress:
        measure_shards(flights, load_model(arguments.teacher, input_width=width), arguments.out, progress)
