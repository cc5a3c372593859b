"""`depthnet bench`: speed, as ratios measured in one run."""

import argparse
import dataclasses
import json
import math
import re
import tempfile
from pathlib import Path

from ros_depthnet.cli.progress import Progress
from ros_depthnet.cli.tables import aligned
from ros_depthnet.heap import use_one_arena
from ros_depthnet.whole_files import write_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument('--model', default='default', help='a shipped model, or the path of one')
    parser.add_argument(
        '--widths',
        type=_whole_numbers,
        metavar='n,n,...',
        default=(128, 256, 384, 512),
        help='widths of the input in pixels (default: 128,256,384,512)',
    )
    parser.add_argument(
        '--threads',
        type=_whole_numbers,
        metavar='n,n,...',
        help='numbers of CPU threads (default: 1, and one per core)',
    )
    parser.add_argument(
        '--sources',
        type=_whole_numbers,
        metavar='n,n,...',
        default=(1, 2),
        help='numbers of earlier images that one is compared with (default: 1,2)',
    )
    parser.add_argument(
        '--cameras',
        type=_sizes,
        metavar='WxH,...',
        default=((320, 240), (640, 480), (1280, 720)),
        help='sizes of camera images whose stages are told (default: 320x240,640x480,1280x720)',
    )
    parser.add_argument('--seconds', type=float, default=1.0, help='for each row (default: 1)')
    parser.add_argument(
        '--graph', action='store_true', help='the nodes over DDS too, with the first size of camera images (minutes)'
    )
    parser.add_argument(
        '--rates',
        type=_numbers,
        metavar='Hz,Hz,...',
        default=(10.0, 30.0, 60.0),
        help='rates of images at which the nodes are looked at (default: 10,30,60)',
    )
    parser.add_argument(
        '--peers',
        action='store_true',
        help='networks of other kinds too, with random weights, for their time (needs torch)',
    )
    parser.add_argument(
        '--drones',
        type=_whole_numbers,
        metavar='n,n,...',
        default=(),
        help='so many drones at once on this machine too, a process each',
    )
    parser.add_argument(
        '--hypotheses',
        type=_whole_numbers,
        metavar='n,n,...',
        default=(),
        help='networks with so many hypotheses too, with random weights, for their time (needs torch)',
    )
    parser.add_argument('--json', metavar='FILE', type=Path, help='write the numbers there')


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, and write what was asked for."""
    from ros_depthnet.evaluation.bench import bench, default_threads
    from ros_depthnet.evaluation.provenance import commit, machine
    from ros_depthnet.evaluation.stages import WHOLE, stages

    use_one_arena()  # as the nodes do
    threads = arguments.threads or default_threads()
    with Progress() as progress:
        speeds = list(bench(arguments.model, arguments.widths, threads, arguments.sources, arguments.seconds, progress))
        times, cost = stages(arguments.model, arguments.cameras, max(threads), arguments.seconds, progress)
    print(
        aligned(
            [
                ['method', 'size', 'threads', 'sources', 'ms', 'p95', 'frames/s', 'times dis'],
                *(
                    [
                        speed.method,
                        f'{speed.width}x{speed.height}',
                        str(speed.threads),
                        str(speed.sources or '-'),
                        f'{speed.ms:.1f}',
                        f'{speed.p95_ms:.1f}',
                        f'{speed.frames_per_s:.1f}',
                        f'{speed.times_dis:.2f}',
                    ]
                    for speed in speeds
                ),
            ],
            words=2,
        )
    )
    print('times dis: how many calls of DIS flow at this size and number of threads fit in one.\n')
    print(
        aligned(
            [
                ['camera', 'stage of an image in flight', 'ms', 'p95', 'share', 'times dis'],
                *(
                    [
                        stage.camera,
                        stage.stage,
                        f'{stage.median_ms:.1f}',
                        f'{stage.p95_ms:.1f}',
                        f'{stage.share:.0%}',
                        f'{stage.times_dis:.2f}',
                    ]
                    for stage in times
                ),
            ],
            words=2,
        )
    )
    print(
        f'{cost.work.multiply_adds / 1e9:.2f} G multiply-adds at {cost.input_size}, {cost.share_of_rate:.0%} of what '
        f'{max(threads)} threads do in float32 matrix products ({cost.matrix_rate / 1e9:.0f} G/s); '
        f'{cost.work.weight_bytes / 1e6:.1f} MB of weights, {cost.work.tensor_bytes / 1e6:.0f} MB through '
        f'convolutions; an image in flight takes {cost.overhead:.2f} times the network alone.'
    )
    content = {
        'rows': [vars(speed) for speed in speeds],
        'stages': [vars(stage) for stage in times],
        'network': dataclasses.asdict(cost),
    }
    if arguments.graph:
        whole = next(stage for stage in times if stage.stage == WHOLE)
        content['graph'] = _graph(arguments, 1e3 / whole.median_ms)
    if arguments.peers:
        content['peers'] = _peers(arguments, max(threads))
    if arguments.drones:
        content['drones'] = _drones(arguments, max(threads))
    if arguments.hypotheses:
        content['hypotheses'] = _hypotheses(arguments, max(threads))
    if arguments.json:
        content |= {'model': arguments.model, 'machine': machine(), 'commit': commit()}
        write_file(arguments.json, json.dumps(content, indent=1) + '\n')
        print(f'Numbers: {arguments.json}')


def _peers(arguments: argparse.Namespace, threads: int) -> list[dict[str, object]]:
    """Measure networks of other kinds beside the model in flight, and print that."""
    from ros_depthnet.learning.peers import peer_speeds

    with tempfile.TemporaryDirectory(prefix='depthnet_bench_') as folder, Progress() as progress:
        found = peer_speeds(arguments.model, threads, arguments.seconds, Path(folder), progress)
    print(
        aligned(
            [
                ['\nnetwork', 'size', 'ms', 'times ours'],
                *(
                    [peer.method, f'{peer.size[0]}x{peer.size[1]}', f'{peer.ms:.1f}', f'{peer.times_ours:.2f}']
                    for peer in found
                ),
            ],
            words=2,
        )
    )
    print(f'times ours: how many images of {found[0].method} in flight fit in one.')
    return [vars(peer) for peer in found]


def _drones(arguments: argparse.Namespace, threads: int) -> list[dict[str, object]]:
    """Measure several drones on this machine, and print that."""
    from ros_depthnet.evaluation.drones import drones_speed

    with Progress() as progress:
        found = drones_speed(arguments.model, arguments.drones, threads, 2 * arguments.seconds, progress)
    rows = [
        [f'{row.drones}', f'{row.each_hz:.1f}', f'{row.all_hz:.1f}']
        + [f'{row.ms:.0f}', f'{row.p95_ms:.0f}', f'{row.times_one:.2f}']
        for row in found
    ]
    print(aligned([['\ndrones', 'images/s of each', 'of all', 'ms', 'p95', 'times one'], *rows], words=0))
    return [vars(row) for row in found]


def _hypotheses(arguments: argparse.Namespace, threads: int) -> list[dict[str, object]]:
    """Measure networks with other numbers of hypotheses, and print that."""
    from ros_depthnet.engines.model import model_card
    from ros_depthnet.learning.hypotheses import hypotheses_speed

    name = model_card(arguments.model).name
    with tempfile.TemporaryDirectory(prefix='depthnet_bench_') as folder, Progress() as progress:
        found = hypotheses_speed(name, arguments.hypotheses, threads, arguments.seconds, Path(folder), progress)
    rows = [[f'{row.hypotheses}', f'{row.ms:.1f}', f'{row.times_fewest:.2f}'] for row in found]
    print(aligned([['\nhypotheses', 'ms', 'times the fewest'], *rows], words=0))
    return [vars(row) for row in found]


def _graph(arguments: argparse.Namespace, bare_hz: float) -> dict[str, object]:
    """Measure the nodes, and print that beside the rate of the estimator alone."""
    from ros_depthnet.ros.graph_bench import MISSING, graph_speed
    from ros_depthnet.ros.isolation import isolate

    isolate()
    with tempfile.TemporaryDirectory(prefix='depthnet_bench_') as logs, Progress() as progress:
        found = graph_speed(
            arguments.cameras[0],
            arguments.rates,
            2 * arguments.seconds,
            Path(logs),
            progress,
            {'model': arguments.model},
        )
    rows = [*([found.at_highest] if found.at_highest else []), *found.at_rates]
    print(
        aligned(
            [
                ['\nimages/s', 'missing', 'depth/s', 'latency ms', 'p95', 'jitter', 'cores'],
                *(
                    [
                        f'{rated.rate_hz:.1f}',
                        f'{rated.missing:.0%}',
                        f'{rated.depth_hz:.1f}',
                        f'{rated.latency_p50_ms:.0f}',
                        f'{rated.latency_p95_ms:.0f}',
                        f'{rated.jitter_ms:.0f}',
                        f'{sum(rated.cpu.values()):.2f}',
                    ]
                    for rated in rows
                ),
            ],
            words=0,
        )
    )
    memory = ', '.join(f'{name} {megabytes:.0f}' for name, megabytes in found.memory_mb.items())
    print(
        f'The nodes take {found.highest_hz:.1f} images of {found.camera} a second with at most {MISSING:.0%} '
        f'missing, the estimator alone {bare_hz:.1f}. First depth {found.first_depth_s:.1f} s after the start; '
        f'memory in MB: {memory}.'
    )
    return {**dataclasses.asdict(found), 'bare_hz': round(bare_hz, 2)}


def _whole_numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(','))
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f'{text} must be positive whole numbers')
    return numbers


def _numbers(text: str) -> tuple[float, ...]:
    numbers = tuple(float(part) for part in text.split(','))
    if not all(0 < number < math.inf for number in numbers):
        raise argparse.ArgumentTypeError(f'{text} must be positive numbers')
    return numbers


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    sizes = re.findall(r'(?:^|,)([1-9]\d*)x([1-9]\d*)(?=,|$)', text)
    if len(sizes) != text.count(',') + 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no list of sizes such as 320x240,640x480.')
    return tuple((int(width), int(height)) for width, height in sizes)
