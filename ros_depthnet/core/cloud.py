"""Points from a depth image: the ones that can be trusted, thinned, in the frame that is wanted."""

from dataclasses import dataclass

import numpy as np

from ros_depthnet.core.camera import Camera


@dataclass(frozen=True)
class CloudOptions:
    """
    Which pixels become points; raises ValueError for options that contradict each other.

    stride: every n-th pixel of every n-th row. voxel_size: one point, the mean, for each cube of this edge in
    metres; 0 keeps all. organised: keep rows and columns, NaN where there is no point. max_distance: depth
    beyond is left out, metres. max_relative_deviation: so is depth with a larger ratio of deviation to depth.
    """

    stride: int = 2
    voxel_size: float = 0.0
    organised: bool = False
    max_distance: float = 50.0
    max_relative_deviation: float = 0.2

    def __post_init__(self) -> None:
        if self.organised and self.voxel_size > 0:
            raise ValueError(
                'An organised cloud keeps its rows and columns: set voxel_size to 0, or organised to false.'
            )


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points in metres, (H, W, 3) if organised, else (N, 3), float32, and their colours, uint8, or None."""

    points: np.ndarray
    rgb: np.ndarray | None


def make_cloud(
    depth_hw: np.ndarray,
    deviation_hw: np.ndarray | None,
    rgb_hw3: np.ndarray | None,
    camera: Camera,
    T_out_cam: np.ndarray,
    options: CloudOptions,
) -> Cloud:
    """
    Return the trusted points of a depth image in frame "out".

    depth_hw, deviation_hw: metres; only finite depth counts, and where there is a deviation, only finite
    deviation. camera: of the depth image. T_out_cam: its pose.
    """
    if deviation_hw is not None:
        depth_hw = trusted_depth(depth_hw, deviation_hw, options.max_relative_deviation)
    grid = (slice(None, None, options.stride),) * 2
    points_cam = camera.back_project(depth_hw)[grid]
    with np.errstate(invalid='ignore'):
        trusted = (depth_hw[grid] > 0) & (depth_hw[grid] <= options.max_distance)
    rgb = None if rgb_hw3 is None else rgb_hw3[grid]
    if not options.organised:
        points_cam, rgb = points_cam[trusted], None if rgb is None else rgb[trusted]
    points = points_cam @ T_out_cam[:3, :3].T.astype(np.float32) + T_out_cam[:3, 3].astype(np.float32)
    if options.organised:
        points[~trusted] = np.nan
    elif options.voxel_size > 0:
        points, rgb = _voxel_means(points, rgb, options.voxel_size)
    return Cloud(points, rgb)


def trusted_depth(depth_hw: np.ndarray, deviation_hw: np.ndarray, max_relative_deviation: float) -> np.ndarray:
    """Return depth with NaN where it is finite but its deviation is unknown or too large for it."""
    with np.errstate(invalid='ignore'):
        known = deviation_hw <= max_relative_deviation * depth_hw
    return np.where(known | ~np.isfinite(depth_hw), depth_hw, np.float32(np.nan))


def _voxel_means(points: np.ndarray, rgb: np.ndarray | None, size: float) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the mean point, and the mean colour, of each cube of edge `size` that has any."""
    cells = np.floor(points / size).astype(np.int64)
    cells -= cells.min(axis=0, initial=0)
    extent = cells.max(axis=0, initial=0) + 1
    _, cell, counts = np.unique(
        (cells[:, 0] * extent[1] + cells[:, 1]) * extent[2] + cells[:, 2],
        return_inverse=True,
        return_counts=True,
    )

    def means(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(cell, column) for column in values.T], axis=-1) / counts[:, None]

    return means(points).astype(np.float32), None if rgb is None else np.rint(means(rgb)).astype(np.uint8)
