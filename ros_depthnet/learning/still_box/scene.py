"""
Random still scenes, from Pinard 2017a's boxes to places a drone flies in.

The world's axes are x right, y down, z forward, in metres; a camera that is not turned looks along z.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from ros_depthnet.learning.still_box.options import Preset
from ros_depthnet.learning.still_box.raycast import Kind, Solids, relief
from ros_depthnet.learning.still_box.textures import VESSELS
from ros_depthnet.learning.still_box.tube import Tube

Ground = Callable[[float, float], float]
"""Returns y of the ground at x and z, metres."""


@dataclass(frozen=True, eq=False)
class Surface:
    """How N solids look: texture index, metres per tile, contrast of the texture, tint; a row each."""

    texture: torch.Tensor
    period: torch.Tensor
    contrast: torch.Tensor
    tint: torch.Tensor

    def __add__(self, other: Surface) -> Surface:
        """Return these looks and then the others."""
        rows = zip(vars(self).values(), vars(other).values())
        return Surface(*(torch.cat(pair) for pair in rows))


@dataclass(frozen=True)
class Headlight:
    """
    A lamp at the camera that is the only light, falling with the square of the distance.

    A white surface that faces it is just white at `reach` metres. Walls throw the share `scattered` of it at each
    other, from all sides. A wet surface mirrors `gloss` times what a white one scatters, where it faces the
    camera; the texture `film` holds the waves on it, `waves` metres high. `even`: instead the same light
    reaches everything, as in an integrating sphere, so that shading says nothing.
    """

    reach: float
    scattered: float = 0.15
    gloss: float = 0.0
    film: int = 0
    waves: float = 0.0
    even: bool = False


@dataclass(frozen=True, eq=False)
class Light:
    """
    One far lamp (unit vector towards it), what reaches every surface, and the sky behind everything.

    `lamps` (L, 3) metres hang in rooms instead of the far one: at `reach` metres each gives half its light.
    `headlight` is instead of all of it, and the camera then develops images as its kind does, by a gamma of 2.2.
    """

    towards: torch.Tensor
    ambient: float
    zenith: torch.Tensor
    horizon: torch.Tensor
    clouds: int
    cloud_contrast: float
    lamps: torch.Tensor | None = None
    reach: float = 1.0
    headlight: Headlight | None = None


@dataclass(frozen=True, eq=False)
class Walls:
    """A box room from inside: `centre` (3,) and half extents (3,) metres, `heading` R_world_room (3, 3)."""

    centre: np.ndarray
    half: np.ndarray
    heading: np.ndarray

    def at(self, x: float, y: float, z: float) -> np.ndarray:
        """Return the place (3,) at shares of the half extents, -1 to 1 each."""
        return self.centre + self.heading @ (self.half * (x, y, z))


@dataclass(frozen=True, eq=False)
class Scene:
    """Solids, their looks and the light."""

    solids: Solids
    surface: Surface
    light: Light


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Return R_world_local (3, 3): yaw about y (down), pitch about x (right), roll about z, in radians."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    r_yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    r_pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    r_roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return r_yaw @ r_pitch @ r_roll


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Return a rotation (3, 3) drawn uniformly."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def _tensor(rows, device) -> torch.Tensor:
    return torch.tensor(np.array(rows), dtype=torch.float32, device=device)


class SceneBuilder:
    """Collects solids with random looks. `textured` is the share of solids that have a texture at all."""

    def __init__(self, rng: np.random.Generator, textures: int, textured: float):
        self.rng, self.textures, self.textured = rng, textures, textured
        self._solids: list[tuple] = []
        self._looks: list[tuple] = []
        self.lamps: list[np.ndarray] = []
        self.tube: Tube | None = None

    def add(
        self, kind: Kind, centre, size, R_world_local=None, period=None, textured=None, look=None, contrast=None
    ) -> None:
        """
        Place one solid: half extents `size` and `centre` in metres; `period` metres per texture tile.

        `look` is (texture index, tint (3,)) for solids that look alike. Without a `contrast` one is drawn, faint
        if the solid is not `textured`.
        """
        rng = self.rng
        size = np.maximum(size, 1e-3)
        if textured is None:
            textured = rng.random() < self.textured
        if contrast is None:
            contrast = rng.uniform(0.25, 1.0) if textured else rng.choice([0.0, 0.05, 0.1])
        if period is None:
            period = float(np.median(size)) * np.exp(rng.uniform(np.log(0.5), np.log(6)))
        tint = np.clip(rng.uniform(0.35, 1.15) + rng.normal(0, 0.12, 3), 0.05, 1.3)
        texture, tint = look or (rng.integers(self.textures), tint)
        self._solids.append((kind, np.eye(3) if R_world_local is None else R_world_local, size, centre))
        self._looks.append((texture, period, contrast, tint))

    def placed(self, device, velocity=None) -> tuple[Solids, Surface]:
        """Return what was added, all of it with `velocity` (N, 3) in metres a second if it is given."""
        kinds, rotations, sizes, centres = zip(*self._solids)
        texture, period, contrast, tint = zip(*self._looks)
        turned, halves, places = (_tensor(rows, device) for rows in (rotations, sizes, centres))
        moving = None if velocity is None else _tensor(velocity, device)
        return (
            Solids.build(kinds, turned, halves, places, moving, self.tube),
            Surface(
                torch.tensor(texture, device=device),
                *(_tensor(row, device) for row in (period, contrast, tint)),
            ),
        )

    def build(self, device) -> Scene:
        """Return the scene with a random light."""
        rng = self.rng
        towards = rng.normal(size=3) + (0, -1.5, 0)
        sky = np.clip(rng.uniform(0.3, 1.0) + rng.normal(0, 0.1, (2, 3)), 0, 1)
        return Scene(
            *self.placed(device),
            Light(
                _tensor(towards / np.linalg.norm(towards), device),
                float(rng.uniform(0.4, 0.85)),
                _tensor(sky[0], device),
                _tensor(sky[1], device),
                int(rng.integers(self.textures)),
                float(rng.choice([0, 0.15, 0.4])),
                *((_tensor(self.lamps, device), float(rng.uniform(1, 4))) if self.lamps else ()),
            ),
        )


def _scatter(builder: SceneBuilder, number: int, kinds, near: float, far: float, spread: float) -> None:
    """Put solids of any attitude in the cone of view, sizes growing with their distance."""
    rng = builder.rng
    for _ in range(number):
        z = np.exp(rng.uniform(np.log(near), np.log(far)))
        x, y = rng.uniform(-spread, spread, 2) * z
        size = z * np.exp(rng.uniform(np.log(0.04), np.log(0.4))) * np.exp(rng.normal(0, 0.5, 3))
        builder.add(rng.choice(kinds), (x, y, z), np.minimum(size, 0.45 * z), random_rotation(rng))


ANY_SOLID = [Kind.BOX, Kind.BOX, Kind.ELLIPSOID, Kind.CYLINDER, Kind.CONE]


def _still_box(builder: SceneBuilder) -> None:
    """
    Pinard 2017a: about twenty meshes anywhere, in a room or, one time in six, under an open sky.

    The paper does not say how large its rooms are. These are such that at 0.3 m of motion, 90 degrees and 64
    pixels, a tenth of a pixel of matching noise costs a few metres, as its errors say.
    """
    rng = builder.rng
    _scatter(builder, int(rng.integers(14, 27)), ANY_SOLID, 1.5, 40, 1.1)
    if rng.random() < 5 / 6:
        half = np.exp(rng.uniform(np.log(8), np.log(40), 3))
        builder.add(Kind.BOX, rng.uniform(-0.3, 0.3, 3) * half, half, rotation(rng.uniform(-3, 3)))


def _boxes(builder: SceneBuilder) -> None:
    """Solids of any kind anywhere, near and far, in a hall or under an open sky."""
    rng = builder.rng
    _scatter(builder, int(rng.integers(12, 26)), ANY_SOLID, 1.5, 40, 1.1)
    if rng.random() < 0.6:
        half = np.exp(rng.uniform(np.log(8), np.log(60), 3))
        builder.add(Kind.BOX, rng.uniform(-0.3, 0.3, 3) * half, half, rotation(rng.uniform(-3, 3)))


def _room(builder: SceneBuilder, papered: float = 0.75) -> Walls:
    """A furnished room seen from inside, things on its walls, which are `papered` with that probability."""
    rng = builder.rng
    half = np.array([rng.uniform(1.5, 5), rng.uniform(1.1, 1.8), rng.uniform(2, 6)])
    heading = rotation(rng.uniform(-0.8, 0.8))
    centre = heading @ (half * (rng.uniform(-0.5, 0.5), rng.uniform(-0.3, 0.2), rng.uniform(0.2, 0.8)))
    builder.add(Kind.BOX, centre, half, heading, period=rng.uniform(1, 4), textured=rng.random() < papered)
    floor = centre[1] + half[1]
    builder.add(Kind.BOX, (centre[0], floor, centre[2]), (half[0], 0.01, half[2]), heading, period=rng.uniform(0.5, 3))
    for _ in range(int(rng.integers(0, 5))):
        x, z = rng.uniform(-0.8, 0.8) * half[0], rng.uniform(0.0, 0.9) * half[2]
        place = centre + heading @ (x, 0, z)
        if place[2] > 1.2:
            _table(builder, (place[0], floor, place[2]))
    for _ in range(int(rng.integers(6, 14))):
        size = np.exp(rng.uniform(np.log(0.06), np.log(0.7), 3))
        x, z = rng.uniform(-0.9, 0.9) * half[0], rng.uniform(-0.3, 0.95) * half[2]
        position = centre + heading @ (x, 0, z)
        if position[2] < 0.6 + size[2]:
            continue
        y = floor - size[1] if rng.random() < 0.7 else centre[1] + rng.uniform(-0.9, 0.7) * half[1]
        upright = rotation(rng.uniform(-3, 3))
        builder.add(rng.choice(ANY_SOLID), (position[0], y, position[2]), size, upright, period=rng.uniform(0.15, 1.5))
        if rng.random() < 0.4:
            smaller = size * rng.uniform(0.2, 0.5)
            top = (position[0], y - size[1] - smaller[1], position[2])
            builder.add(rng.choice(ANY_SOLID), top, smaller, upright, period=rng.uniform(0.1, 0.6))
    for _ in range(int(rng.integers(1, 6))):
        wall = rng.choice([-1, 1])
        size = np.array([0.02, rng.uniform(0.15, 0.6), rng.uniform(0.15, 0.9)])
        position = centre + heading @ (
            wall * (half[0] - 0.02),
            rng.uniform(-0.6, 0.3) * half[1],
            rng.uniform(0, 0.9) * half[2],
        )
        builder.add(Kind.BOX, position, size, heading, period=rng.uniform(0.3, 1.5))
    return Walls(centre, half, heading)


def _table(builder: SceneBuilder, foot) -> None:
    """A table or a chair: a top on four thin legs, the chair with a back; `foot` is on the floor."""
    rng = builder.rng
    heading = rotation(rng.uniform(-3, 3))
    chair = rng.random() < 0.6
    half = np.array((0.22, 0.02, 0.22) if chair else (rng.uniform(0.3, 1), 0.02, rng.uniform(0.3, 0.6)))
    tall, leg = rng.uniform(0.4, 0.5) if chair else rng.uniform(0.6, 0.8), rng.uniform(0.012, 0.035)
    builder.add(Kind.BOX, np.subtract(foot, (0, tall, 0)), half, heading, period=rng.uniform(0.3, 1.5))
    for x in (-0.9, 0.9):
        for z in (-0.9, 0.9):
            centre = np.subtract(foot, (0, tall / 2, 0)) + heading @ (x * half[0], 0, z * half[2])
            builder.add(Kind.CYLINDER, centre, (leg, tall / 2, leg), textured=False)
    if chair:
        centre = np.subtract(foot, (0, 1.6 * tall, 0)) + heading @ (0, 0, half[2])
        builder.add(Kind.BOX, centre, (half[0], rng.uniform(0.1, 0.25), 0.02), heading, period=0.5)


def _corridor(builder: SceneBuilder, papered: float = 0.6) -> Walls:
    """A long passage, white more often than not, with doors, lamps and things standing about."""
    rng = builder.rng
    half = np.array([rng.uniform(0.9, 2.2), rng.uniform(1.1, 1.6), rng.uniform(8, 25)])
    heading = rotation(rng.uniform(-0.25, 0.25))
    centre = heading @ (rng.uniform(-0.5, 0.5) * half[0], rng.uniform(-0.3, 0.2), half[2] - 1.5)
    builder.add(Kind.BOX, centre, half, heading, period=rng.uniform(1, 3), textured=rng.random() < papered)
    floor = centre[1] + half[1]
    builder.add(Kind.BOX, (centre[0], floor, centre[2]), (half[0], 0.01, half[2]), heading, period=rng.uniform(0.4, 2))
    for _ in range(int(rng.integers(5, 14))):
        wall, z = rng.choice([-1, 1]), rng.uniform(-0.9, 1) * half[2]
        position = centre + heading @ (wall * half[0], 0, z)
        builder.add(Kind.BOX, (position[0], floor - 1.0, position[2]), (0.04, 1.0, rng.uniform(0.3, 0.6)), heading)
    for z in np.arange(-0.8, 1, rng.uniform(0.1, 0.4)) * half[2]:
        position = centre + heading @ (0, -half[1], z)
        builder.add(Kind.BOX, position, (rng.uniform(0.1, 0.5), 0.03, rng.uniform(0.1, 0.6)), heading, textured=False)
    for _ in range(int(rng.integers(2, 8))):
        size = np.exp(rng.uniform(np.log(0.08), np.log(0.5), 3))
        position = centre + heading @ (
            rng.choice([-1, 1]) * (half[0] - size[0]),
            0,
            rng.uniform(-0.6, 0.9) * half[2],
        )
        builder.add(
            rng.choice(ANY_SOLID),
            (position[0], floor - size[1], position[2]),
            size,
            rotation(rng.uniform(-3, 3)),
        )
    return Walls(centre, half, heading)


def _interior(builder: SceneBuilder) -> None:
    """A room or corridor as most are: plain walls with trim, much that is plain, lamps under the ceiling."""
    rng = builder.rng
    builder.textured = rng.uniform(0.2, 0.7)
    walls = (_room if rng.random() < 0.5 else _corridor)(builder, papered=0.1)
    colour = (
        int(rng.integers(builder.textures)),
        np.clip(rng.uniform(0.2, 1.1) + rng.normal(0, 0.1, 3), 0.05, 1.3),
    )
    for height in (0.97, -0.97, rng.uniform(-0.2, 0.4))[: int(rng.integers(4))]:
        for side in (-1, 1):
            along = 0.02, rng.uniform(0.02, 0.08), walls.half[2]
            builder.add(Kind.BOX, walls.at(side, height, 0), along, walls.heading, textured=False, look=colour)
            across = walls.half[0], along[1], 0.02
            builder.add(Kind.BOX, walls.at(0, height, side), across, walls.heading, textured=False, look=colour)
    for _ in range(int(rng.integers(1, 6))):
        x, z = rng.uniform(-0.8, 0.8, 2)
        builder.lamps.append(walls.at(x, rng.uniform(-0.95, -0.6), z))


def _ground(builder: SceneBuilder, height: float) -> None:
    rng = builder.rng
    tilt = rotation(rng.uniform(-3, 3), rng.normal(0, 0.04), rng.normal(0, 0.04))
    builder.add(
        Kind.PLANE,
        (0, height, 0),
        np.ones(3),
        tilt,
        period=np.exp(rng.uniform(0, 3)),
        textured=rng.random() < 0.93,
    )


def _forest(builder: SceneBuilder) -> None:
    """Open country: ground, trunks with crowns, bushes, poles and wires, perhaps a house."""
    rng = builder.rng
    height = np.exp(rng.uniform(np.log(1.2), np.log(8)))
    _ground(builder, height)
    _trees(builder, int(rng.integers(5, 16)), lambda x, z: height)
    _bushes(builder, int(rng.integers(2, 8)), lambda x, z: height)
    if rng.random() < 0.4:
        _stones(builder, lambda x, z: height)
    if rng.random() < 0.4:
        _wires(builder, height)
    for _ in range(int(rng.integers(0, 3))):
        _house(builder, lambda x, z: height)


def _trees(builder: SceneBuilder, number: int, ground: Ground, between=(2.5, 50)) -> None:
    """Trunks, most of them with a crown, at distances in metres."""
    rng = builder.rng
    for _ in range(number):
        z = np.exp(rng.uniform(*np.log(between)))
        x, tall, thick = rng.uniform(-1.2, 1.2) * z, rng.uniform(1.5, 6), rng.uniform(0.05, 0.35)
        lean = rotation(rng.uniform(-3, 3), rng.normal(0, 0.06))
        foot = ground(x, z)
        builder.add(Kind.CYLINDER, (x, foot - tall, z), (thick, tall, thick), lean, period=rng.uniform(0.3, 2))
        if rng.random() < 0.75:
            crown = rng.uniform(0.7, 2.5) * np.array([1, rng.uniform(0.7, 1.6), 1])
            builder.add(
                rng.choice([Kind.ELLIPSOID, Kind.CONE]),
                (x, foot - 2 * tall, z),
                crown,
                lean,
                period=rng.uniform(0.5, 3),
            )


def _bushes(builder: SceneBuilder, number: int, ground: Ground, between=(2.5, 40)) -> None:
    rng = builder.rng
    for _ in range(number):
        z, size = np.exp(rng.uniform(*np.log(between))), rng.uniform(0.2, 1.5, 3)
        x = rng.uniform(-1, 1) * z
        centre = (x, ground(x, z) - 0.6 * size[1], z)
        if rng.random() < 0.35:
            _foliage(builder, centre, size)
        else:
            builder.add(Kind.ELLIPSOID, centre, size, period=rng.uniform(0.3, 2))


def _foliage(builder: SceneBuilder, centre, size) -> None:
    """Leaves and twigs that fill an ellipsoid of half extents `size`, most of it air."""
    rng = builder.rng
    texture, period = int(rng.integers(builder.textures)), float(rng.uniform(0.1, 0.6))
    tint = np.clip(rng.uniform(0.5, 1.1) + rng.normal(0, 0.1, 3), 0.05, 1.3)
    for _ in range(int(rng.integers(20, 45))):
        direction = rng.normal(size=3)
        place = centre + size * direction / np.linalg.norm(direction) * rng.random() ** 0.4
        leaf = size.mean() * np.array([rng.uniform(0.1, 0.3), 0.01, rng.uniform(0.04, 0.16)])
        builder.add(Kind.ELLIPSOID, place, leaf, random_rotation(rng), period, True, (texture, tint))
    for _ in range(int(rng.integers(0, 6))):
        twig = size.mean() * np.array([0.012, rng.uniform(0.5, 1.2), 0.012])
        builder.add(Kind.CYLINDER, centre, twig, random_rotation(rng), textured=False)


def _stones(builder: SceneBuilder, ground: Ground) -> None:
    """Stones of all sizes half in the ground."""
    rng = builder.rng
    for _ in range(int(rng.integers(8, 20))):
        z = np.exp(rng.uniform(np.log(1.5), np.log(15)))
        size = rng.uniform(0.05, 0.6) * rng.uniform(0.5, 1.2, 3)
        kind, x = rng.choice([Kind.ELLIPSOID, Kind.ELLIPSOID, Kind.BOX]), rng.uniform(-1, 1) * z
        builder.add(
            kind,
            (x, ground(x, z) - 0.3 * size[1], z),
            size,
            random_rotation(rng),
            period=rng.uniform(0.2, 1),
        )


def _stairs(builder: SceneBuilder, height: float) -> None:
    """Steps that lead up, seen from any side."""
    rng = builder.rng
    heading, foot = rotation(rng.uniform(-3, 3)), np.array([rng.uniform(-4, 4), height, rng.uniform(4, 12)])
    run, rise = rng.uniform(0.25, 0.5), rng.uniform(0.12, 0.25)
    wide, period = rng.uniform(0.6, 2.5), rng.uniform(0.4, 2)
    for step in range(int(rng.integers(3, 9))):
        centre = foot + heading @ (0, -rise * (step + 1) / 2, run * step)
        builder.add(Kind.BOX, centre, (wide, rise * (step + 1) / 2, run / 2), heading, period, True)


def _wires(builder: SceneBuilder, height: float) -> None:
    rng = builder.rng
    z, heading = rng.uniform(4, 25), rotation(rng.uniform(-1, 1))
    for x in (-8.0, 0.0, 8.0):
        foot = heading @ (x, 0, 0) + (0, 0, z)
        builder.add(Kind.CYLINDER, (foot[0], height - 4, foot[2]), (0.08, 4, 0.08), textured=False)
    along_x = heading @ rotation(0, 0, np.pi / 2)
    for rise in (7.8, 7.2):
        builder.add(Kind.CYLINDER, (0, height - rise, z), (0.02, 40, 0.02), along_x, textured=False)


def _house(builder: SceneBuilder, ground: Ground) -> None:
    rng = builder.rng
    z, size = rng.uniform(10, 50), rng.uniform(2, 7, 3)
    x = rng.uniform(-0.9, 0.9) * z
    builder.add(
        Kind.BOX,
        (x, ground(x, z + size[2]) - size[1], z + size[2]),
        size,
        rotation(rng.uniform(-3, 3)),
        period=rng.uniform(1.5, 6),
    )


def _street(builder: SceneBuilder) -> None:
    """A road between fronts of houses, with cars, poles and trees."""
    rng = builder.rng
    height, half = rng.uniform(1.2, 4), rng.uniform(3.5, 12)
    _ground(builder, height)
    for side in (-1, 1):
        z = -10.0
        while z < 70:
            length, depth, tall = rng.uniform(3, 14), rng.uniform(2, 5), rng.uniform(2, 8)
            if rng.random() < 0.8:
                setback = half + depth + rng.exponential(1.5)
                builder.add(
                    Kind.BOX,
                    (side * setback, height - tall, z + length / 2),
                    (depth, tall, length / 2),
                    period=rng.uniform(2, 8),
                )
            z += length + rng.exponential(2)
    if rng.random() < 0.3:
        _stairs(builder, height)
    if rng.random() < 0.3:
        _stones(builder, lambda x, z: height)
    for _ in range(int(rng.integers(3, 10))):
        z, x = rng.uniform(3, 50), rng.choice([-1, 1]) * half * rng.uniform(0.25, 0.9)
        kind = rng.integers(3)
        if kind == 0:
            size = np.array([0.9, 0.7, 2.1]) * rng.uniform(0.8, 1.2)
            builder.add(Kind.BOX, (x, height - size[1], z), size, period=rng.uniform(1, 4))
            builder.add(Kind.BOX, (x, height - 2.4 * size[1], z), size * (0.8, 0.45, 0.5), textured=False)
        elif kind == 1:
            tall = rng.uniform(1.5, 4)
            builder.add(Kind.CYLINDER, (x, height - tall, z), (0.08, tall, 0.08), textured=False)
        else:
            builder.add(Kind.CYLINDER, (x, height - 1.5, z), (0.15, 1.5, 0.15), period=0.7)
            builder.add(Kind.ELLIPSOID, (x, height - 3.8, z), rng.uniform(0.8, 1.8, 3), period=rng.uniform(0.5, 2))


def _terrain(builder: SceneBuilder) -> None:
    """Hilly country as a drone sees it: trees, bushes, stones, poles with wires, walls of houses, sky."""
    rng = builder.rng
    ground = _hills(builder, height=np.exp(rng.uniform(np.log(1.5), np.log(15))))
    _trees(builder, int(rng.integers(8, 26)), ground, between=(5, 90))
    _bushes(builder, int(rng.integers(2, 8)), ground, between=(5, 60))
    _stones(builder, ground)
    if rng.random() < 0.7:
        _power_line(builder, ground)
    for _ in range(int(rng.integers(0, 4))):
        _house(builder, lambda x, z: ground(x, z) + 1.5)


def _hills(builder: SceneBuilder, height: float) -> Ground:
    """Hills, `height` metres below the origin there."""
    rng = builder.rng
    size = np.exp(rng.uniform(np.log(10), np.log(35))) * np.array([1, np.exp(rng.uniform(-1.4, -0.3)), 1])
    offset = rng.uniform(-60, 60, 2)  # in the terrain's own space

    def above_centre(x, z):
        x, z = (torch.tensor(v / size[0] + start) for v, start in zip((x, z), offset))
        return size[1] * float(relief(x, z))

    bottom = height - above_centre(0, 0)
    centre = (-offset[0] * size[0], bottom, -offset[1] * size[2])
    builder.add(Kind.TERRAIN, centre, size, period=np.exp(rng.uniform(0.5, 3)), textured=rng.random() < 0.93)
    return lambda x, z: bottom + above_centre(x, z)


def _power_line(builder: SceneBuilder, ground: Ground) -> None:
    """Poles that cross the view, and two wires from each to the next."""
    rng = builder.rng
    span, heading = rng.uniform(8, 20), rotation(rng.uniform(-1, 1))
    start = np.array([0, 0, rng.uniform(6, 30)])
    feet = [start + heading @ (x * span, 0, 0) for x in (-1.5, -0.5, 0.5, 1.5)]
    tall = rng.uniform(2.5, 4.5)
    tops = [np.array([x, ground(x, z) - 2 * tall, z]) for x, _, z in feet]
    for top in tops:
        builder.add(Kind.CYLINDER, top + (0, tall, 0), (0.1, tall, 0.1), period=rng.uniform(0.5, 2))
    for drop in (0.1, 0.8):
        for a, b in zip(tops, tops[1:]):
            _rod(builder, a + (0, drop, 0), b + (0, drop, 0), 0.02)


def _rod(builder: SceneBuilder, a: np.ndarray, b: np.ndarray, radius: float) -> None:
    """A thin cylinder from point to point."""
    along = (b - a) / np.linalg.norm(b - a)
    across = np.cross(along, (0.0, 0, 1) if abs(along[2]) < 0.9 else (1.0, 0, 0))
    across /= np.linalg.norm(across)
    R_world_local = np.stack([across, along, np.cross(across, along)], 1)
    half = np.linalg.norm(b - a) / 2
    builder.add(Kind.CYLINDER, (a + b) / 2, (radius, half, radius), R_world_local, textured=False)


def _tube(builder: SceneBuilder, folds=False, bends=False, vessels=False) -> None:
    """A tube about 1 m wide and as bare as is asked, the camera in it, looking along it give or take 25 degrees."""
    rng = builder.rng
    shape, radius = Tube.random(rng), rng.uniform(0.8, 1.25)
    shape = shape if bends else shape.straight()
    builder.tube = shape if folds else shape.smooth()
    z = rng.uniform(1.5, 0.6 * shape.length)
    x, y = (float(v) for v in builder.tube.centre_line(torch.tensor(z)))
    ahead_x, ahead_y, _ = builder.tube.direction(z)
    angle, aside = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.3)
    eye = np.array([x + aside * np.cos(angle), y + aside * np.sin(angle), z])
    yaw, pitch = np.arctan(ahead_x), -np.arctan(ahead_y / np.hypot(ahead_x, 1))
    turned_yaw, turned_pitch = rng.uniform(-0.44, 0.44, 2)
    R_world_local = rotation(turned_yaw, turned_pitch, rng.uniform(-np.pi, np.pi)) @ rotation(yaw, pitch).T
    mucosa = np.array([0.95, 0.37, 0.24]) * np.exp(rng.normal(0, (0.05, 0.12, 0.15)))
    look = builder.textures + int(rng.integers(VESSELS)), mucosa * rng.uniform(0.8, 1.1)
    period, contrast = 2 * np.pi * radius / rng.integers(2, 5), rng.uniform(0.5, 1.0)
    builder.add(
        Kind.TUBE,
        -radius * R_world_local @ eye,
        np.full(3, radius),
        R_world_local,
        period=period,
        look=look,
        contrast=contrast if vessels else 0.0,
    )


def _headlight(preset: Preset, rng: np.random.Generator, textures: int) -> Headlight:
    """Return the lamp of a tube, about as bright as automatic gain makes it, mirrored where the tube is wet."""
    reach, gloss, waves = np.exp(rng.uniform(np.log(0.7), np.log(1.3))), rng.uniform(1, 4), rng.uniform(0.03, 0.08)
    lamp = Headlight(reach, even=preset == Preset.TUBE_FLAT)
    return replace(lamp, gloss=gloss, film=textures + VESSELS, waves=waves) if preset == Preset.TUBE_WET else lamp


_PRESETS: dict[Preset, Callable[[SceneBuilder], object]] = {
    Preset.STILL_BOX: _still_box,
    Preset.BOXES: _boxes,
    Preset.ROOM: _room,
    Preset.CORRIDOR: _corridor,
    Preset.FOREST: _forest,
    Preset.STREET: _street,
    Preset.TERRAIN: _terrain,
    Preset.INTERIOR: _interior,
    Preset.TUBE_SMOOTH: _tube,
    Preset.TUBE_FOLDS: partial(_tube, folds=True),
    Preset.TUBE_BENDS: partial(_tube, folds=True, bends=True),
    **dict.fromkeys(
        (Preset.TUBE_VESSELS, Preset.TUBE_WET, Preset.TUBE_FLAT), partial(_tube, folds=True, bends=True, vessels=True)
    ),
}


def random_scene(
    preset: Preset, rng: np.random.Generator, textures: int, textured: float = 0.85, device='cpu'
) -> Scene:
    """
    Return a scene of the family, wholly decided by the generator's state.

    `textures` is how many there are to choose from, `textured` the share of solids that have one.
    """
    builder = SceneBuilder(rng, textures, textured)
    _PRESETS[preset](builder)
    scene = builder.build(device)
    if builder.tube:
        return replace(scene, light=replace(scene.light, headlight=_headlight(preset, rng, textures)))
    return scene
