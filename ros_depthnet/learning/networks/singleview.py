"""
singleview: what one image tells of depth, up to its scale.

Whatever needs no second image: floors rise towards the horizon, walls meet, things get smaller and paler. An encoder
of residual blocks and a decoder with skips, small enough to cost a fifth of parallaxnet's time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

MULTIPLE = 16
"""Width and height of the input are multiples of it."""


@dataclass(frozen=True)
class SingleViewConfig:
    """`channels` at strides 2, 4, 8, 16 and 32; `blocks` of each of the last four."""

    channels: tuple[int, int, int, int, int] = (16, 32, 64, 96, 128)
    blocks: tuple[int, int, int, int] = (1, 2, 2, 2)


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))


class _Block(nn.Module):
    """Two convolutions; what goes in is added where it has the shape of what comes out (He 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.first, self.second = _conv(inputs, outputs, stride), _conv(outputs, outputs)
        self.residual = inputs == outputs and stride == 1

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        found = self.second(F.relu(self.first(features)))
        return F.relu(found + features if self.residual else found)


class SingleView(nn.Module):
    """Log depth up to scale, and ln of its standard deviation, (B, H, W) each, of RGB (B, 3, H, W) in 0..1."""

    def __init__(self, config: SingleViewConfig = SingleViewConfig()):  # noqa: B008  (frozen)
        super().__init__()
        channels = config.channels
        self.stem = _conv(5, channels[0], 2)
        self.down = nn.ModuleList(
            nn.Sequential(_Block(inputs, outputs, 2), *(_Block(outputs, outputs) for _ in range(blocks - 1)))
            for inputs, outputs, blocks in zip(channels, channels[1:], config.blocks)
        )
        # What the whole picture is: a hall or a cupboard.
        self.whole = nn.Linear(channels[-1], channels[-1])
        self.up = nn.ModuleList(_Block(deep + skip, skip) for deep, skip in zip(channels[:0:-1], channels[-2::-1]))
        self.answer = nn.Conv2d(channels[0], 2, 3, 1, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log depth and log deviation."""
        features, skips = F.relu(self.stem(torch.cat([2 * image - 1, *_place(image)], 1))), []
        for stage in self.down:
            skips.append(features)
            features = stage(features)
        features = features + self.whole(features.mean((2, 3)))[:, :, None, None]
        for stage in self.up:
            skip = skips.pop()
            features = stage(torch.cat([_resized(features, skip), skip], 1))
        log_depth, log_deviation = _resized(self.answer(features), image).unbind(1)
        return log_depth, log_deviation


def _place(image: torch.Tensor) -> list[torch.Tensor]:
    """
    Return how far down and how far right each pixel is, -1 to 1, (B, 1, H, W) each (Liu 2018).

    Floors are at the bottom, and a convolution does not see where it is.
    """
    one = torch.ones_like(image[:, :1])
    return [2 * one.cumsum(axis) / one.sum(axis, keepdim=True) - 1 for axis in (2, 3)]


def _resized(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return F.interpolate(features, like.shape[2:], mode='bilinear')
