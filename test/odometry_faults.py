"""
Faults of `ros/faults.py` without DDS, begun at many moments of the flight: how much depth is published, how much wrong.

`python test/odometry_faults.py [--silent] [NAME ...]` flies each fault of the odometry twelve times to and fro past the
wall, every image computed. `--silent`: the odometry tells no velocity.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent / folder) for folder in ('ros', '.', 'unit')]

from faults import CAMERA, CAMERA_HZ, ODOMETRY_HZ, Fault, Track, faults, is_right, shown, stamp  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from wall import texture, wall_image  # noqa: E402

from ros_depthnet.core.options import EstimatorOptions  # noqa: E402
from ros_depthnet.core.reasons import Drop, Refusal  # noqa: E402
from ros_depthnet.engines.model import load_model  # noqa: E402
from ros_depthnet.flight.intake import Intake, IntakeOptions  # noqa: E402
from ros_depthnet.flight.mounting import RecordedMounting, TransformTree  # noqa: E402
from ros_depthnet.flight.session import Session  # noqa: E402
from ros_depthnet.ros.conversions.camera_info import from_camera  # noqa: E402
from ros_depthnet.ros.conversions.image import from_rgb  # noqa: E402

NAMES = 'late', 'early', 'jumps', 'drifts', 'stuck', 'scaled'
PHASES_S = 0.3 + 16 / 12 * np.arange(12)
HEALTHY_S, FAULTY_S = 3.0, 3.0
ODOMETRY = 'nav_msgs/msg/Odometry'


def fly(fault: Fault, phase_s: float, model, surface, silent: bool) -> Counter:
    """Fly healthily, with the fault, and healthily; count what came of each image, and wrong depth as well."""
    options = IntakeOptions(camera_mounting='parameters')
    intake = Intake(options, RecordedMounting(TransformTree(()), options))
    intake.camera_info(from_camera(CAMERA, Header(frame_id='optical')))
    session, epoch, counts = Session(model, EstimatorOptions(max_sources=1, ranges=1)), 0, Counter()
    start_s, end_s = 100.0, 100.0 + 2 * HEALTHY_S + FAULTY_S
    track = Track(round((start_s - phase_s) * 1e9))
    moments = [(at, 'odometry') for at in np.arange(start_s, end_s, 1 / ODOMETRY_HZ)]
    moments += [(at, 'image') for at in np.arange(start_s + 0.01, end_s, 1 / CAMERA_HZ)]
    for at, kind in sorted(moments):
        now_ns, since = round(at * 1e9), at - start_s - HEALTHY_S
        faulty = fault if 0 <= since < FAULTY_S else Fault('', '')
        outcomes = intake.expire(at)
        if kind == 'odometry':
            message = track.odometry(now_ns, now_ns)
            if silent:
                message.twist.twist.linear.y = 0.0
            for spoilt in faulty.odometry(message, since):
                outcomes += intake.pose(spoilt, ODOMETRY)
        else:
            rgb = wall_image(CAMERA, track.x(now_ns)[0], surface)
            message = from_rgb(rgb, Header(stamp=stamp(now_ns), frame_id='optical'))
            for spoilt in faulty.images(message, since):
                outcomes += intake.image(spoilt, at)
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                counts[outcome.reason.value] += 1
                continue
            if outcome.epoch != epoch:
                epoch = outcome.epoch
                session.reset()
            frame = outcome.frame()
            result = session.add(frame, outcome.pose.T_body_cam)
            if isinstance(result, Drop):
                counts[result.value] += 1
            else:
                counts['depth'] += 1
                counts['wrong'] += not is_right(result.depth_hw, track.x(frame.stamp_ns)[0])
    return counts


def main() -> int:
    """Print a row for each fault; return 1 where depth was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('names', nargs='*', default=NAMES, metavar='NAME')
    parser.add_argument('--silent', action='store_true')
    options = parser.parse_args()
    model, surface, wrong = load_model('parallaxnet_small', threads=1), texture(), 0
    for name in options.names:
        counts = Counter()
        for phase_s in PHASES_S:
            fault = next(each for each in faults() if each.name == f'odometry {name}')
            counts += fly(fault, phase_s, model, surface, options.silent)
        depth, off = counts.pop('depth', 0), counts.pop('wrong', 0)
        print(f'| {name} | {depth} | {off} | {shown(counts)} |', flush=True)
        wrong += off
    return int(wrong > 0)


if __name__ == '__main__':
    sys.exit(main())
