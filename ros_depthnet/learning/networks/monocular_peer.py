"""A monocular network of the Depth-Anything kind, for the time it takes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Monocular(nn.Module):
    """
    Depth (B, 1, H, W) of one image (B, 3, H, W), by a ViT-S and a DPT head as in Depth Anything V2 (Yang et al. 2024).

    DINOv2's encoder (Oquab et al. 2023): patches of 14, 12 blocks of width 384 with 6 heads. The head joins the
    3rd, 6th, 9th and 12th block's tokens at 4, 2, 1 and 1/2 times their raster (Ranftl et al. 2021), 64 channels.
    """

    def __init__(self, side: int = 518):
        super().__init__()
        self._cells = side // 14
        self.patches = nn.Conv2d(3, 384, 14, 14)
        self.first = nn.Parameter(torch.zeros(1, 1, 384))
        self.places = nn.Parameter(torch.zeros(1, self._cells**2 + 1, 384))
        self.blocks = nn.ModuleList(_Block(384, 6) for _ in range(12))
        self.norm = nn.LayerNorm(384)
        widths = (48, 96, 192, 384)
        self.project = nn.ModuleList(nn.Conv2d(384, width, 1) for width in widths)
        self.resize = nn.ModuleList(
            [
                nn.ConvTranspose2d(48, 48, 4, 4),
                nn.ConvTranspose2d(96, 96, 2, 2),
                nn.Identity(),
                nn.Conv2d(384, 384, 3, 2, 1),
            ]
        )
        self.join = nn.ModuleList(nn.Conv2d(width, 64, 3, 1, 1, bias=False) for width in widths)
        self.refine = nn.ModuleList(nn.ModuleList([_Residual(64), _Residual(64), nn.Conv2d(64, 64, 1)]) for _ in widths)
        self.narrow, self.answer = (
            nn.Conv2d(64, 32, 3, 1, 1),
            nn.Sequential(nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 1, 1), nn.ReLU()),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return depth up to scale and shift."""
        tokens = self.patches(image).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(image), -1, -1), tokens], 1) + self.places
        levels = []
        for number, block in enumerate(self.blocks, 1):
            tokens = block(tokens)
            if number % 3 == 0:
                levels.append(self.norm(tokens)[:, 1:].transpose(1, 2).unflatten(2, (self._cells, self._cells)))
        levels = [
            join(resize(project(level)))
            for join, resize, project, level in zip(self.join, self.resize, self.project, levels)
        ]
        path = None
        for level, stage in zip(levels[::-1], self.refine):
            skip, residual, out = stage.children()
            if path is not None:
                level = F.interpolate(path, level.shape[2:], mode='bilinear', align_corners=True) + skip(level)
            path = out(F.interpolate(residual(level), scale_factor=2, mode='bilinear', align_corners=True))
        return self.answer(F.interpolate(self.narrow(path), image.shape[2:], mode='bilinear', align_corners=True))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self._heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = self.mix(self.norms[0](tokens)).unflatten(2, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        attended = torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, -1) @ value
        tokens = tokens + self.out(attended.transpose(1, 2).flatten(2))
        return tokens + self.think(self.norms[1](tokens))


class _Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.convolve = nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.convolve(features)
