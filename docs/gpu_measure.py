"""
Measure what GPUs bring in one command: `python docs/gpu_measure.py flights/park SET... --json out/gpu.json`.

For every provider that starts here, in each of its precisions: what a start takes, the time of an image by stage in
steps and in one call, how far depth is from that of float32 on the CPU, and the scores on the sets. Providers that do
not start are named with the reason.
"""

import argparse
import itertools
import json
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime

from ros_depthnet.core.measurer import Estimate, Measurer
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.engines.model import load_model
from ros_depthnet.engines.whole_model import WholeModel
from ros_depthnet.evaluation.evaluate import load_sets
from ros_depthnet.evaluation.metrics import DepthAndDeviation, resample
from ros_depthnet.evaluation.precision import check_answers
from ros_depthnet.evaluation.provenance import commit
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.resources import share_path

COMBINATIONS = (
    ('cpu', 'float32'), ('cpu', 'auto'), ('openvino', 'float32'),
    ('cuda', 'float32'), ('cuda', 'float16'), ('tensorrt', 'float32'), ('tensorrt', 'float16'),
)  # fmt: skip
SIZES = (320, 240), (640, 480), (1280, 720)
REFERENCE, SOURCES = 6, (4, 2)
LINE = '{:9} {:9} {:9} {:9} {:>7} {:>7} {:>7} {:>9} {:>7}  {}'
HEAD = 'provider', 'precision', 'way', 'camera', 'start s', 'ms', 'p95', '|ln| off', 'p99', 'stages, ms'


@dataclass
class Row:
    """How fast an engine is, milliseconds, and how far its depth is from float32 on the CPU, |ln|."""

    provider: str
    precision: str
    way: str
    camera: str
    start_s: float
    median: float = 0.0
    p95: float = 0.0
    off: float = 0.0
    off_p99: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)


def in_steps(model: Model, width: int) -> Model:
    """Return a model that goes through OpenCV, whatever it could do at once."""
    return Model(model.card, model.engine, width)


def score(measurer: Measurer, sequence: PosedSequence) -> dict[str, float]:
    """Return the mean of |ln(depth)| and the share within a quarter, over the pixels that are known."""
    errors = []
    for reference, source in sequence.pairs:
        estimate = measurer.estimate(sequence.frame(reference), [sequence.frame(source)])
        truth = sequence.depth(reference)
        depth = resample(DepthAndDeviation(estimate.depth_hw, None), *truth.shape[::-1]).depth_hw
        with np.errstate(invalid='ignore', divide='ignore'):
            off = np.abs(np.log(depth / truth))[truth < sequence.max_depth]
        errors.append(off[np.isfinite(off)])
    off = np.concatenate(errors)
    return {'mae_log': float(off.mean()), 'delta_125': float((off < np.log(1.25)).mean())}


def timed(measurer: Measurer, frames, turns: int) -> tuple[list[Estimate], list[float]]:
    """Return estimates and how long each took, milliseconds, the first two, which prepare, left out."""
    estimates, times = [], []
    for _ in range(turns + 2):
        started = time.perf_counter()
        estimates.append(measurer.estimate(frames[0], frames[1:]))
        times.append(1e3 * (time.perf_counter() - started))
    return estimates[2:], times[2:]


def measured(name, provider, precision, size, arguments, sets):
    """Yield the rows of an engine at a camera's size; ModelError where it does not start."""
    park = PosedSequence.load(share_path('flights', 'park'))
    frames = [park.frame(index).resized(*size) for index in (REFERENCE, *SOURCES)]
    options = EstimatorOptions()
    started = time.perf_counter()
    model = load_model(name, provider, cache_dir=arguments.engines, precision=precision)
    model.warm_up(frames[0].camera, options)
    start = time.perf_counter() - started
    check_answers(model, frames[0].camera)
    width, _ = model.input_size(frames[0].camera)
    exact = Measurer(load_model(name, 'cpu', input_width=width, precision='float32'), options)
    expected = exact.estimate(frames[0], frames[1:]).depth_hw
    ways = {'steps': in_steps(model, width), **({'one call': model} if isinstance(model, WholeModel) else {})}
    for way, each in ways.items():
        measurer = Measurer(each, options)
        estimates, times = timed(measurer, frames, arguments.turns)
        off = np.abs(np.log(estimates[-1].depth_hw / expected))
        stages = {
            stage: float(np.median([one.milliseconds[stage] for one in estimates]))
            for stage in estimates[-1].milliseconds
        }
        yield Row(
            provider,
            each.engine.precision,
            way,
            f'{size[0]}x{size[1]}',
            start,
            float(np.median(times)),
            float(np.percentile(times, 95)),
            float(np.nanmean(off)),
            float(np.nanpercentile(off, 99)),
            stages,
            {one.name: score(measurer, one) for one in sets},
        )


def main():
    """Measure, print each row when it is known, and write all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('sets', nargs='*', type=Path, help='posed sequences to score on, at 640x480')
    parser.add_argument('--model', default='default')
    parser.add_argument('--turns', type=int, default=50, help='timed calls of each')
    parser.add_argument('--providers', default='cpu,openvino,cuda,tensorrt')
    parser.add_argument('--engines', type=Path, help='where TensorRT keeps its engines')
    parser.add_argument('--json', type=Path, help='write the rows there')
    arguments = parser.parse_args()
    rows, sets, refused = [], load_sets(arguments.sets), {}
    combinations = [each for each in COMBINATIONS if each[0] in arguments.providers.split(',')]
    print(LINE.format(*HEAD))
    for (provider, precision), size in itertools.product(combinations, SIZES):
        try:
            for row in measured(
                arguments.model, provider, precision, size, arguments, sets if size == (640, 480) else ()
            ):
                rows.append(row)
                numbers = (
                    f'{row.start_s:.1f}',
                    f'{row.median:.1f}',
                    f'{row.p95:.1f}',
                    f'{row.off:.6f}',
                    f'{row.off_p99:.4f}',
                )
                stages = ', '.join(f'{stage} {ms:.1f}' for stage, ms in row.stages.items())
                print(LINE.format(row.provider, row.precision, row.way, row.camera, *numbers, stages), flush=True)
                for name, scores in row.scores.items():
                    print(f'{"":39} {name}: {scores["mae_log"]:.4f} / {scores["delta_125"]:.4f}', flush=True)
        except ModelError as error:
            if refused.get(f'{provider} {precision}') != str(error):
                print(f'{provider:9} {precision:9} {error}', flush=True)
            refused[f'{provider} {precision}'] = str(error)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        about = {'commit': commit(), 'onnxruntime': onnxruntime.__version__, 'machine': platform.processor()}
        arguments.json.write_text(
            json.dumps({**about, 'rows': [asdict(row) for row in rows], 'refused': refused}, indent=1) + '\n'
        )


if __name__ == '__main__':
    main()
