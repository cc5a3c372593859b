"""Recorded-like flights through a random scene: a smooth path, a camera that turns a little, exact depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.learning.still_box.options import IDEAL, PARK, FlightOptions, Preset, SensorOptions
from ros_depthnet.learning.still_box.park import park
from ros_depthnet.learning.still_box.raycast import Kind, inside
from ros_depthnet.learning.still_box.render import render
from ros_depthnet.learning.still_box.scene import (
    ANY_SOLID,
    Scene,
    SceneBuilder,
    random_rotation,
    random_scene,
    rotation,
)
from ros_depthnet.learning.still_box.sensor import Sensor
from ros_depthnet.learning.still_box.textures import TextureAtlas
from ros_depthnet.learning.still_box.truth import moving

# The scene's x right, y down, z forward as the odometry frame's x forward, y left, z up (REP-103).
R_ODOM_SCENE = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


_TRIES = 50
_PERSON = 0.25, 0.85, 0.25  # half extents, metres
_AHEAD = 5.0  # metres, at which it crosses
_CLEARANCE = 0.05  # metres between the path and everything


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """
    A frame of the flight, posed in the odometry frame, and its truth.

    `depth_hw` (H, W) metres, +Inf for sky; `moving_hw` (H, W) bool, where something moves by itself.
    """

    frame: Frame
    depth_hw: np.ndarray
    moving_hw: np.ndarray


def pinhole(options: FlightOptions) -> Camera:
    """Return the camera of a flight."""
    focal = options.width / 2 / np.tan(np.radians(options.field_of_view) / 2)
    centre = (options.width - 1) / 2, (options.height - 1) / 2
    return Camera(options.width, options.height, focal, focal, *centre)


def frame_stamps(options: FlightOptions) -> np.ndarray:
    """Return when frames are taken, (N,) seconds from the start."""
    return np.arange(round(options.seconds * options.rate)) / options.rate


def scene_poses(options: FlightOptions, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (N, 3) metres and R_scene_cam (N, 3, 3) along the path at `stamps` (N,) seconds."""
    flown = np.minimum(stamps, options.seconds - options.hover) if options.hover else stamps
    along = options.speed * flown
    turned = options.turn * (stamps - flown) / options.hover if options.hover else np.zeros(len(stamps))
    turn = 2 * np.pi / options.weave_length
    positions = np.stack([options.weave * np.sin(turn * along), 0.15 * np.sin(0.7 * turn * along), along], 1)
    path = np.arctan(options.weave * turn * np.cos(turn * along))
    sway = np.radians(options.sway)
    rotations = [
        rotation(yaw, sway * np.sin(2.1 * t + 1), sway * np.sin(1.3 * t))
        for yaw, t in zip(0.5 * path - np.radians(options.heading + turned), stamps)
    ]
    return positions, np.array(rotations)


def odom_poses(options: FlightOptions, stamps: np.ndarray) -> list[np.ndarray]:
    """Return T_odom_cam (4, 4) at `stamps` (N,) seconds, exactly on the path."""
    return [
        motion.pose(R_ODOM_SCENE @ R_scene_cam, R_ODOM_SCENE @ position)
        for position, R_scene_cam in zip(*scene_poses(options, stamps))
    ]


def _scene(options: FlightOptions, atlas: TextureAtlas, device) -> Scene:
    """Return the first scene of the seed through which the way is free, with what moves in it."""
    stamps = np.arange(0, options.seconds, 0.02)
    positions, rotations = scene_poses(options, stamps)
    rng = np.random.default_rng(options.seed)
    if options.scene == PARK:
        return _with_movers(park(atlas, device), options, atlas, stamps, positions, rotations)
    path = torch.tensor(positions, dtype=torch.float32, device=device)
    times = torch.zeros(len(path), device=device)
    for _ in range(_TRIES):
        scene = random_scene(Preset(options.scene), rng, atlas.count, device=device)
        within = inside(scene.solids, path, times, _CLEARANCE)
        if (within == within[:1]).all():
            return _with_movers(scene, options, atlas, stamps, positions, rotations)
    raise ValueError(
        f'None of {_TRIES} scenes of the family {options.scene} leaves {options.seconds * options.speed:g} m '
        'free: fly for fewer seconds, slower, or elsewhere.'
    )


def _with_movers(scene: Scene, options: FlightOptions, atlas, stamps, positions, rotations) -> Scene:
    """Return the scene with solids that cross the view at constant velocity, through whatever is there."""
    if not options.something_moves:
        return scene
    rng = np.random.default_rng((options.seed, 2))
    builder, velocities = SceneBuilder(rng, atlas.count, textured=0.7), []
    for _ in range(options.movers):
        size = np.exp(rng.uniform(np.log(0.15), np.log(0.6), 3))
        start, velocity = _way_past(rng, stamps, positions, rotations, 1.0 + size.max())
        builder.add(rng.choice(ANY_SOLID), start, size, random_rotation(rng))
        velocities.append(velocity)
    if options.crossing:
        half_way = len(stamps) // 2
        velocity = options.crossing * rotations[half_way][:, 0] * (1, 0, 1)
        place = positions[half_way] + rotations[half_way] @ (0, 0, _AHEAD)
        builder.add(Kind.ELLIPSOID, place - velocity * stamps[half_way], _PERSON, textured=True)
        velocities.append(velocity)
    solids, surface = builder.placed(scene.light.towards.device, velocities)
    return Scene(scene.solids + solids, scene.surface + surface, scene.light)


def _way_past(rng, stamps, positions, rotations, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw a place at time 0 and a velocity that come into view and never nearer than `distance` metres."""
    for _ in range(_TRIES):
        meeting, ahead = rng.integers(len(stamps)), rng.uniform(4, 10)
        place_cam = rng.uniform(-0.4, 0.4) * ahead, rng.uniform(-0.8, 0.5), ahead
        place = positions[meeting] + rotations[meeting] @ place_cam
        angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 2.5)
        velocity = speed * np.array([np.cos(angle), 0, np.sin(angle)])
        start = place - velocity * stamps[meeting]
        ways = start + velocity * stamps[:, None] - positions
        if np.linalg.norm(ways, axis=1).min() > distance:
            return start, velocity
    raise RuntimeError(f'No way past the camera in {_TRIES} tries: take another seed.')


def flight(
    options: FlightOptions, atlas: TextureAtlas, device='cpu', sensor: SensorOptions = IDEAL
) -> Iterator[RenderedFrame]:
    """Yield the moments of a flight."""
    scene = _scene(options, atlas, device)
    camera, taker = pinhole(options), Sensor(sensor, options.rate, options.seed)
    K = torch.tensor(camera.K, dtype=torch.float32, device=device)
    stamps = frame_stamps(options)

    def tensor(rows):
        return torch.tensor(rows, dtype=torch.float32, device=device)

    poses = zip(stamps, *scene_poses(options, stamps), odom_poses(options, stamps))
    for stamp, position, R_scene_cam, T_odom_cam in poses:
        rendering = render(
            scene,
            atlas,
            K,
            camera.height,
            camera.width,
            tensor(position[None]),
            tensor(R_scene_cam[None]),
            options.samples,
            tensor([stamp]),
        )
        yield RenderedFrame(
            Frame(
                round(stamp * 1e9),
                taker.take(rendering.images[0].permute(1, 2, 0).cpu().numpy()),
                camera,
                T_odom_cam,
            ),
            rendering.depth[0].cpu().numpy(),
            moving(rendering, 0).cpu().numpy(),
        )
