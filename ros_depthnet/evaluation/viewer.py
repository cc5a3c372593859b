"""A flight in Rerun, an established viewer: image, depth, deviation, cloud, obstacles and the way flown."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rerun as rr
import rerun.blueprint as rrb

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.cloud import CloudOptions, make_cloud
from ros_depthnet.core.obstacles import Box
from ros_depthnet.evaluation.pictures import depth_picture, deviation_picture

_COLOURS = (1.0, 40.0)  # metres, from red to blue
_CLOUD = CloudOptions(stride=3, max_distance=40.0)
_KEPT_S = 3.0  # seconds of clouds that are shown at once
_JPEG = 85


class Viewer:
    """Shows moments of a flight at their time, in a window of its own or in a file that the viewer opens."""

    def __init__(self, name: str, file: Path | None = None):
        """Open the window, or the file where one is named."""
        rr.init('depthnet', recording_id=None)
        if file:
            rr.save(file)
        else:
            rr.spawn(memory_limit='2GB')
        rr.send_blueprint(_blueprint(name))
        rr.log('world', rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        self._way: list[np.ndarray] = []

    def show(
        self,
        stamp_ns: int,
        camera: Camera,
        T_world_cam: np.ndarray,
        image: np.ndarray | None,
        depth_hw: np.ndarray,
        deviation_hw: np.ndarray | None,
    ) -> None:
        """
        Show depth with what belongs to it.

        T_world_cam: (4, 4), of a world with z up. image: (H, W, 3) uint8 RGB. depth_hw, deviation_hw: metres.
        """
        rr.set_time('flight', duration=stamp_ns / 1e9)
        rr.log('depth', rr.Image(depth_picture(depth_hw, *_COLOURS)).compress(jpeg_quality=_JPEG))
        if deviation_hw is not None:
            rr.log('deviation', rr.Image(deviation_picture(deviation_hw, depth_hw)).compress(jpeg_quality=_JPEG))
        rr.log('world/camera', rr.Transform3D(translation=T_world_cam[:3, 3], mat3x3=T_world_cam[:3, :3]))
        rr.log(
            'world/camera/image',
            rr.Pinhole(
                focal_length=(camera.fx, camera.fy),
                principal_point=(camera.cx, camera.cy),
                width=camera.width,
                height=camera.height,
                camera_xyz=rr.ViewCoordinates.RDF,
                image_plane_distance=1.0,
            ),
        )
        if image is not None:
            rr.log('world/camera/image', rr.Image(image).compress(jpeg_quality=_JPEG))
        cloud = make_cloud(depth_hw, deviation_hw, image, camera, T_world_cam, _CLOUD)
        rr.log('world/points', rr.Points3D(cloud.points, colors=cloud.rgb, radii=rr.Radius.ui_points(1.5)))
        self._way.append(T_world_cam[:3, 3])
        rr.log('world/way', rr.LineStrips3D([self._way], colors=[90, 200, 250]))

    def show_obstacles(self, stamp_ns: int, boxes: Sequence[Box]) -> None:
        """Show boxes (world frame) with their distances."""
        rr.set_time('flight', duration=stamp_ns / 1e9)
        rr.log(
            'world/obstacles',
            rr.Boxes3D(
                centers=[box.centre for box in boxes],
                sizes=[box.size for box in boxes],
                labels=[f'{box.distance:.1f} m' for box in boxes],
                colors=[255, 90, 60],
            ),
        )


def _blueprint(name: str) -> rrb.Blueprint:
    recent = rrb.VisibleTimeRanges(
        timeline='flight',
        start=rr.TimeRangeBoundary.cursor_relative(seconds=-_KEPT_S),
        end=rr.TimeRangeBoundary.cursor_relative(),
    )
    world = rrb.Spatial3DView(origin='world', name=name, overrides={'world/points': recent})
    pictures = [
        rrb.Spatial2DView(origin='world/camera/image', contents='$origin/**', name='Image'),
        rrb.Spatial2DView(origin='depth', name='Depth: red is near, grey unknown'),
        rrb.Spatial2DView(origin='deviation', name='Deviation: bright is unsure'),
    ]
    return rrb.Blueprint(rrb.Horizontal(world, rrb.Vertical(*pictures), column_shares=[2, 1]), collapse_panels=True)
