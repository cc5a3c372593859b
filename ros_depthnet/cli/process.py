"""`depthnet process`: depth, cloud and pictures of flights, by the drone's own estimator but without ROS."""

import argparse
import contextlib
import dataclasses
import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ros_depthnet.cli.flight_options import (
    add_flight_arguments,
    add_still_arguments,
    estimator_options,
    intake_options,
    positive,
    say_what_is_wrong,
    single_view_model,
)
from ros_depthnet.cli.progress import Progress
from ros_depthnet.whole_files import write_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument('flights', type=Path, nargs='+', metavar='FLIGHT', help='a posed-sequence folder or a rosbag2')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FOLDER',
        required=True,
        help='where to write; several flights, or any with --jobs or --cluster, each into a folder '
        'of its name in there, and what is there already is not made again',
    )
    parser.add_argument(
        '--contours', action='store_true', help='also lines where things end or surfaces bend, as pictures'
    )
    parser.add_argument('--model', default='default', help='a shipped model, or the path of one')
    parser.add_argument(
        '--threads',
        type=positive,
        metavar='n',
        help='CPU threads of a flight (default: all cores, shared among the jobs)',
    )
    parser.add_argument('--jobs', type=positive, metavar='n', help='flights at a time on this computer (default: 1)')
    parser.add_argument(
        '--cluster',
        metavar='ADDRESS',
        help='have a Dask cluster do it: the address of its scheduler, such as tcp://10.0.0.5:8786; '
        'its workers need the same folders',
    )
    add_still_arguments(parser)
    add_flight_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Process one flight, or many."""
    if len(arguments.flights) == 1 and not arguments.jobs and not arguments.cluster:
        _process(arguments.flights[0], arguments)
        return 0
    from ros_depthnet.cli.many_flights import folders_of, process_all

    folders = folders_of(arguments.flights, arguments.out)
    lost = 0
    for number, done in enumerate(process_all(folders, arguments), 1):
        lost += not done.finished
        print(f'{number}/{len(folders)} {done.name}: {done.sentence}', flush=True)
    print(
        f'{len(folders) - lost} of {len(folders)} flights are in {arguments.out}; the same command goes on with '
        'the others.'
        if lost
        else f'All {len(folders)} flights are in {arguments.out}.'
    )
    return 1 if lost else 0


def _process(flight: Path, arguments: argparse.Namespace) -> None:
    """Estimate every frame and write depth (uint16 PNG, millimetres), cloud, pictures and report."""
    import cv2

    from ros_depthnet.cli.many_flights import recipe
    from ros_depthnet.engines.contour_model import load_contour_model
    from ros_depthnet.engines.model import load_model
    from ros_depthnet.engines.moving_model import load_moving_model
    from ros_depthnet.evaluation.flight_report import MOMENTS, fresh_folder, remove, write_flight_report
    from ros_depthnet.evaluation.moments import Moments
    from ros_depthnet.evaluation.processing import CONTOURS, FOLDERS, process_flight
    from ros_depthnet.evaluation.provenance import commit
    from ros_depthnet.flight.doctor import examine
    from ros_depthnet.flight.movers import Movers
    from ros_depthnet.flight.recorded import recorded_frames
    from ros_depthnet.flight.session import Session

    options = intake_options(arguments)
    with Progress() as progress:
        progress('Checking the flight ...')
        examination = examine(flight, options)
    say_what_is_wrong(examination, arguments.force)
    left_out: Counter[str] = Counter()
    frames = recorded_frames(flight, lambda refusal: left_out.update([refusal.reason.value]), options)
    cv2.setNumThreads(arguments.threads or -1)
    threads = arguments.threads or 0
    model = load_model(arguments.model, threads=threads)
    contour_model = load_contour_model(threads=threads) if arguments.contours else None
    with _alone_in(arguments.out), Progress() as progress:
        out = fresh_folder(arguments.out, *FOLDERS, CONTOURS)
        choices = dataclasses.replace(estimator_options(arguments), remember_unchanged=arguments.remember_unchanged)
        session = Session(model, choices, single_view=single_view_model(arguments), movers=Movers(load_moving_model))
        done = process_flight(frames, session, out, Moments(out / MOMENTS), progress, contour_model)
        if not done.frames:
            raise ValueError(f'{flight} has no frame that can be used ({_listed(left_out)}).')
        dropped = {**left_out, **done.dropped}
        rate = done.frames / done.estimator_seconds
        summary = {
            'flight': flight.resolve().name,
            'frames': done.frames,
            'depth_maps': len(done.moments),
            'dropped': dropped,
            'flight_seconds': round(done.flight_seconds, 2),
            'estimator_seconds': round(done.estimator_seconds, 2),
            'frames_per_second': round(rate, 2),
            'model': model.card.name,
            'provider': model.engine.provider,
            'precision': model.engine.precision,
            'commit': commit(),
            'recipe': recipe(flight, arguments),
        }
        progress('Writing the report ...')
        facts = {'depth maps': f'{len(done.moments)} of {done.frames} frames', 'frames per second': f'{rate:.1f}'}
        report = write_flight_report(out, f'Flight {summary["flight"]}', done.moments, done.cloud, facts, summary)
        remove(out / MOMENTS)
        # Last: a flight with a summary is finished.
        write_file(out / 'summary.json', json.dumps(summary, indent=1) + '\n')
    for sentence in done.contradictions:
        print(f'Warning: {sentence}')
    print(
        f'{done.frames} frames ({done.flight_seconds:.1f} s of flight), {summary["depth_maps"]} depth maps '
        f'in {done.estimator_seconds:.1f} s; dropped: {_listed(dropped)}.'
    )
    print(f'Look at {report}; {out / "depth"} and {out / "deviation"} are in millimetres.')


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep others from writing to a folder meanwhile; raises ValueError if one does."""
    folder.mkdir(parents=True, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ValueError(f'Another process is writing to {folder}.') from error
    finally:
        os.close(opened)


def _listed(dropped: dict[str, int]) -> str:
    return ', '.join(f'{count} {reason}' for reason, count in sorted(dropped.items())) or 'none'
