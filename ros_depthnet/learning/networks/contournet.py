"""
contournet: where things end and surfaces bend, from one image.

A U-Net small enough for a drone to run beside everything else. It is not shown depth, although depth teaches it:
it would learn to copy what depth gets wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

MULTIPLE = 16
"""Width and height of the input are multiples of it."""
_SPREAD = 4


@dataclass(frozen=True)
class ContourNetConfig:
    """`channels` at strides 2, 4, 8 and 16, `fine_channels` at full size."""

    channels: tuple[int, ...] = (16, 24, 40, 64)
    fine_channels: int = 8


def _conv(inputs, outputs, stride=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class ContourNet(nn.Module):
    """The probability (B, H, W), 0..1, that a pixel of an image (B, 3, H, W) in 0..1 is on a contour."""

    def __init__(self, config: ContourNetConfig = ContourNetConfig()):  # noqa: B008  (frozen)
        super().__init__()
        self.config = config
        inputs = (3, *config.channels)
        self.down = nn.ModuleList(
            nn.Sequential(_conv(before, channels, 2), *([_conv(channels, channels)] if index else []))
            for index, (before, channels) in enumerate(zip(inputs, config.channels))
        )
        self.lead = nn.ModuleList(
            nn.Conv2d(deeper, channels, 1) for channels, deeper in zip(config.channels, config.channels[1:])
        )
        self.up = nn.ModuleList(_conv(channels, channels) for channels in config.channels[:-1])
        # For four pixels of each cell of stride 2.
        self.spread = nn.Conv2d(config.channels[0], 4 * _SPREAD, 3, 1, 1)
        self.fine = _conv(3, config.fine_channels)
        self.answer = nn.Conv2d(_SPREAD + config.fine_channels, 1, 3, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the probability of a contour at each pixel."""
        image = 2 * image - 1
        seen, features = [], image
        for stage in self.down:
            features = stage(features)
            seen.append(features)
        for lead, join, skip in zip(self.lead[::-1], self.up[::-1], seen[-2::-1]):
            features = join(skip + F.interpolate(lead(features), scale_factor=2.0, mode='nearest'))
        full = torch.cat([F.pixel_shuffle(self.spread(features), 2), self.fine(image)], 1)
        return self.answer(full)[:, 0].sigmoid()
