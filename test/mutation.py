"""
One small fault at a time is put into a copy of the code: which of them do the tests not notice?

`python test/mutation.py --number 40 --seed 0 core/obstacles.py core/autopilot.py` draws faults of these modules, runs
the tests that import a module on each, and prints the survivors. Modules: below ros_depthnet/; none: all of core,
engines and ros.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_TREE = 'ros_depthnet', 'test', 'models', 'config', 'launch', 'rviz', 'docs', 'flights'
_ROOMS = 'core', 'engines', 'ros'
_LONGEST_S = 300.0  # of a module's tests without a fault
_SLOWER, _SLACK_S = 3.0, 30.0

_OTHERWISE = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.MatMult: ast.Add,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A module with one fault: the line it is in, before and after, and the whole text."""

    module: Path
    line: int
    before: str
    after: str
    text: str


def mutants(module: Path) -> Iterator[Mutant]:
    """Return every fault of a module, path relative to the repository, that this script can make; none of types."""
    tree = ast.parse((_ROOT / module).read_text(encoding='utf-8'))
    typing = {
        id(part)
        for node in ast.walk(tree)
        for hint in (getattr(node, 'annotation', None), getattr(node, 'returns', None))
        if hint
        for part in ast.walk(hint)
    }
    for number, node in enumerate(ast.walk(tree)):
        for changed in _changed(node) if id(node) not in typing else ():
            other = copy.deepcopy(tree)
            place = next(each for index, each in enumerate(ast.walk(other)) if index == number)
            before = ast.unparse(place)
            place.__dict__.update(changed)
            yield Mutant(module, node.lineno, before, ast.unparse(place), ast.unparse(other))


def _changed(node: ast.AST) -> Iterator[dict]:
    """Return the fields of a node that would be otherwise, once for each fault."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _OTHERWISE:
        yield {'ops': [_OTHERWISE[type(node.ops[0])](), *node.ops[1:]]}
    elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in _OTHERWISE:
        yield {'op': _OTHERWISE[type(node.op)]()}
    elif isinstance(node, ast.If):
        yield {'test': ast.Constant(False)}
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield {'value': node.value + 1}
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield {'value': not node.value}
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield {'value': ast.Constant(None)}


def tests_of(module: Path) -> list[str]:
    """Return the test files that import a module, those of its name and the quick ones first."""
    parent, name = re.escape('.'.join(module.parent.parts)), module.stem
    imports = re.compile(rf'(from {parent}\.{name} import|import {parent}\.{name}\b|from {parent} import .*\b{name}\b)')
    found = [
        path.relative_to(_ROOT)
        for path in (_ROOT / 'test').rglob('test_*.py')
        if imports.search(path.read_text(encoding='utf-8'))
    ]
    found.sort(key=lambda path: (name not in path.stem, 'unit' not in path.parts, path))
    return [str(path) for path in found]


def passes(module: Path, tree: Path, longest_s: float) -> bool:
    """Tell whether the tests of a module pass in a copy of the repository, within so many seconds."""
    try:
        run = subprocess.run(
            [sys.executable, '-m', 'pytest', '-q', '-x', '-p', 'no:cacheprovider', *tests_of(module)],
            cwd=tree,
            env={**os.environ, 'PYTHONPATH': str(tree)},
            capture_output=True,
            timeout=longest_s,
        )
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 0


def survives(mutant: Mutant, tree: Path) -> bool | None:
    """Tell whether all tests of the module pass with the fault; None where they do not pass without it."""
    path = tree / mutant.module
    whole = path.read_text(encoding='utf-8')
    start = time.monotonic()
    if not passes(mutant.module, tree, _LONGEST_S):
        return None
    patience_s = _SLOWER * (time.monotonic() - start) + _SLACK_S  # a mutant that takes longer is noticed
    path.write_text(mutant.text, encoding='utf-8')
    try:
        return passes(mutant.module, tree, patience_s)
    finally:
        path.write_text(whole, encoding='utf-8')


def main() -> int:
    """Draw faults, print those that survive and their share; return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('modules', nargs='*', type=Path, help='below ros_depthnet/')
    parser.add_argument('--number', type=int, default=40)
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    package = Path('ros_depthnet')
    modules = [package / module for module in options.modules] or [
        path.relative_to(_ROOT) for room in _ROOMS for path in sorted((_ROOT / package / room).rglob('*.py'))
    ]
    found = [mutant for module in modules if tests_of(module) for mutant in mutants(module)]
    drawn = random.Random(options.seed).sample(found, min(options.number, len(found)))
    lost, judged = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for part in _TREE:
            if (_ROOT / part).exists():
                shutil.copytree(_ROOT / part, tree / part, ignore=shutil.ignore_patterns('__pycache__'))
        for file in ('pyproject.toml', 'package.xml', 'setup.py', 'README.md'):
            shutil.copy(_ROOT / file, tree)
        for mutant in drawn:
            survived = survives(mutant, tree)
            judged += survived is not None
            if survived:
                lost += 1
                print(f'{mutant.module}:{mutant.line}: {mutant.before}  ->  {mutant.after}', flush=True)
    print(f'{lost} of {judged} survive ({lost / max(1, judged):.0%}), drawn from {len(found)}.')
    return int(lost > 0)


if __name__ == '__main__':
    sys.exit(main())
