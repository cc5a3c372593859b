"""`depthnet view`: a flight, recorded or live, in a viewer: image, depth, deviation, cloud, obstacles, way."""

import argparse
from pathlib import Path

from ros_depthnet.cli.flight_options import (
    add_flight_arguments,
    estimator_options,
    intake_options,
    say_what_is_wrong,
)
from ros_depthnet.cli.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument('flight', type=Path, nargs='?', metavar='FLIGHT', help='a posed-sequence folder or a rosbag2')
    parser.add_argument('--model', default='default', help='a shipped model, or the path of one')
    parser.add_argument(
        '--save', type=Path, metavar='FILE', help='write an .rrd file, which `rerun FILE` shows, instead'
    )
    add_flight_arguments(parser)
    group = parser.add_argument_group('a running drone')
    group.add_argument('--live', action='store_true', help='show what the running nodes publish, until Ctrl-C')
    group.add_argument('--seconds', type=float, metavar='N', help='end after so many')
    group.add_argument('--namespace', default='', metavar='NS', help='of the drone, where there are several')


def run(arguments: argparse.Namespace) -> None:
    """Estimate every frame of a recording, or listen to running nodes, and show what comes."""
    if arguments.live == bool(arguments.flight):
        raise ValueError('Name a recorded flight, or --live to see what the running nodes publish.')
    from ros_depthnet.evaluation.viewer import Viewer

    with Progress() as progress:
        if arguments.live:
            from ros_depthnet.ros.live_view import show_live

            shown = show_live(Viewer('live', arguments.save), arguments.namespace, arguments.seconds, progress)
        else:
            shown = _show_recorded(arguments, progress)
    print(f'{shown} depth maps' + (f'; look at them with `rerun {arguments.save}`.' if arguments.save else ' shown.'))


def _show_recorded(arguments: argparse.Namespace, progress: Progress) -> int:
    import numpy as np

    from ros_depthnet.core.cloud import CloudOptions, make_cloud
    from ros_depthnet.core.obstacles import ObstacleOptions, cluster_obstacles
    from ros_depthnet.core.reasons import Drop
    from ros_depthnet.engines.model import load_model
    from ros_depthnet.engines.moving_model import load_moving_model
    from ros_depthnet.evaluation.viewer import Viewer
    from ros_depthnet.flight.doctor import examine
    from ros_depthnet.flight.movers import Movers
    from ros_depthnet.flight.recorded import recorded_frames
    from ros_depthnet.flight.session import Session
    from ros_depthnet.flight.upright import upright

    options = intake_options(arguments)
    say_what_is_wrong(examine(arguments.flight, options), arguments.force)
    session = Session(load_model(arguments.model), estimator_options(arguments), movers=Movers(load_moving_model))
    viewer, T_up_world, epoch, shown = Viewer(arguments.flight.resolve().name, arguments.save), None, 0, 0
    for recorded in recorded_frames(arguments.flight, lambda refusal: None, options):
        frame = recorded.frame
        if T_up_world is None:
            T_up_world = upright(frame.T_world_cam[np.newaxis])
        if recorded.epoch != epoch:
            epoch = recorded.epoch
            session.reset()
        estimate = session.add(frame, recorded.T_body_cam)
        if isinstance(estimate, Drop):
            continue
        T_up_cam = T_up_world @ frame.T_world_cam
        viewer.show(frame.stamp_ns, estimate.camera, T_up_cam, estimate.image, estimate.depth_hw, estimate.deviation_hw)
        seen = make_cloud(estimate.depth_hw, estimate.deviation_hw, None, estimate.camera, T_up_cam, CloudOptions())
        up = np.array([0.0, 0.0, 1.0])
        viewer.show_obstacles(frame.stamp_ns, cluster_obstacles(seen.points, T_up_cam[:3, 3], up, ObstacleOptions()))
        shown += 1
        progress(f'{shown} depth maps')
    return shown
