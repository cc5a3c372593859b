"""`depthnet doctor`: why there is no depth of a flight, or why it is wrong, and what mends it."""

import argparse
from pathlib import Path

from ros_depthnet.cli.flight_options import add_flight_arguments, given_options, intake_options
from ros_depthnet.cli.progress import Progress
from ros_depthnet.whole_files import write_file

_SICK = 2  # exit status of a flight whose depth cannot be believed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument('flight', type=Path, nargs='?', metavar='FLIGHT', help='a posed-sequence folder or a rosbag2')
    parser.add_argument(
        '--write',
        type=Path,
        metavar='FILE',
        help='write the parameters that mend what was found, as a parameter file of the nodes',
    )
    add_flight_arguments(parser)
    group = parser.add_argument_group('a running drone')
    group.add_argument('--live', action='store_true', help='examine the running ROS graph instead of a recording')
    group.add_argument(
        '--seconds',
        type=float,
        default=20.0,
        metavar='N',
        help='how long to listen (default 20), and until a contradiction has shown why',
    )
    group.add_argument('--namespace', default='', metavar='NS', help='of the drone, where there are several')
    for name, what in (('image', 'images'), ('camera-info', 'calibration'), ('odom', 'odometry or other poses')):
        group.add_argument(f'--{name}', metavar='TOPIC', help=f'the {what}, where that is not clear')


def run(arguments: argparse.Namespace) -> int:
    """Examine a flight, print what was found, and return 0 if depth of it can be believed, 2 if not."""
    import yaml

    if arguments.live == bool(arguments.flight):
        raise ValueError('Name a recorded flight, or --live to examine the running graph.')
    with Progress() as progress:
        examination = (_examine_live if arguments.live else _examine)(arguments, progress)
    width = max(map(len, examination.facts), default=0)
    for name, value in examination.facts.items():
        print(f'{name:{width}}  {value}')
    for complaint in examination.complaints:
        print(f'{"Wrong" if complaint.grave else "Note"}: {complaint.sentence}')
    parameters = examination.parameters
    if parameters:
        text = yaml.safe_dump({'/**': {'ros__parameters': parameters}}, default_flow_style=None, sort_keys=False)
        if arguments.write:
            write_file(arguments.write, text)
            print(f'Wrote {arguments.write}: give it as params_file to the launch file, or as --params here.')
        else:
            print(f'These parameters would mend it (--write FILE writes them):\n{text.rstrip()}')
    elif arguments.write:
        print('There is nothing that parameters could mend, so nothing was written.')
    print('Healthy.' if examination.healthy else 'Not healthy.')
    return 0 if examination.healthy else _SICK


def _examine(arguments: argparse.Namespace, progress: Progress):
    from ros_depthnet.flight.doctor import examine

    progress('Looking through the flight ...')
    return examine(arguments.flight, intake_options(arguments))


def _examine_live(arguments: argparse.Namespace, progress: Progress):
    from ros_depthnet.ros.live_doctor import Question, examine_live
    from ros_depthnet.ros.topics import CAMERA_INFO, IMAGE, ODOM

    topics = {IMAGE: arguments.image, CAMERA_INFO: arguments.camera_info, ODOM: arguments.odom}
    return examine_live(
        Question(
            given_options(arguments),
            {topic: name for topic, name in topics.items() if name},
            arguments.namespace,
            arguments.seconds,
        ),
        progress,
    )
