"""The command line: `depthnet SUBCOMMAND ...`; each is a module of this folder, imported when chosen."""

import argparse
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Sequence

SUBCOMMANDS = {
    'demo': 'fly a recorded flight through the real ROS 2 nodes and show what they saw',
    'doctor': 'why there is no depth of a flight, recorded or live, or why it is wrong, and what mends it',
    'process': 'depth, cloud and pictures of every frame of flights, without ROS',
    'view': 'show a flight, recorded or live, in a viewer',
    'evaluate': 'score every method on posed sequences with true depth',
    'bench': 'speed of the model and of classical methods, measured in one run',
    'render': 'render flights and training scenes with exact depth',
    'label': 'what may be believed of the depth of flights, by their own images alone',
    'adapt': 'teach a model your own flights, without labels',
    'train': 'train a network',
    'export': 'turn a trained network into ONNX with its card',
    'quantise': 'convolutions of a model in 8 bits, which CPUs run in half the time',
}
_EXTRAS = {
    **dict.fromkeys(('torch', 'onnx', 'onnxscript', 'mvtb_data', 'matplotlib'), 'train'),
    'rerun': 'view',
    'distributed': 'cluster',
    **dict.fromkeys(('rclpy', 'sensor_msgs', 'nav_msgs', 'visualization_msgs'), 'ros'),
}
_INTERRUPTED, _BROKEN_PIPE = 130, 141  # what a shell reports for SIGINT and SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return the exit status; what a user can mend is 1 and one sentence on stderr."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = '--debug' in argv[:1]
    try:
        arguments, unknown = _parser(argv).parse_known_args(argv)
        if unknown:
            arguments.refuse(f'unrecognized arguments: {" ".join(unknown)}')
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        print('\ndepthnet: interrupted.', file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at exit
        return _BROKEN_PIPE
    except ModuleNotFoundError as missing:
        extra = _EXTRAS.get((missing.name or '').partition('.')[0])
        if debug or not extra:
            raise
        print(
            f'depthnet: the Python package {missing.name} is missing: '
            f"{sys.executable} -m pip install 'ros_depthnet[{extra}]'"
            f'{" or source your ROS 2 distribution" if extra == "ros" else ""}.',
            file=sys.stderr,
        )
    except (ValueError, OSError) as error:
        if debug:
            raise
        print(f'depthnet: {_sentence(error)}', file=sys.stderr)
    return 1


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='depthnet',
        description='Metric depth from motion for drones.',
        epilog='`depthnet SUBCOMMAND --help` tells what a subcommand takes.',
    )
    parser.add_argument('--version', action='version', version=f'depthnet {_version()}')
    parser.add_argument('--debug', action='store_true', help='show the traceback of an error (put it first)')
    subparsers = parser.add_subparsers(title='subcommands', metavar='SUBCOMMAND', required=True)
    chosen = next((word for word in argv if not word.startswith('-')), None)
    for name, summary in SUBCOMMANDS.items():
        description = f'{summary[0].upper()}{summary[1:]}.'
        subparser = subparsers.add_parser(name, help=summary, description=description)
        if name == chosen:
            module = importlib.import_module(f'ros_depthnet.cli.{name}')
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run, refuse=subparser.error)
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version('ros_depthnet')
    except importlib.metadata.PackageNotFoundError:
        return '(not installed)'


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f'{error.filename}: {error.strerror}.'
    return str(error).strip().replace('\n', ' ') or type(error).__name__


if __name__ == '__main__':
    sys.exit(main())
