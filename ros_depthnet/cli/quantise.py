"""`depthnet quantise`: a model's convolutions in 8 bits, for CPUs."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

_SEED = 1002


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the model."""
    parser.add_argument('model', type=Path, help='the .onnx or .yaml of a parallaxnet; its card will name the new file')
    parser.add_argument(
        '--flights', type=Path, metavar='FOLDER', help='rendered flights to find ranges on (default: some are rendered)'
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the file, and say how large it is."""
    from ros_depthnet.engines.card import ModelCard, ModelError
    from ros_depthnet.learning.dataset import RenderedFlights, render_shards
    from ros_depthnet.learning.quantise import quantise
    from ros_depthnet.learning.still_box.sequences import SequenceOptions
    from ros_depthnet.learning.still_box.textures import shared_atlas

    card = ModelCard.read(arguments.model.with_suffix('.yaml'))
    if card.kind != 'parallaxnet':
        raise ModelError(f'{card.name} is a {card.kind}; only a parallaxnet has convolutions worth 8 bits.')
    with tempfile.TemporaryDirectory() as folder:
        flights = arguments.flights
        if flights is None:
            flights = Path(folder)
            size = SequenceOptions(card.input_width, card.input_height)
            render_shards(flights, _SEED, range(1), size, shared_atlas('cpu'))
        path = quantise(card, RenderedFlights.open(flights))
    print(f'{path}: {path.stat().st_size / 1e6:.1f} MB, beside {card.file.stat().st_size / 1e6:.1f} MB.')
