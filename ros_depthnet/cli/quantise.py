"""`depthnet quantise`: a model's convolutions in 8 bits, for CPUs."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ros_depthnet.engines.card import ModelCard
    from ros_depthnet.learning.quantise import Inputs

_SEED = 1002


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the model."""
    parser.add_argument(
        'model', type=Path, help='the .onnx or .yaml of a parallaxnet or movingnet; its card will name the new file'
    )
    parser.add_argument(
        '--flights',
        type=Path,
        nargs='+',
        default=[],
        metavar='FOLDER',
        help='what to find ranges on: rendered flights (default: some are rendered), or clues for a movingnet',
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the file, and say how large it is."""
    from ros_depthnet.engines.card import ModelCard, ModelError
    from ros_depthnet.learning.quantise import quantise

    card = ModelCard.read(arguments.model.with_suffix('.yaml'))
    samples_of = {'parallaxnet': _rendered, 'movingnet': _clues}
    if card.kind not in samples_of:
        raise ModelError(
            f'{card.name} is a {card.kind}; only {" and ".join(samples_of)} have convolutions worth 8 bits.'
        )
    with tempfile.TemporaryDirectory() as folder:
        path = quantise(card, samples_of[card.kind](card, arguments.flights, Path(folder)))
    print(f'{path}: {path.stat().st_size / 1e6:.1f} MB, beside {card.file.stat().st_size / 1e6:.1f} MB.')


def _rendered(card: ModelCard, flights: Sequence[Path], folder: Path) -> Iterator[Inputs]:
    from ros_depthnet.learning.dataset import RenderedFlights, render_shards
    from ros_depthnet.learning.quantise import parallax_samples
    from ros_depthnet.learning.still_box.sequences import SequenceOptions
    from ros_depthnet.learning.still_box.textures import shared_atlas

    if not flights:
        render_shards(
            folder, _SEED, range(1), SequenceOptions(card.input_width, card.input_height), shared_atlas('cpu')
        )
    for each in flights or (folder,):
        yield from parallax_samples(RenderedFlights.open(each))


def _clues(card: ModelCard, flights: Sequence[Path], folder: Path) -> Iterator[Inputs]:
    from ros_depthnet.engines.card import ModelError
    from ros_depthnet.learning.moving_clues import CluedFlights
    from ros_depthnet.learning.quantise import clue_samples

    if not flights:
        raise ModelError(f'Ranges of {card.name} are found on clues: name a folder of them with --flights.')
    for each in flights:
        yield from clue_samples(CluedFlights.open(each))
