"""`depthnet export`: a trained network as ONNX with its card, checked against torch."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is exported and what its card says."""
    parser.add_argument('--config', default='parallaxnet', help='recipe it was trained by (parallaxnet)')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--run', type=Path, dest='training_run', help='folder of the training run')
    what.add_argument(
        '--whole',
        metavar='MODEL',
        help='instead, an exported parallaxnet with all that comes before and after it, as one graph for GPUs: '
        'images, camera and odometry in, depth and deviation out (docs/gpu.md)',
    )
    parser.add_argument('--out', type=Path, required=True, help='the .onnx to write; its card gets the same name')
    parser.add_argument('--score', type=Path, nargs='*', default=[], metavar='SET', help='posed sequences for the card')
    parser.add_argument(
        '--split', type=Path, metavar='SET', help='rendered set, never trained on, to score every stage on'
    )
    parser.add_argument(
        '--held-out',
        type=Path,
        metavar='SET',
        help='another one, on which to score the model as it is used, having calibrated its deviation',
    )
    parser.add_argument(
        '--blend',
        type=_blend,
        metavar='WEIGHTS,SHARE',
        help="take a share of the run's weights, the rest from the checkpoint or model it began with",
    )
    parser.add_argument('--contrast-floor', type=float, help='of parallaxnet, if not the one it was trained with')


def _blend(text: str):
    path, _, share = text.rpartition(',')
    try:
        return Path(path), float(share)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text!r} is no WEIGHTS,SHARE such as last.pt,0.5.') from error


def run(arguments: argparse.Namespace) -> None:
    """Export, check, score and write the card; or write a whole graph."""
    if arguments.whole:
        from ros_depthnet.engines.model import load_model
        from ros_depthnet.engines.whole_graph import write_whole

        write_whole(load_model(arguments.whole, 'cpu').card, arguments.out)
        print(f'{arguments.out}: images, camera and odometry in, depth and its deviation out.')
        return
    from ros_depthnet.learning.run_export import Blend, export_run

    card, difference = export_run(
        arguments.training_run,
        arguments.config,
        arguments.out,
        arguments.score,
        split=arguments.split,
        held_out=arguments.held_out,
        blend=Blend(*arguments.blend) if arguments.blend else None,
        contrast_floor=arguments.contrast_floor,
    )
    print(f'{arguments.out}: torch and ONNX Runtime differ by at most {difference:.1e}; card {card}')
