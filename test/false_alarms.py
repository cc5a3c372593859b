"""
How often the images are said to contradict an odometry that is right: the watch over flights of every kind.

`python test/false_alarms.py [FOLDER ...] [--only NAME ...]` renders a flight of each family, or of those named, into a
cache, once, and looks at each at its own rate, at half of it and at a quarter, and to and fro for 300 images, clean
and with 0.1 degrees and 3 % of noise, three seeds each. FOLDER: more posed sequences, such as real flights. Two flights
are known to be doubted, and not counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np  # noqa: E402

from ros_depthnet.core.reasons import Drop  # noqa: E402
from ros_depthnet.evaluation.pose_noise import PoseNoise  # noqa: E402
from ros_depthnet.flight.posed_sequence import NewFrame, PosedSequence, write_posed_sequence  # noqa: E402
from ros_depthnet.flight.watch import Watch  # noqa: E402
from ros_depthnet.resources import share_path  # noqa: E402

_SEEDS = range(3)
_EVERY = 1, 2, 4  # of the frames
_TO_AND_FRO = 300  # frames
_NOISE = 0.1, 3.0  # degrees, percent


@dataclass(frozen=True)
class Healthy:
    """A flight to render."""

    name: str
    scene: str
    seed: int = 0
    movers: int = 0
    speed: float = 2.0


RENDERED = (
    *(
        Healthy(scene, scene, speed=speed)
        for scene, speed in {
            'park': 2.0,
            'boxes': 2.0,
            'room': 0.4,
            'corridor': 2.0,
            'forest': 2.0,
            'street': 2.0,
            'terrain': 2.0,
            'interior': 0.4,
        }.items()
    ),
    Healthy('park, movers', 'park', movers=8),
    Healthy('forest, movers', 'forest', movers=8),
    Healthy('street, fast', 'street', seed=1, speed=6.0),
)
DOUBTED = (
    Healthy('boxes, movers', 'boxes', seed=953, movers=8),  # most corners are on what moves by itself
    Healthy('forest, fast', 'forest', seed=1, speed=6.0),  # a tiled floor, passed by more than half a tile an image
)


def rendered(healthy: Healthy, cache: Path) -> PosedSequence:
    """Return a flight, rendered unless it is there already."""
    from ros_depthnet.learning.still_box.flights import flight
    from ros_depthnet.learning.still_box.options import FlightOptions
    from ros_depthnet.learning.still_box.textures import shared_atlas

    folder = cache / healthy.name.replace(', ', '_')
    if not (folder / 'sequence.json').exists():
        chosen = {key: value for key, value in dataclasses.asdict(healthy).items() if key != 'name'}
        options = FlightOptions(**chosen, seconds=8.0, width=256, height=192, samples=2)
        frames = (NewFrame(moment.frame, None) for moment in flight(options, shared_atlas()))
        about = {'source': 'rendered', 'licence': 'Apache-2.0', 'kind': 'synthetic', 'max_depth': 80.0}
        with tempfile.TemporaryDirectory(dir=cache) as unfinished:
            write_posed_sequence(Path(unfinished) / 'flight', frames, [], name=healthy.name, **about)
            (Path(unfinished) / 'flight').rename(folder)
    return PosedSequence.load(folder)


def one_of(every: int, sequence: PosedSequence) -> PosedSequence:
    """Return the flight with one frame of so many."""
    return dataclasses.replace(sequence, name=f'{sequence.name}, 1 of {every}', frames=sequence.frames[::every])


def to_and_fro(sequence: PosedSequence) -> PosedSequence:
    """Return the flight flown there and back again and again, at its mean rate."""
    frames, count = sequence.frames, len(sequence.frames)
    order = np.resize([*range(count), *range(count - 2, 0, -1)], _TO_AND_FRO)
    step_ns = (frames[-1].stamp_ns - frames[0].stamp_ns) // (count - 1)
    flown = tuple(dataclasses.replace(frames[i], stamp_ns=k * step_ns) for k, i in enumerate(order))
    return dataclasses.replace(sequence, name=f'{sequence.name}, to and fro', frames=flown)


def doubts(sequence: PosedSequence) -> Iterator[tuple[Drop | None, str]]:
    """Yield of each frame, beginning with the second, why no depth must come of it, and what is said."""
    watch = Watch()
    for number in range(len(sequence.frames)):
        doubt = watch.look(sequence.frame(number))
        if number:
            yield doubt, watch.finding.sentence if watch.finding else ''


def asked(about: str) -> argparse.Namespace:
    """Return the command line's `folders` of posed sequences and the `cache` of rendered ones, which is there then."""
    parser = argparse.ArgumentParser(description=about.strip().split('\n')[0])
    parser.add_argument('folders', nargs='*', type=Path)
    parser.add_argument('--only', nargs='+', metavar='NAME', help='the flights to render')
    parser.add_argument('--cache', type=Path, default=Path(tempfile.gettempdir()) / 'healthy_flights')
    options = parser.parse_args()
    options.cache.mkdir(exist_ok=True)
    return options


def wanted(flights: Sequence[Healthy], names: Sequence[str] | None) -> list[Healthy]:
    """Return the flights of these names; all where none are given."""
    return [healthy for healthy in flights if not names or healthy.name in names]


def main() -> int:
    """Print a line for each flight that is doubted, and the sum without those known; return 1 where it is not 0."""
    options = asked(__doc__)
    flights = [rendered(healthy, options.cache) for healthy in wanted((*RENDERED, *DOUBTED), options.only)]
    doubtful = {healthy.name for healthy in DOUBTED}
    flights += [PosedSequence.load(folder) for folder in (share_path('flights', 'park'), *options.folders)]
    looked, doubted = Counter(), Counter()
    for sequence in flights:
        for flown in (*(one_of(every, sequence) for every in _EVERY), to_and_fro(sequence)):
            noisy = [PoseNoise(*_NOISE, seed=seed).degraded(flown) for seed in _SEEDS]
            for kind, versions in (('clean', [flown]), ('noisy', noisy)):
                for version in versions:
                    found = list(doubts(version))
                    said = [sentence for doubt, sentence in found if doubt]
                    if sequence.name not in doubtful:
                        looked[kind] += len(found)
                        doubted[kind] += len(said)
                    if said:
                        print(f'{version.name}: {len(said)} of {len(found)}: {max(said, key=len)}', flush=True)
    for kind, number in looked.items():
        print(f'{kind}: {doubted[kind]} of {number} frames')
    return int(doubted.total() > 0)


if __name__ == '__main__':
    sys.exit(main())
