"""`depthnet bench`: speed, as ratios measured in one run."""
import argparse
import dataclasses
import json
import re
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
    parser.add_argument('--cameras', type=_sizes, metavar='WxH,...', default=((320, 240), (640, 480), (1280, 720)),
                        help='sizes of camera images whose stages are told (default: 320x240,640x480,1280x720)')
    parser.add_argument('--seconds', type=float, default=1.0, help='for each row (default: 1)')
    parser.add_argument('--json', metavar='FILE', type=Path, help='write the numbers there')


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, and write what was asked for."""
    from ros_depthnet.evaluation.bench import bench, default_threads
    from ros_depthnet.evaluation.provenance import commit, machine
    from ros_depthnet.evaluation.stages import stages

    threads = arguments.threads or default_threads()
    with Progress() as progress:
        speeds = list(bench(arguments.model, arguments.widths, threads, arguments.sources, arguments.seconds, progress))
        times, cost = stages(arguments.model, arguments.cameras, max(threads), arguments.seconds, progress)
    print(aligned([['method', 'size', 'threads', 'sources', 'ms', 'p95', 'frames/s', 'times dis'], *(
        [speed.method, f'{speed.width}x{speed.height}', str(speed.threads), str(speed.sources or '-'),
         f'{speed.ms:.1f}', f'{speed.p95_ms:.1f}', f'{speed.frames_per_s:.1f}', f'{speed.times_dis:.2f}']
        for speed in speeds)], words=2))
    print('times dis: how many calls of DIS flow at this size and number of threads fit in one.\n')
    print(aligned([['camera', 'stage of an image in flight', 'ms', 'p95', 'share', 'times dis'], *(
        [stage.camera, stage.stage, f'{stage.median_ms:.1f}', f'{stage.p95_ms:.1f}', f'{stage.share:.0%}',
         f'{stage.times_dis:.2f}'] for stage in times)], words=2))
    print(f'{cost.work.multiply_adds / 1e9:.2f} G multiply-adds at {cost.input_size}, {cost.share_of_rate:.0%} of what '
          f'{max(threads)} threads do in float32 matrix products ({cost.matrix_rate / 1e9:.0f} G/s); '
          f'{cost.work.weight_bytes / 1e6:.1f} MB of weights, {cost.work.tensor_bytes / 1e6:.0f} MB through '
          f'convolutions; an image in flight takes {cost.overhead:.2f} times the network alone.')
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        content = {'rows': [vars(speed) for speed in speeds], 'stages': [vars(stage) for stage in times],
                   'network': dataclasses.asdict(cost), 'model': arguments.model, 'machine': machine(),
                   'commit': commit()}
        arguments.json.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
        print(f'Numbers: {arguments.json}')


def _whole_numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(','))
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f'{text} must be positive whole numbers')
    return numbers


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    sizes = re.findall(r'(?:^|,)([1-9]\d*)x([1-9]\d*)(?=,|$)', text)
    if len(sizes) != text.count(',') + 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no list of sizes such as 320x240,640x480.')
    return tuple((int(width), int(height)) for width, height in sizes)
