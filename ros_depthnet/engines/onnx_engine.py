"""Run an ONNX file with ONNX Runtime on the provider asked for, or say why not."""
from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from ros_depthnet.engines.card import ModelError

if TYPE_CHECKING:
    from ros_depthnet.engines.split_session import SplitSession

PROVIDERS = {
    'tensorrt': 'TensorrtExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'cpu': 'CPUExecutionProvider',
}
"""From best to most modest: the order in which 'auto' tries them."""

_log = logging.getLogger(__name__)


class OnnxEngine:
    """
    An ONNX file ready to run.

    `provider` is the one really in use, never silently another: a provider asked for and not to be had is a
    ModelError; 'auto' takes the best there is and logs which. `precision` is 'float32', or 'int8' where the
    file for CPUs runs. `inputs` and `outputs` are the graph's names.

    On GPUs every shape of the inputs has a session of its own: one session would prepare all convolutions
    anew whenever the shape changes, which takes a hundred times as long as running them.
    """

    def __init__(self, path: Path, provider: str = 'auto', threads: int = 0, cache_dir: Path | None = None,
                 int8_path: Path | None = None):
        """
        Open the file.

        threads: CPU threads within an operator, 0 for one per core. cache_dir: where TensorRT keeps the
        engines it builds, so that only the first start takes minutes. int8_path: a file with the same inputs
        and outputs that CPUs run instead. Raises ModelError.
        """
        if provider not in ('auto', *PROVIDERS):
            raise ModelError(f'The provider {provider!r} is none of auto, {", ".join(PROVIDERS)}.')
        self._float32_path, self._int8_path = Path(path), int8_path
        self._threads, self._cache_dir = threads, cache_dir
        if not self._float32_path.is_file():
            raise ModelError(f'The model file {self._float32_path} is missing.')
        auto = provider == 'auto'
        self._session, self.provider = self._best() if auto else (self._open(provider), provider)
        self.precision = 'int8' if self._path_on(self.provider) == int8_path else 'float32'
        _log.info('%s runs on %s in %s.', self._float32_path.name, self.provider, self.precision)
        if self.provider == 'tensorrt':
            _log.info('TensorRT builds an engine for every new input shape, which can take minutes.')
        self._by_shapes: dict[tuple, onnxruntime.InferenceSession] = {}
        self.inputs = tuple(node.name for node in self._session.get_inputs())
        self.outputs = tuple(node.name for node in self._session.get_outputs())

    def _path_on(self, provider: str) -> Path:
        return self._int8_path if provider == 'cpu' and self._int8_path else self._float32_path

    def _best(self) -> tuple[onnxruntime.InferenceSession, str]:
        built_in = onnxruntime.get_available_providers()
        for provider in ('tensorrt', 'cuda'):
            if PROVIDERS[provider] in built_in:
                try:
                    return self._open(provider), provider
                except ModelError as error:
                    _log.warning('Falling back from %s: %s', provider, error)
        return self._open('cpu'), 'cpu'

    def _open(self, provider: str, number: int = 0) -> onnxruntime.InferenceSession:
        name, path = PROVIDERS[provider], self._path_on(provider)
        if name not in onnxruntime.get_available_providers():
            raise ModelError(f'This ONNX Runtime has no {provider} provider: pip uninstall onnxruntime, then '
                             'pip install onnxruntime-gpu, or choose provider cpu.')
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        # Waiting threads would otherwise spin, which on a shared computer takes the cores from the others.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        options.log_severity_level = 4  # its errors also arrive as exceptions
        wanted = {'tensorrt': [(name, self._tensorrt_options(number)), PROVIDERS['cuda'],
                               PROVIDERS['cpu']],
                  'cuda': [name, PROVIDERS['cpu']], 'cpu': [name]}[provider]

        def start(model: bytes | str) -> onnxruntime.InferenceSession:
            # Its own fallback would go on with another provider in the middle of a flight.
            return onnxruntime.InferenceSession(model, options, providers=wanted, enable_fallback=0)

        try:
            session = (provider == 'cpu' and self._in_parts(path, start)) or start(str(path))
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            what = 'is no readable ONNX model' if provider == 'cpu' else f'does not start on {provider}'
            raise ModelError(f'{path} {what}: {_first_line(error)}') from error
        if session.get_providers()[0] != name:
            raise ModelError(f'The {provider} provider of ONNX Runtime does not start: install the NVIDIA '
                             'driver and the CUDA, cuDNN or TensorRT libraries it wants, or choose cpu.')
        return session

    def _in_parts(self, path: Path, start: Callable[[bytes], onnxruntime.InferenceSession]) -> SplitSession | None:
        """Return the file in parts, with faster means between them, where it says how and they are installed."""
        try:
            from ros_depthnet.engines.split_session import open_in_parts
        except ImportError as error:
            _log.warning('%s is missing (pip install onnx): the network takes longer than it would.', error.name)
            return None
        return open_in_parts(path, start, self._threads)

    def _tensorrt_options(self, number: int) -> dict[str, str]:
        if self._cache_dir is None:
            return {}
        engines = Path(self._cache_dir) / str(number)
        engines.mkdir(parents=True, exist_ok=True)
        return {'trt_engine_cache_enable': 'True', 'trt_engine_cache_path': str(engines),
                'trt_timing_cache_enable': 'True', 'trt_timing_cache_path': str(self._cache_dir)}

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph on named arrays and return its named outputs; raise ModelError if it fails."""
        try:
            results = self._session_for(inputs).run(None, inputs)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise ModelError(f'{self._float32_path.name} failed on {self.provider}: {_first_line(error)}') from error
        return dict(zip(self.outputs, results, strict=True))

    def _session_for(self, inputs: dict[str, np.ndarray]) -> onnxruntime.InferenceSession:
        if self.provider == 'cpu':
            return self._session
        shapes = tuple(inputs[name].shape for name in self.inputs)
        if shapes not in self._by_shapes:
            number = len(self._by_shapes)
            self._by_shapes[shapes] = self._open(self.provider, number) if number else self._session
        return self._by_shapes[shapes]


def _first_line(error: Exception) -> str:
    return str(error).strip().split('\n')[0]
