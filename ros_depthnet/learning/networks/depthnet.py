"""
depthnet: depth from two frames, the motion between them known only by its length (Pinard 2017a).

A FlowNetS-like encoder and decoder: it must find the direction of motion in the images, and its depth is
right for one displacement, by which users scale it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

MULTIPLE = 16
"""Width and height of the input are multiples of it."""
NEAREST = 0.1
"""Metres: Still Box has nothing nearer."""


@dataclass(frozen=True)
class DepthNetConfig:
    """`width` multiplies the published numbers of channels; `mean_depth` metres is the first answer."""

    width: float = 1.0
    mean_depth: float = 20.0


def _conv(inputs, outputs, stride=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1, inplace=True),
    )


def _deconv(inputs, outputs):
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1, inplace=True),
    )


class DepthNet(nn.Module):
    """
    Depth (B, H / 4, W / 4) in metres, for the displacement it was trained at, of a pair (B, 6, H, W).

    The pair is the stabilised source, then the reference, each RGB as (x - 0.5) / 0.2 of 0..1.
    """

    def __init__(self, config: DepthNetConfig = DepthNetConfig()):  # noqa: B008  (frozen)
        super().__init__()
        self.config = config
        c1, c2, c3, c4, c5, c6 = (round(config.width * n) for n in (32, 64, 128, 256, 256, 512))
        self.down = nn.ModuleList(
            [
                nn.Sequential(_conv(6, c1, 2), _conv(c1, c2, 2)),
                nn.Sequential(_conv(c2, c3, 2), _conv(c3, c3)),
                nn.Sequential(_conv(c3, c4, 2), _conv(c4, c4)),
                nn.Sequential(_conv(c4, c5, 2), _conv(c5, c5)),
                nn.Sequential(_conv(c5, c6, 2), _conv(c6, c6)),
            ]
        )
        skips, ups = (c5, c4, c3, c2), tuple(round(config.width * n) for n in (256, 128, 64, 32))
        joined = (c6, *(skip + up + 1 for skip, up in zip(skips, ups)))
        self.up = nn.ModuleList(_deconv(inputs, up) for inputs, up in zip(joined, ups))
        self.answer = nn.ModuleList(nn.Conv2d(inputs, 1, 3, 1, 1, bias=False) for inputs in joined)
        self.answer_up = nn.ModuleList(nn.ConvTranspose2d(1, 1, 4, 2, 1, bias=False) for _ in skips)
        self.offset = nn.Parameter(torch.full((len(joined),), config.mean_depth))

    def forward(self, pair: torch.Tensor) -> torch.Tensor:
        """Return the finest depth (B, H / 4, W / 4), nothing nearer than the nearest there is."""
        return self.scales(pair)[0].clamp_min(NEAREST)

    def scales(self, pair: torch.Tensor) -> list[torch.Tensor]:
        """Return depth at strides 4, 8, 16, 32 and 64, (B, H / stride, W / stride) rounded up, metres."""
        skips = []
        for stage in self.down:
            pair = stage(pair)
            skips.append(pair)
        features = skips.pop()
        raw = [self.answer[0](features)]
        for up, answer, answer_up in zip(self.up, self.answer[1:], self.answer_up):
            skip = skips.pop()
            height, width = skip.shape[2:]
            doubled = torch.cat([up(features), answer_up(raw[-1])], 1)
            features = torch.cat([skip, doubled[:, :, :height, :width]], 1)
            raw.append(answer(features))
        return [F.elu(value[:, 0] + offset) + 1 for value, offset in zip(raw, self.offset)][::-1]
