"""What is learned from without depth: a reference, other images of the same flight, and the odometry between them."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import torch

from ros_depthnet.core import motion


class Posed(Protocol):
    """Some frames of a flight: rendered (`still_box.sequences.Sequence`) or flown (`recorded.Window`)."""

    images: np.ndarray
    intrinsics: np.ndarray

    @property
    def T_world_cam(self) -> np.ndarray:
        """Return the poses (F, 4, 4), metres."""


def draw_window(
    flight: Posed, sources: int, size: tuple[int, int], turned: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """
    Return a reference and some of the other frames of a flight, at a size (width, height), as `Views` has them.

    `reference` (3, H, W), `sources` (S, 3, H, W), `valid` (S, 1, H, W), `T_srcs_ref` (S, 4, 4) in metres and
    `intrinsics` (4,). Sources are turned further by rotation vectors of `turned` degrees standard deviation,
    as hands and gusts do; the world is mirrored now and then, and its colours change places.
    """
    width, height = size
    reference, *chosen = rng.permutation(len(flight.images))[: sources + 1]
    scale = np.array(size) / flight.images.shape[2:0:-1]
    focal, centre = flight.intrinsics[:2] * scale, (flight.intrinsics[2:] + 0.5) * scale - 0.5
    K = np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]])
    colours = rng.permutation(3)

    def image(number):
        return cv2.resize(flight.images[number], size, interpolation=cv2.INTER_AREA)[..., colours]

    images, valid, poses = [image(reference)], [np.ones((height, width), np.uint8)], [np.eye(4)]
    for number in chosen:
        T_src_ref = motion.inverse(flight.T_world_cam[number]) @ flight.T_world_cam[reference]
        turn = motion.pose(cv2.Rodrigues(np.radians(rng.normal(0, turned, 3)))[0], np.zeros(3))
        H = K @ turn[:3, :3] @ np.linalg.inv(K)
        images.append(cv2.warpPerspective(image(number), H, size, borderMode=cv2.BORDER_REPLICATE))
        valid.append(cv2.warpPerspective(valid[0], H, size, flags=cv2.INTER_NEAREST))
        poses.append(turn @ T_src_ref)
    mirror = np.where(rng.random(2) < 0.5, -1.0, 1.0)
    flipped = [1 + axis for axis in (0, 1) if mirror[1 - axis] < 0]
    sides = np.diag([*mirror, 1, 1])
    rows = np.flip(np.stack(images), flipped).transpose(0, 3, 1, 2).astype(np.float32) / 255
    centre = np.where(mirror < 0, np.array(size) - 1 - centre, centre)
    return {
        'reference': rows[0],
        'sources': rows[1:],
        'valid': np.flip(np.stack(valid[1:]), flipped)[:, None].astype(np.float32),
        'T_srcs_ref': np.array([sides @ T @ sides for T in poses[1:]], np.float32),
        'intrinsics': np.concatenate([focal, centre]).astype(np.float32),
    }


def draw_windows(
    flights, number: int, sources: int, size: tuple[int, int], turned: float, batch: int, rng: np.random.Generator
) -> dict[str, torch.Tensor]:
    """Return a batch of windows out of the first `number` flights, if there are so many; see `draw_window`."""
    number = min(number, len(flights))
    drawn = [draw_window(flights[int(i)], sources, size, turned, rng) for i in rng.integers(number, size=batch)]
    return {name: torch.from_numpy(np.stack([window[name] for window in drawn])) for name in drawn[0]}
