"""Where the time of an image in flight goes: by stage, for cameras of several sizes, the network's own beside it."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.measurer import Estimate
from ros_depthnet.engines.costs import Work, matrix_rate, work_of
from ros_depthnet.engines.metric_model import Engine, Model
from ros_depthnet.engines.model import load_model
from ros_depthnet.evaluation.bench import past_a_wall
from ros_depthnet.evaluation.methods import dis
from ros_depthnet.evaluation.turns import Contender, taken_in_turns
from ros_depthnet.flight.session import Session

WHOLE, NETWORK, BEFORE, STABILISED = 'whole image', 'network', 'resize, watch, choose', 'stabilise, convert'
_WARM = 2  # images: the first has no memory


@dataclass(frozen=True)
class StageTime:
    """
    What a stage of a flown image takes, for camera images of a size; the stage WHOLE is all of them.

    share: of the whole image's median. times_dis: calls of DIS at the network's input size that fit in one.
    """

    camera: str
    stage: str
    median_ms: float
    p95_ms: float
    share: float
    times_dis: float


@dataclass(frozen=True)
class NetworkCost:
    """
    What the network computes for an image in flight, and how much of the processor's power that uses.

    matrix_rate: multiply-adds a second in products of large float32 matrices, measured. share_of_rate: of it,
    what the network gets out of its convolutions and matrix products, all the time it takes counted. overhead:
    the time of a whole image over that of the network alone.
    """

    input_size: str
    work: Work
    network_ms: float
    matrix_rate: float
    share_of_rate: float
    overhead: float


def stages(
    model_name: str, cameras: Sequence[tuple[int, int]], threads: int, seconds: float, progress: Callable[[str], None]
) -> tuple[list[StageTime], NetworkCost]:
    """Fly past a wall with a camera of each (width, height); seconds: for each. Raises ModelError."""
    flights = [_Flight(load_model(model_name, threads=threads), size) for size in cameras]
    contenders = [
        Contender(f'{name} of {flight.camera}', threads, call)
        for flight in flights
        for name, call in (('dis', flight.dis), ('stages', flight.fly))
    ]
    taken = taken_in_turns(contenders, seconds, progress)
    times = [
        row for flight, of_dis in zip(flights, taken[::2], strict=True) for row in flight.rows(float(np.median(of_dis)))
    ]
    last = flights[-1]
    whole, network = (float(np.median(last.spent[stage])) for stage in (WHOLE, NETWORK))
    work, rate = work_of(last.model.card.file, last.engine.given), matrix_rate(threads)
    width, height = last.model.input_size(last.images)
    return times, NetworkCost(
        f'{width}x{height}',
        work,
        round(network, 2),
        round(rate),
        round(work.multiply_adds / (network / 1e3 * rate), 3),
        round(whole / network, 2),
    )


class _TimedEngine:
    """An engine that keeps what it was given last, and how long it took."""

    def __init__(self, engine: Engine):
        self._engine, self.provider, self.precision = engine, engine.provider, engine.precision
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self.given: dict[str, np.ndarray] = {}
        self.ms = 0.0

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        started = time.perf_counter()
        outputs = self._engine.run(inputs)
        self.given, self.ms = inputs, 1e3 * (time.perf_counter() - started)
        return outputs


class _Flight:
    def __init__(self, model: Model, size: tuple[int, int]):
        width, height = size
        self.camera, self.model, self.engine = f'{width}x{height}', model, _TimedEngine(model.engine)
        model.engine = self.engine
        self.images = Camera(width, height, 0.9 * width, 0.9 * width, width / 2, height / 2)
        self._frames, self._session = past_a_wall(self.images), Session(model)
        self._pair = [next(self._frames).resized(*model.input_size(self.images)) for _ in range(2)]
        for _ in range(self._session.options.buffer_size):
            self._session.hold(next(self._frames))
        self.spent: dict[str, list[float]] = {}
        for _ in range(_WARM):
            self.fly()
        self.spent.clear()

    def dis(self) -> None:
        dis(*self._pair)

    def fly(self) -> None:
        frame = next(self._frames)
        started = time.perf_counter()
        estimate = self._session.add(frame)
        whole = 1e3 * (time.perf_counter() - started)
        if not isinstance(estimate, Estimate) or estimate.carried:
            raise ValueError(f'{self.model.card.name} has no depth of a wall: {estimate}.')
        later = dict(estimate.milliseconds)
        before = whole - sum(later.values())
        rotation, model = later.pop('rotation', 0.0), later.pop('model')
        for stage, ms in (
            (BEFORE, before),
            ('rotation', rotation),
            (STABILISED, model - self.engine.ms),
            (NETWORK, self.engine.ms),
            *later.items(),
            (WHOLE, whole),
        ):
            self.spent.setdefault(stage, []).append(ms)

    def rows(self, dis_ms: float) -> Iterator[StageTime]:
        whole = np.median(self.spent[WHOLE])
        for stage, times in self.spent.items():
            median, p95 = np.percentile(times, (50, 95))
            yield StageTime(
                self.camera,
                stage,
                round(float(median), 2),
                round(float(p95), 2),
                round(float(median / whole), 3),
                round(float(median / dis_ms), 3),
            )
