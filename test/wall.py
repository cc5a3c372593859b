"""Small recorded flights whose true depth is known exactly: a textured wall, flown past."""

import cv2
import numpy as np
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.motion import pose
from ros_depthnet.flight.posed_sequence import NewFrame, write_posed_sequence

PERIOD_NS = 100_000_000
START_NS = 5_000_000_000
# The drone looks along y of a world with z up; right of the image is x, down is -z.
R_WORLD_CAM = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
SPEED = 1.0  # metres a second, to the right
_TEXELS, _SIZE = 2048, 24.0  # of the wall's texture, metres


def camera(width=96, height=64):
    return Camera(width, height, 0.9 * width, 0.9 * width, (width - 1) / 2, (height - 1) / 2)


def wall_depth(camera, x, slope=0.4, ahead=6.0):
    """Return the exact depth (H, W) of the wall y = ahead + slope * X, seen from X = x; metres."""
    rays = camera.rays_hw3()
    return ((ahead + slope * x) / (1 - slope * rays[..., 0])).astype(np.float32)


def wall_image(camera, x, texture):
    """Return what the camera at X = x sees of the wall, (H, W, 3) uint8."""
    depth = wall_depth(camera, x)
    points = camera.rays_hw3() * depth[..., None]
    texels = _TEXELS / _SIZE
    columns = (points[..., 0] + x + _SIZE / 3) * texels
    rows = (points[..., 1] + _SIZE / 2) * texels
    return cv2.remap(
        texture,
        columns.astype(np.float32),
        rows.astype(np.float32),
        cv2.INTER_AREA,
        borderMode=cv2.BORDER_REFLECT,
    )


def texture(seed=0):
    """Return a photo-like texture: colours at all scales."""
    rng = np.random.default_rng(seed)
    total = np.zeros((_TEXELS, _TEXELS, 3), np.float32)
    for octave in range(3, 11):
        layer = rng.normal(size=(2**octave, 2**octave, 3)).astype(np.float32)
        total += cv2.resize(layer, (_TEXELS, _TEXELS), interpolation=cv2.INTER_CUBIC) * 0.7 ** (octave - 3)
    return np.clip(128 + 50 * total, 0, 255).astype(np.uint8)


def wall_flight(folder, frames=12, **size):
    """Write a flight past the wall as a posed sequence; return its folder."""
    seen_by, surface = camera(**size), texture()

    def each():
        for i in range(frames):
            x = SPEED * i * PERIOD_NS / 1e9
            T_world_cam = pose(R_WORLD_CAM, [x, 0, 0])
            yield NewFrame(
                Frame(START_NS + i * PERIOD_NS, wall_image(seen_by, x, surface), seen_by, T_world_cam),
                wall_depth(seen_by, x),
            )

    pairs = [(i, i - 3) for i in range(3, frames)]
    return write_posed_sequence(
        folder, each(), pairs, name='wall', source='test', licence='Apache-2.0', kind='wall', max_depth=50.0
    )


def write_bag(path, messages, storage=StoragePlugin.SQLITE3):
    """Write (topic, time_ns, message) of rclpy's messages as a rosbag2; return its folder."""
    types = get_typestore(Stores.LATEST)
    with Writer(path, version=9, storage_plugin=storage) as writer:
        connections = {}
        for topic, time_ns, message in messages:
            kind = f'{type(message).__module__.split(".")[0]}/msg/{type(message).__name__}'
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=types)
            writer.write(connections[topic], time_ns, serialize_message(message))
    return path
