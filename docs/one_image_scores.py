"""
Score what one image tells, its scale given: `python docs/one_image_scores.py --single-view PATH SET...`.

SET: posed sequences with depth. Depth of each image that has truth is multiplied by what brings its median to the
truth's, as is usual where there is no scale (Zhou 2017). Beside it the same of a constant depth.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.engines.single_view import load_single_view
from ros_depthnet.flight.posed_sequence import PosedSequence

COLUMNS = 'abs_rel', 'rms_log', 'scale_invariant', 'mae_log', 'delta_125', 'within', 'constant: abs_rel', 'delta_125'


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('sets', nargs='+', type=Path)
    parser.add_argument('--single-view', required=True)
    arguments = parser.parse_args()
    model = load_single_view(arguments.single_view)
    print(f'{"":24}', *COLUMNS)
    for folder in arguments.sets:
        sequence = PosedSequence.load(folder)
        found = [of_image(model, sequence, index) for index in sequence.with_truth]
        print(f'{sequence.name:24}', *(f'{value:6.3f}' for value in np.mean(found, 0)), f'({len(found)} images)')


def of_image(model, sequence: PosedSequence, index: int) -> list[float]:
    """Return COLUMNS of one image."""
    image, truth_hw = sequence.image(index), sequence.depth(index)
    guess = model.predict(image)
    size = truth_hw.shape[::-1]
    near = (truth_hw > 0) & (truth_hw < sequence.max_depth)
    truth = truth_hw[near]
    depth, deviation = (cv2.resize(each, size)[near] for each in (guess.depth_hw, guess.deviation_hw))
    depth = depth * (np.median(truth) / np.median(depth))
    off, constant = np.log(depth / truth), np.log(np.median(truth) / truth)
    return [
        np.mean(np.abs(depth - truth) / truth),
        np.sqrt(np.mean(off**2)),
        np.std(off),
        np.mean(np.abs(off)),
        np.mean(np.abs(off) < np.log(1.25)),
        np.mean(np.abs(off) < deviation),
        np.mean(np.abs(np.median(truth) - truth) / truth),
        np.mean(np.abs(constant) < np.log(1.25)),
    ]


if __name__ == '__main__':
    main()
