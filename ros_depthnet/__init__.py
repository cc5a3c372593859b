"""Metric depth from motion for drones: the names below are for other people's Python; each loads when it is used."""

import importlib

_HOMES = {
    'Camera': 'core.camera',
    'Drop': 'core.reasons',
    'Estimate': 'core.measurer',
    'EstimatorOptions': 'core.options',
    'Frame': 'core.frames',
    'Measurer': 'core.measurer',
    'ObstacleOptions': 'core.obstacles',
    'PosedSequence': 'flight.posed_sequence',
    'Prediction': 'core.frames',
    'Session': 'flight.session',
    'Views': 'core.frames',
    'cluster_obstacles': 'core.obstacles',
    'examine': 'flight.doctor',
    'load_model': 'engines.model',
    'recorded_frames': 'flight.recorded',
    'write_posed_sequence': 'flight.posed_sequence',
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f'ros_depthnet names no {name!r}; it names {", ".join(__all__)}.')
    return getattr(importlib.import_module(f'{__name__}.{_HOMES[name]}'), name)


def __dir__():
    return __all__
