"""
A plane-sweep multi-view network of SimpleRecon's kind (Sayed et al. 2022), for the time it takes.

Descriptors of every image from the first blocks of a ResNet-18 (He et al. 2016), compared by their dot product at 64
depths at a quarter of the size; the image's own features from an EfficientNetV2-S (Tan and Le 2021); a U-Net++ (Zhou
et al. 2018) of both. What SimpleRecon adds to the dot product in its larger version, a small network over the poses,
is left out, as in its faster one.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

PLANES, SOURCES = 64, 7
_NEAREST, _FARTHEST = 0.25, 5.0  # metres
_DESCRIPTOR = 16
_VOLUME = (64, 128, 256, 384)  # channels of the volume's encoder, from stride 4 on
_DECODER = (64, 64, 128, 256)  # of the decoder's levels, from stride 2 on
_STAGES = (  # of EfficientNetV2-S: fused, expansion, channels, blocks, stride
    (True, 1, 24, 2, 1),
    (True, 4, 48, 4, 2),
    (True, 4, 64, 4, 2),
    (False, 4, 128, 6, 2),
    (False, 6, 160, 9, 1),
    (False, 6, 256, 15, 2),
)


class MultiViewPeer(nn.Module):
    """ln(depth) (1, 1, H / 2, W / 2) of the first of 1 + SOURCES images, by the others; sizes a multiple of 32."""

    def __init__(self):
        super().__init__()
        self.image = EfficientNetV2S()
        self.describe = nn.Sequential(
            _conv(3, 64, 7, 2),
            nn.MaxPool2d(3, 2, 1),
            _Block(64, 64),
            _Block(64, 64),
            nn.Conv2d(64, 128, 1),
            nn.InstanceNorm2d(128),
            nn.LeakyReLU(0.2),
            nn.Conv2d(128, _DESCRIPTOR, 3, padding=1, padding_mode='replicate'),
            nn.InstanceNorm2d(_DESCRIPTOR),
        )
        shallow, *seen = EfficientNetV2S.channels
        self.shrink, self.join = nn.ModuleList(), nn.ModuleList()
        for level, (width, of_image) in enumerate(zip(_VOLUME, seen)):
            self.shrink.append(_Block(_VOLUME[level - 1] if level else PLANES, width, 2 if level else 1))
            self.join.append(nn.Sequential(_Block(of_image + width, width), _Block(width, width)))
        self.decode = Decoder((shallow, *_VOLUME))

    def forward(self, images, K, K_inverse, T_srcs_ref) -> torch.Tensor:
        """Images (1 + S, 3, H, W), the reference first; K (3, 3) at a quarter of their size; T_srcs_ref (S, 4, 4)."""
        described = self.describe(images)
        shallow, *seen = self.image(images[:1])
        volume = self.volume(described[:1], described[1:], K, K_inverse, T_srcs_ref)
        levels = [shallow]
        for shrink, join, of_image in zip(self.shrink, self.join, seen):
            volume = join(torch.cat([shrink(volume), of_image], 1))
            levels.append(volume)
        return self.decode(levels)

    @staticmethod
    def volume(reference, sources, K, K_inverse, T_srcs_ref) -> torch.Tensor:
        """Return (1, PLANES, h, w): how well descriptors of the sources fit at each depth, summed over them."""
        height, width = reference.shape[2:]
        x, y = torch.arange(width, dtype=torch.float32) + 0.5, torch.arange(height, dtype=torch.float32) + 0.5
        pixels = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width), torch.ones(height, width)])
        turned = (K @ T_srcs_ref[:, :3, :3] @ K_inverse) @ pixels.flatten(1)
        moved = K @ T_srcs_ref[:, :3, 3:]
        fits = []
        for depth in torch.logspace(math.log10(_NEAREST), math.log10(_FARTHEST), PLANES).tolist():
            u, v, z = (depth * turned + moved).unflatten(2, (height, width)).unbind(1)
            places = torch.stack([2 * u / (z * width) - 1, 2 * v / (z * height) - 1], -1)
            found = F.grid_sample(sources, places, align_corners=False)
            fits.append(((found * reference).sum(1) * (z > 0)).sum(0))
        return torch.stack(fits)[None]


class EfficientNetV2S(nn.Module):
    """The trunk of EfficientNetV2-S: features at strides 2, 4, 8, 16 and 32."""

    channels = (24, 48, 64, 160, 256)

    def __init__(self):
        super().__init__()
        self.stem, self.stages, inputs = _conv(3, 24, 3, 2, nn.SiLU), nn.ModuleList(), 24
        for fused, expansion, channels, blocks, stride in _STAGES:
            stage = nn.Sequential()
            for number in range(blocks):
                stage.append(_Expanded(inputs, channels, expansion, 1 if number else stride, fused))
                inputs = channels
            self.stages.append(stage)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return features of images (N, 3, H, W), those at the highest resolution first."""
        features, found = self.stem(images), []
        strides_after = [stride for *_, stride in _STAGES[1:]] + [2]
        for stage, stride_after in zip(self.stages, strides_after):
            features = stage(features)
            if stride_after == 2:
                found.append(features)
        return found


class _Expanded(nn.Module):
    """A block of EfficientNetV2: wider inside, across the image by the full kernel (fused) or channel by channel."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, fused: bool):
        super().__init__()
        wide, self._adds = inputs * expansion, stride == 1 and inputs == outputs
        if expansion == 1:
            layers = [_conv(inputs, outputs, 3, stride, nn.SiLU)]
        elif fused:
            layers = [_conv(inputs, wide, 3, stride, nn.SiLU), _conv(wide, outputs, 1, 1, nn.Identity)]
        else:
            layers = [
                _conv(inputs, wide, 1, 1, nn.SiLU),
                _conv(wide, wide, 3, stride, nn.SiLU, groups=wide),
                _Weighed(wide, inputs // 4),
                _conv(wide, outputs, 1, 1, nn.Identity),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self._adds else self.layers(x)


class _Weighed(nn.Module):
    """Squeeze and excitation: channels weighed by what the whole image shows."""

    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.layers(x)


class Decoder(nn.Module):
    """U-Net++: at every level each column joins the one before it with what comes up from below."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.right, self.up, self.rise, self.mix = (nn.ModuleDict() for _ in range(4))
        columns = len(_DECODER)
        for column in range(1, columns + 1):
            before = channels if column == 1 else _DECODER
            for level in range(columns - column, -1, -1):
                width, name = _DECODER[level], f'{level}{column}'
                self.right[name], self.up[name] = _Block(before[level], width), _Block(before[level + 1], width)
                inputs = 2 * width
                if level + column != columns:
                    self.rise[name] = _Block(_DECODER[level + 1], width)
                    inputs += width
                self.mix[name] = nn.Sequential(_Block(inputs, width), _Block(width, width))
        self.answer = nn.Conv2d(_DECODER[0], 1, 1)

    def forward(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """Return ln(depth) at the size of the first level."""
        for column in range(1, len(_DECODER) + 1):
            found: list[torch.Tensor] = []
            for level in range(len(_DECODER) - column, -1, -1):
                name = f'{level}{column}'
                parts = [self.right[name](levels[level]), _twice(self.up[name](levels[level + 1]))]
                if found:
                    parts.append(_twice(self.rise[name](found[-1])))
                found.append(self.mix[name](torch.cat(parts, 1)))
            levels = found[::-1]
        return self.answer(levels[0])


class _Block(nn.Module):
    """A basic block of ResNet."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.layers = nn.Sequential(_conv(inputs, outputs, 3, stride), _conv(outputs, outputs, 3, 1, nn.Identity))
        same = inputs == outputs and stride == 1
        self.past = nn.Identity() if same else _conv(inputs, outputs, 1, stride, nn.Identity)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.layers(x) + self.past(x))


def _conv(inputs: int, outputs: int, size: int, stride: int, then: type[nn.Module] = nn.ReLU, groups: int = 1):
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), then())


def _twice(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2.0, mode='nearest')
