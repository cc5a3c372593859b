"""`depthnet render`: flights, training sets and contact sheets from random scenes."""

from __future__ import annotations

import argparse
import dataclasses
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from ros_depthnet.cli.progress import Progress
from ros_depthnet.worker_processes import worker_processes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the three products and their options."""
    from ros_depthnet.learning.still_box.options import FlightOptions, SensorOptions

    products = parser.add_subparsers(title='products', metavar='PRODUCT', required=True)
    flight = products.add_parser('flight', help='a posed sequence or rosbag2: a drone flies through one scene')
    flight.add_argument('out', type=Path, help='the folder to write')
    flight.add_argument('--bag', action='store_true', help='a rosbag2 with odometry, to play and to process')
    flight.add_argument('--odom-rate', type=float, default=50.0, help='odometry a second, in a bag (50)')
    flight.add_argument('--truth-every', type=int, default=1, help='every how many frames have depth (1)')
    flight.add_argument(
        '--jpeg', type=int, default=None, metavar='QUALITY', help='JPEG images of this quality, not in a bag'
    )
    _add_fields(flight, FlightOptions)
    sensor = flight.add_argument_group('what the sensors do to it, each off by default')
    _add_fields(sensor, SensorOptions)
    sensor.add_argument(
        '--pose-noise', metavar='DEGREES,PERCENT', help='error of the rotation, and of the way as drift'
    )
    flight.set_defaults(render=_flight)

    training_set = products.add_parser('set', help='short flights through many scenes, for `depthnet train`')
    training_set.add_argument('out', type=Path, help='the folder to fill; what is there already is kept')
    training_set.add_argument('--flights', type=int, default=4096, help='how many, rounded up to shards of 64 (4096)')
    training_set.add_argument('--seed', type=int, default=1, help='the set is a function of it (1)')
    training_set.add_argument('--workers', type=int, default=2, help='processes (2)')
    training_set.add_argument('--device', default='cpu', help='cpu or cuda (cpu)')
    training_set.add_argument(
        '--size', type=_size, default=(256, 192), metavar='WxH', help='of the images, pixels (256x192)'
    )
    training_set.add_argument(
        '--classic',
        type=int,
        metavar='PIXELS',
        help='the Still Box of the DepthNet paper, square images, 0.1 m a frame; for --config depthnet',
    )
    training_set.add_argument(
        '--scenes',
        type=_scenes,
        metavar='a,b,...',
        help='families of scenes, each as often as the others (the mix of docs/training.md)',
    )
    training_set.add_argument('--frames', type=int, metavar='N', help='of each flight (4); singleview needs 2')
    training_set.add_argument('--movers', type=int, metavar='N', help='things that move by themselves in each (0)')
    training_set.add_argument('--forward', type=float, metavar='SHARE', help='of flights along the optical axis (0.5)')
    training_set.add_argument(
        '--step-parallax',
        type=_range,
        metavar='LOW,HIGH',
        help='lateral parallax of the middle depth from frame to frame, pixels (0.6,22)',
    )
    training_set.add_argument(
        '--focal', type=_range, metavar='LOW,HIGH', help='focal length over the width of the image (0.5,1.15)'
    )
    training_set.set_defaults(render=_set)

    sheet = products.add_parser('sheet', help='one picture: scenes of every family with depth, normals and flow')
    sheet.add_argument('out', type=Path, help='the PNG to write')
    sheet.add_argument('--seed', type=int, default=0, help='which scenes (0)')
    sheet.set_defaults(render=_sheet)


def run(arguments: argparse.Namespace) -> None:
    """Render the product asked for."""
    arguments.render(arguments)


def _add_fields(group, kind: type) -> None:
    """Declare an option for each field of a dataclass."""
    for field in dataclasses.fields(kind):
        group.add_argument(
            f'--{field.name.replace("_", "-")}',
            type=type(field.default),
            default=field.default,
            choices=field.metadata['choices'],
            help=f'{field.metadata["help"]} ({field.default})',
        )


def _chosen(arguments, kind: type):
    return kind(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(kind)})


def _flight(arguments) -> None:
    from ros_depthnet.flight.posed_sequence import NewFrame
    from ros_depthnet.learning.still_box.flights import flight, frame_stamps
    from ros_depthnet.learning.still_box.options import FlightOptions, SensorOptions
    from ros_depthnet.learning.still_box.textures import shared_atlas

    options, sensor = _chosen(arguments, FlightOptions), _chosen(arguments, SensorOptions)
    number, with_truth = len(frame_stamps(options)), _with_truth(arguments, options)

    def frames():
        with Progress() as show:
            for index, moment in enumerate(flight(options, shared_atlas(), sensor=sensor)):
                show(f'frame {index + 1} of {number}')
                known = index in with_truth
                moving_hw = moment.moving_hw if known and options.something_moves else None
                yield NewFrame(moment.frame, moment.depth_hw if known else None, moving_hw)

    (_write_bag if arguments.bag else _write_sequence)(arguments, options, frames())
    print(f'{arguments.out}: {number} frames, {len(with_truth)} with depth')


def _with_truth(arguments, options) -> range:
    """Return the numbers of the frames that get depth."""
    return range(0, round(options.seconds * options.rate), arguments.truth_every)


def _write_sequence(arguments, options, frames) -> None:
    from ros_depthnet.flight.posed_sequence import write_posed_sequence
    from ros_depthnet.learning.still_box.flights import frame_stamps

    apart = max(1, round(0.3 * options.rate))
    track = _odometry(options, frame_stamps(options), arguments.pose_noise)
    write_posed_sequence(
        arguments.out,
        (
            dataclasses.replace(new, frame=dataclasses.replace(new.frame, T_world_cam=T_odom_cam))
            for new, T_odom_cam in zip(frames, track)
        ),
        [(i, i - apart) for i in _with_truth(arguments, options) if i >= apart],
        name=arguments.out.name,
        source=f'rendered by depthnet render flight, {options}',
        licence='Apache-2.0; textures from mvtb-data (MIT) and scikit-learn (CC BY 2.0)',
        kind=f'synthetic, {options.scene}, {options.speed:g} m/s',
        max_depth=80.0,
        depth_scale=0.005,
        jpeg_quality=arguments.jpeg,
    )


def _write_bag(arguments, options, frames) -> None:
    import numpy as np

    from ros_depthnet.learning.still_box.flights import frame_stamps
    from ros_depthnet.ros.bag_writing import Odometer, flight_events, write_bag

    stamps = np.arange(frame_stamps(options)[-1] * arguments.odom_rate + 2) / arguments.odom_rate
    track = _odometry(options, stamps, arguments.pose_noise)
    odometry = [Odometer(stamp_ns, T_odom_cam) for stamp_ns, T_odom_cam in zip(_nanoseconds(stamps), track)]
    moments = ((new.frame, new.depth_hw) for new in frames)
    write_bag(arguments.out, flight_events(moments, odometry))


def _nanoseconds(stamps) -> list[int]:
    return [round(t * 1e9) for t in stamps]


def _odometry(options, stamps, noise: str | None) -> list:
    """Return T_odom_cam at stamps (N,) in seconds, as far off as `noise` says."""
    from ros_depthnet.evaluation.pose_noise import PoseNoise
    from ros_depthnet.learning.still_box.flights import odom_poses

    poses = list(odom_poses(options, stamps))
    if noise:
        return dataclasses.replace(PoseNoise.parse(noise), seed=options.seed).of_poses(_nanoseconds(stamps), poses)
    return poses


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.split('x'))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text!r} is no size such as 256x192.') from error
    return width, height


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(','))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text!r} is no range such as 0.6,22.') from error
    if not 0 < low <= high:
        raise argparse.ArgumentTypeError(f'{text!r} is no range of positive numbers.')
    return low, high


def _scenes(text: str) -> dict:
    from ros_depthnet.learning.still_box.options import Preset

    names = text.split(',')
    try:
        return {Preset(name): 1 / len(names) for name in names}
    except ValueError as error:
        known = ', '.join(preset.value for preset in Preset)
        raise argparse.ArgumentTypeError(f'{error}; there are {known}.') from error


def _set_options(arguments):
    """Return SequenceOptions with what was asked for changed."""
    from ros_depthnet.learning.still_box.sequences import CLASSIC, SequenceOptions

    classic = arguments.classic
    width, height = (classic, classic) if classic else arguments.size
    chosen = {
        'presets': arguments.scenes,
        'frames': arguments.frames,
        'movers': arguments.movers,
        'forward': arguments.forward,
        'step_parallax': arguments.step_parallax,
        'focal': arguments.focal,
    }
    chosen = {name: value for name, value in chosen.items() if value is not None}
    usual = CLASSIC if classic else SequenceOptions()
    return dataclasses.replace(usual, width=width, height=height, **chosen)


def _shards(folder, seed, shards, options, device) -> None:
    import torch

    from ros_depthnet.learning.dataset import render_shards
    from ros_depthnet.learning.still_box.textures import shared_atlas

    torch.set_num_threads(1)
    render_shards(folder, seed, shards, options, shared_atlas(device), device)


def _set(arguments) -> None:
    from ros_depthnet.learning.dataset import SHARD, RenderedFlights

    shards = range(-(-arguments.flights // SHARD))
    options = _set_options(arguments)
    with Progress() as show, worker_processes(arguments.workers) as workers:
        ends = [
            workers.submit(
                _shards, arguments.out, arguments.seed, shards[i :: arguments.workers], options, arguments.device
            )
            for i in range(arguments.workers)
        ]
        while wait(ends, 2).not_done:
            done = len(list(arguments.out.glob('*.positions.npy')))
            show(f'{done * SHARD} of {len(shards) * SHARD} flights')
        try:
            for end in ends:
                end.result()
        except BrokenProcessPool as error:
            raise OSError('A rendering process stopped early; run the command again to go on.') from error
    print(f'{arguments.out}: {len(RenderedFlights.open(arguments.out))} flights')


def _sheet(arguments) -> None:
    import numpy as np

    from ros_depthnet.evaluation.pictures import save
    from ros_depthnet.learning.still_box.options import Preset
    from ros_depthnet.learning.still_box.sequences import SequenceOptions, random_rendering
    from ros_depthnet.learning.still_box.textures import shared_atlas

    rows = []
    for preset in Preset:
        options = SequenceOptions(frames=2, presets={preset: 1.0}, samples=4)
        seeds = [(arguments.seed, number) for number in range(4)]
        columns = [_strip(random_rendering(seed, shared_atlas(), options)[0]) for seed in seeds]
        rows.append(np.hstack(columns))
    save(arguments.out, np.vstack(rows))
    print(arguments.out)


def _strip(rendering):
    """Return image, depth, normals and flow of a rendering's first view, below each other."""
    import numpy as np

    from ros_depthnet.evaluation.pictures import depth_picture
    from ros_depthnet.learning.pictures import flow_picture, normal_picture
    from ros_depthnet.learning.still_box.truth import normals_cam, optical_flow

    image = (rendering.images[0].permute(1, 2, 0) * 255).byte().numpy()
    depth = rendering.depth[0].numpy()
    flow = optical_flow(rendering, 0, 1).numpy()
    return np.vstack(
        [
            image,
            depth_picture(depth, *np.percentile(depth[np.isfinite(depth)], (2, 90))),
            normal_picture(normals_cam(rendering, 0).numpy()),
            flow_picture(flow, np.nanpercentile(np.linalg.norm(flow, axis=-1), 98)),
        ]
    )
