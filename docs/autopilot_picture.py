"""
Draw what an autopilot is told of one image of the shipped flight: `python docs/autopilot_picture.py`.

Writes docs/images/autopilot.jpg: the image, and the sectors from above with the points that they come from.
The depth is the flight's true one, so the picture shows the message and not how good depth is.
"""

import json
import math
from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.core.autopilot import (
    INCREMENT_DEG,
    SECTORS,
    UNKNOWN_CM,
    ObstacleDistance,
    obstacle_distance_cm,
)
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.motion import inverse
from ros_depthnet.core.mounting import FORWARD_RPY, levelled, mounting
from ros_depthnet.core.obstacles import ObstacleOptions

ROOT = Path(__file__).parents[1]
FRAME = 90
RANGE = 12.0  # metres
SIZE = 640  # pixels of the view from above, as high as wide
PER_METRE = SIZE / (2 * RANGE * 1.12)
WHITE, BLACK, GREY, HIDDEN = (255, 255, 255), (0, 0, 0), (168, 168, 168), (226, 226, 226)
FREE, BEFORE, BLOCKED, POINT = (150, 214, 150), (206, 236, 206), (206, 60, 46), (30, 60, 160)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def flight_frame(index: int):
    """Return RGB (H, W, 3), true depth (H, W) in metres, the camera and T_level_cam of a frame."""
    folder = ROOT / 'flights' / 'park'
    flight = json.loads((folder / 'sequence.json').read_text())
    entry, camera = flight['frames'][index], Camera(**flight['camera'])
    rgb = cv2.cvtColor(cv2.imread(str(folder / entry['image'])), cv2.COLOR_BGR2RGB)
    depth = cv2.imread(str(folder / entry['depth']), cv2.IMREAD_UNCHANGED) * np.float32(flight['depth_scale'])
    depth = np.where(depth >= flight['max_depth'], np.float32(np.inf), depth)
    T_world_cam = np.array(entry['T_world_cam'])
    T_world_body = T_world_cam @ inverse(mounting((0, 0, 0), FORWARD_RPY))
    return rgb, np.where(depth == 0, np.float32(np.nan), depth), camera, (inverse(levelled(T_world_body)) @ T_world_cam)


def place(right_deg, metres) -> np.ndarray:
    """Return pixels (..., 2) of directions, degrees to the right of ahead, and distances; ahead is up."""
    angle = np.radians(right_deg)
    return SIZE / 2 + PER_METRE * np.stack([metres * np.sin(angle), -metres * np.cos(angle)], -1)


def wedge(picture: np.ndarray, right_deg: float, near: float, far: float, colour: tuple) -> None:
    """Fill a sector between two distances."""
    angles = right_deg + np.linspace(-INCREMENT_DEG / 2, INCREMENT_DEG / 2, 9)
    outline = np.concatenate([place(angles, near), place(angles[::-1], far)])
    cv2.fillPoly(picture, [np.rint(outline * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)


def text(picture: np.ndarray, words: str, centre, scale=0.42, colour=BLACK) -> None:
    """Write words round a pixel."""
    (width, height), _ = cv2.getTextSize(words, FONT, scale, 1)
    corner = (round(centre[0] - width / 2), round(centre[1] + height / 2))
    cv2.putText(picture, words, corner, FONT, scale, colour, 1, cv2.LINE_AA)


def from_above(told: ObstacleDistance, points_level: np.ndarray) -> np.ndarray:
    """Draw the sectors, the points in the way, rings of distance and the drone."""
    picture = np.full((SIZE, SIZE, 3), WHITE, np.uint8)
    blocked = (told.distances_cm <= told.max_cm).nonzero()[0]
    for i, cm in enumerate(told.distances_cm):
        colour = GREY if cm == UNKNOWN_CM else FREE if cm > told.max_cm else HIDDEN
        wedge(picture, i * INCREMENT_DEG, 0, RANGE, colour)
    for i in blocked:
        wedge(picture, i * INCREMENT_DEG, 0, told.distances_cm[i] / 100, BEFORE)
    shown = points_level[np.linalg.norm(points_level[:, :2], axis=1) < RANGE]
    right = np.degrees(np.arctan2(-shown[:, 1], shown[:, 0]))
    for x, y in np.rint(place(right, np.linalg.norm(shown[:, :2], axis=1))).astype(int):
        picture[y, x] = POINT
    for i in blocked:
        distance = told.distances_cm[i] / 100
        wedge(picture, i * INCREMENT_DEG, distance - 0.1, distance + 0.1, BLOCKED)
    for metres in np.arange(3, RANGE + 1, 3):
        cv2.circle(picture, (SIZE // 2, SIZE // 2), round(metres * PER_METRE), BLACK, 1, cv2.LINE_AA)
        text(picture, f'{metres:.0f} m', place(180, metres - 0.35))
    for right_deg in range(0, 360, 45):
        text(picture, f'{right_deg}', place(right_deg, RANGE * 1.045))
    drone = np.rint(place(np.array([0, 150, 180, 210]), np.array([0.55, 0.4, 0.2, 0.4]))).astype(np.int32)
    cv2.fillPoly(picture, [drone], BLACK, cv2.LINE_AA)
    return picture


def from_aboard(rgb: np.ndarray, camera: Camera, T_level_cam: np.ndarray, told: ObstacleDistance) -> np.ndarray:
    """Draw borders of sectors at eye level, and what is told of each, over the image."""
    scale = 2 * SIZE / 3 / rgb.shape[0]
    picture = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for i in range(-SECTORS // 2, SECTORS // 2):
        angles = np.radians((np.array([-0.5, 0, 0.5]) + i) * INCREMENT_DEG)
        points = 10 * np.stack([np.cos(angles), -np.sin(angles), 0 * angles], -1)
        columns = scale * camera.project((points - T_level_cam[:3, 3]) @ T_level_cam[:3, :3])[:, 0]
        cm = told.distances_cm[i % SECTORS]
        if math.isnan(columns.sum()) or columns[0] > picture.shape[1] - 5 or columns[2] < 5:
            continue
        for column in columns[[0, 2]]:
            if 0 < column < picture.shape[1]:
                cv2.line(picture, (round(column), 30), (round(column), picture.shape[0]), WHITE, 1)
        words, colour = f'{cm / 100:.1f}', BLOCKED
        if cm > told.max_cm:
            words, colour = ('?', GREY) if cm == UNKNOWN_CM else ('free', FREE)
        left, right = (round(v) for v in np.clip(columns[[0, 2]], 0, picture.shape[1]))
        cv2.rectangle(picture, (left, 0), (right, 30), colour, -1)
        cv2.rectangle(picture, (left, 0), (right, 30), BLACK, 1)
        text(picture, words, ((left + right) / 2, 15), 0.36, WHITE if colour == BLOCKED else BLACK)
    return picture


def legend(width: int) -> np.ndarray:
    """Return what the colours mean."""
    picture = np.full((SIZE - round(2 * SIZE / 3), width, 3), WHITE, np.uint8)
    rows = (
        (BLOCKED, 'nearest thing in the sector, metres'),
        (FREE, f'free as far as {RANGE:.0f} m (max_distance + 1)'),
        (GREY, 'unknown (65535): out of view, or only half in view'),
        (HIDDEN, 'behind the nearest thing: nothing is told'),
        (POINT, 'what stands within 1 m of the own height'),
    )
    for row, (colour, words) in enumerate(rows):
        y = 24 + 35 * row
        cv2.rectangle(picture, (16, y - 10), (46, y + 10), colour, -1)
        cv2.putText(picture, words, (60, y + 5), FONT, 0.5, BLACK, 1, cv2.LINE_AA)
    cv2.putText(picture, 'Degrees count clockwise from straight ahead.', (16, y + 36), FONT, 0.5, BLACK, 1, cv2.LINE_AA)
    return picture


def main() -> None:
    """Draw and write."""
    rgb, depth_hw, camera, T_level_cam = flight_frame(FRAME)
    options = ObstacleOptions()
    told = obstacle_distance_cm(depth_hw, camera, T_level_cam, options, RANGE)
    points = camera.back_project(depth_hw).reshape(-1, 3) @ T_level_cam[:3, :3].T + T_level_cam[:3, 3]
    with np.errstate(invalid='ignore'):
        points = points[(points[:, 2] >= options.min_height) & (points[:, 2] <= options.max_height)]
    aboard = from_aboard(rgb, camera, T_level_cam, told)
    picture = np.hstack([np.vstack([aboard, legend(aboard.shape[1])]), from_above(told, points)])
    path = ROOT / 'docs' / 'images' / 'autopilot.jpg'
    cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(f'{path}: {path.stat().st_size} bytes')


if __name__ == '__main__':
    main()
