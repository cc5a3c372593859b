"""Whether an engine answers what the model says: looked at before a flight, on a shipped pair of images."""

import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.measurer import Measurer
from ros_depthnet.engines.card import ModelError
from ros_depthnet.engines.metric_model import Model
from ros_depthnet.engines.onnx_engine import OnnxEngine
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.resources import share_path

_ALLOWED = 0.01  # mean of |ln(depth)|: a fifth of what the best model errs by itself
_REFERENCE, _SOURCE = 6, 4


def check_answers(model: Model, camera: Camera) -> None:
    """
    Raise ModelError, with both answers, where a model's engine does not answer what float32 does on a CPU.

    camera: whose images will come; the pair is looked at in their size, and so by the very engine that will fly. On a
    CPU there is nothing to check.
    """
    if model.engine.provider.endswith('cpu'):
        return
    flight = PosedSequence.load(share_path('flights', 'park'))
    reference, source = (flight.frame(index).resized(camera.width, camera.height) for index in (_REFERENCE, _SOURCE))
    width, _ = model.input_size(reference.camera)
    exact = Model(model.card, OnnxEngine(model.card.file, 'cpu'), width)
    found, expected = (Measurer(each).estimate(reference, [source]).depth_hw for each in (model, exact))
    both = np.isfinite(found) & np.isfinite(expected)
    off = float(np.abs(np.log(found[both] / expected[both])).mean()) if both.any() else np.inf
    known = float(both.sum() / max(1, np.isfinite(expected).sum()))
    if not off <= _ALLOWED or known < 1 - _ALLOWED:
        engine = model.engine
        raise ModelError(
            f'{model.card.name} on {engine.provider} in {engine.precision} cannot be trusted: it sees '
            f'{np.nanmedian(np.where(np.isfinite(found), found, np.nan)):.2f} m in the median of a pair where float32 '
            f'on a CPU sees {np.nanmedian(np.where(np.isfinite(expected), expected, np.nan)):.2f} m, differing by '
            f'{off:.1%} in the mean at {known:.0%} of the pixels ({_ALLOWED:.0%} is allowed): choose another precision '
            'or provider, or empty the engine cache.'
        )
