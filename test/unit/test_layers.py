"""Which room may import which: asked of a fresh interpreter each time."""
import pkgutil
import subprocess
import sys

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
def test_core_needs_numpy_and_opencv_alone(name):
    loaded = modules_after(f'import ros_depthnet.core.{name}')
    others = {f'ros_depthnet.{room}' for room in ('ros', 'engines', 'learning', 'evaluation', 'cli')}
    assert not loaded & {*others, 'rclpy', 'torch', 'onnxruntime', 'yaml'}


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
