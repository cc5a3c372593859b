"""What ONNX Runtime runs on, and what all of its sessions have in common."""

import onnxruntime

PROVIDERS = {
    'tensorrt': 'TensorrtExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'cpu': 'CPUExecutionProvider',
}
"""From best to most modest: the order in which 'auto' tries them."""

GPUS = ('tensorrt', 'cuda')


_SPIN_US = 20  # microseconds for which a thread waits awake: waking costs about as much
_SPINNING_ENDS = (1, 26)  # the version from which on that can be said


def session_options() -> onnxruntime.SessionOptions:
    """Return what all sessions have in common."""
    options = onnxruntime.SessionOptions()
    # Threads that spin for longer take the cores, on a shared computer, from the others.
    spins = tuple(map(int, onnxruntime.__version__.split('.')[:2])) >= _SPINNING_ENDS
    options.add_session_config_entry('session.intra_op.allow_spinning', str(int(spins)))
    options.add_session_config_entry('session.intra_op.spin_duration_us', str(_SPIN_US))
    options.add_session_config_entry('session.force_spinning_stop', '1')
    options.log_severity_level = 4  # its errors also arrive as exceptions
    return options


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().split('\n')[0]
