"""Teach a shipped model one's own flights: label, learn, and keep what is better there and no worse elsewhere."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from ros_depthnet.engines.card import ModelCard
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.engines.model import load_model
from ros_depthnet.learning.adapt_task import AdaptTask
from ros_depthnet.learning.dataset import RenderedFlights, render_shards
from ros_depthnet.learning.export import export_parallaxnet, write_card
from ros_depthnet.learning.held_out import held_out_scores
from ros_depthnet.learning.judged import Judgement, draw_before_and_after
from ros_depthnet.learning.labelling import HELD_OUT, LEARNED
from ros_depthnet.learning.labels import LabelledFlight
from ros_depthnet.learning.parallax_task import ParallaxTask
from ros_depthnet.learning.quantise import parallax_samples, quantise
from ros_depthnet.learning.recipe import Recipe
from ros_depthnet.learning.still_box.sequences import SequenceOptions
from ros_depthnet.learning.still_box.textures import shared_atlas
from ros_depthnet.learning.task import Stage
from ros_depthnet.learning.training import train
from ros_depthnet.learning.weights import average, halve, restore, take
from ros_depthnet.text_files import read_yaml
from ros_depthnet.whole_files import write_file

Progress = Callable[[str], None]
_LEARNED_SEED, _CHECKED_SEED = 1000, 1001
_SHARES = 1.0, 0.7, 0.5, 0.3  # of what was learned, that are tried
_NO_WORSE = 1.01


@dataclass(frozen=True)
class AdaptOptions:
    """
    How to adapt.

    `held_out`: share of each flight, its end, that is not learned from. `steps` of `batch` samples of `crop`
    (width, height) pixels; `rendered`: share of them that are rendered. `minutes`: learn no longer, the rate
    having fallen by then. `seed`: of what is drawn.
    """

    held_out: float = 0.25
    steps: int = 600
    batch: int = 4
    crop: tuple[int, int] = (256, 192)
    rendered: float = 0.3
    learning_rate: float = 1e-4
    minutes: float = math.inf
    seed: int = 0

    def __post_init__(self):
        if not 0.1 <= self.held_out <= 0.9:
            raise ValueError(f'The share held out must be .1 to .9, not {self.held_out:g}.')
        if self.steps < 1 or self.batch < 1:
            raise ValueError('Adapting takes at least one step of one sample.')
        if not self.minutes > 0:
            raise ValueError(f'Adapting takes more than {self.minutes:g} minutes.')


@dataclass(frozen=True, eq=False)
class Verdict:
    """A model on the flights' held-out ends, and its mean |d ln(depth)| to the truth of rendered scenes."""

    held_out: Judgement
    rendered: float

    @classmethod
    def of(cls, model: Model, flights: Sequence[LabelledFlight], rendered: RenderedFlights) -> Verdict:
        """Judge a model."""
        return cls(Judgement.of(model, flights), held_out_scores(model, rendered)['mae_log'])

    @property
    def scores(self) -> dict[str, float]:
        """All numbers by name, as a card has them."""
        held_out = self.held_out
        return {'held_out': held_out.error, 'photometric': held_out.photometric, 'rendered': self.rendered}

    def betters(self, other: Verdict) -> bool:
        """Tell whether it agrees more with what is held out and is no worse on rendered scenes."""
        return self.held_out.error < other.held_out.error and self.rendered <= _NO_WORSE * other.rendered


@dataclass(frozen=True, eq=False)
class Adapted:
    """
    What came of adapting: `path` is None where nothing was better; `share` of what was learned is in it.

    `picture` shows held-out frames before and after.
    """

    before: Verdict
    after: Verdict
    share: float
    path: Path | None
    picture: Path


def adapt(
    labels: Sequence[Path], model: str, path: Path, folder: Path, options: AdaptOptions, progress: Progress
) -> Adapted:
    """
    Teach a model what `label_flights` has left in folders, and write it as `path` if it is better.

    `folder` keeps the rendered samples and the training, which goes on from there when called again. Better
    is what agrees more with what is held out and is no worse on rendered scenes; of what was learned, the
    largest share with which that is so is taken (Wortsman 2022).
    """
    card = load_model(model, precision='float32').card
    if card.kind != ParallaxTask.kind:
        raise ValueError(f'{card.name} is a {card.kind}; only a parallaxnet can be adapted.')
    flights, checked = (tuple(LabelledFlight(each / part) for each in labels) for part in (LEARNED, HELD_OUT))
    if any(flight.teacher != flights[0].teacher for flight in (*flights, *checked)):
        raise ValueError('The flights were labelled by several teachers: label them again, all by one.')
    rendered, check = (
        _rendered(folder / name, seed, options.crop, progress)
        for name, seed in (('rendered', _LEARNED_SEED), ('check', _CHECKED_SEED))
    )
    _refuse_others(folder / 'run', card, flights, options)
    task = _task(card, flights, checked, options)
    network = train(
        _recipe(task, options),
        [rendered],
        check,
        folder / 'run',
        save_every=100,
        limit=60 * options.minutes,
        start_from=card.file,
        progress=progress,
        loaders=0,
    )
    restore(network, folder / 'run' / 'last.pt')
    before = Verdict.of(load_model(card.file, precision='float32'), checked, check)
    # Until it is found to be better, and is whole, it has no place beside what was there.
    with tempfile.TemporaryDirectory(dir=folder) as tried:
        candidate = Path(tried) / path.name
        for share in _SHARES:
            progress(f'checking {share:.0%} of what was learned')
            after = Verdict.of(_exported(task, network, share, card, options, candidate), checked, check)
            if better := after.betters(before):
                break
        picture = folder / 'run' / 'held_out.png'
        draw_before_and_after(picture, before.held_out, after.held_out)
        if not better:
            return Adapted(before, after, share, None, picture)
        _tell_scores(candidate, before, after)
        if card.int8_file:
            quantise(load_model(candidate).card, parallax_samples(check))
        for written in sorted(Path(tried).iterdir()):  # the card, which names the others, comes last
            written.replace(path.with_name(written.name))
    return Adapted(before, after, share, path, picture)


def _refuse_others(run: Path, card: ModelCard, flights: Sequence[LabelledFlight], options: AdaptOptions) -> None:
    """Say in the folder of a run what learns there from what; ValueError if it has begun with something else."""
    taught = [(flight.teacher, [frame.stamp_ns for frame in flight.frames]) for flight in flights]
    learns = f'{hashlib.sha256(card.file.read_bytes()).hexdigest()} {replace(options, minutes=math.inf)} {taught}'
    digest, told = hashlib.sha256(learns.encode()).hexdigest(), run / 'learns.txt'
    if (run / 'last.pt').exists() and not (told.exists() and told.read_text(encoding='utf-8') == digest):
        raise ValueError(
            f'{run} has begun with another model, other flights or other options: remove it, or take another --out.'
        )
    write_file(told, digest)


def _rendered(folder: Path, seed: int, size: tuple[int, int], progress: Progress) -> RenderedFlights:
    progress(f'rendering {folder.name}')
    render_shards(folder, seed, range(1), SequenceOptions(*size), shared_atlas('cpu'))
    return RenderedFlights.open(folder)


def _task(card: ModelCard, flights, checked, options: AdaptOptions) -> AdaptTask:
    of_card = card.training.get('recipe', {}) if isinstance(card.training, dict) else {}
    task = ParallaxTask.take({key: of_card[key] for key in ('network', 'source_shares') if key in of_card})
    return AdaptTask(
        network=task.network, source_shares=task.source_shares, median_parallax=(2.0, 90.0),
        flights=flights, held_out=checked, share=1 - options.rendered,
    )  # fmt: skip


def _recipe(task: AdaptTask, options: AdaptOptions) -> Recipe:
    stage = Stage(options.steps, options.crop, 64, options.batch, decay=options.steps * 2 // 3, frozen_norms=True)
    warmup = max(1, options.steps // 20)
    return Recipe((stage,), task, options.learning_rate, warmup=warmup, seed=options.seed, name='adapt')


def _exported(
    task: AdaptTask, network: torch.nn.Module, share: float, card: ModelCard, options: AdaptOptions, path: Path
) -> Model:
    """Write the shipped weights moved by a share of what was learned, with a card that says what taught them."""
    blended, shipped = task.build(), task.build()
    blended.load_state_dict(network.state_dict())
    take(shipped, card.file)
    average(blended, shipped, share)
    export_parallaxnet(halve(blended), path)
    written = read_yaml(card.file.with_suffix('.yaml'))
    written['training']['adapted'] = {
        'from': card.name, 'teacher': asdict(task.flights[0].teacher), 'flights': len(task.flights),
        'frames': sum(map(len, task.flights)), 'steps': options.steps, 'seed': options.seed,
        'rendered': options.rendered, 'share': share,
    }  # fmt: skip
    written['scores'] = {}  # of the model that it was
    written.pop('int8', None)
    write_card(path, {**written, 'name': path.stem})
    return load_model(path)


def _tell_scores(path: Path, before: Verdict, after: Verdict) -> None:
    """Write into a model's card what adapting has changed."""
    written = read_yaml(path.with_suffix('.yaml'))
    write_card(path, {**written, 'scores': {'before_adapting': before.scores, 'after_adapting': after.scores}})
