"""`depthnet render`: flights, training sets and contact sheets from random scenes."""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
from pathlib import Path

from ros_depthnet.cli.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the three products and their options."""
    from ros_depthnet.learning.still_box.flights import FlightOptions
    from ros_depthnet.learning.still_box.scene import Preset

    products = parser.add_subparsers(title='products', metavar='PRODUCT', required=True)
    flight = products.add_parser('flight', help='a posed sequence: a drone flies through one scene')
    flight.add_argument('out', type=Path, help='the folder to write')
    for field in dataclasses.fields(FlightOptions):
        choices = ('park', *(preset.value for preset in Preset)) if field.name == 'scene' else None
        flight.add_argument(
            f'--{field.name.replace("_", "-")}',
            type=type(field.default),
            default=field.default,
            choices=choices,
            help=f'default {field.default}',
        )
    flight.add_argument(
        '--truth-every', type=int, default=1, help='every how many frames depth is written (1)'
    )
    flight.add_argument(
        '--jpeg', type=int, default=None, metavar='QUALITY', help='JPEG images of this quality'
    )
    flight.set_defaults(render=_flight)

    training_set = products.add_parser('set', help='short flights through many scenes, for `depthnet train`')
    training_set.add_argument('out', type=Path, help='the folder to fill; what is there already is kept')
    training_set.add_argument(
        '--flights', type=int, default=4096, help='how many, rounded up to shards of 64 (4096)'
    )
    training_set.add_argument('--seed', type=int, default=1, help='the set is a function of it (1)')
    training_set.add_argument('--workers', type=int, default=2, help='processes (2)')
    training_set.add_argument(
        '--classic',
        type=int,
        metavar='PIXELS',
        help='the Still Box of the DepthNet paper, square images, 0.1 m a frame; for --recipe depthnet',
    )
    training_set.set_defaults(render=_set)

    sheet = products.add_parser('sheet', help='one picture with scenes of every preset, to look at')
    sheet.add_argument('out', type=Path, help='the PNG to write')
    sheet.add_argument('--seed', type=int, default=0, help='which scenes (0)')
    sheet.set_defaults(render=_sheet)


def run(arguments: argparse.Namespace) -> None:
    """Render the product asked for."""
    arguments.render(arguments)


def _flight(arguments) -> None:
    from ros_depthnet.evaluation.posed_sequence import NewFrame, write_posed_sequence
    from ros_depthnet.learning.still_box.flights import FlightOptions, flight
    from ros_depthnet.learning.still_box.textures import shared_atlas

    options = FlightOptions(**{f.name: getattr(arguments, f.name) for f in dataclasses.fields(FlightOptions)})
    number = round(options.seconds * options.rate)
    with_truth = range(0, number, arguments.truth_every)

    def frames():
        with Progress() as show:
            for index, moment in enumerate(flight(options, shared_atlas())):
                show(f'frame {index + 1} of {number}')
                yield NewFrame(moment.frame, moment.depth_hw if index in with_truth else None)

    apart = max(1, round(0.3 * options.rate))
    write_posed_sequence(
        arguments.out,
        frames(),
        [(i, i - apart) for i in with_truth if i >= apart],
        name=arguments.out.name,
        source=f'rendered by depthnet render flight, {options}',
        licence='Apache-2.0; textures from mvtb-data (MIT) and scikit-learn (CC BY 2.0)',
        kind=f'synthetic, {options.scene}, {options.speed:g} m/s',
        max_depth=80.0,
        depth_scale=0.005,
        jpeg_quality=arguments.jpeg,
    )
    print(f'{arguments.out}: {number} frames, {len(with_truth)} with depth')


def _shards(folder, seed, shards, classic) -> None:
    import torch

    from ros_depthnet.learning.dataset import render_shards
    from ros_depthnet.learning.still_box.sequences import CLASSIC, SequenceOptions
    from ros_depthnet.learning.still_box.textures import shared_atlas

    torch.set_num_threads(1)
    options = dataclasses.replace(CLASSIC, width=classic, height=classic) if classic else SequenceOptions()
    render_shards(folder, seed, shards, options, shared_atlas())


def _set(arguments) -> None:
    from ros_depthnet.learning.dataset import SHARD, RenderedFlights

    shards = range(-(-arguments.flights // SHARD))
    context = multiprocessing.get_context('spawn')
    workers = [
        context.Process(
            target=_shards,
            args=(arguments.out, arguments.seed, shards[i :: arguments.workers], arguments.classic),
        )
        for i in range(arguments.workers)
    ]
    for worker in workers:
        worker.start()
    with Progress() as show:
        while any(worker.is_alive() for worker in workers):
            done = len(list(arguments.out.glob('*.positions.npy')))
            show(f'{done * SHARD} of {len(shards) * SHARD} flights')
            workers[0].join(2)
            for worker in workers[1:]:
                worker.join(0)
    if any(worker.exitcode for worker in workers):
        raise OSError('A rendering process stopped early; run the command again to go on.')
    print(f'{arguments.out}: {len(RenderedFlights.open(arguments.out))} flights')


def _sheet(arguments) -> None:
    import cv2
    import numpy as np

    from ros_depthnet.evaluation.pictures import depth_picture
    from ros_depthnet.learning.still_box.scene import Preset
    from ros_depthnet.learning.still_box.sequences import SequenceOptions, random_sequence
    from ros_depthnet.learning.still_box.textures import shared_atlas

    rows = []
    for preset in Preset:
        options = SequenceOptions(presets={preset: 1.0}, samples=4)
        flights = [random_sequence((arguments.seed, number), shared_atlas(), options) for number in range(4)]
        limits = [np.percentile(f.depth[0][np.isfinite(f.depth[0])], (2, 90)) for f in flights]
        depths = [depth_picture(f.depth[0], *limit) for f, limit in zip(flights, limits)]
        rows.append(np.hstack([np.vstack([f.images[0], depth]) for f, depth in zip(flights, depths)]))
    if not cv2.imwrite(str(arguments.out), np.vstack(rows)[..., ::-1]):
        raise OSError(f'{arguments.out} cannot be written.')
    print(arguments.out)
