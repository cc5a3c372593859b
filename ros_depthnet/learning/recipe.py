"""Training runs as files: what is taught, in which stages, how fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ros_depthnet.learning.contour_task import ContourTask
from ros_depthnet.learning.depth_task import DepthTask
from ros_depthnet.learning.moving_task import MovingTask
from ros_depthnet.learning.parallax_task import ParallaxTask
from ros_depthnet.learning.self_supervised_parallax_task import SelfSupervisedParallaxTask
from ros_depthnet.learning.sfm_learner_task import SfmLearnerTask
from ros_depthnet.learning.single_view_task import SingleViewTask
from ros_depthnet.learning.task import Stage, Task
from ros_depthnet.learning.taught_end_task import TaughtEndTask
from ros_depthnet.learning.taught_parallax_task import TaughtParallaxTask
from ros_depthnet.learning.unsupervised_depth_task import UnsupervisedDepthTask
from ros_depthnet.text_files import read_yaml

_TASKS: dict[tuple[str, str], type[Task]] = {
    ('parallaxnet', 'depth'): ParallaxTask,
    ('parallaxnet', 'network'): TaughtParallaxTask,
    ('parallaxnet', 'lessons'): TaughtEndTask,
    ('parallaxnet', 'images'): SelfSupervisedParallaxTask,
    ('depthnet', 'depth'): DepthTask,
    ('depthnet', 'images'): UnsupervisedDepthTask,
    ('singleview', 'depth'): SingleViewTask,
    ('singleview', 'images'): SfmLearnerTask,
    ('contournet', 'depth'): ContourTask,
    ('movingnet', 'depth'): MovingTask,
}
"""By kind of network and by what supervises it."""


@dataclass(frozen=True)
class Recipe:
    """
    A whole training run.

    The learning rate warms up over `warmup` steps, at the start and wherever a stage has ended with a falling
    one. `after` names the recipe with whose result this one begins. With `bfloat16`, convolutions are trained
    in 16 bits, faster where the processor knows the format. `input` is what the card shall say of the model's
    input (width, ...) where that is not the usual, `data` what it shall say of the rendered sets.
    """

    stages: tuple[Stage, ...]
    task: Task = ParallaxTask()
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup: int = 200
    seed: int = 0
    after: str = ''
    bfloat16: bool = False
    input: dict = field(default_factory=dict)
    data: str = ''
    name: str = ''

    @property
    def steps(self) -> int:
        """Return the number of optimiser steps of the whole run."""
        return self.stages[-1].until

    def stage(self, step: int) -> Stage:
        """Return the stage a step belongs to."""
        return next(stage for stage in self.stages if step < stage.until)

    def rate(self, step: int, spent: float = 0.0) -> float:
        """Return the learning rate of a step: it falls by steps, or by the share `spent` of the time, if more."""
        stage = self.stage(step)
        start = max((past.until for past in self.stages if past.decay and past.until <= step), default=0)
        falling = max(0.0, stage.until - max(step, spent * self.steps)) / stage.decay if stage.decay else 1
        return self.learning_rate * min((step - start + 1) / self.warmup, 1, falling)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe from YAML; raises ValueError, for unknown keys too."""
        try:
            return cls._of(read_yaml(Path(path)), path)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f'{path} is no recipe: {error}.') from error

    @classmethod
    def _of(cls, raw: dict, path: Path) -> Recipe:
        stages = tuple(Stage(**_with_tuples(stage)) for stage in raw.pop('stages'))
        what = raw.pop('kind', ParallaxTask.kind), raw.pop('supervision', 'depth')
        if what not in _TASKS:
            raise ValueError(f'{path}: there is no {what[0]} supervised by {what[1]}.')
        task = _TASKS[what].take(raw)
        return cls(stages, task, name=Path(path).stem, **raw)


def _with_tuples(raw: dict) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}


def recipe_path(name: str) -> Path:
    """Return the file of a shipped recipe by its name, or the path given if it is one."""
    shipped = Path(__file__).parent / 'recipes' / f'{name}.yaml'
    return shipped if shipped.is_file() else Path(name)
