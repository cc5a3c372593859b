"""
posenet: how the camera moved between two images, seen in the images alone (Zhou 2017).

Seven convolutions that halve the size each, and the mean of what they say everywhere. What a rigid scene does
not explain, by moving or by being hidden, a second head may point out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

_CHANNELS = 16, 32, 64, 128, 256, 256, 256
_KERNELS = 7, 5, 3, 3, 3, 3, 3
_EXPLAINING = 3  # convolutions the explaining head reads: an eighth of the size, what it sees is still local


@dataclass(frozen=True)
class PoseNetConfig:
    """
    `width` multiplies the published numbers of channels.

    `explains`: say too how much of each pixel a rigid scene explains. `first_motion`: the size of its first
    answers, radians and units of length.
    """

    width: float = 1.0
    explains: bool = False
    first_motion: float = 0.01


class PoseNet(nn.Module):
    """The motion T_src_ref (B, 4, 4) between a reference (B, 3, H, W) and a source in 0..1, in a unit of its own."""

    def __init__(self, config: PoseNetConfig = PoseNetConfig()):  # noqa: B008  (frozen)
        super().__init__()
        self.config = config
        channels = [6, *(max(4, round(config.width * n)) for n in _CHANNELS)]
        convolutions = [
            nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2)
            for inputs, outputs, kernel in zip(channels, channels[1:], _KERNELS)
        ]
        self.convolutions = nn.ModuleList(nn.Sequential(convolution, nn.ReLU(True)) for convolution in convolutions)
        for convolution in convolutions:
            # Without norms, torch's own start would lose the images on their way through seven of them.
            nn.init.kaiming_normal_(convolution.weight, nonlinearity='relu')
        self.motion = nn.Conv2d(channels[-1], 6, 1)
        if config.explains:
            self.explained = nn.Conv2d(channels[_EXPLAINING], 1, 3, 1, 1)
            for parameter in self.explained.parameters():
                nn.init.zeros_(parameter)

    def forward(self, reference, source):
        """Return T_src_ref (B, 4, 4) and, if the network explains, shares (B, H, W) in 0..1, else None."""
        x = (torch.cat([reference, source], 1) - 0.5) / 0.2
        features = []
        for convolution in self.convolutions:
            x = convolution(x)
            features.append(x)
        T_src_ref = moved(self.config.first_motion * self.motion(x).mean((2, 3)))
        if not self.config.explains:
            return T_src_ref, None
        logits = self.explained(features[_EXPLAINING - 1])
        return T_src_ref, F.interpolate(logits, reference.shape[2:], mode='bilinear')[:, 0].sigmoid()


def moved(vectors):
    """Return poses (B, 4, 4) of translations and rotation vectors in radians, (B, 6)."""
    x, y, z = vectors[:, 3:].unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).unflatten(1, (3, 3))
    top = torch.cat([torch.matrix_exp(cross), vectors[:, :3, None]], 2)
    return torch.cat([top, F.pad(zero.new_ones(len(x), 1, 1), (3, 0))], 1)
