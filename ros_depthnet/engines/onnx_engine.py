"""Run an ONNX file with ONNX Runtime on the provider asked for, or say why not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.providers import GPUS, PROVIDERS, first_line, session_options

_log = logging.getLogger(__name__)


class OnnxEngine:
    """
    An ONNX file ready to run.

    `provider` is the one really in use, never silently another: a provider asked for and not to be had is a
    ModelError; 'auto' takes the best there is and logs which. `precision` is 'float32', 'float16' where a GPU
    computes convolutions in that, or 'int8' where the file for CPUs runs. `inputs` and `outputs` are the graph's names.

    On GPUs every shape of the inputs has a session of its own: one session would prepare all convolutions
    anew whenever the shape changes, which takes a hundred times as long as running them.
    """

    def __init__(
        self,
        path: Path,
        provider: str = 'auto',
        threads: int = 0,
        cache_dir: Path | None = None,
        int8_path: Path | None = None,
        precision: str = 'float32',
        gpu_graph: Callable[[Any], Any] | None = None,
    ):
        """
        Open the file.

        threads: CPU threads within an operator, 0 for one per core. cache_dir: where TensorRT keeps the
        engines it builds, so that only the first start takes minutes. int8_path: a file with the same inputs
        and outputs that CPUs run instead. precision: of convolutions on GPUs, 'float32' or 'float16'. gpu_graph: makes
        of the file's onnx.ModelProto what GPUs run. Raises ModelError.
        """
        if provider not in ('auto', *PROVIDERS):
            raise ModelError(f'The provider {provider!r} is none of auto, {", ".join(PROVIDERS)}.')
        self._float32_path, self._int8_path = Path(path), int8_path
        self._threads, self._cache_dir = threads, cache_dir
        self._gpu_precision, self._gpu_graph = precision, gpu_graph
        if not self._float32_path.is_file():
            raise ModelError(f'The model file {self._float32_path} is missing.')
        self.provider = self._best() if provider == 'auto' else self._open(provider)
        self.precision = precision if self.provider in GPUS else 'int8' if int8_path else 'float32'
        _log.info('%s runs on %s in %s.', self._float32_path.name, self.provider, self.precision)

    def _best(self) -> str:
        built_in = onnxruntime.get_available_providers()
        for provider in GPUS:
            if PROVIDERS[provider] in built_in:
                try:
                    return self._open(provider)
                except ModelError as error:
                    _log.warning('Falling back from %s: %s', provider, error)
        return self._open('cpu')

    def _open(self, provider: str) -> str:
        """Get ready to run on a provider, and return it."""
        if PROVIDERS[provider] not in onnxruntime.get_available_providers():
            raise ModelError(
                f'This ONNX Runtime has no {provider} provider: pip uninstall onnxruntime, then '
                'pip install onnxruntime-gpu, or choose provider cpu.'
            )
        if provider in GPUS:
            from ros_depthnet.engines.gpu_sessions import GpuSessions  # needs onnx, which a CPU can do without

            self._session: Any = GpuSessions(
                self._float32_path, provider, self._gpu_precision, self._cache_dir, self._gpu_graph
            )
        else:
            path = self._int8_path or self._float32_path
            try:
                self._session = self._in_parts(path) or self._start(str(path))
            except Exception as error:  # ONNX Runtime's exceptions have no common base
                raise ModelError(f'{path} is no readable ONNX model: {first_line(error)}') from error
        try:
            self.inputs = tuple(node.name for node in self._session.get_inputs())
            self.outputs = tuple(node.name for node in self._session.get_outputs())
        except UnicodeDecodeError as error:
            raise ModelError(f'{self._float32_path} is no readable ONNX model: its names are no text.') from error
        return provider

    def _start(self, model: bytes | str) -> onnxruntime.InferenceSession:
        options = session_options()
        options.intra_op_num_threads = self._threads
        options.enable_mem_pattern = False  # one block for all tensors of a shape: 90 MB more, and no faster
        return onnxruntime.InferenceSession(model, options, providers=[PROVIDERS['cpu']])

    def _in_parts(self, path: Path) -> Any:
        """Return the file in parts, with faster means between them, where it says how and they are installed."""
        try:
            from ros_depthnet.engines.split_session import open_in_parts
        except ImportError as error:
            _log.warning('%s is missing (pip install onnx): the network takes longer than it would.', error.name)
            return None
        return open_in_parts(path, self._start, self._threads)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph on named arrays and return its named outputs; raise ModelError if it fails."""
        try:
            results = self._session.run(None, inputs)
        except ModelError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise ModelError(f'{self._float32_path.name} failed on {self.provider}: {first_line(error)}') from error
        return dict(zip(self.outputs, results, strict=True))
