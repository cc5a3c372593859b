"""Which room may import which: asked of a fresh interpreter each time."""

import ast
import graphlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import red_is_parallax

import ros_depthnet.core


def modules_after(code, *arguments):
    """Return the names of all modules a fresh interpreter holds after running some code."""
    code += '\nimport sys; print(*sys.modules, sep="\\n")'
    command = [sys.executable, '-c', code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


@pytest.mark.parametrize('name', [module.name for module in pkgutil.iter_modules(ros_depthnet.core.__path__)])
def test_core_needs_no_other_room_no_ros_and_no_engine(name):
    loaded = modules_after(f'import ros_depthnet.core.{name}')
    others = {f'ros_depthnet.{room}' for room in ('ros', 'flight', 'engines', 'learning', 'evaluation', 'cli')}
    assert not loaded & {*others, 'rclpy', 'torch', 'onnxruntime', 'onnx'}


def test_the_drones_path_runs_without_torch(tmp_path):
    code = """if True:
        import sys
        import numpy as np
        from ros_depthnet.core import motion
        from ros_depthnet.core.camera import Camera
        from ros_depthnet.core.measurer import Estimate
        from ros_depthnet.core.frames import Frame
        from ros_depthnet.engines.model import load_model
        from ros_depthnet.flight.session import Session
        estimator = Session(load_model(sys.argv[1]))
        for i in range(3):
            T = motion.pose(np.eye(3), [i, 0, 0])
            image = np.full((48, 64, 3), 20, np.uint8)
            image[:24] = 40 + i
            result = estimator.add(Frame(i * 10**9, image, Camera(64, 48, 60, 60, 32, 24), T))
        assert isinstance(result, Estimate), result
    """
    loaded = modules_after(code, str(red_is_parallax(tmp_path)))
    assert 'onnxruntime' in loaded
    assert not loaded & {'torch', 'rclpy', 'ros_depthnet.learning', 'ros_depthnet.ros'}


ROOT = Path(ros_depthnet.__file__).parent
ROOMS = {path.name for path in ROOT.iterdir() if (path / '__init__.py').is_file()}
THIRD_PARTIES = {'rclpy', 'torch', 'onnxruntime', 'onnx', 'numba', 'rosbags', 'mcap'}


def table():
    """Return what CONTRIBUTING.md lets each room import: rooms and third parties."""
    text = (ROOT.parent / 'CONTRIBUTING.md').read_text(encoding='utf-8')
    rows = re.findall(r'^\| `ros_depthnet/(\w+)` \|.*\| ([^|]*) \|$', text, re.MULTILINE)
    everything = ROOMS | THIRD_PARTIES
    return {
        room: everything if imports == 'everything' else set(re.findall(r'\w+', imports.partition('(')[0]))
        for room, imports in rows
    }


def imported(path):
    """Return the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (node.module, *(f'{node.module}.{alias.name}' for alias in node.names))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_table_of_imports_has_every_room():
    assert table().keys() == ROOMS


@pytest.mark.parametrize('room', sorted(ROOMS))
def test_a_room_imports_what_the_table_says(room):
    allowed = table()[room] | {room}
    for path in (ROOT / room).rglob('*.py'):
        for name in imported(path):
            first, _, rest = name.partition('.')
            second = rest.partition('.')[0]
            if first == 'ros_depthnet' and second in ROOMS:
                assert second in allowed, f'{path} imports {name}'
            elif first in THIRD_PARTIES and path.name != 'torch_engine.py':
                assert first in allowed, f'{path} imports {name}'


@pytest.mark.parametrize('node', ['cloud_node', 'obstacle_node', 'replay_node'])
def test_nodes_that_measure_nothing_load_no_compiler_and_no_network(node):
    pytest.importorskip('rclpy')
    loaded = modules_after(f'import ros_depthnet.ros.{node}')
    assert loaded.isdisjoint({'numba', 'onnx', 'onnxruntime', 'torch', 'scipy'})


def test_modules_do_not_import_each_other_in_a_circle():
    modules = {'.'.join(path.relative_to(ROOT.parent).with_suffix('').parts): path for path in ROOT.rglob('*.py')}
    below = {
        name: {other for other in imported(path) if other in modules and other != name}
        for name, path in modules.items()
        if not name.endswith('__init__')
    }
    assert tuple(graphlib.TopologicalSorter(below).static_order())
