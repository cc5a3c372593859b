"""Training runs as files: what is taught, in which stages, how fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from ros_depthnet.learning.depth_task import DepthTask
from ros_depthnet.learning.parallax_task import ParallaxTask
from ros_depthnet.learning.task import Stage, Task

_TASKS = {task.kind: task for task in (ParallaxTask, DepthTask)}


@dataclass(frozen=True)
class Recipe:
    """
    A whole training run.

    The learning rate warms up over `warmup` steps, stays, and falls to nothing over the last `decay`. With
    `restarts` every stage does so, and is validated at its own size instead of the last stage's.
    """

    stages: tuple[Stage, ...]
    task: Task = ParallaxTask()
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup: int = 200
    decay: int = 1000
    restarts: bool = False
    seed: int = 0
    name: str = ''

    @property
    def steps(self) -> int:
        """Return the number of optimiser steps of the whole run."""
        return self.stages[-1].until

    def stage(self, step: int) -> Stage:
        """Return the stage a step belongs to."""
        return next(stage for stage in self.stages if step < stage.until)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        first, end = 0, self.steps
        if self.restarts:
            end = self.stage(step).until
            first = max((stage.until for stage in self.stages if stage.until <= step), default=0)
        return self.learning_rate * min((step - first + 1) / self.warmup, 1, (end - step) / self.decay)

    def validation_crop(self, step: int) -> tuple[int, int]:
        """Return the image size (width, height) at which a validation after this step is done."""
        return (self.stage(step) if self.restarts else self.stages[-1]).crop

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe from YAML; unknown keys are an error."""
        raw = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
        stages = tuple(Stage(**{**stage, 'crop': tuple(stage['crop'])}) for stage in raw.pop('stages'))
        task = _TASKS[raw.pop('kind', ParallaxTask.kind)].take(raw)
        return cls(stages, task, name=Path(path).stem, **raw)


def recipe_path(name: str) -> Path:
    """Return the file of a shipped recipe by its name, or the path given if it is one."""
    shipped = Path(__file__).parent / 'recipes' / f'{name}.yaml'
    return shipped if shipped.is_file() else Path(name)
