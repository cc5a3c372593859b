"""Run an ONNX file with OpenVINO, on the CPU of Intel's and AMD's companion boards, in 32-bit floats."""

from pathlib import Path
from typing import Any

import numpy as np

from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.providers import first_line

OPENVINO = 'openvino'


class OpenVinoEngine:
    """
    An ONNX file that OpenVINO's CPU plug-in has compiled.

    `inputs` and `outputs` are the graph's names, and others that OpenVINO has for the same.
    """

    provider = OPENVINO
    precision = 'float32'

    def __init__(self, path: Path, threads: int = 0):
        """Compile the file. threads: 0 for one per core. Raises ModelError, as where OpenVINO is missing."""
        try:
            import openvino
        except ImportError as error:
            raise ModelError('The provider openvino is missing: pip install openvino, or choose cpu.') from error
        # Left to itself it computes in bfloat16 where the processor has that.
        hints: dict[str, Any] = {'INFERENCE_PRECISION_HINT': 'f32', 'PERFORMANCE_HINT': 'LATENCY'}
        if threads:
            hints['INFERENCE_NUM_THREADS'] = threads
        try:
            self._model = openvino.Core().compile_model(str(path), 'CPU', hints)
        except RuntimeError as error:
            raise ModelError(f'{path} is no model that OpenVINO can compile: {first_line(error)}') from error
        self._name = path.name
        self.inputs = tuple(port.any_name for port in self._model.inputs)
        self.outputs = tuple(name for port in self._model.outputs for name in port.names)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph on named arrays and return its named outputs; raise ModelError if it fails."""
        try:
            results = self._model(inputs, share_inputs=True)
        except RuntimeError as error:
            raise ModelError(f'{self._name} failed on {OPENVINO}: {first_line(error)}') from error
        return {name: array.copy() for port, array in results.items() for name in port.names}
