"""`depthnet demo`: a recorded flight through the real nodes, and what they made of it."""

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import time
from pathlib import Path
from types import SimpleNamespace

from ros_depthnet.cli.flight_options import add_flight_arguments, file_parameters, intake_options, say_what_is_wrong
from ros_depthnet.cli.progress import Progress
from ros_depthnet.resources import share_path
from ros_depthnet.whole_files import write_file

_SETTLE = 1.5  # seconds of silence after which nothing more will come; diagnostics come once a second


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument(
        '--flight',
        type=Path,
        metavar='PATH',
        help='a posed-sequence folder or a rosbag2 (default: the flight that is shipped)',
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FOLDER',
        default=Path('out/demo'),
        help='where to leave pictures, video, cloud and report (default: out/demo)',
    )
    parser.add_argument('--model', default='default', help='a shipped model, or the path of one')
    parser.add_argument('--rate', type=float, default=1.0, help='speed of the replay, 1 is real time')
    add_flight_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Fly, then write strip, video, cloud, summary and report."""
    import rclpy  # noqa: F401 (says at once if ROS is missing)

    # A script that runs this in the background has it ignore Ctrl-C, and the nodes must never be orphans.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    flight = arguments.flight or shipped_flight()
    sequence, topics = _examine(flight)
    options = intake_options(arguments)

    from ros_depthnet.flight.doctor import examine

    say_what_is_wrong(examine(flight, options), arguments.force)

    from ros_depthnet.evaluation.flight_report import MOMENTS, fresh_folder
    from ros_depthnet.ros.isolation import isolate
    from ros_depthnet.ros.processes import Flight, ProcessError
    from ros_depthnet.ros.recorder import Recorder
    from ros_depthnet.ros.topics import IMAGE

    out = fresh_folder(arguments.out, 'logs')
    isolate()
    os.environ['ROS_LOG_DIR'] = str((out / 'logs').resolve())
    compressed = IMAGE not in topics
    parameters = {
        'depth_node': {'model': arguments.model, 'image_transport': 'compressed' if compressed else 'raw'},
        'replay_node': {'rate': arguments.rate},
    }
    parameters['depth_node'] |= file_parameters(arguments.params)
    parameters['depth_node'] |= _how_to_read(flight, options) | {'check_odometry': not arguments.force}
    if sequence:
        parameters['depth_node']['warm_up_size'] = [sequence.camera.width, sequence.camera.height]
    print(f'Flying {flight}{f" ({len(sequence.frames)} frames)" if sequence else ""} through the nodes.')
    with Recorder(out / MOMENTS, compressed) as recorder, Progress() as progress:
        progress('Starting the nodes and loading the model ...')
        started = time.monotonic()
        with contextlib.ExitStack() as stack:
            try:
                nodes = stack.enter_context(Flight(flight, parameters, folder=out / 'logs'))
                while not nodes.finished:
                    time.sleep(0.2)
                    progress(_line(recorder.counts(), time.monotonic() - started))
            except ProcessError as error:
                # The last words of a node carry the stamp of its log.
                sentence = re.sub(r'\[[A-Z]+\] \[[\d.]+\] \[\w+\]: ', '', str(error))
                raise ValueError(f'{sentence} (logs: {out / "logs"})') from error
            _settle(recorder)
        progress('Writing the report ...')
        _report(out, flight, sequence, recorder)


def shipped_flight() -> Path:
    """Return the flight that comes with the package; raises ValueError where there is none."""
    flights = share_path('flights')
    shipped = sorted(path for path in flights.iterdir() if path.is_dir()) if flights.is_dir() else []
    if not shipped:
        raise ValueError(f'No flight is shipped in {flights}: name one with --flight.')
    return shipped[0]


def _examine(flight: Path):
    """Return the posed sequence, None for a bag, and the topics a replay will have; raises ValueError."""
    from ros_depthnet.flight.posed_sequence import INDEX_NAME, PosedSequence
    from ros_depthnet.ros.parameters import REPLAY_NODE
    from ros_depthnet.ros.recording import open_recording
    from ros_depthnet.ros.topics import CAMERA_INFO, ODOM

    settings = SimpleNamespace(**{parameter.name: parameter.default for parameter in REPLAY_NODE})
    settings.path = str(flight)
    recording = open_recording(settings, report=lambda sentence: None)
    for topic in (CAMERA_INFO, ODOM):
        if topic not in recording.topics:
            raise ValueError(f'{flight} has no topic of type {topic.type}, which depth from motion needs.')
    sequence = PosedSequence.load(flight) if (flight / INDEX_NAME).is_file() else None
    return sequence, recording.topics


def _how_to_read(flight: Path, options) -> dict[str, object]:
    """Return the parameters of depth_node that say of a bag what its options and static transforms do."""
    from ros_depthnet.core.mounting import roll_pitch_yaw
    from ros_depthnet.flight.recorded import recorded_mounting

    T_body_cam, mask = recorded_mounting(flight, options), {'mask_file': options.mask_file}
    if T_body_cam is None:
        return mask
    return mask | {
        'camera_mounting': 'parameters',
        'camera_xyz': [float(x) for x in T_body_cam[:3, 3]],
        'camera_rpy': list(roll_pitch_yaw(T_body_cam[:3, :3])),
        'rectify': options.rectify,
        'pose_delay': options.pose_delay,
        'pose_gap': options.pose_gap,
    }


def _line(counts, seconds: float) -> str:
    latency = f', {statistics.median(counts.latencies_ms):.0f} ms' if counts.latencies_ms else ''
    dropped = f'; dropped: {_listed(counts.dropped)}' if counts.dropped else ''
    return (
        f'{seconds:5.1f} s: {counts.frames} frames, {counts.depth} depth ({counts.depth_hz:.1f} Hz'
        f'{latency}), {counts.clouds} clouds, {counts.obstacles} obstacle messages{dropped}'
    )


def _listed(dropped: dict[str, int]) -> str:
    return ', '.join(f'{count} {reason}' for reason, count in sorted(dropped.items())) or 'none'


def _settle(recorder) -> None:
    """Wait until nothing more comes."""
    counts, since = recorder.counts(), time.monotonic()
    while time.monotonic() - since < _SETTLE:
        time.sleep(0.1)
        now = recorder.counts()
        if (now.depth, now.clouds, now.obstacles) != (counts.depth, counts.clouds, counts.obstacles):
            counts, since = now, time.monotonic()


def _report(out: Path, flight: Path, sequence, recorder) -> None:
    from ros_depthnet.evaluation.flight_report import MOMENTS, remove, write_flight_report
    from ros_depthnet.evaluation.provenance import commit

    moments, counts = recorder.finish(), recorder.counts()
    summary = _summary(flight, sequence, moments, counts, commit())
    write_file(out / 'summary.json', json.dumps(summary, indent=1) + '\n')
    page_path = write_flight_report(
        out, f'Flight {summary["flight"]}', moments, recorder.cloud, _facts(summary), summary
    )
    remove(out / MOMENTS)
    _say(summary, page_path)


def _summary(flight: Path, sequence, moments, counts, commit: str) -> dict:
    import numpy as np

    from ros_depthnet.evaluation.in_time import scores_in_time
    from ros_depthnet.evaluation.metrics import DepthAndDeviation, PixelErrors, average

    latency = dict.fromkeys(('p50', 'p95'))
    if counts.latencies_ms:
        p50, p95 = np.percentile(counts.latencies_ms, [50, 95])
        latency = {'p50': round(float(p50), 1), 'p95': round(float(p95), 1)}
    scores, in_time = [], []
    if sequence:
        in_time = list(scores_in_time(sequence, moments, counts.image_arrivals, counts.depth_arrivals))
        with_truth = {sequence.frames[i].stamp_ns: i for i in sequence.with_truth}
        for stamp_ns in set(moments.stamps_ns) & set(with_truth):
            truth_hw = sequence.truth(with_truth[stamp_ns])
            if truth_hw is None:
                continue
            scored_hw = (truth_hw > 0) & (truth_hw < sequence.max_depth)
            estimate = DepthAndDeviation(moments.depth(stamp_ns))
            scores.append(PixelErrors.of(estimate, truth_hw, scored_hw, sequence.max_depth).scores())
    mean, mean_in_time = (average(each) if each else None for each in (scores, in_time))

    def score(name: str, of=mean) -> float | None:
        value = getattr(of, name, None)
        return None if value is None or np.isnan(value) else round(value, 4)

    return {
        'flight': sequence.name if sequence else flight.name,
        # A replay that ended well published all; of a bag only what arrived is known.
        'frames_published': len(sequence.frames) if sequence else counts.frames,
        'depth_messages': counts.depth,
        'cloud_messages': counts.clouds,
        'obstacle_messages': counts.obstacles,
        'dropped': counts.dropped,
        'latency_ms': latency,
        'depth_hz': round(counts.depth_hz, 2),
        'abs_rel': score('abs_rel'),
        'mae_log': score('mae_log'),
        'delta_125': score('delta_125'),
        'coverage': score('coverage'),
        'scored_frames': len(scores),
        'in_time_125': score('delta_125', mean_in_time),
        'model': counts.facts.get('model'),
        'provider': counts.facts.get('provider'),
        'precision': counts.facts.get('precision'),
        'commit': commit,
    }


def _facts(summary: dict) -> dict[str, str]:
    facts = {
        'depth images': f'{summary["depth_messages"]} of {summary["frames_published"]} frames',
        'depth rate': f'{summary["depth_hz"]:.1f} Hz',
    }
    if summary['latency_ms']['p50'] is not None:
        facts['latency, median'] = f'{summary["latency_ms"]["p50"]:.0f} ms'
    if summary['delta_125'] is not None:
        facts['of pixels within 25 % of the truth'] = f'{100 * summary["delta_125"]:.0f} %'
    if summary['abs_rel'] is not None:
        facts['mean relative error'] = f'{100 * summary["abs_rel"]:.0f} %'
    return facts


def _say(summary: dict, page_path: Path) -> None:
    print(
        f'{summary["frames_published"]} frames in; {summary["depth_messages"]} depth images at '
        f'{summary["depth_hz"]:.1f} Hz, {summary["cloud_messages"]} clouds and '
        f'{summary["obstacle_messages"]} obstacle messages out; dropped: {_listed(summary["dropped"])}.'
    )
    if summary['delta_125'] is not None:
        error = 'unknown' if summary['abs_rel'] is None else f'{100 * summary["abs_rel"]:.1f} %'
        print(
            f'Against the truth: {100 * summary["delta_125"]:.1f} % of pixels within 25 %, mean relative error {error}.'
        )
    if summary['in_time_125'] is not None:
        print(
            'At the moment of each image, by the newest depth there is: '
            f'{100 * summary["in_time_125"]:.1f} % of pixels within 25 %.'
        )
    print(f'Look at {page_path}')
    for name in ('strip.png', 'depth.webm', 'cloud.ply', 'summary.json'):
        print(f'        {page_path.parent / name}')
