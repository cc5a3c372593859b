"""Rendered flights on disk, in shards that can be made by several processes and resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from ros_depthnet.learning.arrays import mapped_array, write_array
from ros_depthnet.learning.still_box.sequences import Sequence, SequenceOptions, random_sequence
from ros_depthnet.learning.still_box.textures import TextureAtlas

SHARD = 64
_FIELDS = ('images', 'depth', 'intrinsics', 'positions')


def _shard_path(folder: Path, index: int, name: str) -> Path:
    return folder / f'{index:05d}.{name}.npy'


def _half(depth: np.ndarray) -> np.ndarray:
    return np.where(depth > np.finfo(np.float16).max, np.inf, depth).astype(np.float16)


def render_shards(
    folder: Path,
    seed: int,
    shards: range,
    options: SequenceOptions,
    atlas: TextureAtlas,
    device='cpu',
    progress=lambda index: None,
) -> None:
    """
    Render the shards that are not there yet, SHARD flights each; flight i of the set has the seed (seed, i).

    Depth is kept in half precision (relative error below 0.05 %).
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index in shards:
        if _shard_path(folder, index, _FIELDS[-1]).exists():
            continue
        flights = [
            random_sequence((seed, number), atlas, options, device)
            for number in range(index * SHARD, (index + 1) * SHARD)
        ]
        for name in _FIELDS:
            stack = np.stack([getattr(flight, name) for flight in flights])
            write_array(_shard_path(folder, index, name), _half(stack) if name == 'depth' else stack)
        progress(index)


@dataclass(frozen=True)
class RenderedFlights(Dataset[Sequence]):
    """The flights of a folder, memory-mapped: `len()` of them, each a Sequence."""

    shards: tuple[dict, ...]

    @classmethod
    def open(cls, folder: Path) -> RenderedFlights:
        """Open every complete shard of a folder made by `render_shards`."""
        indices = sorted(int(path.name.split('.')[0]) for path in Path(folder).glob(f'*.{_FIELDS[-1]}.npy'))
        if not indices:
            raise FileNotFoundError(f'No rendered flights in {folder}: make them with `depthnet render set {folder}`.')
        return cls(
            tuple(
                {name: mapped_array(_shard_path(Path(folder), index, name), SHARD) for name in _FIELDS}
                for index in indices
            )
        )

    def __len__(self) -> int:
        return len(self.shards) * SHARD

    def __getitem__(self, number: int) -> Sequence:
        shard, row = self.shards[number // SHARD], number % SHARD
        return Sequence(*(shard[name][row] for name in _FIELDS))
