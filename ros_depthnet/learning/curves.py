"""Pictures of a training run."""

from __future__ import annotations

import csv
from pathlib import Path


def draw_curves(table: Path, scores: tuple[str, ...]) -> Path:
    """
    Draw loss terms and validation scores of a `curve.csv` over the steps; return the picture's path.

    `scores` are the columns to show as such, the first of the table's scores first: the losses are before it.
    """
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    with table.open(newline='') as file:
        rows = list(csv.DictReader(file))
    steps = [int(row['step']) for row in rows]
    names = list(rows[0])
    losses = [name for name in names[: names.index(scores[0])] if name not in ('step', 'seconds')]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout='constrained')
    for axes, shown, title in ((left, tuple(losses), 'loss terms, training'), (right, scores, 'validation')):
        for name in shown:
            axes.plot(steps, [float(row[name]) for row in rows], label=name)
        axes.set(title=title, xlabel='step')
        axes.grid(alpha=0.3)
        axes.legend()
    path = table.with_suffix('.png')
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return path
