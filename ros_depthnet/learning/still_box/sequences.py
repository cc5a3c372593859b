"""Short flights through random scenes: what a network is trained on, each decided by a seed alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from ros_depthnet.learning.still_box.options import Preset
from ros_depthnet.learning.still_box.raycast import inside
from ros_depthnet.learning.still_box.render import Rendering, render
from ros_depthnet.learning.still_box.scene import (
    ANY_SOLID,
    Scene,
    SceneBuilder,
    random_rotation,
    random_scene,
    rotation,
)
from ros_depthnet.learning.still_box.textures import TextureAtlas

_PROBE = 8
_TRIES = 20


@dataclass(frozen=True)
class SequenceOptions:
    """
    What to draw flights from.

    `width`, `height`: pixels; `focal`: focal length over the width, (low, high); `step_parallax`: the
    lateral parallax of the scene's median depth between neighbouring frames, pixels, (low, high);
    `step_metres`: travel between neighbouring frames instead of that, whatever the scene's depth.

    `forward` is the share of flights along the optical axis, give or take 15 degrees; of the rest the share
    `sideways` go across it, the others anywhere. `textured` is the share of solids that are not plain.
    `turned`: the camera is pitched and rolled a little against
    the scene. `movers`: how many things move by themselves, by 1 to 6 pixels from frame to frame.
    """

    width: int = 256
    height: int = 192
    frames: int = 4
    presets: dict = field(
        default_factory=lambda: {
            Preset.BOXES: 0.28,
            Preset.ROOM: 0.22,
            Preset.CORRIDOR: 0.14,
            Preset.FOREST: 0.2,
            Preset.STREET: 0.16,
        }
    )
    focal: tuple[float, float] = (0.5, 1.15)
    step_parallax: tuple[float, float] = (0.6, 22.0)
    step_metres: float | None = None
    forward: float = 0.5
    sideways: float = 0.5
    textured: float = 0.85
    turned: bool = True
    samples: int = 2
    movers: int = 0

    def __post_init__(self):
        for name in ('forward', 'sideways', 'textured'):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'{name} is a share from 0 to 1, not {getattr(self, name):g}.')


CLASSIC = SequenceOptions(
    width=128,
    height=128,
    frames=7,
    presets={Preset.STILL_BOX: 1.0},
    focal=(0.5, 0.5),
    step_metres=0.1,
    forward=0.0,
    sideways=0.0,
    textured=0.5,
    samples=1,
)
"""Pinard 2017a: 90 degrees of view, 0.1 m a frame in any direction, pairs up to six frames apart."""


@dataclass(frozen=True, eq=False)
class Sequence:
    """
    F frames of a straight flight without rotation.

    `images` (F, H, W, 3) uint8 RGB; `depth` (F, H, W) float32 metres, +Inf for sky; `intrinsics` (4,) fx,
    fy, cx, cy pixels; `positions` (F, 3) of the camera in its own optical axes, metres.
    """

    images: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    positions: np.ndarray

    @property
    def T_world_cam(self) -> np.ndarray:
        """Return the poses (F, 4, 4), metres."""
        T_world_cam = np.tile(np.eye(4), (len(self.positions), 1, 1))
        T_world_cam[:, :3, 3] = self.positions
        return T_world_cam


def _direction(rng: np.random.Generator, forward: float, sideways: float) -> np.ndarray:
    draw = rng.random()
    if draw < forward:
        d = np.array([0, 0, 1.0]) + rng.normal(0, 0.15, 3) * (1, 1, 0)
    elif draw < forward + (1 - forward) * sideways:
        angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.4 else rng.choice([0, np.pi])
        d = np.array([np.cos(angle), np.sin(angle), rng.normal(0, 0.12)])
    else:
        d = rng.normal(size=3)
    return d / np.linalg.norm(d)


def random_sequence(seed, atlas: TextureAtlas, options: SequenceOptions, device='cpu') -> Sequence:
    """
    Return the flight of this seed (anything `numpy.random.default_rng` takes).

    Flights that would start or end inside something, or with something on the lens, are drawn again.
    """
    rendering, intrinsics, positions = random_rendering(seed, atlas, options, device)
    images = (rendering.images.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
    return Sequence(images, rendering.depth.cpu().numpy(), intrinsics, positions)


def random_rendering(
    seed, atlas: TextureAtlas, options: SequenceOptions, device='cpu'
) -> tuple[Rendering, np.ndarray, np.ndarray]:
    """Return the flight of this seed as it was rendered; intrinsics and positions as a Sequence has them."""
    rng = np.random.default_rng(seed)
    width, height = options.width, options.height
    for _ in range(_TRIES):
        preset = list(options.presets)[rng.choice(len(options.presets), p=list(options.presets.values()))]
        focal = width * np.exp(rng.uniform(*np.log(options.focal)))
        K = torch.tensor(
            [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]],
            dtype=torch.float32,
            device=device,
        )
        scene = random_scene(preset, rng, atlas.count, options.textured, device)
        pitch_roll = rng.normal(0, (0.12, 0.05)) if options.turned else (0.0, 0.0)
        R_world_cam = rotation(0, *pitch_roll)
        direction = _direction(rng, options.forward, options.sideways)
        parallax = np.exp(rng.uniform(*np.log(options.step_parallax)))
        R = torch.tensor(R_world_cam, dtype=torch.float32, device=device)[None]
        K_probe = K / _PROBE
        K_probe[2, 2] = 1
        probe = render(scene, atlas, K_probe, height // _PROBE, width // _PROBE, torch.zeros(1, 3, device=device), R)
        finite = probe.depth[torch.isfinite(probe.depth)]
        if len(finite) < 0.25 * probe.depth.numel():
            continue
        nearest, middle = float(finite.min()), float(finite.median())
        metres = options.step_metres
        if metres is None:
            travel = (options.frames - 1) * parallax * middle / focal
            metres = min(travel, 0.75 * nearest) / (options.frames - 1)
        step = metres * direction
        positions = np.arange(options.frames)[:, None] * step
        origins = torch.tensor(positions @ R_world_cam.T, dtype=torch.float32, device=device)
        within = inside(scene.solids, origins, torch.zeros(options.frames, device=device))
        if (within != within[:1]).any():
            continue
        times = torch.arange(options.frames, device=device, dtype=torch.float32)
        if options.movers:
            scene = _with_movers(scene, options, rng, atlas.count, R_world_cam, focal, middle)
        R_frames = R.expand(options.frames, 3, 3)
        rendering = render(scene, atlas, K, height, width, origins, R_frames, options.samples, times)
        if rendering.depth.amin() < max(0.1 * np.linalg.norm(step), 0.04):
            continue
        intrinsics = np.array([focal, focal, K[0, 2].item(), K[1, 2].item()])
        return rendering, intrinsics, positions
    raise RuntimeError(
        f'No flight with a free view in {_TRIES} scenes for seed {seed}: check the presets of the options.'
    )


def _with_movers(scene: Scene, options: SequenceOptions, rng, textures, R_world_cam, focal, middle) -> Scene:
    """Return a scene in which things move across the view, before the middle depth, a frame being a unit of time."""
    builder, velocities = SceneBuilder(rng, textures, options.textured), []
    for _ in range(options.movers):
        ahead, angle = middle * rng.uniform(0.4, 0.9), rng.uniform(0, 2 * np.pi)
        across = np.array([np.cos(angle), np.sin(angle), 0]) * rng.uniform(1, 6)
        place = rng.uniform(-0.35, 0.35, 2) * (options.width, options.height)
        size = ahead / focal * options.width * rng.uniform(0.04, 0.1, 3)
        builder.add(rng.choice(ANY_SOLID), R_world_cam @ [*(place * ahead / focal), ahead], size, random_rotation(rng))
        velocities.append(R_world_cam @ (across * ahead / focal))
    solids, surface = builder.placed(scene.light.towards.device, velocities)
    return Scene(scene.solids + solids, scene.surface + surface, scene.light)
