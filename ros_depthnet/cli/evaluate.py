"""`depthnet evaluate`: score methods on posed sequences."""

import argparse
import json
import math
import sys
from pathlib import Path

from ros_depthnet.cli.progress import Progress
from ros_depthnet.cli.tables import aligned
from ros_depthnet.engines.card import PRECISIONS
from ros_depthnet.whole_files import write_file

_COLUMNS = ('abs_rel', 'rmse', 'mae_log', 'delta_103', 'delta_105', 'delta_125', 'coverage', 'ause', 'within')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument('sets', nargs='+', metavar='SET', type=Path, help='folder with a sequence.json')
    parser.add_argument(
        '--methods',
        metavar='a,b,...',
        help='constant, dis, epipolar, sgbm, sweep, default, a shipped model, or the path of a '
        'model (default: all but paths)',
    )
    parser.add_argument(
        '--protocol',
        choices=('pairs', 'stream', 'both'),
        default='pairs',
        help='the given pairs, or the estimator flying along and choosing its own sources (default: pairs)',
    )
    parser.add_argument(
        '--options',
        metavar='NAME=VALUE,...',
        action='append',
        default=[],
        help='run models with these options of the estimator instead of the shipped ones, as '
        '"ranges=2,memory=false"; once more for each further variant to compare',
    )
    parser.add_argument(
        '--precision',
        choices=PRECISIONS,
        default='auto',
        help='of models: 32 bits, or convolutions in 8 (default: auto, int8 on CPUs if there is)',
    )
    parser.add_argument(
        '--pose-noise',
        metavar='DEGREES,PERCENT',
        help='degrade the poses: rotation between two frames by so many degrees, the way '
        'between them by so many percent',
    )
    parser.add_argument('--json', metavar='FILE', type=Path, help='write the scores there')
    parser.add_argument('--html', metavar='FOLDER', type=Path, help='write a page with pictures there')
    parser.add_argument(
        '--bands',
        action='store_true',
        help='also print what deviations are worth, and scores by depth, by angle to the '
        'motion, by contrast and by whether the source sees it, with the physical limit',
    )


def run(arguments: argparse.Namespace) -> None:
    """Score, print, and write what was asked for."""
    from ros_depthnet.evaluation import evaluate as judge
    from ros_depthnet.evaluation.pose_noise import PoseNoise
    from ros_depthnet.evaluation.provenance import commit

    methods = tuple(dict.fromkeys(arguments.methods.split(','))) if arguments.methods else judge.all_methods()
    protocols = judge.PROTOCOLS if arguments.protocol == 'both' else (arguments.protocol,)
    variants = [judge.Variant.parse(text) for text in arguments.options] or [judge.Variant()]
    sequences = judge.load_sets(_folders(arguments.sets))
    if arguments.pose_noise:
        noise = PoseNoise.parse(arguments.pose_noise)
        sequences = [noise.degraded(sequence) for sequence in sequences]
    results: list[judge.Result] = []
    skipped: list[judge.Skipped] = []
    with Progress() as progress:
        for outcome in judge.evaluate(sequences, methods, protocols, progress, variants, arguments.precision):
            if isinstance(outcome, judge.Result):
                results.append(outcome)
            else:
                skipped.append(outcome)
    print(table([result.row for result in results]))
    if arguments.bands:
        print('\n' + trust_table(results))
        print('\n' + band_table([band for result in results for band in result.bands]))
    if any(result.moving for result in results):
        print('\n' + moving_table(results))
    for result in results:
        if result.dropped:
            reasons = ', '.join(f'{count} {reason}' for reason, count in sorted(result.dropped.items()))
            print(f'{result.row.set}: {result.method} gave no depth for some frames: {reasons}.')
    for skip in skipped:
        print(f'{skip.set}: {skip.method} is left out of {skip.protocol}: {skip.why}.')
    if arguments.json:
        write_file(arguments.json, json.dumps(_finite(as_json(results, skipped, commit())), indent=1) + '\n')
        print(f'Scores: {arguments.json}')
    if arguments.html:
        from ros_depthnet.evaluation.evaluation_page import write_evaluation_page

        print(f'Page: {write_evaluation_page(arguments.html, results, skipped, commit())}')


def _folders(paths: list[Path]) -> list[Path]:
    """Leave out plain files, which `folder/*` brings along, unless there is nothing else."""
    folders = [path for path in paths if not path.is_file()]
    for path in paths if folders else ():
        if path.is_file():
            print(f'{path} is a file, not a set, and left out.', file=sys.stderr)
    return folders or paths


def as_json(results, skipped, commit: str) -> dict:
    """Return the scores as JSON knows them: `rows` for tables, the rest for those who look closer."""
    return {
        'rows': [result.row.as_dict() for result in results],
        'commit': commit,
        'calibration': [
            {
                'set': result.row.set,
                'method': result.method,
                'protocol': result.row.protocol,
                'within': result.row.scores.within,
                **vars(result.trust),
            }
            for result in results
        ],
        'moving': [
            {'set': result.row.set, 'method': result.method, 'protocol': result.row.protocol, **vars(result.moving)}
            for result in results
            if result.moving
        ],
        'bands': [vars(band) for result in results for band in result.bands],
        'dropped': [
            {'set': result.row.set, 'method': result.method, 'protocol': result.row.protocol, **result.dropped}
            for result in results
            if result.dropped
        ],
        'left_out': [vars(skip) for skip in skipped],
    }


def table(rows) -> str:
    """Return the scores as text, with those on common pixels where there are any."""
    from ros_depthnet.evaluation.evaluate import COMMON_SCORES

    shared = COMMON_SCORES if any(row.common for row in rows) else ()
    flown = any(row.protocol == 'stream' for row in rows)
    lines = [
        [
            'set',
            'method',
            'protocol',
            'pairs',
            *_COLUMNS,
            *(f'{name}_common' for name in shared),
            *['flicker'] * flown,
            'ms',
        ]
    ]
    for row in rows:
        common = (getattr(row.common, name, math.nan) for name in shared)
        lines.append(
            [
                row.set,
                row.method,
                row.protocol,
                str(row.pairs),
                *(_number(getattr(row.scores, name)) for name in _COLUMNS),
                *map(_number, common),
                *[_number(row.flicker)] * flown,
                f'{row.ms_per_pair:.0f}',
            ]
        )
    return aligned(lines, words=3)


def trust_table(results) -> str:
    """Return what deviations are worth as text."""
    columns = ('within', 'deviation', 'wrong', 'trusted', 'trusted_wrong')
    lines = [['set', 'method', 'protocol', *columns]]
    for result in results:
        shares = {**vars(result.row.scores), **vars(result.trust)}
        lines.append([result.row.set, result.method, result.row.protocol, *(_number(shares[name]) for name in columns)])
    return aligned(lines, words=3)


def moving_table(results) -> str:
    """Return as text how well what moves was found, of sets that tell what does."""
    columns = ('share', 'f1', 'precision', 'recall', 'wrong', 'mae_log')
    lines = [['set', 'method', 'protocol', 'moving:', *columns]]
    for result in results:
        if result.moving:
            lines.append(
                [
                    result.row.set,
                    result.method,
                    result.row.protocol,
                    '',
                    *(_number(getattr(result.moving, name)) for name in columns),
                ]
            )
    return aligned(lines, words=4)


def band_table(bands) -> str:
    """Return the scores by what pixels have in common as text."""
    columns = ('abs_rel', 'mae_log', 'delta_125', 'coverage', 'within', 'deviation', 'limit')
    lines = [['set', 'method', 'protocol', 'by', 'from', 'to', 'pixels', *columns]]
    for band in bands:
        lines.append(
            [
                band.set,
                band.method,
                band.protocol,
                {'depth': 'depth m', 'foe': 'FoE deg'}.get(band.by, band.by),
                f'{band.low:g}',
                f'{band.high:g}',
                str(band.pixels),
                *(_number(getattr(band, name)) for name in columns),
            ]
        )
    return aligned(lines, words=4)


def _number(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.3f}' if value < 100 else f'{value:.0f}'


def _finite(content):
    """Return the same with null for numbers that JSON does not have."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
