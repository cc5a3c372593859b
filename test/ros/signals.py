"""
Signals in every state of the life cycle: a node ends with status 0 within ten seconds, whatever it is doing.

`python test/ros/signals.py --tries 30 [NODE ...]` starts each node as a process so many times for each state and
signal, and prints how often it ended so. Flying is depth_node's: `test_running.py`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

if __name__ == '__main__':
    from ros_depthnet.ros.isolation import isolate

    isolate()

from ros_depthnet.resources import share_path  # noqa: E402
from ros_depthnet.ros import processes  # noqa: E402
from ros_depthnet.ros.transport import enlarge_shared_memory  # noqa: E402

_BRING_UP = processes._BRING_UP
STATES = {'unconfigured': 0, 'inactive': 1, 'active': 2}  # by how many transitions lead there
NODES = {
    **dict.fromkeys(processes.PROCESSING_NODES, {'camera_mounting': 'parameters'}),
    'replay_node': {'path': str(share_path('flights', 'park'))},
}


def end(node: str, state: str, number: int, folder: Path) -> tuple[int, float]:
    """Bring a node into a state, send it a signal; return its exit status and the seconds it took."""
    process = processes.NodeProcess(node, '', NODES[node], folder)
    processes._BRING_UP = _BRING_UP[: STATES[state]]
    try:
        with processes._Manager('') as manager:
            manager.bring_up(process)  # in any case until its services are there
    finally:
        processes._BRING_UP = _BRING_UP
    start = time.monotonic()
    os.kill(process.pid, number)
    return process.join(), time.monotonic() - start


def main() -> int:
    """Print a line for each state and signal; return 1 where any end was not clean."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('nodes', nargs='*', default=list(NODES), metavar='NODE', help=', '.join(NODES))
    parser.add_argument('--tries', type=int, default=30)
    options = parser.parse_args()
    enlarge_shared_memory()
    unclean = 0
    with tempfile.TemporaryDirectory() as folder:
        for node, state, number in itertools.product(options.nodes, STATES, (signal.SIGINT, signal.SIGTERM)):
            ends = [end(node, state, number, Path(folder)) for _ in range(options.tries)]
            clean = sum(status == 0 for status, _ in ends)
            unclean += options.tries - clean
            print(
                f'{node:15}{state:14}{number.name:10}{clean} of {options.tries} clean, slowest '
                f'{max(seconds for _, seconds in ends):.1f} s',
                flush=True,
            )
    return int(unclean > 0)


if __name__ == '__main__':
    sys.exit(main())
