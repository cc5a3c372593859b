"""Train a network on rendered flights by a recipe: resumable, the same whether stopped or not."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import torch

from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.recipe import Recipe


class _BatchesByStep(torch.utils.data.Dataset):
    """Batch number `step` is a function of the recipe's seed and the step alone."""

    def __init__(self, recipe: Recipe, flights: RenderedFlights):
        self.recipe, self.flights = recipe, flights

    def __getitem__(self, step: int) -> dict:
        cv2_threads_off()
        recipe, stage = self.recipe, self.recipe.stage(step)
        if stage.flights > len(self.flights):
            raise ValueError(
                f'The recipe wants {stage.flights} flights and the set has {len(self.flights)}: render more.'
            )
        rng = np.random.default_rng([recipe.seed, step])
        return recipe.task.draw(self.flights, stage, rng)


def cv2_threads_off() -> None:
    """Keep OpenCV to one thread: loaders run one process each."""
    import cv2

    cv2.setNumThreads(0)


def train(
    recipe: Recipe,
    flights: RenderedFlights,
    validation: RenderedFlights,
    folder: Path,
    device='cpu',
    loaders: int = 1,
    save_every: int = 250,
    stop_after: float = float('inf'),
    progress=lambda text: None,
) -> torch.nn.Module:
    """
    Run the recipe, from the last checkpoint in `folder` if there is one; stop after `stop_after` seconds.

    Leaves in the folder `last.pt` (resumable), `stage1.pt`, ... (the same at the end of each stage) and
    `curve.csv`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = recipe.task.build().to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    first, spent = 0, 0.0
    checkpoint = folder / 'last.pt'
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state['network'])
        optimiser.load_state_dict(state['optimiser'])
        first, spent = state['step'], state['seconds']
    batches = torch.utils.data.DataLoader(
        _BatchesByStep(recipe, flights),
        batch_size=None,
        num_workers=loaders,
        sampler=range(first, recipe.steps),
        prefetch_factor=4 if loaders else None,
    )
    network.train()
    start, running = time.monotonic(), []
    for step, batch in enumerate(batches, first):
        batch = {key: value.to(device) for key, value in batch.items()}
        for group in optimiser.param_groups:
            group['lr'] = recipe.rate(step)
        terms = recipe.task.loss_terms(network, batch)
        loss = sum(terms.values())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        running.append({name: value.item() for name, value in terms.items()})
        done, seconds = step + 1, spent + time.monotonic() - start
        progress(f'step {done} of {recipe.steps}, loss {sum(running[-1].values()):.3f}')
        stage_number = next((n for n, stage in enumerate(recipe.stages, 1) if done == stage.until), None)
        stopping = seconds - spent > stop_after or done == recipe.steps
        if done % save_every == 0 or stage_number or stopping:
            row = {
                'step': done,
                'seconds': round(seconds),
                **{k: round(float(np.mean([r[k] for r in running])), 4) for k in terms},
                **recipe.task.validate(network, validation, recipe.validation_crop(step)),
            }
            running = []
            _append(folder / 'curve.csv', row)
            state = {
                'network': network.state_dict(),
                'optimiser': optimiser.state_dict(),
                'step': done,
                'seconds': seconds,
            }
            torch.save(state, checkpoint.with_suffix('.part'))
            checkpoint.with_suffix('.part').replace(checkpoint)
            if stage_number:
                torch.save(state, folder / f'stage{stage_number}.pt')
        if stopping:
            break
    return network


def _append(path: Path, row: dict) -> None:
    new = not path.exists()
    with path.open('a', newline='') as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)
