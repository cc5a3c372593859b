"""What the whole graph is told of a camera and its motion, in torch."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Intrinsics:
    """A `core.camera.Camera` without its size: `values` (4,), fx, fy, cx, cy, pixels."""

    values: torch.Tensor

    def resized(self, before, after) -> Intrinsics:
        """Return the camera of an image (height, width) resized."""
        (height, width), (rows, columns) = before, after
        fx, fy, cx, cy = self.values.unbind()
        sx, sy = columns / width, rows / height
        return Intrinsics(torch.stack([fx * sx, fy * sy, (cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5]))

    def rays(self, height, width) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the x (W,) and y (H, 1) of `K^-1 m` of every pixel, z being 1."""
        return self.ray_of(torch.arange(width), torch.arange(height)[:, None])

    def ray_of(self, x, y):
        """Return the x and y of `K^-1 m` of pixels."""
        fx, fy, cx, cy = self.values.unbind()
        return (x - cx) / fx, (y - cy) / fy

    def pixel_of(self, x, y):
        """Return the pixels of rays x, y, z being 1."""
        fx, fy, cx, cy = self.values.unbind()
        return x * fx + cx, y * fy + cy


def displacements(T_srcs_ref: torch.Tensor) -> torch.Tensor:
    """Return what is left of each way (N, 4, 4) once its rotation is undone, (N, 3), reference's axes."""
    return (T_srcs_ref[:, :3, :3].transpose(1, 2) @ T_srcs_ref[:, :3, 3:])[..., 0]
