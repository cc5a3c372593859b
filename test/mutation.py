"""
One small fault at a time is put into a copy of the code: which of them do the tests not notice?

`python test/mutation.py --sample 60 --seed 1 core` draws faults of a room or of some modules, such as
`flight/watch.py`, runs the tests that import a module on each until one fails, and prints those that survive as
a diff, and their share. Judged ones are kept in a folder: a run that was interrupted goes on there.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import hashlib
import json
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
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_TREE = 'ros_depthnet', 'test', 'models', 'config', 'launch', 'rviz', 'docs', 'flights'
_FILES = 'pyproject.toml', 'package.xml', 'setup.py', 'README.md'
_ROOMS = 'core', 'flight', 'engines', 'ros'
_MOST_TESTS = 6  # files for a module
_LONGEST_S = 30.0  # of a test file without a fault: slower ones are left out
_SLOWER, _SLACK_S = 2.0, 15.0  # a fault that makes them slower than that is noticed

_OTHERWISE = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.MatMult: ast.Add,
}  # fmt: skip
_TEXTS = ast.JoinedStr  # what is in them has no place of its own before Python 3.12


@dataclass(frozen=True)
class Mutant:
    """A module, path relative to the repository, with one fault: the line it is in, and the whole text."""

    module: Path
    line: int
    text: str

    @property
    def diff(self) -> str:
        """Return the line before and after."""
        before, after = ((_ROOT / self.module).read_text(encoding='utf-8').splitlines(), self.text.splitlines())
        end = self.line + max(0, len(before) - len(after))
        removed = ' '.join(line.strip() for line in before[self.line - 1 : end])
        return f'{self.module}:{self.line}\n  - {removed}\n  + {after[self.line - 1].strip()}'


def mutants(module: Path) -> Iterator[Mutant]:
    """Return every fault of a module that this script can make; none of types, none of texts."""
    source = (_ROOT / module).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    tree = ast.parse(source)
    left_alone = {
        id(part)
        for node in ast.walk(tree)
        for whole in (getattr(node, 'annotation', None), getattr(node, 'returns', None), node)
        if whole is not None and (whole is not node or isinstance(node, _TEXTS))
        for part in ast.walk(whole)
    }
    for node in ast.walk(tree):
        for place, other in _changed(node) if id(node) not in left_alone else ():
            start = starts[place.lineno - 1] + place.col_offset
            end = starts[place.end_lineno - 1] + place.end_col_offset
            written = ast.unparse(other) if isinstance(other, ast.Constant) else f'({ast.unparse(other)})'
            text = source[:start] + written.encode() + source[end:]
            yield Mutant(module, place.lineno, text.decode())


def _changed(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Return what can be otherwise in a node, and how, once for each fault."""

    def with_(**fields) -> tuple[ast.AST, ast.AST]:
        other = copy.copy(node)
        other.__dict__.update(fields)
        return node, other

    if isinstance(node, ast.Compare) and type(node.ops[0]) in _OTHERWISE:
        yield with_(ops=[_OTHERWISE[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in _OTHERWISE:
        yield with_(op=_OTHERWISE[type(node.op)]())
    elif isinstance(node, ast.If):
        yield node.test, ast.Constant(False)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield with_(value=node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield with_(value=not node.value)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield with_(value=ast.Constant(None))


def _imports(module: Path) -> re.Pattern:
    parent, name = re.escape('.'.join(module.parent.parts)), module.stem
    return re.compile(rf'(from {parent}\.{name} import|import {parent}\.{name}\b|from {parent} import .*\b{name}\b)')


@cache
def tests_of(module: Path) -> tuple[str, ...]:
    """
    Return the test files of a module: of its name, and that import it; those that import least come first.

    Where there are none, they are those of the modules that import it. Tests over DDS are of the room `ros` alone.
    """
    imports, found = _imports(module), {}
    for path in (_ROOT / 'test').rglob('test_*.py'):
        text, named = path.read_text(encoding='utf-8'), path.stem == f'test_{module.stem}'
        if (named or imports.search(text)) and (path.parent.name == 'unit' or 'ros' in module.parts):
            found[str(path.relative_to(_ROOT))] = (
                not named,
                path.parent.name != 'unit',
                text.count('from ros_depthnet'),
            )
    if not found:
        users = [path for path in (_ROOT / module.parts[0]).rglob('*.py') if imports.search(path.read_text('utf-8'))]
        found = dict.fromkeys((test for user in users for test in tests_of(user.relative_to(_ROOT))), (0, 0, 0))
    return tuple(sorted(found, key=lambda test: (found[test], test))[:_MOST_TESTS])


class Workshop:
    """A copy of the repository in a folder, where faults are judged and what was judged is kept."""

    def __init__(self, folder: Path):
        """Copy the repository into a folder; times of change stay, so what numba has compiled does."""
        self._tree, self._kept = folder / 'tree', folder / 'judged.json'
        for part in _TREE:
            if (_ROOT / part).exists():
                ignored = shutil.ignore_patterns('__pycache__')
                shutil.copytree(_ROOT / part, self._tree / part, ignore=ignored, dirs_exist_ok=True)
        for file in _FILES:
            shutil.copy2(_ROOT / file, self._tree)
        parts = [path for part in ('ros_depthnet', 'test') for path in sorted((self._tree / part).rglob('*.py'))]
        self._whole = _digest(*(path.read_text(encoding='utf-8') for path in parts))
        self._judged = json.loads(self._kept.read_text()) if self._kept.exists() else {}

    def survives(self, mutant: Mutant) -> bool | None:
        """Tell whether all quick tests of the module pass with the fault; None where it has none that pass without."""
        seconds = {test: self._remembered(_digest(self._whole, test), [test]) for test in tests_of(mutant.module)}
        tests = [test for test in seconds if seconds[test]]
        if not tests:
            return None
        key = _digest(self._whole, mutant.text, *tests)
        patience_s = _SLOWER * sum(seconds[test] for test in tests) + _SLACK_S
        return bool(self._remembered(key, tests, patience_s, mutant))

    def _remembered(self, key: str, tests: list[str], longest_s: float = _LONGEST_S, mutant: Mutant | None = None):
        if key not in self._judged:
            with self._spoilt(mutant) if mutant else contextlib.nullcontext():
                self._judged[key] = self._passes(tests, longest_s)
            self._kept.write_text(json.dumps(self._judged))
        return self._judged[key]

    @contextlib.contextmanager
    def _spoilt(self, mutant: Mutant) -> Iterator[None]:
        path = self._tree / mutant.module
        whole, times = path.read_bytes(), path.stat()
        path.write_text(mutant.text, encoding='utf-8')
        try:
            yield
        finally:
            path.write_bytes(whole)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _passes(self, tests: list[str], longest_s: float) -> float:
        """Return how many seconds tests take that pass; 0 where one fails, or all take longer than they may."""
        start = time.monotonic()
        try:
            run = subprocess.run(
                [sys.executable, '-m', 'pytest', '-q', '-x', '-p', 'no:cacheprovider', '--reruns', '0', *tests],
                cwd=self._tree,
                env={**os.environ, 'PYTHONPATH': str(self._tree), 'PYTHONDONTWRITEBYTECODE': '1'},
                capture_output=True,
                timeout=longest_s,
            )
        except subprocess.TimeoutExpired:
            return 0.0
        return time.monotonic() - start if run.returncode == 0 else 0.0


def _digest(*texts: str) -> str:
    return hashlib.sha256('\0'.join(texts).encode()).hexdigest()


def main() -> int:
    """Draw faults, print those that survive and their share, also when interrupted; return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('places', nargs='*', default=_ROOMS, help='rooms, or modules below ros_depthnet/')
    parser.add_argument('--sample', type=int, default=40)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folder', type=Path, default=Path(tempfile.gettempdir()) / 'ros_depthnet_mutants')
    options = parser.parse_args()
    package = _ROOT / 'ros_depthnet'
    modules = [
        path.relative_to(_ROOT)
        for place in options.places
        for path in (sorted((package / place).rglob('*.py')) if (package / place).is_dir() else [package / place])
    ]
    found = [mutant for module in modules if tests_of(module) for mutant in mutants(module)]
    drawn = random.Random(options.seed).sample(found, min(options.sample, len(found)))
    workshop = Workshop(options.folder)
    lost, judged = 0, 0
    with contextlib.suppress(KeyboardInterrupt):  # what was judged until then is a smaller sample
        for mutant in drawn:
            survived = workshop.survives(mutant)
            judged += survived is not None
            if survived:
                lost += 1
                print(mutant.diff, flush=True)
    print(f'{lost} of {judged} survive ({lost / max(1, judged):.0%}), {len(drawn)} drawn from {len(found)}.')
    return int(lost > 0)


if __name__ == '__main__':
    sys.exit(main())
