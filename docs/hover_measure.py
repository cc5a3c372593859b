"""
Measure depth while nothing can be measured: `python docs/hover_measure.py [--single-view PATH] FLIGHT...`.

FLIGHT: posed sequences with depth that end hovering, as `depthnet render flight --hover 20 [--turn 90]` makes. Of the
last second of each: share of pixels within 25 % of the truth, an unknown one counting as wrong, the same of those
known, their mean error of ln(depth), how many are within the deviation told, and what share comes from where.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np

from ros_depthnet.core.frames import Prediction, Views
from ros_depthnet.core.measurer import Estimate, Origin
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.core.reasons import Drop
from ros_depthnet.engines.model import load_model
from ros_depthnet.engines.single_view import load_single_view
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.flight.session import Session

LAST_NS = 10**9


class Noted:
    """A model that answers the same views only once: what is compared measures the same things."""

    def __init__(self, model):
        self.model, self.answers = model, {}
        self.parallax_range, self.input_size = model.parallax_range, model.input_size

    def predict(self, ranges: list[Views]) -> list[Prediction]:
        """Return the answer of before, or ask."""
        key = tuple((views.reference.stamp_ns, *(source.stamp_ns for source in views.sources)) for views in ranges)
        if key not in self.answers:
            self.answers[key] = self.model.predict(ranges)
        return self.answers[key]


class Constant:
    """Guesses that everything is as far: what is remembered goes on smoothly."""

    def predict(self, image_hw3: np.ndarray) -> Prediction:
        """Return one depth, of a deviation that is still told."""
        size = image_hw3.shape[:2]
        return Prediction(np.ones(size, np.float32), np.full(size, 0.4, np.float32))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('flights', nargs='+', type=Path)
    parser.add_argument('--single-view')
    arguments = parser.parse_args()
    model = load_model()
    warnings.simplefilter('ignore', RuntimeWarning)  # means of nothing are NaN, and shown so
    rows = {}
    for folder in arguments.flights:
        flight, noted = PosedSequence.load(folder), Noted(model)
        sessions = {
            'as by default': Session(noted),
            'memory_age 60': Session(noted, EstimatorOptions(memory_age=60.0)),
            'unchanged': Session(noted, EstimatorOptions(remember_unchanged=True)),
            'constant guess': Session(noted, single_view=Constant()),
        }
        if arguments.single_view:
            sessions['single_view'] = Session(noted, single_view=load_single_view(arguments.single_view))
        for name, session in sessions.items():
            rows.setdefault(name, []).append(scores(flight, session))
            print(f'{folder.name:24} {name:16}', *(f'{value:6.3f}' for value in rows[name][-1]), flush=True)
    print(f'\n{"mean of all":41}', *COLUMNS)
    for name, found in rows.items():
        print(f'{"":24} {name:16}', *(f'{value:6.3f}' for value in np.nanmean(found, 0)))


COLUMNS = 'delta_125', 'of known', 'mae_log', 'within', 'measured', 'remembered', 'one image', 'its delta_125'


def scores(flight: PosedSequence, session: Session) -> list[float]:
    """Return COLUMNS, means over the frames of the last second."""
    end, found = flight.frames[-1].stamp_ns, []
    for index, at in enumerate(flight.frames):
        result = session.add(flight.frame(index))
        if at.stamp_ns > end - LAST_NS:
            found.append(of_frame(result, flight.depth(index), flight.max_depth))
    return list(np.nanmean(found, 0))


def of_frame(result: Estimate | Drop, truth_hw: np.ndarray, max_depth: float) -> list[float]:
    """Return COLUMNS of one frame."""
    if isinstance(result, Drop):
        return [0.0, np.nan, np.nan, np.nan, 0.0, 0.0, 0.0, np.nan]
    near = truth_hw < max_depth
    with np.errstate(invalid='ignore', divide='ignore'):
        off = np.abs(np.log(result.depth_hw / truth_hw))[near]
        told = (result.deviation_hw / result.depth_hw)[near]
    known, right, origin = np.isfinite(off), off < np.log(1.25), result.origin_hw[near]
    guessed = origin == Origin.ONE_IMAGE
    return [
        right.mean(),
        right[known].mean(),
        off[known].mean(),
        (off < told)[known].mean(),
        *((origin == kind).mean() for kind in (Origin.MEASURED, Origin.REMEMBERED, Origin.ONE_IMAGE)),
        right[guessed].mean() if guessed.any() else np.nan,
    ]


if __name__ == '__main__':
    main()
