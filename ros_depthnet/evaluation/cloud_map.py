"""The clouds of a flight as one: voxels, what was seen once only left out, PLY files and a picture."""

from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.evaluation.pictures import UNKNOWN
from ros_depthnet.whole_files import write_file

_BITS = 21  # of each axis in a voxel's key: two million voxels along an axis
_SEEN_TWICE_FROM = 20  # clouds from which on a voxel must be in two of them, against wild points
_DOT = 0.1  # metres: edge of a point in the picture
_LAYERS = 40  # of points drawn after one another in the picture
_MERGE_AT = 2_000_000  # points waiting before they are merged, so memory stays bounded by the map


class CloudMap:
    """Gathers clouds of one frame into voxels."""

    def __init__(self, voxel_size: float = 0.1):
        """Use cubes of this edge, metres."""
        self._size = voxel_size
        self._clouds = 0
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._waiting = 0
        self._keys: np.ndarray = np.empty(0, np.int64)
        self._sums: np.ndarray = np.empty((0, 7))

    def add(self, points: np.ndarray, rgb: np.ndarray) -> None:
        """Add a cloud: points (N, 3) metres and colours (N, 3) uint8; points not finite are left out."""
        self._clouds += 1
        known = np.isfinite(points).all(1)
        points, rgb = points[known], rgb[known]
        if not len(points):
            return
        # One sample for each voxel and cloud, so that the seventh column counts clouds, not points.
        keys, first = np.unique(self._key(points), return_index=True)
        self._pending.append((keys, np.column_stack([points[first], rgb[first], np.ones(len(first))])))
        self._waiting += len(first)
        if self._waiting > _MERGE_AT:
            self._merge()

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the voxels' mean points (N, 3) float32 and colours (N, 3) uint8."""
        self._merge()
        means = self._sums[self._sums[:, 6] >= (2 if self._clouds >= _SEEN_TWICE_FROM else 1)]
        means = means / means[:, 6:]
        return means[:, :3].astype(np.float32), means[:, 3:6].round().astype(np.uint8)

    def _key(self, points: np.ndarray) -> np.ndarray:
        cells = np.floor(points / self._size).astype(np.int64) + (1 << _BITS - 1)
        return (cells[:, 0] << 2 * _BITS) + (cells[:, 1] << _BITS) + cells[:, 2]

    def _merge(self) -> None:
        keys = np.concatenate([self._keys, *(keys for keys, _ in self._pending)])
        sums = np.concatenate([self._sums, *(sums for _, sums in self._pending)])
        self._keys, voxel = np.unique(keys, return_inverse=True)
        self._sums = np.stack([np.bincount(voxel, column, len(self._keys)) for column in sums.T], -1)
        self._pending, self._waiting = [], 0


def write_ply(path: Path, points: np.ndarray, rgb: np.ndarray) -> None:
    """Write points (N, 3) metres with colours (N, 3) uint8 as binary little-endian PLY."""
    vertices = np.empty(len(points), [('xyz', '<f4', 3), ('rgb', 'u1', 3)])
    vertices['xyz'], vertices['rgb'] = points, rgb
    properties = [f'property float {axis}' for axis in 'xyz']
    properties += [f'property uchar {colour}' for colour in ('red', 'green', 'blue')]
    header = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(points)}', *properties, 'end_header']
    write_file(path, '\n'.join(header).encode('ascii') + b'\n' + vertices.tobytes())


def cloud_picture(
    points: np.ndarray, rgb: np.ndarray, T_world_cam: np.ndarray, width: int = 960, height: int = 540
) -> np.ndarray:
    """Draw a cloud as seen by a camera behind and above a pose of the flight, near points over far ones."""
    picture = np.full((height, width, 3), UNKNOWN, np.uint8)
    if not len(points):
        return picture
    T_cam_world = np.linalg.inv(T_world_cam @ _onlooker(points, T_world_cam))
    points_cam = points @ T_cam_world[:3, :3].T + T_cam_world[:3, 3]
    ahead = points_cam[:, 2] > 0.1
    points_cam, rgb = points_cam[ahead], rgb[ahead]
    order = np.argsort(-points_cam[:, 2])
    focal = 0.7 * width
    for chosen in np.array_split(order, _LAYERS):  # far to near, so that what is near hides what is far
        if not len(chosen):
            continue
        depths = points_cam[chosen, 2]
        x, y = (focal * points_cam[chosen, :2].T / depths).round().astype(int)
        side = int(np.clip(focal * _DOT / np.median(depths), 1, 9))
        for dy in range(side):
            for dx in range(side):
                column, row = x + width // 2 + dx - side // 2, y + height // 2 + dy - side // 2
                inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
                picture[row[inside], column[inside]] = rgb[chosen[inside]]
    return picture


def _onlooker(points: np.ndarray, T_world_cam: np.ndarray) -> np.ndarray:
    """Return the pose, in the camera's frame, of somebody a little behind and above it, looking down."""
    distance = float(np.median(np.linalg.norm(points - T_world_cam[:3, 3], axis=1)))
    T_cam_onlooker = np.eye(4)
    T_cam_onlooker[:3, :3] = cv2.Rodrigues(np.array([np.radians(-25.0), 0, 0]))[0]
    T_cam_onlooker[:3, 3] = [0, -0.45 * distance, -0.6 * distance]
    return T_cam_onlooker
