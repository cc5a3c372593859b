"""`depthnet bench`: speed, as ratios measured in one run."""
import argparse
import json
from pathlib import Path

from ros_depthnet.cli.progress import Progress
from ros_depthnet.cli.tables import aligned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument('--model', default='default', help='a shipped model, or the path of one')
    parser.add_argument('--widths', type=_whole_numbers, metavar='n,n,...', default=(128, 256, 384, 512),
                        help='widths of the input in pixels (default: 128,256,384,512)')
    parser.add_argument('--threads', type=_whole_numbers, metavar='n,n,...',
                        help='numbers of CPU threads (default: 1, and one per core)')
    parser.add_argument('--sources', type=_whole_numbers, metavar='n,n,...', default=(1, 2),
                        help='numbers of earlier images that one is compared with (default: 1,2)')
    parser.add_argument('--seconds', type=float, default=1.0, help='for each row (default: 1)')
    parser.add_argument('--json', metavar='FILE', type=Path, help='write the numbers there')


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, and write what was asked for."""
    from ros_depthnet.evaluation.bench import bench, default_threads
    from ros_depthnet.evaluation.provenance import commit

    with Progress() as progress:
        speeds = list(bench(arguments.model, arguments.widths, arguments.threads or default_threads(),
                            arguments.sources, arguments.seconds, progress))
    lines = [['method', 'size', 'threads', 'sources', 'ms', 'frames/s', 'times dis']]
    lines += [[speed.method, f'{speed.width}x{speed.height}', str(speed.threads), str(speed.sources or '-'),
               f'{speed.ms:.1f}', f'{speed.frames_per_s:.1f}', f'{speed.times_dis:.2f}'] for speed in speeds]
    print(aligned(lines, words=2))
    print('times dis: how many calls of DIS flow at this size and number of threads fit in one.')
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        content = {'rows': [vars(speed) for speed in speeds], 'commit': commit()}
        arguments.json.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
        print(f'Numbers: {arguments.json}')


def _whole_numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(','))
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f'{text} must be positive whole numbers')
    return numbers
