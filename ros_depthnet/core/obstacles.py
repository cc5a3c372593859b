"""What the drone could hit: boxes round clusters of near points, and the nearest distance per direction."""

import dataclasses
import itertools
import math
from dataclasses import dataclass

import numpy as np

from ros_depthnet.core.camera import Camera


@dataclass(frozen=True)
class ObstacleOptions:
    """
    What counts as an obstacle. Raises ValueError.

    max_distance: farther points are left out of boxes, metres. min_height, max_height: the band about the
    drone's own height where things are in its way, metres; it keeps the ground from being one endless
    obstacle.
    voxel_size: points in touching cubes of this edge belong together, metres. min_points: of a box. max_size:
    a longer cluster, such as a wall, is cut into pieces, metres. max_boxes: only the nearest so many.
    sectors: number of directions, spread over sector_angle, radians, centred ahead. nearest_rank: which
    nearest pixel of a sector counts, so that single wild pixels do not. min_free_share: share of a sector's
    pixels that must be known before it is called free.
    """

    max_distance: float = 15.0
    min_height: float = -1.0
    max_height: float = 1.0
    voxel_size: float = 0.4
    min_points: int = 30
    max_size: float = 4.0
    max_boxes: int = 32
    sectors: int = 18
    sector_angle: float = math.pi / 2
    nearest_rank: int = 8
    min_free_share: float = 0.5

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not field.name.endswith('height') and not getattr(self, field.name) > 0:
                raise ValueError(f'{field.name} must be positive, not {getattr(self, field.name)}.')
        if not self.min_height < self.max_height:
            raise ValueError(f'min_height ({self.min_height} m) is not below max_height ({self.max_height}).')


@dataclass(frozen=True, eq=False)
class Box:
    """A box: centre (3,) and size (3,), distance, all in metres, and its number of points."""

    centre: np.ndarray
    size: np.ndarray
    distance: float
    points: int

    @property
    def faces(self) -> np.ndarray:
        """Where its faces are along each axis, (2, 3): the low ones and the high ones."""
        return self.centre + np.outer((-0.5, 0.5), self.size)


def cluster_obstacles(points: np.ndarray, origin: np.ndarray, up: np.ndarray, options: ObstacleOptions) -> list[Box]:
    """
    Return the boxes of connected points, nearest first, in the frame of the points.

    points: (N, 3) metres; those not finite are left out. origin: (3,) the drone in that frame. up: (3,) unit
    vector, (0, 0, 1) in a level frame, (0, -1, 0) in the optical frame of a level camera.
    """
    offsets = points - np.asarray(origin, points.dtype)
    with np.errstate(invalid='ignore'):
        distances, heights = np.linalg.norm(offsets, axis=1), offsets @ np.asarray(up, points.dtype)
        near = (distances <= options.max_distance) & (heights >= options.min_height) & (heights <= options.max_height)
    points, distances = points[near], distances[near]
    if not len(points):
        return []
    cells, voxel_of_point = _voxels(points, options.voxel_size)
    clusters = _cut(_connected(cells), cells, options.max_size / options.voxel_size)[voxel_of_point]
    order = np.argsort(clusters, kind='stable')
    starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    low, high = np.minimum.reduceat(points[order], starts), np.maximum.reduceat(points[order], starts)
    nearest, counts = np.minimum.reduceat(distances[order], starts), np.diff(starts, append=len(order))
    kept = [i for i in np.argsort(nearest) if counts[i] >= options.min_points][: options.max_boxes]
    return [Box((low[i] + high[i]) / 2, high[i] - low[i], float(nearest[i]), int(counts[i])) for i in kept]


def _voxels(points: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the occupied cells (V, 3), in the order of their keys, and for each point its cell's index."""
    cells = np.floor(points / size).astype(np.int64)
    cells -= cells.min(axis=0)
    _, first, inverse = np.unique(_keys(cells, cells.max()), return_index=True, return_inverse=True)
    return cells[first], inverse


def _keys(cells: np.ndarray, most: int) -> np.ndarray:
    """Number the cells so that a step along an axis is the same difference everywhere, never wrapping."""
    width = most + 2
    return (cells[:, 0] * width + cells[:, 1]) * width + cells[:, 2]


def _connected(cells: np.ndarray) -> np.ndarray:
    """Return a label for each cell, equal for cells that touch, corners included, or are so linked."""
    most = cells.max()
    keys = _keys(cells, most)
    steps = np.array([step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0)])
    touching = keys + _keys(steps, most)[:, None]
    found = np.minimum(np.searchsorted(keys, touching), len(keys) - 1)
    step, a = np.nonzero(keys[found] == touching)
    b = found[step, a]
    labels = np.arange(len(keys))
    while (labels[a] != labels[b]).any():
        # Join the roots of each touching pair, then let every cell point at its root again.
        np.minimum.at(labels, np.maximum(labels[a], labels[b]), np.minimum(labels[a], labels[b]))
        while (labels != labels[labels]).any():
            labels = labels[labels]
    return labels


def _cut(labels: np.ndarray, cells: np.ndarray, most: float) -> np.ndarray:
    """Return labels of which none spans more than about `most` cells: equal parts of those that did."""
    _, labels = np.unique(labels, return_inverse=True)
    low, high = np.full((labels.max() + 1, 3), cells.max()), np.zeros((labels.max() + 1, 3), np.int64)
    np.minimum.at(low, labels, cells)
    np.maximum.at(high, labels, cells)
    extent = high - low + 1
    parts = np.ceil(extent / most)
    piece = ((cells - low[labels]) * (parts / extent)[labels]).astype(np.int64)
    _, pieces = np.unique(np.column_stack([labels, piece]), axis=0, return_inverse=True)
    return pieces.ravel()


def sector_distances(
    depth_hw: np.ndarray, camera: Camera, T_level_cam: np.ndarray, options: ObstacleOptions, farthest: float = math.inf
) -> np.ndarray:
    """
    Return the nearest horizontal distance in each sector, (sectors,) float32 metres, from right to left.

    T_level_cam: pose of the camera in a frame at the drone whose z is up and whose x is the way ahead. +Inf
    where the sector is free up to `farthest` metres and all of it in view, -Inf where something is too close
    to measure (REP-117), NaN where too little is known to say.
    """
    depth = depth_hw.ravel()
    finite = np.isfinite(depth)
    rays = camera.rays_hw3().reshape(-1, 3) @ T_level_cam[:3, :3].T.astype(np.float32)
    # A pixel without a point still has a direction.
    points = np.where(finite, depth, np.float32(1))[:, None] * rays
    points[finite] += T_level_cam[:3, 3].astype(np.float32)
    in_the_way = finite & (points[:, 2] >= options.min_height) & (points[:, 2] <= options.max_height)
    distances = np.where(np.isnan(depth) | (depth == -np.inf), depth, np.float32(np.inf))
    distances[in_the_way] = np.linalg.norm(points[in_the_way, :2], axis=1)

    azimuth = np.arctan2(points[:, 1], points[:, 0])
    sector = np.floor((azimuth / options.sector_angle + 0.5) * options.sectors).astype(np.int64)
    inside = (sector >= 0) & (sector < options.sectors)
    sector, distances = sector[inside], distances[inside]
    distances = distances[np.lexsort((distances, sector))]  # by sector, then by distance, NaN last
    looking = np.bincount(sector, minlength=options.sectors)
    rank = np.cumsum(looking) - looking + options.nearest_rank - 1
    known = np.bincount(np.sort(sector)[~np.isnan(distances)], minlength=options.sectors)
    nearest = np.append(distances, np.float32(np.nan))[np.minimum(rank, len(distances))]
    nearest[nearest > farthest] = np.inf
    too_few_to_be_free = np.isposinf(nearest) & (known < options.min_free_share * looking)
    hidden = np.isposinf(nearest) & ~_wholly_in_view(camera, T_level_cam, options)
    unknown = (known < options.nearest_rank) | too_few_to_be_free | hidden
    return np.where(unknown, np.float32(np.nan), nearest)


def _wholly_in_view(camera: Camera, T_level_cam: np.ndarray, options: ObstacleOptions) -> np.ndarray:
    """
    Return (sectors,) whether the picture reaches from border to border of a sector, at the drone's own height.

    What is far and in the way stands on the horizon: a camera that sees only the ground knows nothing of it.
    """
    borders = (np.arange(options.sectors + 1) / options.sectors - 0.5) * options.sector_angle
    middles = (borders[1:] + borders[:-1]) / 2  # a sector of half a circle and more is wider than any picture
    to_borders, to_middles = (_sees(camera, T_level_cam, azimuths) for azimuths in (borders, middles))
    return to_borders[1:] & to_middles & to_borders[:-1]


def _sees(camera: Camera, T_level_cam: np.ndarray, azimuths: np.ndarray) -> np.ndarray:
    """Return whether the picture, to the outer edges of its pixels, shows level directions, radians leftwards."""
    level = np.stack([np.cos(azimuths), np.sin(azimuths), np.zeros_like(azimuths)], axis=1)
    x, y, z = (level @ T_level_cam[:3, :3]).T
    ahead = z > 0
    z = np.where(ahead, z, 1.0)
    u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    rounding = 1e-6
    return (
        ahead
        & (np.abs(u - (camera.width - 1) / 2) <= camera.width / 2 + rounding)
        & (np.abs(v - (camera.height - 1) / 2) <= camera.height / 2 + rounding)
    )
