"""
What GPUs would answer, computed on a CPU: `python docs/gpu_emulated.py --model parallaxnet_small SET...`.

Over every so many pairs of posed sequences: how far depth of the one graph is from that of the steps, and how far
depth with convolutions in 16 bits (torch, what goes in and out of each rounded) is from that in 32, with both scores.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from ros_depthnet.core.measurer import Measurer
from ros_depthnet.engines.card import ModelCard
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.engines.model import load_model
from ros_depthnet.engines.onnx_engine import OnnxEngine
from ros_depthnet.engines.torch_engine import TorchEngine
from ros_depthnet.engines.whole_graph import write_whole
from ros_depthnet.engines.whole_model import WholeModel
from ros_depthnet.evaluation.evaluate import load_sets
from ros_depthnet.evaluation.metrics import DepthAndDeviation, resample
from ros_depthnet.learning.parallax_task import ParallaxTask
from ros_depthnet.learning.weights import halve, take


def in_torch(card: ModelCard, rounded: bool) -> Model:
    """Return a shipped parallaxnet in torch, what goes in and out of convolutions rounded to 16 bits if asked to."""
    recipe = card.training['recipe']
    network = ParallaxTask.take({key: recipe[key] for key in ('network', 'source_shares') if key in recipe}).build()
    take(network, card.file)
    network = halve(network)
    for module in network.modules() if rounded else ():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_pre_hook(lambda _, inputs: tuple(x.half().float() for x in inputs))
            module.register_forward_hook(lambda _, inputs, output: output.half().float())
    return Model(card, TorchEngine(network, ('log_parallax', 'log_deviation')))


def at_once(model: Model, folder: Path) -> WholeModel:
    """Return a model whose one graph ONNX Runtime runs on the CPU."""
    write_whole(model.card, folder / 'whole.onnx')
    return WholeModel(model.card, model.engine, OnnxEngine(folder / 'whole.onnx', 'cpu'))


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('sets', nargs='+', type=Path)
    parser.add_argument('--model', default='default')
    parser.add_argument('--every', type=int, default=4, help='look at every so many pairs')
    arguments = parser.parse_args()
    steps = load_model(arguments.model, 'cpu', precision='float32')
    with tempfile.TemporaryDirectory() as folder:
        models = {
            'steps': steps,
            'one graph': at_once(steps, Path(folder)),
            'float32': in_torch(steps.card, False),
            'float16': in_torch(steps.card, True),
        }
        for sequence in load_sets(arguments.sets):
            compare({name: Measurer(model) for name, model in models.items()}, sequence, arguments.every)


def compare(measurers, sequence, every):
    """Print how far the answers are apart, and the scores."""
    off = {'one graph': [], 'float16': []}
    errors = {name: [] for name in measurers}
    for reference, source in sequence.pairs[::every]:
        frames, truth = (sequence.frame(reference), [sequence.frame(source)]), sequence.depth(reference)
        depths = {name: measurer.estimate(*frames).depth_hw for name, measurer in measurers.items()}
        for name, of in (('one graph', 'steps'), ('float16', 'float32')):
            apart = np.abs(np.log(depths[name] / depths[of]))
            off[name].append(apart[np.isfinite(apart)])
        for name, depth in depths.items():
            shown = resample(DepthAndDeviation(depth, None), *truth.shape[::-1]).depth_hw
            error = np.abs(np.log(shown / truth))[truth < sequence.max_depth]
            errors[name].append(error[np.isfinite(error)])
    for name, of in (('one graph', 'steps'), ('float16', 'float32')):
        apart = np.concatenate(off[name])
        scores = ', '.join(
            f'{each} {np.concatenate(errors[each]).mean():.4f} / '
            f'{(np.concatenate(errors[each]) < np.log(1.25)).mean():.4f}'
            for each in (of, name)
        )
        print(
            f'{sequence.name:18} {len(off[name]):3} pairs: {name} is off by {apart.mean():.6f} in the mean, '
            f'{np.percentile(apart, 99):.5f} at 99 %; {scores}',
            flush=True,
        )


if __name__ == '__main__':
    with np.errstate(all='ignore'):
        main()
