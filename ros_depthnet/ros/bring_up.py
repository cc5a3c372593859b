"""What the launch file is told, as remappings and parameters: arguments, presets, and their one-sentence errors."""

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from ros_depthnet.core.mounting import FORWARD_RPY
from ros_depthnet.flight.topics import CAMERA_INFO, COMPRESSED, IMAGE, ODOM
from ros_depthnet.resources import share_path
from ros_depthnet.ros.parameters import TABLES, Parameter, parameters_in
from ros_depthnet.text_files import read_yaml

NODES = ('depth_node', 'cloud_node', 'obstacle_node')
_DOWNWARD_RPY = (math.pi, 0.0, -math.pi / 2)  # the image's upper edge ahead
_SWITCH = ('true', 'false')
_RECORDED_TOO = ('/tf', '/tf_static', '/diagnostics', '/rosout', '/parameter_events')


@dataclass(frozen=True)
class Argument:
    """A launch argument: its name, default, one sentence, and the only values allowed, if not any."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


def presets() -> list[str]:
    """Return the names of the shipped presets."""
    return sorted(path.stem for path in share_path('config', 'presets').glob('*.yaml'))


_PRESETTABLE = {
    'image': ('image_raw', 'Topic of the images; of the compressed ones it is this with /compressed.'),
    'camera_info': ('camera_info', 'Topic of the calibration.'),
    'odom': ('odom', 'Topic of the poses, whichever of the types of message that tell one is on it.'),
    'mounting': (
        '',
        'Where the camera sits: tf, forward or down (at the origin of the body), or "x y z roll pitch '
        'yaw" of its optical frame in the body, metres and radians. Empty: tf where it knows, else the '
        'parameters camera_xyz and camera_rpy.',
    ),
    'fixed_frame': ('odom', 'Frame that RViz shows everything in, the one of the poses.'),
    'use_sim_time': ('', 'Take the time from /clock: true or false. Empty: only with a bag.'),
    'model': ('', 'A shipped model by name, or the path of an .onnx file. Empty: the parameter model.'),
    'provider': ('', 'What runs the model: auto, cpu, cuda, tensorrt or openvino. Empty: the parameter provider.'),
    'image_transport': ('', 'Take raw or compressed images. Empty: the parameter image_transport.'),
    'cloud_frame': (
        '',
        'Frame of the cloud: odom, or camera, from where mapping casts its rays. Empty: the parameter '
        'output_frame of cloud_node.',
    ),
    'broadcast_tf': (
        '',
        'Tell tf where body and camera are, where nobody else does: true or false. Empty: the parameter broadcast_tf.',
    ),
    'autopilot': ('', 'Who is told of obstacles: none, mavros or px4. Empty: the parameter autopilot.'),
}


def arguments(defaults: Mapping[str, str] = MappingProxyType({})) -> tuple[Argument, ...]:
    """Return the arguments of the launch files, some with other defaults than uav.launch.py has."""
    listed = ', '.join(presets())
    return tuple(
        replace(argument, default=defaults.get(argument.name, argument.default))
        for argument in (
            Argument(
                'preset',
                '',
                f'Topics and settings for what you fly: {listed}, or the path of a YAML file like those '
                'in config/presets. It goes before params_file, and arguments go before it.',
            ),
            *(
                Argument(name, '', f"{description} [default: {default}, or the preset's]" if default else description)
                for name, (default, description) in _PRESETTABLE.items()
            ),
            Argument('namespace', '', 'Namespace of all nodes and topics.'),
            Argument('params_file', '', 'Parameters of the nodes, as in config/uav.yaml. Empty: the defaults.'),
            Argument(
                'bag', '', 'Recorded flight to play, a rosbag2 or a posed-sequence folder; its end ends everything.'
            ),
            Argument('rate', '1.0', 'Speed of the recorded flight.'),
            Argument('loop', 'false', 'Play the recorded flight again and again.', _SWITCH),
            Argument('record', '', 'New folder to record into what a bug report and `depthnet adapt` need.'),
            Argument(
                'one_process',
                'false',
                'Run depth, cloud and obstacles in one process, without copies between them.',
                _SWITCH,
            ),
            Argument('rviz', 'false', 'Show everything in RViz.', _SWITCH),
            Argument('log_level', 'info', 'What the nodes log.', ('debug', 'info', 'warn', 'error', 'fatal')),
        )
    )


@dataclass(frozen=True)
class BringUp:
    """What to start the nodes with: remappings, parameters by node, and the frame that all is shown or mapped in."""

    remappings: tuple[tuple[str, str], ...]
    parameters: Mapping[str, dict]
    fixed_frame: str
    use_sim_time: bool


def bring_up(given: Mapping[str, str]) -> BringUp:
    """Return what launch arguments, those of `arguments()`, mean; raises ValueError with a sentence."""
    preset = read_preset(given['preset']) if given['preset'] else {}
    told = {name: given[name] or str(preset.get(name, default)) for name, (default, _) in _PRESETTABLE.items()}
    values = {name: value for name, value in preset.items() if name not in _PRESETTABLE}
    values |= {name: told[name] for name in ('model', 'provider', 'image_transport', 'autopilot') if told[name]}
    values |= {'broadcast_tf': _switch('broadcast_tf', told['broadcast_tf'])} if told['broadcast_tf'] else {}
    values |= _mounting(told['mounting'])
    sim_time = _switch('use_sim_time', told['use_sim_time'] or str(bool(given['bag'])))
    parameters = {node: {'use_sim_time': sim_time, **_of_node(node, values)} for node in NODES}
    if told['cloud_frame']:
        parameters['cloud_node'] |= _of_node('cloud_node', {'output_frame': told['cloud_frame']})
    parameters['replay_node'] = _replay(given) if given['bag'] else {}
    for name in ('params_file', 'bag'):
        if given[name] and not is_there(given[name]):
            raise ValueError(f'There is no {name} {given[name]}.')
    if given['params_file']:
        for node in NODES:
            parameters_in(Path(given['params_file']).expanduser(), node)
    return BringUp(
        (
            (IMAGE.name, told['image']),
            (COMPRESSED.name, f'{told["image"]}/compressed'),
            (CAMERA_INFO.name, told['camera_info']),
            (ODOM.name, told['odom']),
        ),
        parameters,
        told['fixed_frame'],
        sim_time,
    )


def recorder(given: Mapping[str, str], plan: BringUp, distribution: str) -> list[str]:
    """
    Return the command that records, into the folder `record`, what depth is made of and what the nodes said of it.

    What they give is left out: it follows from that. Raises ValueError where the folder is there already.
    """
    if is_there(given['record']):
        raise ValueError(f'{given["record"]} is there already: record needs a new folder.')
    topics = dict(plan.remappings)
    compressed = plan.parameters['depth_node'].get('image_transport') == 'compressed'
    image = topics[(COMPRESSED if compressed else IMAGE).name]
    taken = [
        f'/{given["namespace"]}/{name}'.replace('//', '/') if not name.startswith('/') else name
        for name in (image, topics[CAMERA_INFO.name], topics[ODOM.name])
    ]
    # Humble takes topics by position only, later distributions by option; by position they warn.
    by_option = [] if distribution == 'humble' else ['--topics']
    return ['ros2', 'bag', 'record', '-o', given['record'], *by_option, *taken, *_RECORDED_TOO]


def is_there(path: str) -> bool:
    """Tell whether there is a file or folder of that name; none has one that no file can have."""
    return os.path.exists(os.path.expanduser(path))


def read_preset(name: str) -> dict:
    """Return a preset by its name or path: launch arguments and parameters; raises ValueError with a sentence."""
    path = share_path('config', 'presets', f'{name}.yaml') if name in presets() else Path(os.path.expanduser(name))
    if not os.path.isfile(path):
        raise ValueError(f'There is no preset {name}: take {_or(presets())}, or the path of a YAML file.')
    preset = read_yaml(path)
    if not isinstance(preset, dict):
        raise ValueError(f'The preset {path} must be lines of "name: value", as those in config/presets are.')
    for name in preset:
        if name not in _PRESETTABLE and name not in _parameters():
            raise ValueError(
                f'The preset {path} sets {name}, which is neither an argument nor a parameter'
                f'{_meant(str(name), _PRESETTABLE, _parameters())}.'
            )
    return {
        name: str(value).lower() if isinstance(value, bool) and name in _PRESETTABLE else value
        for name, value in preset.items()
    }


def unknown_arguments(argv: Iterable[str], known: Iterable[Argument]) -> list[str]:
    """Return a sentence for each `name:=value` of a command line that is none of the arguments."""
    names = [argument.name for argument in known]
    told = [word.partition(':=')[0] for word in argv if ':=' in word]
    return [f'There is no argument {name}{_meant(name, names)}.' for name in told if name not in names]


def _mounting(told: str) -> dict:
    if told in ('', 'tf'):
        return {'camera_mounting': told} if told else {}
    rpy = {'forward': FORWARD_RPY, 'down': _DOWNWARD_RPY}.get(told)
    try:
        numbers = [0.0, 0.0, 0.0, *rpy] if rpy else [float(word) for word in told.split()]
    except ValueError:
        numbers = []
    if len(numbers) != 6:
        raise ValueError(f'mounting must be tf, forward, down, or six numbers "x y z roll pitch yaw", not "{told}".')
    return {'camera_mounting': 'parameters', 'camera_xyz': numbers[:3], 'camera_rpy': numbers[3:]}


def _of_node(node: str, values: Mapping[str, object]) -> dict:
    """Return the values that are parameters of a node, as those declare them."""
    return {
        parameter.name: parameter.checked(values[parameter.name])
        for parameter in TABLES[node]
        if parameter.name in values
    }


def _replay(given: Mapping[str, str]) -> dict:
    try:
        rate = float(given['rate'])
    except ValueError as error:
        raise ValueError(f'rate must be a number, not "{given["rate"]}".') from error
    return _of_node('replay_node', {'path': given['bag'], 'rate': rate, 'loop': _switch('loop', given['loop'])})


def _parameters() -> dict[str, Parameter]:
    return {parameter.name: parameter for node in NODES for parameter in TABLES[node]}


def _switch(name: str, told: str) -> bool:
    if told.lower() not in _SWITCH:
        raise ValueError(f'{name} must be true or false, not "{told}".')
    return told.lower() == 'true'


def _meant(name: str, *known: Iterable[str]) -> str:
    near = [match for names in known for match in difflib.get_close_matches(name, list(names), 1)]
    return f': {near[0]} is probably meant' if near else ''


def _or(names: list[str]) -> str:
    return f'{", ".join(names[:-1])} or {names[-1]}'
