"""`depthnet doctor`: why there is no depth of a flight, or why it is wrong, and what mends it."""
import argparse
from pathlib import Path

from ros_depthnet.cli.flight_options import add_flight_arguments, intake_options
from ros_depthnet.cli.progress import Progress

_SICK = 2   # exit status of a flight whose depth cannot be believed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument('flight', type=Path, metavar='FLIGHT', help='a posed-sequence folder or a rosbag2')
    parser.add_argument('--write', type=Path, metavar='FILE',
                        help='write the parameters that mend what was found, as a parameter file of the nodes')
    add_flight_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Examine a flight, print what was found, and return 0 if depth of it can be believed, 2 if not."""
    import yaml

    from ros_depthnet.flight.doctor import examine

    with Progress() as progress:
        progress('Looking through the flight ...')
        examination = examine(arguments.flight, intake_options(arguments))
    width = max(map(len, examination.facts))
    for name, value in examination.facts.items():
        print(f'{name:{width}}  {value}')
    for complaint in examination.complaints:
        print(f'{"Wrong" if complaint.grave else "Note"}: {complaint.sentence}')
    parameters = examination.parameters
    if parameters:
        text = yaml.safe_dump({'/**': {'ros__parameters': parameters}}, default_flow_style=None, sort_keys=False)
        if arguments.write:
            arguments.write.write_text(text, encoding='utf-8')
            print(f'Wrote {arguments.write}: give it as params_file to the launch file, or as --params here.')
        else:
            print(f'These parameters would mend it (--write FILE writes them):\n{text.rstrip()}')
    elif arguments.write:
        print('There is nothing that parameters could mend, so nothing was written.')
    print('Healthy.' if examination.healthy else 'Not healthy.')
    return 0 if examination.healthy else _SICK
