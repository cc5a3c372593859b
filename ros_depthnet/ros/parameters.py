"""
Every parameter of the nodes, declared once: name, default, range, and one sentence.

`python -m ros_depthnet.ros.parameters` prints config/uav.yaml, `python -m ros_depthnet.ros.reference` the page of
topics and parameters. Needs no ROS.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ros_depthnet.core.cloud import CloudOptions
from ros_depthnet.core.mounting import FORWARD_RPY
from ros_depthnet.core.obstacles import ObstacleOptions
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.card import PRECISIONS
from ros_depthnet.flight.intake import RECTIFY
from ros_depthnet.text_files import read_yaml

_NEAR = 0.8  # how alike two names are of which one is a slip


@dataclass(frozen=True)
class Parameter:
    """
    A parameter's one declaration.

    low, high: inclusive bounds of a number, or of each number in a list. choices: the only texts allowed.
    live: takes effect when set at run time; the others are read-only.
    """

    name: str
    default: bool | int | float | str | list
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False

    def checked(self, value):
        """Return the value as the default's type; raise ValueError with a sentence where it does not fit."""
        wanted = type(self.default)
        if isinstance(self.default, list):
            elements = list(value) if isinstance(value, list | tuple) or hasattr(value, 'tolist') else None
            if elements is None or len(elements) != len(self.default):
                raise ValueError(f'{self.name} must be a list of {len(self.default)} numbers, not {value!r}.')
            return [self._number(element, type(self.default[0])) for element in elements]
        if wanted in (int, float):
            return self._number(value, wanted)
        if not isinstance(value, wanted):
            raise ValueError(f'{self.name} must be {_TYPES[wanted]}, not {value!r}.')
        if self.choices and value not in self.choices:
            raise ValueError(f'{self.name} must be one of {", ".join(self.choices)}, not {value!r}.')
        return value

    def _number(self, value, wanted: type):
        # `max_range: 80` in YAML is an integer, and means 80.0.
        if isinstance(value, bool) or not isinstance(value, (int, float) if wanted is float else int):
            raise ValueError(f'{self.name} must be {_TYPES[wanted]}, not {value!r}.')
        within = (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        if not within or value != value:
            raise ValueError(f'{self.name} must be {self.range}, not {value}.')
        return wanted(value)

    @property
    def range(self) -> str:
        """Say which values are allowed."""
        if self.choices:
            return ', '.join(f'`{choice}`' if choice else '``' for choice in self.choices)
        if self.low is None and self.high is None:
            return ''
        if self.high is None:
            return f'{self.low:g} or more'
        return f'{self.low:g} to {self.high:g}'


_TYPES = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text'}

_COMMON = (
    Parameter('autostart', True, 'Configure and activate at start, without a lifecycle manager.'),
    Parameter(
        'input_timeout',
        2.0,
        'Seconds of silence on an input before diagnostics complain.',
        0.1,
        3600,
        live=True,
    ),
)
_POSES = (
    Parameter('body_frame', '', 'Odometry with another `child_frame_id` is refused; empty takes any.'),
    Parameter(
        'world_frame',
        '',
        'Take poses from tf, those of `body_frame` (empty: base_link) in this frame; empty: from `odom`.',
    ),
    Parameter(
        'camera_mounting',
        'auto',
        "Source of the camera's place on the body; `auto`: tf where it knows, else the two parameters below.",
        choices=('auto', 'tf', 'parameters'),
    ),
    Parameter(
        'camera_xyz',
        [0.0, 0.0, 0.0],
        'Position of the optical frame in the body frame (forward, left, up), metres.',
        -100,
        100,
    ),
    Parameter(
        'camera_rpy',
        [round(angle, 6) for angle in FORWARD_RPY],
        'Roll, pitch, yaw of the optical frame in the body frame, radians; the default looks ahead.',
        -6.3,
        6.3,
    ),
    Parameter(
        'pose_timeout',
        0.5,
        'Seconds an image waits for the odometry on both sides of its stamp.',
        0.0,
        10,
        live=True,
    ),
    Parameter(
        'pose_delay',
        0.0,
        'Seconds by which the stamps of the odometry are late; negative: early.',
        -5.0,
        5.0,
    ),
    Parameter(
        'pose_gap',
        0.25,
        'Seconds between two odometry messages over which a pose is still interpolated.',
        0.001,
        10,
    ),
)
_OUTPUT_FRAME = Parameter(
    'output_frame',
    'odom',
    "`odom`: the odometry's level frame; `camera`: the optical frame, which needs no odometry.",
    choices=('odom', 'camera'),
)


def _options(options: type, *declarations: Parameter) -> tuple[Parameter, ...]:
    """Return parameters that set fields of an options dataclass, with its defaults; 0.0 stands for None."""
    defaults = {name: 0.0 if value is None else value for name, value in vars(options()).items()}
    return tuple(replace(declared, default=defaults[declared.name], live=True) for declared in declarations)


def options_from(settings: SimpleNamespace, options: type):
    """Return an options dataclass with the values that a node's parameters have; raises its ValueError."""
    defaults = vars(options())
    given = {name: value for name, value in vars(settings).items() if name in defaults}
    optional = {name: value or None for name, value in given.items() if defaults[name] is None}
    return options(**{**given, **optional})


DEPTH_NODE = (
    *_COMMON,
    Parameter('model', 'default', 'A shipped model by name, or the path of an .onnx file beside its .yaml card.'),
    Parameter(
        'provider',
        'auto',
        'What runs the model; one that is asked for and missing is an error.',
        choices=('auto', 'cpu', 'cuda', 'tensorrt', 'openvino'),
    ),
    Parameter(
        'precision',
        'auto',
        'Of convolutions: 32 bits, 16 on GPUs, 8 on CPUs; `auto`: int8 on CPUs if there is a file, else float32.',
        choices=PRECISIONS,
    ),
    Parameter(
        'single_view',
        '',
        'Path of a singleview: with it `remember_unchanged`, and a guess where nothing is remembered; empty: none.',
    ),
    Parameter('threads', 0, 'CPU threads of the model; 0 is one per core.', 0, 256),
    Parameter(
        'input_width',
        0,
        "Width of the model's input, pixels; 0: as many pixels as its card says, in the image's shape.",
        0,
        4096,
    ),
    Parameter('engine_cache', '', 'Folder in which TensorRT keeps the engines it has built; empty: none.'),
    Parameter(
        'warm_up_size',
        [640, 480],
        'Width and height of the images to warm up for; with others the first image is slower.',
        16,
        8192,
    ),
    Parameter(
        'every_image',
        False,
        'Where images come faster than they can be measured, measure some in the background, and give every image what '
        'is remembered, seen from there.',
    ),
    Parameter('image_transport', 'raw', 'Take `image_raw` or `image_raw/compressed`.', choices=('raw', 'compressed')),
    Parameter(
        'depth_encoding',
        '32FC1',
        'Encoding of `depth/image`: metres, or whole millimetres with 0 for unknown.',
        choices=('32FC1', '16UC1'),
        live=True,
    ),
    Parameter(
        'colour_range',
        [1.0, 40.0],
        'Depths at the two ends of the colours of `depth/coloured`, near and far, metres.',
        0.01,
        100000,
        live=True,
    ),
    Parameter(
        'rectify',
        'auto',
        'Straighten images that `camera_info` says are distorted; `auto`: unless their topic is named `..._rect`.',
        choices=RECTIFY,
    ),
    Parameter(
        'mask_file',
        '',
        'Picture that is black where the raw image shows no scene (bars, landing gear), white elsewhere.',
    ),
    *_POSES,
    Parameter(
        'broadcast_tf',
        False,
        'Tell tf where the body is at each image and where the camera sits on it, each unless somebody else does.',
    ),
    *_options(
        EstimatorOptions,
        Parameter(
            'check_odometry',
            False,
            'Give no depth while the images contradict odometry, mounting or calibration.',
        ),
        Parameter(
            'find_mask',
            False,
            'Find out which parts of the picture fly along (bars, landing gear, an overlay); no depth there.',
        ),
        Parameter(
            'find_moving',
            False,
            'Find out what moves by itself, and give no depth there.',
        ),
        Parameter(
            'ranges',
            0,
            'Ranges of depth that get earlier images of their own; 2 are better and take twice the time, for GPUs.',
            1,
            4,
        ),
        Parameter('max_sources', 0, 'Most earlier images compared with the newest at once, for each range.', 1, 8),
        Parameter(
            'target_parallax',
            0,
            "Wanted parallax of a range's depth, pixels at the model's input; 0 is the model's own.",
            0,
            1000,
        ),
        Parameter('min_parallax', 0, 'Below this parallax the baseline is too short for depth, pixels.', 0.01, 1000),
        Parameter('max_rotation', 0, 'Largest rotation between two compared images, radians.', 0.001, 3.2),
        Parameter(
            'max_rotation_rate',
            0,
            'Turning faster than this blurs images, so they are dropped, radians per second.',
            0.001,
            100,
        ),
        Parameter('max_speed', 0, 'Odometry that moves faster has jumped, metres per second.', 0.01, 10000),
        Parameter('initial_depth', 0, 'Median depth assumed before the first depth image, metres.', 0.01, 10000),
        Parameter('min_range', 0, 'Nearer depth is -Inf, metres.', 0.001, 1000),
        Parameter('max_range', 0, 'Farther depth is +Inf, metres.', 0.01, 100000),
        Parameter('max_relative_deviation', 0, 'Depth with a larger ratio of deviation to depth is NaN.', 0.001, 100),
        Parameter(
            'matching_noise',
            0,
            "What matching can resolve, one standard deviation, pixels at the model's input.",
            0.001,
            100,
        ),
        Parameter(
            'position_noise',
            0,
            'What odometry says of the way between two images is off by this standard deviation, metres.',
            1e-6,
            100,
        ),
        Parameter(
            'rotation_noise',
            0,
            'What it says of the rotation between them is off by up to this standard deviation about each axis, '
            'radians, or more where images show it in flight; they correct it. 0 takes it as it is.',
            0.0,
            1,
        ),
        Parameter(
            'alignment_rounds',
            0,
            'Steps in which depth is moved along its epipolar lines until the images agree, at up to twice '
            "the model's pixels. 0 leaves it as the model says.",
            0,
            20,
        ),
        Parameter(
            'alignment_sources',
            0,
            'Most further images, of three times the wanted parallax, that the depth of each range is aligned with.',
            0,
            8,
        ),
        Parameter('buffer_size', 0, 'Most images held to compare with.', 2, 1000),
        Parameter('buffer_age', 0, 'Longest an image is held, seconds.', 0.01, 1000),
        Parameter('memory', False, 'Carry depth along the motion: it improves maps and outlasts hovering.'),
        Parameter('memory_age', 0, 'Depth measured longer ago is NaN, seconds.', 0.01, 1000),
        Parameter(
            'remember_unchanged',
            False,
            'While there is no parallax, remember depth for as long as the image shows the same there.',
        ),
        Parameter(
            'ranges_in_turn',
            False,
            'With memory, measure one of several ranges for each image, in the time of one, and remember '
            'the others. What is near may be stale.',
        ),
    ),
)
CLOUD_NODE = (
    *_COMMON,
    _OUTPUT_FRAME,
    *_POSES,
    *_options(
        CloudOptions,
        Parameter('stride', 0, 'Every n-th pixel of every n-th row becomes a point.', 1, 100),
        Parameter('voxel_size', 0, 'One point for each cube of this edge, metres; 0 keeps all.', 0, 100),
        Parameter('organised', False, 'Keep rows and columns, with NaN where there is no point.'),
        Parameter('max_distance', 0, 'Farther depth gives no point, metres.', 0.01, 100000),
        Parameter(
            'max_relative_deviation',
            0,
            'Depth with a larger ratio of deviation to depth gives no point.',
            0.001,
            100,
        ),
    ),
)
OBSTACLE_NODE = (
    *_COMMON,
    _OUTPUT_FRAME,
    *_POSES,
    Parameter('stride', 2, 'Every n-th pixel of every n-th row is looked at for boxes.', 1, 100, live=True),
    Parameter(
        'max_relative_deviation',
        0.2,
        'Depth with a larger ratio of deviation to depth is not used.',
        0.001,
        100,
        live=True,
    ),
    Parameter(
        'scan_range',
        100.0,
        'Farther than this, a sector is free (+Inf), metres; autopilots are told at most 655.33.',
        0.1,
        100000,
        live=True,
    ),
    Parameter(
        'level_frame',
        'base_stabilized',
        'Frame of `obstacle_distance`: at the body, with its heading, but z up. Without odometry it is '
        'the body itself.',
    ),
    Parameter('broadcast_tf', False, 'Tell tf where `level_frame` is, unless somebody else does.'),
    Parameter(
        'autopilot',
        'none',
        'Who is told of obstacles: PX4 or ArduPilot through MAVROS, PX4 over uXRCE-DDS (needs `px4_msgs`), or nobody.',
        choices=('none', 'mavros', 'px4'),
    ),
    *_options(
        ObstacleOptions,
        Parameter('max_distance', 0, 'Farther points are left out of the boxes, metres.', 0.1, 10000),
        Parameter('min_height', 0, 'Lower things, relative to the drone, are not in its way, metres.', -10000, 10000),
        Parameter(
            'max_height',
            0,
            'Higher things, relative to the drone, are not in its way, metres.',
            -10000,
            10000,
        ),
        Parameter('voxel_size', 0, 'Points in touching cubes of this edge are one obstacle, metres.', 0.01, 100),
        Parameter('min_points', 0, 'Fewest points of an obstacle.', 1, 100000),
        Parameter('max_size', 0, 'A longer obstacle is cut into pieces, metres.', 0.01, 1000),
        Parameter('max_boxes', 0, 'Only the nearest so many boxes are published.', 1, 1000),
        Parameter('sectors', 0, 'Number of directions of `obstacle_distance`.', 1, 360),
        Parameter('sector_angle', 0, 'Angle that all directions cover together, centred ahead, radians.', 0.01, 6.28),
        Parameter(
            'nearest_rank',
            0,
            'Which nearest pixel of a direction counts, so that single wild ones do not.',
            1,
            100000,
        ),
        Parameter(
            'min_free_share',
            0,
            'Share of the pixels of a direction that must be known before it is called free.',
            0.001,
            1,
        ),
    ),
)
REPLAY_NODE = (
    *_COMMON,
    Parameter('path', '', 'A rosbag2 (folder, .db3 or .mcap) or a posed-sequence folder.'),
    Parameter('rate', 1.0, 'Speed of the replay, 1 is real time.', 0.01, 100),
    Parameter('loop', False, 'Start again at the end; time then jumps back.'),
    Parameter('start_delay', 0.0, 'Seconds to wait before the first message.', 0, 3600),
    Parameter(
        'wait_for_subscribers',
        30.0,
        'Most seconds to wait until somebody takes images and odometry; 0 does not wait.',
        0,
        3600,
    ),
    Parameter('exit_at_end', True, 'End the process when everything is played.'),
    Parameter('image_topic', '', "The bag's topic to play as `image_raw`; empty is the only one of its type."),
    Parameter(
        'compressed_topic',
        '',
        "The bag's topic to play as `image_raw/compressed`; empty is the only one of its type.",
    ),
    Parameter(
        'camera_info_topic',
        '',
        "The bag's topic to play as `camera_info`; empty is the only one of its type.",
    ),
    Parameter(
        'odom_topic',
        '',
        "The bag's topic to play as `odom`, of any type that tells poses; empty is the only one of its type.",
    ),
    Parameter(
        'world_frame',
        '',
        "Play the bag's tf as `odom`: `body_frame` in this frame; empty: only where the bag tells no other poses.",
    ),
    Parameter(
        'images',
        'raw',
        'How a posed sequence is played: as `image_raw`, `image_raw/compressed`, or both.',
        choices=('raw', 'compressed', 'both'),
    ),
    Parameter(
        'odom_rate',
        50.0,
        'Odometry messages per second of a posed sequence, interpolated between its poses.',
        1,
        1000,
    ),
    Parameter('body_frame', 'base_link', 'Body frame of the odometry of a posed sequence, and of tf.'),
    Parameter(
        'camera_xyz',
        [0.0, 0.0, 0.0],
        'Position of the optical frame in the body frame for a posed sequence, metres.',
        -100,
        100,
    ),
    Parameter(
        'camera_rpy',
        [round(angle, 6) for angle in FORWARD_RPY],
        'Roll, pitch, yaw of the optical frame in the body frame for a posed sequence, radians.',
        -6.3,
        6.3,
    ),
)
TABLES = {
    'depth_node': DEPTH_NODE,
    'cloud_node': CLOUD_NODE,
    'obstacle_node': OBSTACLE_NODE,
    'replay_node': REPLAY_NODE,
}


def misspelt(names: Iterable[str]) -> list[str]:
    """Return a sentence for each name that is no parameter, but nearly one; others may be somebody else's."""
    known = {parameter.name for table in TABLES.values() for parameter in table}
    near = {name: difflib.get_close_matches(name, known, 1, _NEAR) for name in names if name not in known}
    return [f'There is no parameter {name}: {meant[0]} is probably meant.' for name, meant in near.items() if meant]


def parameters_in(path: Path, node: str) -> dict[str, Any]:
    """Return the parameters that a YAML file, as ROS has them, gives a node; raises ValueError with a sentence."""
    try:
        sections = list(_sections(read_yaml(path) or {}))
    except (IsADirectoryError, TypeError, RecursionError) as error:  # the last of a node that is its own child
        raise ValueError(f'{path} is no parameter file of ROS nodes (node: ros__parameters: name: value).') from error
    found = {}
    for name, told in sections:
        found.update(told if name in ('*', '**', node) else {})
    for sentence in misspelt(found):
        raise ValueError(f'{path}: {sentence}')
    return {
        parameter.name: parameter.checked(found[parameter.name])
        for parameter in TABLES[node]
        if parameter.name in found
    }


def _sections(content: Any, name: str = '') -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the parameters of each node by its name, whatever its namespace; raises TypeError."""
    if not isinstance(content, dict):
        raise TypeError
    for key, value in content.items():
        if key != 'ros__parameters':
            yield from _sections(value, str(key))
        elif isinstance(value, dict) and all(isinstance(told, str) for told in value):
            yield name.rpartition('/')[2], value
        else:
            raise TypeError


def yaml() -> str:
    """Return config/uav.yaml: every parameter with its default, for nodes in any namespace."""
    lines = ['# Every parameter with its default. Copy, change, and give it to the launch file as params_file.']
    for node, table in TABLES.items():
        lines += [f'/**/{node}:', '  ros__parameters:']
        for p in table:
            lines += [
                f'    # {p.description}' + (f' ({p.range})' if p.range else ''),
                f'    {p.name}: {as_yaml(p.default)}',
            ]
    return '\n'.join(lines) + '\n'


def as_yaml(value) -> str:
    """Return a parameter's value as YAML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'"
    return f'[{", ".join(map(as_yaml, value))}]' if isinstance(value, list) else repr(value)


if __name__ == '__main__':
    print(yaml(), end='')
