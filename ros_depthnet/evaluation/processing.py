"""A flight through the estimator alone: as fast as it goes, every frame, no ROS."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ros_depthnet.core.cloud import CloudOptions, make_cloud
from ros_depthnet.core.contours import thinned
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.measurer import Estimate
from ros_depthnet.core.obstacles import ObstacleOptions, cluster_obstacles
from ros_depthnet.core.reasons import Drop
from ros_depthnet.engines.contour_model import ContourModel
from ros_depthnet.evaluation.cloud_map import CloudMap
from ros_depthnet.evaluation.moments import Moments
from ros_depthnet.flight.diagnosis import Finding
from ros_depthnet.flight.pictures import write_picture
from ros_depthnet.flight.recorded import RecordedFrame
from ros_depthnet.flight.session import Session

FOLDERS = ('depth', 'deviation', 'origin')
CONTOURS = 'contours'


@dataclass(frozen=True, eq=False)
class Processed:
    """What came of a flight; `estimator_seconds` is what the estimator alone took."""

    moments: Moments
    cloud: CloudMap
    frames: int
    dropped: dict[str, int]
    contradictions: tuple[str, ...]
    flight_seconds: float
    estimator_seconds: float


def process_flight(
    frames: Iterable[RecordedFrame],
    session: Session,
    out: Path,
    moments: Moments,
    progress: Callable[[str], None],
    contour_model: ContourModel | None = None,
) -> Processed:
    """
    Estimate every frame; write `out`/FOLDER/STAMP.png, keep the rest.

    Depth and deviation are uint16 millimetres, origin is what `Estimate.origin_hw` has. With a contour_model, also
    `out`/contours/STAMP.png: lines, probability times 255.
    """
    cloud, seconds, epoch = CloudMap(), 0.0, 0
    stamps_ns: list[int] = []
    dropped: Counter[str] = Counter()
    findings: dict[str, Finding] = {}
    for recorded in frames:
        frame = recorded.frame
        stamps_ns.append(frame.stamp_ns)
        started = time.perf_counter()
        if recorded.epoch != epoch:
            epoch = recorded.epoch
            session.reset()
        estimate = session.add(frame, recorded.T_body_cam)
        seconds += time.perf_counter() - started
        compared = len(stamps_ns) - 1  # the first costs nothing
        progress(f'frame {len(stamps_ns)}, {compared / seconds:.1f} frames/s')
        if session.finding:
            findings.setdefault(session.finding.sentence, session.finding)
        if isinstance(estimate, Drop):
            dropped[estimate.value] += 1
            continue
        pictures = millimetres(estimate.depth_hw), millimetres(estimate.deviation_hw), estimate.origin_hw
        for part, picture in zip(FOLDERS, pictures, strict=True):
            write_picture(out / part / f'{frame.stamp_ns:019d}.png', picture)
        if contour_model:
            lines = np.rint(255 * thinned(contour_model.contours(estimate.image))).astype(np.uint8)
            write_picture(out / CONTOURS / f'{frame.stamp_ns:019d}.png', lines)
        _keep(moments, cloud, frame, estimate)
    flight_seconds = (max(stamps_ns) - min(stamps_ns)) / 1e9 if stamps_ns else 0.0
    return Processed(moments, cloud, len(stamps_ns), dict(dropped), tuple(findings), flight_seconds, seconds)


def millimetres(metres: np.ndarray) -> np.ndarray:
    """Return metres as uint16 millimetres, 0 where unknown, out of range or from 65.535 m on (REP-118)."""
    with np.errstate(invalid='ignore'):
        known = (metres > 0) & (metres < 65.535)
    return np.rint(np.where(known, metres, 0) * 1000).astype(np.uint16)


def _keep(moments: Moments, cloud: CloudMap, frame: Frame, estimate: Estimate) -> None:
    stamp_ns, T_world_cam = frame.stamp_ns, frame.T_world_cam
    seen = make_cloud(
        estimate.depth_hw, estimate.deviation_hw, estimate.image, estimate.camera, T_world_cam, CloudOptions()
    )
    assert seen.rgb is not None  # as the image is given
    cloud.add(seen.points, seen.rgb)
    # The world of a recording need not be level; the camera's own up is near enough for a picture.
    boxes = cluster_obstacles(seen.points, T_world_cam[:3, 3], -T_world_cam[:3, 1], ObstacleOptions())
    moments.add_image(stamp_ns, frame.image)
    moments.add_camera(stamp_ns, estimate.camera)
    moments.add_depth(stamp_ns, estimate.depth_hw)
    moments.add_deviation(stamp_ns, estimate.deviation_hw)
    moments.add_pose(stamp_ns, T_world_cam)
    moments.add_boxes(stamp_ns, tuple(boxes))
