"""
movingnet: what moves by itself, from the clues that flow, depth and motion give (`core.moving.clues`).

A small U-Net (Ronneberger 2015). The clues say of each pixel how odd it is; what it adds is what things look like:
that a plain side belongs to the edges round it, and that depth's own mistakes run along the edges of near things.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ros_depthnet.core.moving import CLUES

MULTIPLE = 8
"""Width and height of the input are multiples of it."""
_RARE = -3.0  # log odds to begin with: little moves


@dataclass(frozen=True)
class MovingNetConfig:
    """`channels` at strides 1, 2, 4 and 8 of the clues."""

    channels: tuple[int, ...] = (16, 24, 40, 56)


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _two(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs), _conv(outputs, outputs))


class MovingNet(nn.Module):
    """The log odds of moving against still (B, h, w) of clues (B, CLUES, h, w)."""

    def __init__(self, config: MovingNetConfig = MovingNetConfig()):  # noqa: B008  (frozen)
        super().__init__()
        self.config = config
        channels = config.channels
        self.stem = _conv(CLUES, channels[0])
        self.down = nn.ModuleList(_two(*each) for each in zip((channels[0], *channels), channels))
        self.up = nn.ModuleList(
            _two(deeper + channel, channel) for deeper, channel in zip(channels[:0:-1], channels[-2::-1])
        )
        self.answer = nn.Conv2d(channels[0], 1, 1)
        nn.init.constant_(self.answer.get_parameter('bias'), _RARE)

    def forward(self, clues: torch.Tensor) -> torch.Tensor:
        """Return the log odds at each pixel."""
        features, seen = self.stem(clues), []
        for index, stage in enumerate(self.down):
            features = stage(F.max_pool2d(features, 2) if index else features)
            seen.append(features)
        for stage, skip in zip(self.up, seen[-2::-1]):
            features = stage(torch.cat([F.interpolate(features, scale_factor=2.0, mode='nearest'), skip], 1))
        return self.answer(features)[:, 0]
