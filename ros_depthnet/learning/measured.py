"""Two measurements of one view: what the product makes of a frame of a rendered flight, from different sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.measurer import Measurer
from ros_depthnet.core.motion import pose
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.learning.arrays import write_array
from ros_depthnet.learning.dataset import RenderedFlights
from ros_depthnet.learning.still_box.sequences import Sequence

_OPTIONS = EstimatorOptions(min_range=0.01, max_range=1e4, max_relative_deviation=0.3)


def measure_shards(
    flights: RenderedFlights, model: Model, folder: Path, progress: Callable[[str], None] = lambda text: None
) -> None:
    """
    Write for each flight of a set its first frame twice, with its depth as measured from two halves of the others.

    What one of the two gets wrong by chance the other does not: a network that is taught by both learns their mean
    (Lehtinen 2018). NaN is where it is unsure. Shards that are there already are kept. The model has to take the
    images' size. Raises ValueError if flights have fewer than three frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    measurer = Measurer(model, _OPTIONS)
    if flights.shards[0]['images'].shape[1] < 3:
        raise ValueError('Two measurements of one frame need two others: render flights of three frames or more.')
    for index, shard in enumerate(flights.shards):
        last = folder / f'{index:05d}.positions.npy'
        if last.exists():
            continue
        fields = {name: np.asarray(values) for name, values in shard.items()}
        depths = np.stack([_measured(measurer, Sequence(*each)) for each in zip(*fields.values())])
        fields |= {name: fields[name][:, [0, 0]] for name in ('images', 'positions')} | {'depth': depths}
        for name, values in fields.items():
            write_array(folder / f'{index:05d}.{name}.npy', values)
        progress(f'{index + 1} of {len(flights.shards)} shards')


def _measured(measurer: Measurer, flight: Sequence) -> np.ndarray:
    """Return the depth (2, H, W) float32 of a flight's first frame, compared with every other of the rest."""
    height, width = flight.images.shape[1:3]
    camera = Camera(width, height, *map(float, flight.intrinsics))
    first, *rest = (
        Frame(number, image, camera, pose(np.eye(3), position))
        for number, (image, position) in enumerate(zip(flight.images, flight.positions))
    )
    return np.stack([measurer.estimate(first, half).depth_hw for half in (rest[::2], rest[1::2])])
