"""Recorded-like flights through a random scene: a smooth path, a camera that turns a little, exact depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.learning.still_box.park import park
from ros_depthnet.learning.still_box.render import render
from ros_depthnet.learning.still_box.scene import Preset, Scene, random_scene, rotation
from ros_depthnet.learning.still_box.textures import TextureAtlas

# The scene's x right, y down, z forward as the odometry frame's x forward, y left, z up (REP-103).
R_ODOM_SCENE = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


@dataclass(frozen=True)
class FlightOptions:
    """
    How to fly, and through what: `scene` is 'park', or a preset's name for the random one of `seed`.

    A flight of `seconds` at `speed` m/s weaves `weave` metres to both sides every `weave_length` metres. The
    camera looks along the path and sways by `sway` degrees, what a gimbal leaves. `heading` degrees lie
    between where it looks and where it flies: 90 flies to the right, 180 backwards. For the last `hover`
    seconds the drone stays where it is. `width`, `height` pixels;
    `field_of_view` degrees across; `rate` frames per second; `samples` rays a pixel.
    """

    scene: str = 'park'
    seed: int = 0
    seconds: float = 12.0
    speed: float = 2.0
    rate: float = 10.0
    weave: float = 0.6
    weave_length: float = 14.0
    sway: float = 0.6
    heading: float = 0.0
    hover: float = 0.0
    width: int = 384
    height: int = 288
    field_of_view: float = 80.0
    samples: int = 6

    @property
    def camera(self) -> Camera:
        """Return the pinhole of the flight."""
        focal = self.width / 2 / np.tan(np.radians(self.field_of_view) / 2)
        return Camera(self.width, self.height, focal, focal, (self.width - 1) / 2, (self.height - 1) / 2)


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame of the flight, posed in the odometry frame, and its depth (H, W) metres, +Inf for sky."""

    frame: Frame
    depth_hw: np.ndarray


def scene_poses(options: FlightOptions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return stamps (N,) s, positions (N, 3) metres and R_scene_cam (N, 3, 3) along the path."""
    stamps = np.arange(round(options.seconds * options.rate)) / options.rate
    along = options.speed * np.minimum(stamps, options.seconds - options.hover)
    turn = 2 * np.pi / options.weave_length
    positions = np.stack([options.weave * np.sin(turn * along), 0.15 * np.sin(0.7 * turn * along), along], 1)
    path = np.arctan(options.weave * turn * np.cos(turn * along))
    sway = np.radians(options.sway)
    rotations = [
        rotation(yaw, sway * np.sin(2.1 * t + 1), sway * np.sin(1.3 * t))
        for yaw, t in zip(0.5 * path - np.radians(options.heading), stamps)
    ]
    return stamps, positions, np.array(rotations)


def _scene(options: FlightOptions, atlas: TextureAtlas, device) -> Scene:
    if options.scene == 'park':
        return park(atlas, device)
    return random_scene(
        Preset(options.scene), np.random.default_rng(options.seed), atlas.count, device=device
    )


def flight(options: FlightOptions, atlas: TextureAtlas, device='cpu') -> Iterator[Moment]:
    """Yield the moments of a flight."""
    scene = _scene(options, atlas, device)
    camera = options.camera
    K = torch.tensor(camera.K, dtype=torch.float32, device=device)
    for stamp, position, R_scene_cam in zip(*scene_poses(options)):
        rendering = render(
            scene,
            atlas,
            K,
            camera.height,
            camera.width,
            torch.tensor(position[None], dtype=torch.float32, device=device),
            torch.tensor(R_scene_cam[None], dtype=torch.float32, device=device),
            options.samples,
        )
        image = (rendering.images[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
        T_odom_cam = np.eye(4)
        T_odom_cam[:3, :3] = R_ODOM_SCENE @ R_scene_cam
        T_odom_cam[:3, 3] = R_ODOM_SCENE @ position
        yield Moment(Frame(round(stamp * 1e9), image, camera, T_odom_cam), rendering.depth[0].cpu().numpy())
