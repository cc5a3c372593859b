"""The evaluation as a page: scores, scores by depth and angle to the motion, and pictures of every method."""

import math
from collections.abc import Sequence
from pathlib import Path

from ros_depthnet.evaluation import page
from ros_depthnet.evaluation.evaluate import Band, Result, Row, Skipped
from ros_depthnet.evaluation.metrics import resample
from ros_depthnet.evaluation.pictures import (
    Column,
    Range,
    depth_picture,
    depth_scale,
    error_picture,
    error_scale,
    fitted,
    save,
    strip,
)

_WIDTH = 300  # pixels of one picture
_SCORES = ('abs_rel', 'rmse', 'mae_log', 'delta_103', 'delta_105', 'delta_125', 'coverage', 'ause')
_BAND_SCORES = ('abs_rel', 'mae_log', 'delta_125', 'coverage', 'within', 'deviation', 'limit')


def write_evaluation_page(folder: Path, results: Sequence[Result], skipped: Sequence[Skipped], commit: str) -> Path:
    """Write `index.html` and its pictures to a folder and return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        page.heading('Scores'),
        _scores([result.row for result in results]),
        *(page.paragraph(f'{skip.set}: {skip.method} is left out of {skip.protocol}: {skip.why}.') for skip in skipped),
    ]
    for name in dict.fromkeys((result.row.set, result.row.protocol) for result in results):
        chosen = [result for result in results if (result.row.set, result.row.protocol) == name]
        parts += [
            page.heading(f'{name[0]}, {name[1]}'),
            *_pictures(folder, chosen),
            _bands([band for result in chosen for band in result.bands]),
        ]
    lead = 'Every method on the same pixels. Depth: near is red. Error: red is too far, blue too near.'
    return page.write_page(folder / 'index.html', 'Evaluation', lead, parts, f'ros_depthnet {commit}')


def _pictures(folder: Path, results: Sequence[Result]) -> list[str]:
    """Save one strip per example that every method was asked about, and return the figures."""
    figures = []
    by_label: dict = {}
    for result in results:
        for example in result.examples:
            by_label.setdefault(example.label, []).append((result.row, example))
    for number, (label, shown) in enumerate(by_label.items()):
        row, first = shown[0]
        height, width = first.truth_hw.shape
        scale = Range.of([first.truth_hw])
        truth = depth_picture(first.truth_hw, scale.near, scale.far)
        columns = [
            Column('image, truth', [fitted(first.image, _WIDTH), fitted(truth, _WIDTH)], depth_scale(scale, _WIDTH))
        ]
        for other, example in shown:
            depth_hw = resample(example.estimate, width, height).depth_hw
            columns.append(
                Column(
                    f'{other.method}  delta_125 {example.scores.delta_125:.2f}',
                    [
                        fitted(depth_picture(depth_hw, scale.near, scale.far), _WIDTH),
                        fitted(error_picture(depth_hw, first.truth_hw), _WIDTH),
                    ],
                    error_scale(_WIDTH),
                )
            )
        name = f'{row.set}-{row.protocol}-{number}.jpg'
        save(folder / name, strip(columns))
        figures.append(page.figure(name, f'{label}: depth above, error below.'))
    return figures


def _scores(rows: Sequence[Row]) -> str:
    return page.table(
        ['set', 'method', 'protocol', 'pairs', *_SCORES, 'flicker', 'ms per pair'],
        [
            [
                row.set,
                row.method,
                row.protocol,
                str(row.pairs),
                *(_number(getattr(row.scores, name)) for name in _SCORES),
                _number(row.flicker),
                f'{row.ms_per_pair:.0f}',
            ]
            for row in rows
        ],
    )


def _bands(bands: Sequence[Band]) -> str:
    unit = {
        'depth': 'depth, m',
        'foe': 'angle to the motion, degrees',
        'contrast': 'contrast, grey levels',
        'seen': 'seen by the source: 1, or not: 0',
    }
    return page.table(
        ['method', 'by', 'from', 'to', 'pixels', *_BAND_SCORES],
        [
            [
                band.method,
                unit[band.by],
                f'{band.low:g}',
                f'{band.high:g}',
                str(band.pixels),
                *(_number(getattr(band, name)) for name in _BAND_SCORES),
            ]
            for band in bands
        ],
    )


def _number(value: float) -> str:
    return '–' if math.isnan(value) else f'{value:.3f}'
