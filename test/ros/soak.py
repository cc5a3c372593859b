"""
A long flight over DDS: what depth_node holds of memory, descriptors, threads and shared memory must not grow.

`python test/ros/soak.py --minutes 20` flies past the wall of `faults.py`; every ten seconds a listener goes and comes
back, and every minute the clock is set back. What a process holds after the first quarter is compared with its end.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path

if __name__ == '__main__':
    from faults import isolate

    isolate()

from faults import Fault, Flight  # noqa: E402

_MOST_GROWTH = 0.03  # of memory; the rest may not grow at all
# Two segments of 16 MB may fill up; a listener may just come or go.
_SLACK = {'shared_memory_mb': 32, 'descriptors': 2, 'threads': 1, 'shared_memory_files': 2}
_PART_S = 10.0


@dataclass(frozen=True)
class Held:
    """
    What a process holds: memory of its own and shared memory in MB, descriptors, threads, files of /dev/shm it maps.

    Resident memory each. Segments of shared memory have a fixed size, and are filled one page after the other.
    """

    memory_mb: float
    shared_memory_mb: float
    descriptors: int
    threads: int
    shared_memory_files: int

    @classmethod
    def by(cls, pid: int) -> Held:
        process = Path('/proc') / str(pid)
        lines = (process / 'status').read_text().splitlines()
        status = dict(line.split(':\t', 1) for line in lines if ':\t' in line)
        return cls(
            int(status['RssAnon'].split()[0]) / 1024,
            int(status['RssShmem'].split()[0]) / 1024,
            len(list((process / 'fd').iterdir())),
            int(status['Threads']),
            len(set(re.findall(r'/dev/shm/\S+', (process / 'maps').read_text()))),
        )


def soak(flight: Flight, seconds: float, part_s: float = _PART_S) -> list[Held]:
    """Fly for so long; return what the node holds at the end of each part."""
    healthy, back = Fault('', ''), Fault('', '', clock_s=-5.0)
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        until = time.monotonic() + part_s
        flight.fly(back if len(found) % 6 == 3 else healthy, lambda until=until: time.monotonic() > until)
        found.append(Held.by(flight.process.pid))
        flight.listen_no_more()
        flight.glide(0.5)
        flight.listen()
    return found


def growth(found: list[Held]) -> dict[str, tuple[float, float]]:
    """Return by name what was held after the first quarter and in the end: medians of a quarter each."""
    quarter = max(1, len(found) // 4)
    early, late = found[quarter : 2 * quarter], found[-quarter:]
    return {
        field.name: tuple(statistics.median(astuple(held)[place] for held in part) for part in (early, late))
        for place, field in enumerate(fields(Held))
    }


def grown(held: dict[str, tuple[float, float]], most_growth: float = _MOST_GROWTH) -> list[str]:
    """Return the names of what has grown."""
    return [
        name
        for name, (early, late) in held.items()
        if late > (early + _SLACK[name] if name in _SLACK else early * (1 + most_growth))
    ]


def main() -> int:
    """Fly, print what was held, and return 1 where it has grown."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('--minutes', type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flight = Flight(Path(folder))
        try:
            found = soak(flight, 60 * options.minutes)
            held = growth(found)
        finally:
            ended = flight.close()
    for name, (early, late) in held.items():
        print(f'{name:20} {early:8.1f} -> {late:8.1f}')
    print('memory_mb each minute:', *(f'{each.memory_mb:.0f}' for each in found[:: round(60 / _PART_S)]))
    print(
        f'{len(flight.depths)} depth images, {sum(not right for _, right in flight.depths)} wrong; '
        f'depth_node ended with {ended}.'
    )
    return int(bool(grown(held)) or ended != 0)


if __name__ == '__main__':
    sys.exit(main())
