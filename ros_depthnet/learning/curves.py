"""Pictures of a training run."""

from __future__ import annotations

import csv
from pathlib import Path


def draw_curves(table: Path) -> Path:
    """Draw loss terms and validation scores of a `curve.csv` over the steps; returns the picture's path."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    with table.open(newline='') as file:
        rows = list(csv.DictReader(file))
    steps = [int(row['step']) for row in rows]
    scores = ('mae_log', 'delta_125', 'delta_105', 'within_one_deviation')
    losses = [name for name in rows[0] if name not in (*scores, 'step', 'seconds')]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout='constrained')
    for axes, names, title in ((left, losses, 'loss terms, training'), (right, scores, 'validation')):
        for name in names:
            axes.plot(steps, [float(row[name]) for row in rows], label=name)
        axes.set(title=title, xlabel='step')
        axes.grid(alpha=0.3)
        axes.legend()
    path = table.with_suffix('.png')
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return path
