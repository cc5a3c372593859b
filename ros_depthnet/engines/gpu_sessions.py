"""A graph on a GPU: a session for every shape, what goes up goes up once, and launching all of it is one command."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.metadata
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.half import with_half_convolutions
from ros_depthnet.engines.providers import PROVIDERS, first_line, session_options
from ros_depthnet.whole_files import write_file

_SIGN_OF_LIFE = 10.0  # seconds
_KEY = 'key.json'
_ON, _OFF = '1', '0'
_DEVICE = 'cuda'  # of TensorRT too
_GRAPH_OPTIONS = ('enable_cuda_graph', 'trt_cuda_graph_enable')
_RUNS_TO_REPLAY = 3  # allocating, recording, replaying

_log = logging.getLogger(__name__)


class GpuSessions:
    """What an onnxruntime.InferenceSession is to a CPU, with a session of its own for every shape of the inputs."""

    def __init__(
        self,
        path: Path,
        provider: str,
        precision: str,
        cache_dir: Path | None,
        graph_of: Callable[[onnx.ModelProto], onnx.ModelProto] | None,
    ):
        """Read a file, and see whether the provider starts; ModelError if not. Otherwise see OnnxEngine."""
        self._path, self._provider, self._precision, self._cache_dir = path, provider, precision, cache_dir
        try:
            model = onnx.load(path)
            onnx.checker.check_model(model)
        except Exception as error:  # protobuf's own, which is no public name
            raise ModelError(f'{path} is no readable ONNX model: {first_line(error)}') from error
        model = with_half_convolutions(model) if precision == 'float16' else model
        self._model = graph_of(model) if graph_of else model
        self._by_shapes: dict[tuple[tuple[int, ...], ...], _Bound] = {}
        # TensorRT has no option for it: sums of squares need more than the 11 bits of TF32.
        os.environ.setdefault('NVIDIA_TF32_OVERRIDE', _OFF)
        self._start(_nothing(), {})

    def get_inputs(self) -> list[onnx.ValueInfoProto]:
        """Return the graph's inputs, each with a name."""
        return list(self._model.graph.input)

    def get_outputs(self) -> list[onnx.ValueInfoProto]:
        """Return the graph's outputs, each with a name."""
        return list(self._model.graph.output)

    def run(self, output_names: None, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run on named arrays; returns all outputs, in their order."""
        shapes = tuple(inputs[tensor.name].shape for tensor in self._model.graph.input)
        if shapes not in self._by_shapes:
            self._by_shapes[shapes] = self._open(inputs)
        return self._by_shapes[shapes].run(inputs)

    def _open(self, inputs: Mapping[str, np.ndarray]) -> _Bound:
        """Return a session for the shapes of these inputs, having tried it on them."""
        model = with_shapes(self._model, {name: array.shape for name, array in inputs.items()})
        options = self._options(model)
        with sign_of_life(f'{self._provider} gets ready for {self._path.name}'):
            try:
                return self._tried(model, options, inputs)
            except Exception as error:  # ONNX Runtime's exceptions have no common base
                without = {name: value for name, value in options.items() if not name.endswith(_GRAPH_OPTIONS)}
                if without == options:
                    raise
                _log.warning(
                    'CUDA cannot replay %s as a graph, so launching it takes longer: %s',
                    self._path.name,
                    first_line(error),
                )
                return self._tried(model, without, inputs)

    def _tried(self, model: onnx.ModelProto, options: Mapping[str, str], inputs: Mapping[str, np.ndarray]) -> _Bound:
        bound = _Bound(self._start(model, options))
        for _ in range(_RUNS_TO_REPLAY):
            bound.run(inputs)
        return bound

    def _options(self, model: onnx.ModelProto) -> dict[str, str]:
        """Return the provider's options for a model of fixed shapes."""
        if self._provider == 'cuda':
            return {'enable_cuda_graph': _ON, 'use_tf32': _OFF}
        options = {'trt_cuda_graph_enable': _ON, 'trt_fp16_enable': _ON if self._precision == 'float16' else _OFF}
        if self._cache_dir is None:
            _log.warning('TensorRT builds its engines at every start: name an engine_cache to keep them.')
            return options
        folder = str(engine_folder(self._cache_dir, model, self._precision))
        return {
            **options,
            'trt_engine_cache_enable': _ON,
            'trt_engine_cache_path': folder,
            'trt_timing_cache_enable': _ON,
            'trt_timing_cache_path': folder,
        }

    def _start(self, model: onnx.ModelProto, options: Mapping[str, str]) -> onnxruntime.InferenceSession:
        name = PROVIDERS[self._provider]
        others = [PROVIDERS['cuda']] if self._provider == 'tensorrt' else []
        try:
            # Its own fallback would go on with another provider in the middle of a flight.
            session = onnxruntime.InferenceSession(
                model.SerializeToString(),
                session_options(),
                enable_fallback=0,
                providers=[name, *others, PROVIDERS['cpu']],
                provider_options=None if not options else [dict(options), *({} for _ in others), {}],
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise ModelError(f'{self._path} does not start on {self._provider}: {first_line(error)}') from error
        if session.get_providers()[0] != name:
            raise ModelError(
                f'The {self._provider} provider of ONNX Runtime does not start: install the NVIDIA '
                'driver and the CUDA, cuDNN or TensorRT libraries it wants, or choose cpu.'
            )
        return session


def _nothing() -> onnx.ModelProto:
    """Return the least that a provider can be asked to start with."""
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ('x', 'y')]
    graph = onnx.helper.make_graph([onnx.helper.make_node('Relu', ['x'], ['y'])], 'nothing', ends[:1], ends[1:])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8)


class _Bound:
    """
    A session whose inputs and outputs stay on the device.

    An input that is the same read-only array as in the last call is not copied again. After two runs CUDA replays the
    whole graph by one launch, as its inputs lie where they lay.
    """

    def __init__(self, session: onnxruntime.InferenceSession):
        """Bind a session whose shapes are all fixed."""
        self._session = session
        self._binding = session.io_binding()
        self._inputs: dict[str, tuple[np.ndarray, onnxruntime.OrtValue]] = {}
        self._outputs: list[onnxruntime.OrtValue] = []
        for output in session.get_outputs():
            value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(output.shape, np.float32, _DEVICE)
            self._binding.bind_ortvalue_output(output.name, value)
            self._outputs.append(value)

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run on named arrays of the session's shapes; returns all outputs, in their order."""
        for name, array in inputs.items():
            self._bring(name, np.ascontiguousarray(array))
        self._session.run_with_iobinding(self._binding)
        return [value.numpy().copy() for value in self._outputs]

    def _bring(self, name: str, array: np.ndarray) -> None:
        last, value = self._inputs.get(name, (None, None))
        if value is None:
            value = onnxruntime.OrtValue.ortvalue_from_numpy(array.copy(), _DEVICE)
            self._binding.bind_ortvalue_input(name, value)
        elif array is not last or array.flags.writeable:
            value.update_inplace(array)
        self._inputs[name] = array, value


def with_shapes(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
    """
    Return a model whose inputs have these shapes and no others.

    All that depends on shapes is a constant then: the narrowest of TensorRT's profiles, and nothing left for a CPU
    between two kernels of CUDA. Raises ModelError for a graph whose outputs' shapes do not follow.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for tensor in fixed.graph.input:
        dimensions = tensor.type.tensor_type.shape.dim
        for dimension, length in zip(dimensions, shapes[tensor.name], strict=True):
            dimension.dim_value = length
    for tensor in fixed.graph.output:
        tensor.type.tensor_type.ClearField('shape')
    del fixed.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    for tensor in inferred.graph.output:
        if not all(dimension.HasField('dim_value') for dimension in tensor.type.tensor_type.shape.dim):
            raise ModelError(f'The shape of {tensor.name} does not follow from those of the inputs.')
    return inferred


def engine_folder(cache_dir: Path, model: onnx.ModelProto, precision: str) -> Path:
    """
    Return the folder, made if need be, for the engines that TensorRT builds of a model with fixed shapes.

    One for each model, shapes, precision, versions and GPU, of which `key.json` in it speaks. Raises ModelError for a
    folder that holds something else.
    """
    key = {
        'model': hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest(),
        'precision': precision,
        'onnxruntime': onnxruntime.__version__,
        'tensorrt': _tensorrt_version(),
        **_gpu(),
    }
    text = json.dumps(key, indent=1)
    folder = Path(cache_dir) / hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / _KEY
    if not written.exists():
        if any(folder.iterdir()):
            raise ModelError(f'The engine cache {folder} does not say what its engines are for: remove it.')
        write_file(written, text)
    if written.read_text(encoding='utf-8') != text:
        raise ModelError(
            f'The engines in {folder} are not for this model, shape, precision, version or GPU: remove it.'
        )
    return folder


def _tensorrt_version() -> str:
    for library in ('libnvinfer.so.11', 'libnvinfer.so.10', 'libnvinfer.so.8', 'libnvinfer.so'):
        with contextlib.suppress(OSError, AttributeError):
            return str(ctypes.CDLL(library).getInferLibVersion())
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version('tensorrt')
    return 'unknown'


def _gpu() -> dict[str, str]:
    """Return name, compute capability and driver of the first GPU, as CUDA's driver has them; nothing without one."""
    try:
        cuda = ctypes.CDLL('libcuda.so.1')
    except OSError:
        return {}
    name, driver, number = ctypes.create_string_buffer(100), ctypes.c_int(), ctypes.c_int()
    major, minor = ctypes.c_int(), ctypes.c_int()
    cuda.cuInit(0)
    cuda.cuDriverGetVersion(ctypes.byref(driver))
    cuda.cuDeviceGet(ctypes.byref(number), 0)
    cuda.cuDeviceGetName(name, len(name), number)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, number)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, number)
    return {'gpu': name.value.decode(), 'compute': f'{major.value}.{minor.value}', 'driver': str(driver.value)}


@contextlib.contextmanager
def sign_of_life(what: str) -> Iterator[None]:
    """Log every ten seconds that something is still going on."""
    done, began = threading.Event(), time.monotonic()

    def tell() -> None:
        while not done.wait(_SIGN_OF_LIFE):
            _log.info('%s: %.0f s so far.', what, time.monotonic() - began)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
