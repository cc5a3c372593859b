"""What ONNX Runtime runs on, and what all of its sessions have in common."""

import onnxruntime

PROVIDERS = {
    'tensorrt': 'TensorrtExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'cpu': 'CPUExecutionProvider',
}
"""From best to most modest: the order in which 'auto' tries them."""

GPUS = ('tensorrt', 'cuda')


def session_options() -> onnxruntime.SessionOptions:
    """Return what all sessions have in common."""
    options = onnxruntime.SessionOptions()
    # Waiting threads would otherwise spin, which on a shared computer takes the cores from the others.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    options.log_severity_level = 4  # its errors also arrive as exceptions
    return options


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().split('\n')[0]
