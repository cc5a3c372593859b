"""Train a network on rendered flights by a recipe: resumable, the same whether stopped or not."""

from __future__ import annotations

import csv
import io
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import yaml
from torch.nn.parallel import DistributedDataParallel

from ros_depthnet.engines.card import ModelCard
from ros_depthnet.heap import keep_freed_memory
from ros_depthnet.learning.curves import draw_curves
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.moving_clues import CluedFlights
from ros_depthnet.learning.recipe import Recipe
from ros_depthnet.learning.recorded import RecordedFlights
from ros_depthnet.learning.task import Stage
from ros_depthnet.learning.taught_end_task import Lessons
from ros_depthnet.learning.weights import EXPORTED, restore, take, write_checkpoint
from ros_depthnet.whole_files import write_file

Flights = RenderedFlights | RecordedFlights | CluedFlights | Lessons


class _BatchesByStep(torch.utils.data.Dataset):
    """
    Batch number `step` is a function of the recipe's seed and the step alone.

    Of several processes, each takes every so-manieth sample of it.
    """

    def __init__(self, recipe: Recipe, sets: Sequence[Flights]):
        self.recipe = recipe
        self.flights = {stage.sets: _together(sets, stage.sets) for stage in recipe.stages}

    def __getitem__(self, step: int) -> dict:
        cv2_threads_off()
        recipe, stage = self.recipe, self.recipe.stage(step)
        rng = np.random.default_rng([recipe.seed, step])
        batch = recipe.task.draw(self.flights[stage.sets], stage, rng)
        return {name: rows[_rank() :: _processes()] for name, rows in batch.items()}


def _together(sets: Sequence[Flights], numbers: tuple[int, ...]):
    return torch.utils.data.ConcatDataset([sets[number] for number in numbers])


def _processes() -> int:
    """Return how many processes train together: those torchrun has started."""
    return int(os.environ.get('WORLD_SIZE', 1))


def _rank() -> int:
    return int(os.environ.get('RANK', 0))


class _Lesson(torch.nn.Module):
    """The loss as a module's output, which is where DistributedDataParallel waits for gradients."""

    def __init__(self, recipe: Recipe, network: torch.nn.Module):
        super().__init__()
        self.recipe, self.network = recipe, network

    def forward(self, batch):
        device = next(iter(batch.values())).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.recipe.bfloat16):
            return self.recipe.task.loss_terms(self.network, batch)


def cv2_threads_off() -> None:
    """Keep OpenCV to one thread: loaders run one process each."""
    import cv2

    cv2.setNumThreads(0)


def train(
    recipe: Recipe,
    sets: Sequence[Flights],
    validation: RenderedFlights | CluedFlights,
    folder: Path,
    device='cpu',
    loaders: int = 1,
    save_every: int = 250,
    stop_after: float = float('inf'),
    limit: float = float('inf'),
    start_from: Path | None = None,
    progress=lambda text: None,
) -> torch.nn.Module:
    """
    Run the recipe, from the last checkpoint in `folder` if there is one; stop after `stop_after` seconds.

    The whole run, however often it is stopped, ends after `limit` seconds, and the learning rate has fallen by then.
    `sets` are those that the recipe's stages number. A new run begins with the weights of the checkpoint or
    exported model `start_from`, if it is given; ValueError is raised if they are another network's, or
    missing for a recipe that comes after another, or an exported model's and norms are not frozen.

    Under torchrun the processes share every batch and average their gradients; batch norm sees each
    process's share alone. The first of them validates and writes. Each must divide every batch.

    Leaves in the folder `last.pt` (resumable), `stage1.pt`, ... (the same at the end of each stage),
    `curve.csv` with its picture, and `results.yaml`, which says what was trained and how well it does.
    """
    _check_sets(recipe, sets)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    if _processes() > 1:
        device = _join(recipe, device)
    if torch.device(device).type == 'cpu':
        keep_freed_memory()
    network = recipe.task.build().to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    first, spent, before = 0, 0.0, {}
    checkpoint = folder / 'last.pt'
    if checkpoint.exists():
        state = restore(network, checkpoint, device)
        optimiser.load_state_dict(state['optimiser'])
        first, spent, before = state['step'], state['seconds'], state.get('before', {})
    elif start_from:
        before = _begin_with(network, start_from, recipe)
    elif recipe.after:
        raise ValueError(
            f'The recipe {recipe.name} goes on from {recipe.after}: name the last checkpoint of its run, '
            'as --start-from runs/NAME/last.pt.'
        )
    batches = torch.utils.data.DataLoader(
        _BatchesByStep(recipe, sets),
        batch_size=None,
        num_workers=loaders,
        sampler=range(first, recipe.steps if spent < limit else first),
        prefetch_factor=4 if loaders else None,
        pin_memory=torch.device(device).type == 'cuda',
    )
    lesson: torch.nn.Module = _Lesson(recipe, network)
    if dist.is_initialized():
        lesson = DistributedDataParallel(lesson)
    start, seconds, running = time.monotonic(), spent, []
    for step, batch in enumerate(batches, first):
        batch = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
        _prepare(network, recipe.stage(step))
        for group in optimiser.param_groups:
            group['lr'] = recipe.rate(step, seconds / limit)
        terms = lesson(batch)
        loss = sum(terms.values())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        running.append(torch.stack(list(terms.values())).tolist())
        done, seconds = step + 1, spent + time.monotonic() - start
        progress(f'step {done} of {recipe.steps}, loss {sum(running[-1]):.3f}')
        stage_number = next((n for n, stage in enumerate(recipe.stages, 1) if done == stage.until), None)
        stopping = _any(seconds - spent > stop_after or seconds >= limit) or done == recipe.steps
        if _rank() == 0 and (done % save_every == 0 or stage_number or stopping):
            row = {
                'step': done,
                'seconds': round(seconds),
                **{k: round(float(mean), 4) for k, mean in zip(terms, np.mean(running, 0))},
                **recipe.task.validate(network, validation, recipe.stage(step).crop),
            }
            running = []
            _append(folder / 'curve.csv', row)
            draw_curves(folder / 'curve.csv', recipe.task.curves)
            _write_results(folder / 'results.yaml', recipe, [len(flights) for flights in sets], device, row)
            state = {
                'network': network.state_dict(),
                'optimiser': optimiser.state_dict(),
                'step': done,
                'seconds': seconds,
                'before': before,
                'hardware': _hardware(device),
                'torch': str(torch.__version__),
            }
            for name in ('last', *([f'stage{stage_number}'] if stage_number else [])):
                write_checkpoint(folder / f'{name}.pt', state)
        if stopping:
            break
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
    return network


def _begin_with(network: torch.nn.Module, weights: Path, recipe: Recipe) -> dict:
    """Return what the card of an exported model says of its training."""
    exported = weights.suffix == EXPORTED
    if exported and not all(stage.frozen_norms for stage in recipe.stages):
        raise ValueError(
            f'{weights} has no batch norms left: to go on from it, the stages of the recipe {recipe.name} '
            'need frozen_norms: true.'
        )
    take(network, weights)
    return ModelCard.read(weights.with_suffix('.yaml')).training if exported else {}


def _prepare(network: torch.nn.Module, stage: Stage) -> None:
    network.train()
    if stage.frozen_norms:
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()


def _check_sets(recipe: Recipe, sets: Sequence[Flights]) -> None:
    if any(isinstance(flights, RecordedFlights) for flights in sets) and recipe.task.needs_depth:
        raise ValueError(
            f'The recipe {recipe.name} learns from depth, which recorded flights lack: take one that learns from '
            'images, as depthnet_unsupervised.'
        )
    for stage in recipe.stages:
        if max(stage.sets) >= len(sets):
            raise ValueError(f'The recipe wants {max(stage.sets) + 1} training sets, not {len(sets)}.')
        recorded = any(isinstance(sets[number], RecordedFlights) for number in stage.sets)
        if not recorded and stage.flights > (there := len(_together(sets, stage.sets))):
            raise ValueError(
                f'The recipe wants {stage.flights} flights of training set '
                f'{" and ".join(map(str, stage.sets))}, which has {there}: render more.'
            )


def _join(recipe: Recipe, device: str) -> str:
    """Meet the other processes of torchrun; return this one's own device."""
    if any(stage.batch % _processes() for stage in recipe.stages):
        raise ValueError(f'{_processes()} processes cannot share the batches of the recipe equally.')
    if device == 'cpu':
        dist.init_process_group('gloo')
        return device
    dist.init_process_group('nccl')
    device = f'cuda:{os.environ["LOCAL_RANK"]}'
    torch.cuda.set_device(device)
    return device


def _hardware(device) -> str:
    if torch.device(device).type == 'cuda':
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def _any(wish: bool) -> bool:
    """Tell whether any of the processes wishes it."""
    if not dist.is_initialized():
        return wish
    votes = torch.tensor(float(wish), device='cuda' if dist.get_backend() == 'nccl' else 'cpu')
    dist.all_reduce(votes, dist.ReduceOp.MAX)
    return bool(votes)


def _write_results(path: Path, recipe: Recipe, flights: list[int], device, row: dict) -> None:
    results = {
        'recipe': recipe.name,
        'kind': recipe.task.kind,
        'seed': recipe.seed,
        'recipe_steps': recipe.steps,
        'flights': flights,
        'device': f'{device}, {_processes()} processes',
        'torch': str(torch.__version__),
        **{name: value if isinstance(value, int) else round(float(value), 5) for name, value in row.items()},
    }
    write_file(path, yaml.safe_dump(results, sort_keys=False))


def _append(path: Path, row: dict) -> None:
    table = io.StringIO(path.read_text(encoding='utf-8') if path.exists() else '', newline='')
    writer = csv.DictWriter(table, row, lineterminator='\n')
    if not table.seek(0, io.SEEK_END):
        writer.writeheader()
    writer.writerow(row)
    write_file(path, table.getvalue())
