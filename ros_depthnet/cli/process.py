"""`depthnet process`: depth, cloud and pictures of a flight, by the drone's own estimator but without ROS."""
import argparse
import json
from collections import Counter
from pathlib import Path

from ros_depthnet.cli.flight_options import (
    add_flight_arguments,
    estimator_options,
    intake_options,
    say_what_is_wrong,
)
from ros_depthnet.cli.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument('flight', type=Path, metavar='FLIGHT', help='a posed-sequence folder or a rosbag2')
    parser.add_argument('--out', type=Path, metavar='FOLDER', required=True, help='where to write')
    parser.add_argument('--model', default='default', help='a shipped model, or the path of one')
    add_flight_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Estimate every frame and write depth (uint16 PNG, millimetres), cloud, pictures and report."""
    from ros_depthnet.engines.model import load_model
    from ros_depthnet.evaluation.flight_report import MOMENTS, fresh_folder, remove, write_flight_report
    from ros_depthnet.evaluation.moments import Moments
    from ros_depthnet.evaluation.processing import FOLDERS, process_flight
    from ros_depthnet.evaluation.provenance import commit
    from ros_depthnet.flight.doctor import examine
    from ros_depthnet.flight.recorded import recorded_frames
    from ros_depthnet.flight.session import Session

    options = intake_options(arguments)
    with Progress() as progress:
        progress('Checking the flight ...')
        examination = examine(arguments.flight, options)
    say_what_is_wrong(examination, arguments.force)
    left_out: Counter[str] = Counter()
    frames = recorded_frames(arguments.flight, lambda refusal: left_out.update([refusal.reason.value]), options)
    model = load_model(arguments.model)
    out = fresh_folder(arguments.out, *FOLDERS)
    with Progress() as progress:
        done = process_flight(frames, Session(model, estimator_options(arguments)), out, Moments(out / MOMENTS),
                              progress)
        if not done.frames:
            raise ValueError(f'{arguments.flight} has no frame that can be used ({_listed(left_out)}).')
        dropped = {**left_out, **done.dropped}
        rate = done.frames / done.estimator_seconds
        summary = {
            'flight': arguments.flight.resolve().name, 'frames': done.frames, 'depth_maps': len(done.moments),
            'dropped': dropped, 'flight_seconds': round(done.flight_seconds, 2),
            'estimator_seconds': round(done.estimator_seconds, 2), 'frames_per_second': round(rate, 2),
            'model': model.card.name, 'provider': model.engine.provider,
            'precision': model.engine.precision, 'commit': commit()}
        (out / 'summary.json').write_text(json.dumps(summary, indent=1) + '\n', encoding='utf-8')
        progress('Writing the report ...')
        facts = {'depth maps': f'{len(done.moments)} of {done.frames} frames',
                 'frames per second': f'{rate:.1f}'}
        report = write_flight_report(out, f'Flight {summary["flight"]}', done.moments, done.cloud, facts,
                                     summary)
        remove(out / MOMENTS)
    for sentence in done.contradictions:
        print(f'Warning: {sentence}')
    print(f'{done.frames} frames ({done.flight_seconds:.1f} s of flight), {summary["depth_maps"]} depth maps '
          f'in {done.estimator_seconds:.1f} s; dropped: {_listed(dropped)}.')
    print(f'Look at {report}; {out / "depth"} and {out / "deviation"} are in millimetres.')


def _listed(dropped: dict[str, int]) -> str:
    return ', '.join(f'{count} {reason}' for reason, count in sorted(dropped.items())) or 'none'
