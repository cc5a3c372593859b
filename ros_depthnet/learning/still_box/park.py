"""The park: one scene laid out by hand, in photographs of real surfaces, for the flight that is shipped."""

from __future__ import annotations

import numpy as np
import torch

from ros_depthnet.learning.still_box.raycast import Kind, Solids
from ros_depthnet.learning.still_box.scene import Light, Scene, Surface, rotation
from ros_depthnet.learning.still_box.textures import TextureAtlas

_GROUND = 1.8  # metres below the path of the camera
_PHOTO_TINT = 0.73  # a photograph's own brightness


class _Layout:
    def __init__(self, atlas: TextureAtlas):
        self.atlas = atlas
        self.solids: list[tuple] = []
        self.looks: list[tuple] = []

    def add(self, kind, centre, size, photograph, period, R=None, tint=(1, 1, 1), contrast=1.0):
        self.solids.append((kind, np.eye(3) if R is None else R, size, centre))
        self.looks.append((self.atlas.photograph(photograph), period, contrast, _PHOTO_TINT * np.array(tint)))

    def standing(self, kind, x, z, size, photograph, period, **look):
        """Put a solid on the ground."""
        self.add(kind, (x, _GROUND - size[1], z), size, photograph, period, **look)

    def tree(self, x, z, height, crown, photograph):
        self.standing(
            Kind.CYLINDER,
            x,
            z,
            (0.05 * height, height / 2, 0.05 * height),
            'parks',
            0.8,
            tint=(0.9, 0.7, 0.5),
        )
        size = crown * np.array([1, 1.2, 1])
        self.add(Kind.ELLIPSOID, (x, _GROUND - height - 0.6 * crown, z), size, photograph, 0.7 * crown)


def park(atlas: TextureAtlas, device='cpu') -> Scene:
    """Return a lawn with a path, trees, a house, a wall, crates, poles and wires, and houses far behind."""
    rng = np.random.default_rng(4)
    layout = _Layout(atlas)
    layout.add(Kind.PLANE, (0, _GROUND, 0), (1, 1, 1), 'flowers2', 3.0, tint=(0.6, 0.75, 0.45))
    layout.add(Kind.BOX, (0, _GROUND, 40), (1.3, 0.02, 60), 'parks', 4.0)
    layout.standing(Kind.BOX, -8.5, 19, (3, 2.6, 6), 'walls-l', 5.2)
    layout.add(Kind.CONE, (-8.5, _GROUND - 6.2, 19), (4.2, 1.0, 8), 'roof', 1.5)
    layout.standing(Kind.BOX, 5.2, 12, (0.15, 0.7, 7), 'walls-r', 2.4)
    for x, z, side, photograph in (
        (1.5, 8.5, 0.45, 'castle'),
        (-1.6, 13.5, 0.6, 'lab-scene'),
        (1.1, 20.5, 0.5, 'wheres-wally'),
        (-1.2, 27, 0.7, 'castle'),
        (1.9, 33, 0.8, 'lab-scene'),
    ):
        layout.standing(Kind.BOX, x, z, (side, side, side), photograph, 1.5 * side, R=rotation(rng.uniform(0, 1.5)))
    for x, z in ((-2.2, 6.5), (2.4, 16), (-2.0, 22), (2.2, 28.5)):
        layout.standing(Kind.CONE, x, z, (0.3, 0.45, 0.3), 'parks', 0.6, tint=(1.9, 0.7, 0.25))
    foliage = ('P1070512', 'flowers6', 'tomato_124', 'P1070504')
    for x, z in (
        (-3.6, 7),
        (3.2, 10.5),
        (-3.1, 12),
        (3.6, 19),
        (-3.4, 26),
        (3.0, 25),
        (-4.2, 33),
        (4.0, 35),
        (-3.2, 41),
        (3.5, 46),
        (6.5, 24),
        (8.5, 38),
        (-7.5, 36),
        (-9, 48),
        (9.5, 16),
        (-6.5, 6),
    ):
        layout.tree(x, z, rng.uniform(2.6, 4.2), rng.uniform(0.9, 1.6), foliage[rng.integers(len(foliage))])
    for x, z, size in (
        (-2.6, 9.5, 0.5),
        (2.9, 13.6, 0.6),
        (2.6, 22.5, 0.45),
        (-2.5, 18, 0.55),
        (-2.7, 30, 0.7),
        (5, 30, 1.1),
    ):
        layout.add(Kind.ELLIPSOID, (x, _GROUND - 0.6 * size, z), (1.3 * size, size, size), 'flowers7', 1.2)
    for x in (-6.0, 2.9):
        layout.standing(Kind.CYLINDER, x, 15.0, (0.07, 2.4, 0.07), 'parks', 1.0, tint=(0.6, 0.6, 0.6))
    for rise in (4.6, 4.2):
        layout.add(
            Kind.CYLINDER,
            (0, _GROUND - rise, 15.0),
            (0.025, 25, 0.025),
            'parks',
            1.0,
            R=rotation(0, 0, np.pi / 2),
            tint=(0.15, 0.15, 0.15),
            contrast=0,
        )
    for x, z, photograph in (
        (-22, 70, 'P1070491'),
        (-4, 80, 'P1070505'),
        (15, 75, 'building2-1'),
        (34, 66, 'P1070499'),
    ):
        layout.standing(Kind.BOX, x, z, (9, rng.uniform(4, 8), 4), photograph, 12.0)

    def tensor(rows):
        return torch.tensor(np.array(rows), dtype=torch.float32, device=device)

    kinds, rotations, sizes, centres = zip(*layout.solids)
    texture, period, contrast, tint = zip(*layout.looks)
    towards = np.array([0.5, -0.75, -0.45])
    return Scene(
        Solids.build(kinds, tensor(rotations), tensor(sizes), tensor(centres)),
        Surface(torch.tensor(texture, device=device), tensor(period), tensor(contrast), tensor(tint)),
        Light(
            tensor(towards / np.linalg.norm(towards)),
            0.62,
            tensor([0.35, 0.55, 0.85]),
            tensor([0.85, 0.9, 0.95]),
            atlas.photograph('eiffel-1'),
            0.0,
        ),
    )
