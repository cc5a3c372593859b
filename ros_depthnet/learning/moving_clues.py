"""
Clues of what moves, with the truth: what the product makes of flights that were rendered with things that move.

`python -m ros_depthnet.learning.moving_clues OUT FLIGHT...` goes over posed sequences (`depthnet render flight
--movers`) as a drone would and keeps what movingnet is to learn from.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from torch.utils.data import Dataset

from ros_depthnet.core.measurer import Estimate
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.engines.model import load_model
from ros_depthnet.flight.movers import Movers
from ros_depthnet.flight.posed_sequence import PosedSequence, SequenceError
from ros_depthnet.flight.session import Session
from ros_depthnet.learning.arrays import mapped_array, write_array

_CLUES, _MOVING = '.clues.npy', '.moving.npy'
_SETTLED = 6  # images after which a flight is under way
_FITTED = 4.0  # log odds for one unit of the last clue


@dataclass(frozen=True, eq=False)
class CluedFlight:
    """`clues` (F, CLUES, h, w) float16, and `moving` (F, h, w) uint8: the share of a cell that moves, times 255."""

    clues: np.ndarray
    moving: np.ndarray


@dataclass(frozen=True)
class CluedFlights(Dataset[CluedFlight]):
    """The flights of a folder, memory-mapped."""

    paths: tuple[Path, ...]

    @classmethod
    def open(cls, folder: Path) -> CluedFlights:
        """Open what `write_clues` has written; raises FileNotFoundError where there is nothing."""
        paths = tuple(sorted(Path(folder).glob(f'*{_MOVING}')))
        if not paths:
            raise FileNotFoundError(f'No clues in {folder}: make them with python -m {__name__} {folder} FLIGHT...')
        return cls(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> CluedFlight:
        path = self.paths[number]
        moving = mapped_array(path)
        return CluedFlight(mapped_array(path.with_name(path.name.replace(_MOVING, _CLUES)), len(moving)), moving)


class _Listening:
    """In a network's place: keeps the clues, and judges as without one."""

    def log_odds(self, clues: np.ndarray) -> np.ndarray:
        self.clues = clues
        return clues[-1] * np.float32(_FITTED)


def write_clues(flight: PosedSequence, model: Model, folder: Path) -> int:
    """
    Write the clues of a flight's frames and where things move; return how many frames there are.

    Raises SequenceError where the flight does not tell what moves.
    """
    listening = _Listening()
    session = Session(model, EstimatorOptions(find_moving=True, check_odometry=False), movers=Movers(lambda: listening))
    clues, moving = [], []
    for i in range(len(flight.frames)):
        estimate = session.add(flight.frame(i))
        if i < _SETTLED or not isinstance(estimate, Estimate) or estimate.moving_hw is None:
            continue
        truth_hw = flight.moving(i)
        if truth_hw is None:
            raise SequenceError(f'{flight.folder} does not tell what moves: render it with --movers.')
        size = listening.clues.shape[:0:-1]
        clues.append(listening.clues.astype(np.float16))
        moving.append(np.rint(cv2.resize(255 * truth_hw.astype(np.float32), size, interpolation=cv2.INTER_AREA)))
    if not clues:
        raise SequenceError(f'{flight.folder} gives no clues: it is too short, or its depth was refused.')
    folder.mkdir(parents=True, exist_ok=True)
    name = flight.folder.resolve().name
    for ending, values in ((_CLUES, np.stack(clues)), (_MOVING, np.stack(moving).astype(np.uint8))):
        write_array(folder / f'{name}{ending}', values)
    return len(clues)


def main() -> None:
    """Go over the flights that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('out', type=Path, help='the folder to write')
    parser.add_argument('flights', type=Path, nargs='+', help='posed sequences rendered with --movers')
    parser.add_argument('--model', default='default', help='whose depth the clues come from')
    arguments = parser.parse_args()
    try:
        model = load_model(arguments.model)
        for folder in arguments.flights:
            if not (arguments.out / f'{folder.resolve().name}{_MOVING}').exists():
                print(f'{folder}: {write_clues(PosedSequence.load(folder), model, arguments.out)} frames', flush=True)
    except (ValueError, OSError) as error:  # ModelError, SequenceError
        parser.error(str(error))


if __name__ == '__main__':
    main()
