"""Textures for synthetic scenes: noise, patterns and photographs in one mip-mapped atlas."""

from __future__ import annotations

import functools
from functools import reduce
from pathlib import Path

import cv2
import numpy as np
import torch

SIZE = 256
VESSELS = 4
_UNSUITABLE = (
    'rocks2',
    'tag',
    'aruco',
    'calibration',
    'segmentation',
    'multiblobs',
    '5points',
    'holdout',
    'target',
)


def _noise(rng: np.random.Generator) -> np.ndarray:
    """Return coloured 1/f noise that tiles, float32 (SIZE, SIZE, 3) in 0..1."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None]) * SIZE
    amplitude = np.maximum(frequency, 1.0) ** -rng.uniform(0.6, 1.8)
    layers = []
    for _ in range(2):
        spectrum = amplitude * np.exp(2j * np.pi * rng.random(amplitude.shape))
        layer = np.fft.irfft2(spectrum, (SIZE, SIZE))
        layers.append(layer / (layer.std() + 1e-9))
    colours = rng.normal(0, 0.12, (2, 3)) + rng.normal(0, 0.12, (2, 1))
    return np.clip(0.5 + np.tensordot(np.stack(layers, -1), colours, 1), 0, 1).astype(np.float32)


def _pattern(rng: np.random.Generator) -> np.ndarray:
    """Return bricks, stripes, tiles or speckles over faint noise, float32 (SIZE, SIZE, 3) in 0..1."""
    y, x = np.mgrid[:SIZE, :SIZE]
    period = int(rng.choice([8, 16, 32, 64]))
    kind = rng.integers(4)
    if kind == 0:
        shifted = x + (y // period % 2) * period
        mask = (y % period < max(period // 8, 1)) | (shifted % (2 * period) < max(period // 8, 1))
    elif kind == 1:
        mask = x % period < rng.integers(1, period)
    elif kind == 2:
        mask = (x // period + y // period) % 2 == 0
    else:
        mask = cv2.GaussianBlur(rng.random((SIZE, SIZE)), (0, 0), rng.uniform(0.8, 4)) > 0.5
    light, dark = rng.uniform(0.1, 0.95, (2, 3))
    return np.clip(np.where(mask[..., None], light, dark) + 0.5 * (_noise(rng) - 0.5), 0, 1).astype(np.float32)


def _vessels(rng: np.random.Generator) -> np.ndarray:
    """Return blood vessels that branch in a blotched mucosa, tiling, float32 (SIZE, SIZE, 3) in 0..1."""
    rim = 16  # pixels that a stroke may stand out over the tile
    canvas = np.zeros((SIZE + 2 * rim, SIZE + 2 * rim), np.uint8)
    growing = [(*rng.uniform(0, SIZE, 2), rng.uniform(0, 2 * np.pi), rng.uniform(2.0, 3.2)) for _ in range(3)]
    while growing:
        x, y, heading, thick = growing.pop()
        for turn in rng.normal(0, 0.22, int(rng.integers(12, 30))):
            heading += turn
            end = x + 6 * np.cos(heading), y + 6 * np.sin(heading)
            ends = ((round(8 * (u + rim)), round(8 * (v + rim))) for u, v in ((x, y), end))
            cv2.line(canvas, *ends, round(100 + 40 * thick), max(round(thick), 1), cv2.LINE_AA, shift=3)
            x, y = end[0] % SIZE, end[1] % SIZE
        if thick > 0.6:
            growing += [(x, y, heading + turn, 0.66 * thick) for turn in rng.uniform(0.25, 0.8, 2) * (1, -1)]
    for _ in range(2):  # what stands out over an edge comes in at the other one
        canvas[rim : 2 * rim] = np.maximum(canvas[rim : 2 * rim], canvas[-rim:])
        canvas[-2 * rim : -rim] = np.maximum(canvas[-2 * rim : -rim], canvas[:rim])
        canvas = canvas.T.copy()
    blood = _blurred(canvas[rim:-rim, rim:-rim] / 255, 0.8)
    blotches = reduce(np.add, [_blurred(rng.normal(size=(SIZE, SIZE)), size) * size for size in (3, 12, 40)])
    tints = np.array((0.6, 1.0, 0.9)) * rng.uniform(0.35, 0.5)
    return np.clip(0.6 + 0.05 * blotches[..., None] - blood[..., None] * tints, 0, 1).astype(np.float32)


def _blurred(tile: np.ndarray, deviation: float) -> np.ndarray:
    """Blur a tile (SIZE, SIZE) of what tiles by a Gaussian, pixels."""
    return cv2.GaussianBlur(np.tile(tile, (3, 3)), (0, 0), deviation)[SIZE:-SIZE, SIZE:-SIZE]


def _film(rng: np.random.Generator) -> np.ndarray:
    """Return the heights of a wet film's small waves, tiling, float32 (SIZE, SIZE, 3) in 0..1."""
    waves = _blurred(rng.normal(size=(SIZE, SIZE)), 6)
    return np.repeat(np.clip(0.5 + 0.16 * waves / waves.std(), 0, 1)[..., None], 3, -1).astype(np.float32)


def _photographs() -> list[Path]:
    import mvtbdata
    import sklearn.datasets

    folders = [Path(mvtbdata.__file__).parent / 'images', Path(sklearn.datasets.__file__).parent / 'images']
    paths = [path for folder in folders for path in folder.rglob('*') if path.suffix in ('.png', '.jpg')]
    return sorted(
        path for path in paths if not any(word in str(path.relative_to(path.parents[2])) for word in _UNSUITABLE)
    )


def _photo_tiles(path: Path, number: int, rng: np.random.Generator) -> list[np.ndarray]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None or min(image.shape[:2]) < SIZE:
        return []
    tiles = []
    for _ in range(number):
        side = int(rng.integers(SIZE, min(image.shape[:2]) + 1))
        top, left = (int(rng.integers(0, extent - side + 1)) for extent in image.shape[:2])
        tile = cv2.resize(image[top : top + side, left : left + side], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        tiles.append(tile[..., ::-1].astype(np.float32) / 255)
    return tiles


class TextureAtlas:
    """
    A stack of tiling textures with their mip levels, sampled trilinearly.

    The first half of the indices holds noise and patterns, the rest photographs; the contents depend only on
    the seed and on the installed photographs. After these `count`, from which scenes choose, come VESSELS tiles
    of mucosa and the film on it.
    """

    def __init__(self, procedural: int = 96, photo_tiles: int = 2, seed: int = 0, device: str | torch.device = 'cpu'):
        rng = np.random.default_rng(seed)
        textures = [(_noise if index % 2 else _pattern)(rng) for index in range(procedural)]
        self.photographs = {}
        for path in _photographs():
            self.photographs[path.stem] = len(textures)
            textures += _photo_tiles(path, photo_tiles, rng)
        self.count = len(textures)
        inner = np.random.default_rng((seed, 1))
        textures += [_vessels(inner) for _ in range(VESSELS)] + [_film(inner)]
        self.levels = SIZE.bit_length() - 2
        level, texels, self._offsets, start = np.stack(textures), [], [], 0
        for _ in range(self.levels):
            texels.append((level * 255).round().astype(np.uint8).reshape(-1, 3))
            self._offsets.append(start)
            start += len(texels[-1])
            count, side = level.shape[:2]
            level = level.reshape(count, side // 2, 2, side // 2, 2, 3).mean((2, 4))
        self._texels = torch.from_numpy(np.concatenate(texels)).to(device)
        self._offset_of = torch.tensor(self._offsets, device=device)

    def photograph(self, name: str) -> int:
        """Return the index of the first tile of a photograph, by its file name without the ending."""
        return self.photographs[name]

    def sample(self, texture: torch.Tensor, uv: torch.Tensor, lod: torch.Tensor) -> torch.Tensor:
        """
        Return colours (P, 3) in 0..1 of the textures (P,) at uv (P, 2), where one unit of uv is one tile.

        `lod` (P,) is log2 of the pixel's footprint in texels of the finest level.
        """
        lod = lod.clamp(0, self.levels - 1.001)
        level = lod.long()
        blend = (lod - level)[:, None]
        uv = uv - uv.floor()
        return torch.lerp(self._bilinear(texture, uv, level), self._bilinear(texture, uv, level + 1), blend) / 255

    def _bilinear(self, texture, uv, level):
        side = SIZE >> level
        xy = uv * side[:, None] - 0.5
        corner = xy.floor()
        weight = xy - corner
        corner = corner.long()
        mask = side - 1
        x0, y0 = corner[:, 0] & mask, corner[:, 1] & mask
        x1, y1 = (corner[:, 0] + 1) & mask, (corner[:, 1] + 1) & mask
        base = self._offset_of[level] + texture * side * side
        row0, row1 = base + y0 * side, base + y1 * side
        wx, wy = weight[:, :1], weight[:, 1:]
        texels = [self._texels[index].float() for index in (row0 + x0, row0 + x1, row1 + x0, row1 + x1)]
        return torch.lerp(torch.lerp(texels[0], texels[1], wx), torch.lerp(texels[2], texels[3], wx), wy)


@functools.lru_cache(maxsize=2)
def shared_atlas(device: str = 'cpu') -> TextureAtlas:
    """Return the atlas that all scenes of this process share (built once, about two seconds)."""
    return TextureAtlas(device=device)
