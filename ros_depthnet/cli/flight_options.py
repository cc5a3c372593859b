"""What subcommands that take a recorded flight have in common: how its camera is mounted, and what is wrong with it."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any


def add_flight_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how a flight's messages are to be understood."""
    group = parser.add_argument_group('the flight')
    group.add_argument(
        '--params',
        type=Path,
        metavar='FILE',
        help='a parameter file of the nodes (YAML), such as `depthnet doctor --write` makes',
    )
    group.add_argument(
        '--camera-xyz',
        type=float,
        nargs=3,
        metavar=('X', 'Y', 'Z'),
        help='position of the camera on the body (forward, left, up), metres; not from tf',
    )
    group.add_argument(
        '--camera-rpy',
        type=float,
        nargs=3,
        metavar=('R', 'P', 'Y'),
        help='its roll, pitch, yaw as an optical frame, radians; not from tf',
    )
    group.add_argument(
        '--mask',
        metavar='FILE',
        help='a picture, black where the raw image shows no scene (bars, landing gear), else white',
    )
    group.add_argument(
        '--force', action='store_true', help='go on although the flight contradicts itself; depth may then be wrong'
    )


def positive(text: str) -> int:
    """Return the positive whole number that an argument says."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no positive whole number.')
    return int(text)


def add_still_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what is known while there is no parallax."""
    parser.add_argument(
        '--remember-unchanged',
        action='store_true',
        help='while there is no parallax remember depth for as long as the image shows the same there',
    )
    parser.add_argument(
        '--single-view',
        default='',
        metavar='MODEL',
        help='path of a singleview: the same, and a guess where nothing is remembered (default: none)',
    )


def single_view_model(arguments: argparse.Namespace):
    """Return the model of one image that the command line names, None if it names none; raises ModelError."""
    from ros_depthnet.engines.single_view import load_single_view

    return load_single_view(arguments.single_view) if arguments.single_view else None


def intake_options(arguments: argparse.Namespace):
    """Return the IntakeOptions of a file and the command line, which counts for more; raises ValueError."""
    from ros_depthnet.flight.intake import IntakeOptions

    return IntakeOptions(**given_options(arguments))


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return those fields of IntakeOptions that a file and the command line tell."""
    from ros_depthnet.flight.intake import IntakeOptions

    known = {field.name for field in dataclasses.fields(IntakeOptions)}
    given = {name: value for name, value in file_parameters(arguments.params).items() if name in known}
    for name in ('camera_xyz', 'camera_rpy'):
        if getattr(arguments, name):
            given.update({'camera_mounting': 'parameters', name: getattr(arguments, name)})
    if arguments.mask:
        given['mask_file'] = arguments.mask
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def estimator_options(arguments: argparse.Namespace):
    """Return the EstimatorOptions of the command line."""
    from ros_depthnet.core.options import EstimatorOptions

    return EstimatorOptions(check_odometry=not arguments.force)


def say_what_is_wrong(examination, force: bool) -> None:
    """Print what a flight's examination found; raises ValueError where that forbids depth, unless forced."""
    grave = [complaint.sentence for complaint in examination.complaints if complaint.grave]
    for complaint in examination.complaints:
        if force or not complaint.grave:
            print(f'Warning: {complaint.sentence}', file=sys.stderr)
    if grave and not force:
        raise ValueError(' '.join(grave) + ' (`depthnet doctor` tells more; --force goes on all the same.)')


def file_parameters(path: Path | None) -> dict:
    """Return the parameters of depth_node in a YAML file, as ROS has them; raises ValueError."""
    if path is None:
        return {}
    from ros_depthnet.ros.parameters import parameters_in

    return parameters_in(path, 'depth_node')
