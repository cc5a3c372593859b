"""What ONNX Runtime runs on, and what all of its sessions have in common."""

import functools

import onnxruntime

PROVIDERS = {
    'tensorrt': 'TensorrtExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'cpu': 'CPUExecutionProvider',
}
"""From best to most modest: the order in which 'auto' tries them."""

GPUS = ('tensorrt', 'cuda')


@functools.cache
def _share_memory() -> None:
    """Let all sessions take memory from one pool: they run in turn, and each would keep its own largest need."""
    memory = onnxruntime.OrtMemoryInfo(
        'Cpu', onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg({}))


def session_options() -> onnxruntime.SessionOptions:
    """Return what all sessions have in common."""
    _share_memory()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry('session.use_env_allocators', '1')
    # Waiting threads would otherwise spin, which on a shared computer takes the cores from the others.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    options.log_severity_level = 4  # its errors also arrive as exceptions
    return options


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().split('\n')[0]
