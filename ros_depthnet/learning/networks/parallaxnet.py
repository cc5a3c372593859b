"""
parallaxnet: depth from motion when the motion is known.

The odometry gives every pixel its epipolar line, so only one unknown is left: the lateral parallax rho = f
|t| / Z in pixels. The network sweeps hypotheses of rho over the whole range at an eighth of the resolution,
compares descriptors of the reference with those of every source, and lets a small U-Net read the
volume; then it narrows: at a quarter and at half of the resolution it compares again, close round what it has
found so far. Everything is in q = log(1 + rho / 4 px): pixels where parallax is small, ratios where it is
large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ros_depthnet.learning.networks.naming import named

MIN_PARALLAX = 0.3
_KNEE = 4.0
_LAPLACE_LOG_DEVIATION = 0.5 * math.log(2)


@dataclass(frozen=True)
class ParallaxNetConfig:
    """
    How large the network is.

    `hypotheses` of the sweep reach up to `max_parallax` pixels; `narrowings` are (stride, number, step in q),
    strides falling from 4 to 2. `contrast_floor` is added to the local standard deviation of brightness, in
    0..1, that descriptors are divided by: less shows fainter texture, and more noise. `context_channels` are
    what is seen in the reference alone, at strides 2, 4 and 8; `fine_channels` those behind each narrowing.
    `learned_groups` of learned descriptors are compared beside the fixed ones, at `learned_strides`.
    """

    hypotheses: int = 48
    max_parallax: float = 240.0
    sweep_channels: int = 64
    deep_channels: int = 96
    fine_channels: tuple[int, ...] = (24, 24, 24)
    narrowings: tuple[tuple[int, int, float], ...] = ((4, 9, 0.16), (4, 9, 0.07), (2, 9, 0.03))
    contrast_floor: float = 0.03
    context_channels: tuple[int, int, int] = (16, 32, 48)
    learned_groups: int = 0
    learned_strides: tuple[int, ...] = (8, 4, 2)

    def group_sizes(self, stride: int) -> list[int]:
        """Return how many descriptors each group has at a stride."""
        learned = self.learned_groups if stride in self.learned_strides else 0
        return [group.stop - group.start for group in _FIXED_GROUPS] + learned * [_LEARNED_CHANNELS[stride]]

    @property
    def matching(self) -> dict:
        """
        Return where an exported graph can be cut to compute `matching_cost` by other means, in plain words.

        For each stage I the stride, the sizes of the groups, and which named tensors the part after it needs
        besides the graph's inputs, `cost_I` and `seen_I`; `described_S` are the descriptors of `reference`.
        """
        strides = [8, *(stride for stride, _, _ in self.narrowings)]
        return {
            'stages': [
                {
                    'stride': stride,
                    'groups': self.group_sizes(stride),
                    'state': [f'q_{stage - 1}', f'hidden_{stage - 1}', 'context_2', 'context_4'] if stage else [],
                }
                for stage, stride in enumerate(strides)
            ]
        }


@dataclass(frozen=True, eq=False)
class Outputs:
    """
    `log_parallax`, `log_deviation` (B, H, W) and, for the losses, what the stages say.

    `log_shares` (B, D, h, w) are the log probabilities of the sweep's hypotheses, `stages` q (B, h, w) after
    each narrowing and at full size.
    """

    log_parallax: torch.Tensor
    log_deviation: torch.Tensor
    log_shares: torch.Tensor
    stages: tuple[torch.Tensor, ...]


@dataclass(frozen=True, eq=False)
class Begun:
    """
    What the last narrowing goes on from, all at its stride: `q` (B, 1, h, w), the features behind it (B, C, h, w).

    `context` (B, C, h, w) by stride is what is seen in the reference alone.
    """

    q: torch.Tensor
    hidden: torch.Tensor
    context: dict[int, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Compared:
    """
    What a narrowing compares, and can learn nothing about: how far its hypotheses are from q, and their costs.

    `offsets` (B, D, h, w) in q, the last two of them the nearest and the farthest neighbour; `cost` (B, G D, h, w) of
    G groups; `seen` (B, 1, h, w) as of `matching_cost`; `motion` (B, 3, h, w) as of Epipolar.
    """

    offsets: torch.Tensor
    cost: torch.Tensor
    seen: torch.Tensor
    motion: torch.Tensor


@dataclass(frozen=True, eq=False)
class End:
    """What the last narrowing makes of it, `stages` q (B, h, w) there and at full size; the rest as in Outputs."""

    log_parallax: torch.Tensor
    log_deviation: torch.Tensor
    stages: tuple[torch.Tensor, torch.Tensor]


def to_q(rho):
    """Return what the network counts in, q = log(1 + rho / 4 px), of rho in pixels."""
    return torch.log1p(rho / _KNEE)


def to_rho(q):
    """Return rho in pixels of q."""
    return _KNEE * (q.exp() - 1)


class Epipolar:
    """Where pixels of the reference fall in a source, as a function of rho; in pixels of the input."""

    def __init__(self, displacements, intrinsics, height, width, stride):
        y = (torch.arange(height // stride, device=intrinsics.device) + 0.5) * stride - 0.5
        x = (torch.arange(width // stride, device=intrinsics.device) + 0.5) * stride - 0.5
        self._f = intrinsics[:, :2, None, None]
        self._c = intrinsics[:, 2:, None, None]
        self._ray = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]))[None].sub(self._c) / self._f
        self._t = displacements
        self._size = (width, height)

    def motion(self):
        """Return how far pixels move per pixel of rho in the first source: x, y, log norm (B, 3, h, w)."""
        t = self._t[:, 0, :, None, None]
        m = (t[:, :2] - self._ray * t[:, 2:]) * self._f / self._f[:, :1]
        return torch.cat([m, torch.log(m.pow(2).sum(1, keepdim=True) + 1e-4) / 2], 1)

    def grid(self, rho):
        """Return grid_sample positions (B * S, D * h, w, 2) of rho (B or 1, D, h or 1, w or 1)."""

        def per_source(component):
            return component[:, :, None, None, None]

        inverse = (rho / self._f[:, :1])[:, None]
        closer = 1 / (1 + per_source(self._t[..., 2]) * inverse).clamp_min(0.05)
        positions = []
        for axis in (0, 1):
            ray, f, c = (values[:, axis][:, None, None] for values in (self._ray, self._f, self._c))
            pixel = (ray + per_source(self._t[..., axis]) * inverse) * closer * f + c
            positions.append((2 * pixel + 1) / self._size[axis] - 1)
        return torch.stack(positions, -1).flatten(0, 1).flatten(1, 2)


def _local_mean(image, size):
    """Return means over size x size, edges repeated; rows and columns apart for speed."""
    padded = F.pad(image, [size // 2] * 4, mode='replicate')
    return F.avg_pool2d(F.avg_pool2d(padded, (1, size), 1), (size, 1), 1)


def _contrast(grey, size, floor):
    mean = _local_mean(grey, size)
    deviation = (_local_mean(grey * grey, size) - mean * mean).clamp_min(0).add(1e-6).sqrt() + floor
    return (grey - mean) / deviation, deviation


def descriptors(image, contrast_floor):
    """
    Return what is compared (B, 6, h, w) of images (B, 3, h, w).

    Fine contrast, gradients (2), coarse contrast, colour (2). Each is free of local brightness, so that
    exposure may change between the frames.
    """
    grey = image.mean(1, keepdim=True)
    fine, fine_deviation = _contrast(grey, 5, contrast_floor)
    coarse, _ = _contrast(grey, 13, contrast_floor)
    padded = F.pad(grey, (1, 1, 1, 1), mode='replicate')
    gradient_x = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    gradient_y = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    gradients = torch.cat([gradient_x, gradient_y], 1) / fine_deviation
    colour = (image[:, ::2] - grey) / (grey + 0.15) * 4
    return torch.cat([fine, gradients, coarse, colour], 1).clamp(-3, 3)


_FIXED_GROUPS = (slice(0, 3), slice(3, 4), slice(4, 6))
_FIXED = _FIXED_GROUPS[-1].stop
_LEARNED_CHANNELS = {8: 8, 4: 4, 2: 2}  # of each group, by stride: fine places are many


def _groups(channels: int, stride: int) -> tuple[slice, ...]:
    """Return which of all descriptors are compared as one."""
    if channels == _FIXED:
        return _FIXED_GROUPS
    size = _LEARNED_CHANNELS[stride]
    return *_FIXED_GROUPS, *(slice(first, first + size) for first in range(_FIXED, channels, size))


@dataclass(frozen=True, eq=False)
class View:
    """
    What a stage compares: descriptors at its stride, and the geometry.

    `reference` (B, C, h, w), `sources` (B, S, C + 1, h, w): the last channel is 1 where there is content, and
    the others are 0 where there is none. `groups` of descriptors are compared as one.
    """

    reference: torch.Tensor
    sources: torch.Tensor
    epipolar: Epipolar
    groups: tuple[slice, ...]

    @classmethod
    def at(cls, stride, of_reference, of_sources, valid, epipolar) -> View:
        """
        Return what is seen at a stride, from descriptors there (B, C, h, w) and (B * S, C, h, w).

        `valid` as for ParallaxNet; `epipolar` is of this stride.
        """
        seen = F.avg_pool2d(valid.flatten(0, 1), stride)
        of_sources = torch.cat([of_sources * seen, seen], 1)
        return cls(
            of_reference,
            of_sources.reshape(*valid.shape[:2], *of_sources.shape[1:]),
            epipolar,
            _groups(of_reference.shape[1], stride),
        )


def matching_cost(view: View, rho):
    """
    Compare descriptors along the epipolar lines; averaged over the sources that see the place.

    `rho` (B or 1, D, h or 1, w or 1); returns costs (B, G D, h, w) of G groups in 0..1 and the share of
    sources and hypotheses in sight (B, 1, h, w).
    """
    rho = named(rho, 'rho_#')
    batch, number, channels, height, width = view.sources.shape
    warped = F.grid_sample(
        view.sources.flatten(0, 1),
        view.epipolar.grid(rho),
        mode='bilinear',
        padding_mode='zeros',
        align_corners=False,
    )
    warped = warped.reshape(batch, number, channels, -1, height, width)
    weight = warped[:, :, -1:]
    difference = (warped[:, :, :-1] - view.reference[:, None, :, None] * weight).abs_()
    costs = torch.stack([difference[:, :, group].mean(2) for group in view.groups], 2)
    total = weight.sum(1)
    cost = (costs.sum(1) / (total + 1e-3)).clamp(max=2) / 2
    cost = torch.where(total > 0.01, cost, 0.4)
    return named(cost.flatten(1, 2), 'cost_#'), named(weight[:, :, 0].mean((1, 2))[:, None], 'seen_#')


def _norm(channels):
    """Batch norm that remembers a hundred small batches of very different scenes, not ten."""
    return nn.BatchNorm2d(channels, momentum=0.02)


def _conv(inputs, outputs, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), _norm(outputs), nn.ReLU(True))


def _silent_at_first(layer):
    """Start from an answer of zero, so that training starts from what the costs alone say."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class _Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), _norm(channels))

    def forward(self, x):
        return F.relu(x + self.second(self.first(x)))


class _Vote(nn.Module):
    """
    What the costs alone say about each hypothesis (B, D, h, w): a weighted sum, pointwise and over 5 x 5.

    Without it the layers after the volume first have to learn which channel stands for which hypothesis.
    """

    def __init__(self, groups: int):
        super().__init__()
        weights = torch.tensor([4.0, 4.0, 2.0] + (groups - len(_FIXED_GROUPS)) * [1.0])[:, None, None, None]
        self.apart = nn.Parameter(weights)
        self.around = nn.Parameter(2 * weights)

    def forward(self, cost):
        """Return logits from costs (B, G D, h, w)."""
        cost = cost.unflatten(1, (len(self.apart), -1))
        return -(self.apart * cost).sum(1) - _local_mean((self.around * cost).sum(1), 5)


def _softmax(logits, axis):
    """Return the softmax in operators that, unlike ONNX Runtime's own, are fast along any axis."""
    shares = (logits - logits.amax(axis, keepdim=True)).exp()
    return shares / shares.sum(axis, keepdim=True)


def _softly_positive(rho):
    """Return rho where it is well above 0.2 px, and never 0, so that its logarithm always has a slope."""
    return rho.clamp_min(0) + torch.log(1 + torch.exp(-4 * rho.abs())) / 4 + 1e-3


def _at_next(q, hidden, stride, following):
    """Return both at the stride of the next narrowing, under names at which a graph can be cut."""
    if following != stride:
        q, hidden = _twice(q), _twice(hidden)
    return named(q, 'q_#'), named(hidden, 'hidden_#')


def _twice(x):
    return F.interpolate(x, scale_factor=2.0, mode='bilinear', align_corners=False)


class LearnedDescriptors(nn.Module):
    """What to compare, learned: a U-Net on the fixed descriptors, so that brightness still may change."""

    def __init__(self, groups: int, strides: tuple[int, ...]):
        super().__init__()
        wide, wider, widest = 24, 40, 56
        fine = 2 in strides
        self.at2 = nn.Sequential(_conv(_FIXED, wide), _conv(wide, wide)) if fine else None
        self.at4 = nn.Sequential(_conv(wide if fine else _FIXED, wider, 2), _Residual(wider))
        self.at8 = nn.Sequential(_conv(wider, widest, 2), _Residual(widest))
        self.at16 = nn.Sequential(_conv(widest, widest, 2), _Residual(widest))
        self.up8, self.up4 = _conv(2 * widest, widest), _conv(widest + wider, wider)
        self.up2 = _conv(wider + wide, wide) if fine else None
        out = {stride: groups * size for stride, size in _LEARNED_CHANNELS.items()}
        self.out8, self.out4 = nn.Conv2d(widest, out[8], 1), nn.Conv2d(wider, out[4], 1)
        self.out2 = nn.Conv2d(wide, out[2], 1) if fine else None

    def forward(self, fixed2) -> dict[int, torch.Tensor]:
        """Return descriptors in -1..1 by stride, of the fixed ones at stride 2."""
        at2 = self.at2(fixed2) if self.at2 else fixed2
        at4 = self.at4(at2)
        at8 = self.at8(at4)
        at8 = self.up8(torch.cat([_twice(self.at16(at8)), at8], 1))
        at4 = self.up4(torch.cat([_twice(at8), at4], 1))
        learned = {8: self.out8(at8).tanh(), 4: self.out4(at4).tanh()}
        if self.up2 and self.out2:
            learned[2] = self.out2(self.up2(torch.cat([_twice(at4), at2], 1))).tanh()
        return learned


class Sweep(nn.Module):
    """Find q in the whole range at stride 8: a U-Net tells from the volume how likely each hypothesis is."""

    def __init__(self, config: ParallaxNetConfig, context):
        super().__init__()
        self.q: torch.Tensor
        self.below: torch.Tensor
        wide, deep = config.sweep_channels, config.deep_channels
        most = math.log1p(config.max_parallax / _KNEE)
        self.register_buffer('q', torch.linspace(0, most, config.hypotheses), persistent=False)
        below = torch.ones(config.hypotheses, config.hypotheses).tril(-1)
        self.register_buffer('below', below[:, :, None, None], persistent=False)
        self.enter = nn.Sequential(
            _conv(len(config.group_sizes(8)) * config.hypotheses + 4 + context, wide), _Residual(wide)
        )
        self.down16 = nn.Sequential(_conv(wide, deep, 2), _Residual(deep))
        self.down32 = nn.Sequential(_conv(deep, deep, 2), _Residual(deep), _Residual(deep))
        self.up16 = _conv(2 * deep, deep)
        self.up8 = nn.Sequential(_conv(deep + wide, wide), _Residual(wide))
        self.logits = _silent_at_first(nn.Conv2d(wide, config.hypotheses, 3, 1, 1))
        self.vote = _Vote(len(config.group_sizes(8)))

    def forward(self, view: View, context):
        """Return q (B, 1, h, w), the features (B, C, h, w) behind it and log probabilities (B, D, h, w)."""
        cost, seen = matching_cost(view, to_rho(self.q)[None, :, None, None])
        at8 = self.enter(torch.cat([cost, seen, view.epipolar.motion(), context], 1))
        at16 = self.down16(at8)
        at32 = self.down32(at16)
        at16 = self.up16(torch.cat([_twice(at32), at16], 1))
        hidden = self.up8(torch.cat([_twice(at16), at8], 1))
        log_shares = (self.logits(hidden) + self.vote(cost)).log_softmax(1)
        return self.median(log_shares.detach().exp()), hidden, log_shares

    def median(self, shares):
        """
        Return the median of a distribution over the hypotheses (B, 1, h, w).

        Where nothing can be matched the mean would lie between two walls, and the likeliest would be the sky,
        the one hypothesis that many pixels share.
        """
        with torch.autocast(shares.device.type, enabled=False):  # 8 bits cannot hold a sum of small shares
            below = F.conv2d(shares, self.below)
        passed = ((0.5 - below) / (shares + 1e-6)).clamp(0, 1).sum(1, keepdim=True)
        return self.q[1] * (passed - 0.5)


class Narrowing(nn.Module):
    """
    Compare again at a few hypotheses close round an estimate of q, and move it.

    Two more are what the nearest and the farthest neighbour say, so that a thin thing can take over from its
    surroundings and an edge can become sharp.
    """

    def __init__(self, number, step, groups, context, hidden, channels):
        super().__init__()
        self.offsets: torch.Tensor
        self.register_buffer('offsets', (torch.arange(number) - number // 2) * step, persistent=False)
        hypotheses = number + 2
        self.enter = _conv(groups * hypotheses + 7 + context + hidden, channels)
        self.body = _Residual(channels)
        self.logits = _silent_at_first(nn.Conv2d(channels, hypotheses, 3, 1, 1))
        self.vote = _Vote(groups)
        self.leap = _silent_at_first(nn.Conv2d(channels, 1, 3, 1, 1))

    def compared(self, q, view: View) -> Compared:
        """Return what there is to compare round q (B, 1, h, w)."""
        start = q.detach()
        nearest = F.max_pool2d(start, 5, 1, 2) - start
        farthest = -F.max_pool2d(-start, 5, 1, 2) - start
        batch, _, height, width = start.shape
        around = self.offsets[:, None, None].expand(batch, -1, height, width)
        offsets = torch.cat([around, nearest, farthest], 1)
        cost, seen = matching_cost(view, to_rho((start + offsets).clamp(0, 6)))
        return Compared(offsets, cost, seen, view.epipolar.motion())

    def forward(self, q, hidden, compared: Compared, context):
        """Return the moved q (B, 1, h, w) and the features behind it."""
        offsets, cost = compared.offsets, compared.cost
        taken = [cost, compared.seen, compared.motion, q.detach(), offsets[:, -2:], context, hidden]
        hidden = self.body(self.enter(torch.cat(taken, 1)))
        shares = _softmax(self.logits(hidden) + self.vote(cost), 1)
        return q + (shares * offsets).sum(1, keepdim=True) + 0.5 * torch.tanh(self.leap(hidden)), hidden


class ParallaxNet(nn.Module):
    """
    Lateral parallax and its deviation from a reference and any number of stabilised sources.

    Inputs: `reference` (B, 3, H, W) RGB in 0..1; `sources` (B, S, 3, H, W); `valid` (B, S, 1, H, W), 1 where
    a source has content; `displacements` (B, S, 3): translation of T_src_ref in the reference's axes over
    the unit length, the longest first; `intrinsics` (B, 4): fx, fy, cx, cy pixels. H and W are multiples of
    32.
    """

    def __init__(self, config: ParallaxNetConfig = ParallaxNetConfig()):  # noqa: B008  (frozen)
        super().__init__()
        self.config = config
        fine = config.fine_channels
        at2, at4, at8 = config.context_channels
        self.context2 = nn.Sequential(_conv(3, at2, 2), _conv(at2, at2))
        self.context4 = nn.Sequential(_conv(at2, at4, 2), _conv(at4, at4))
        self.context8 = nn.Sequential(_conv(at4, at8, 2), _conv(at8, at8))
        self.learned = (
            LearnedDescriptors(config.learned_groups, config.learned_strides) if config.learned_groups else None
        )
        self.sweep = Sweep(config, at8)
        contexts = {4: at4, 2: at2}
        self.narrowings = nn.ModuleList(
            Narrowing(number, step, len(config.group_sizes(stride)), contexts[stride], before, channels)
            for (stride, number, step), before, channels in zip(
                config.narrowings, (config.sweep_channels, *fine), fine, strict=False
            )
        )
        self.log_scale = nn.Conv2d(fine[-1], 1, 3, 1, 1)
        self.mixing = nn.Sequential(_conv(fine[-1] + at2, 24), nn.Conv2d(24, 36, 1))

    def forward(self, reference, sources, valid, displacements, intrinsics):
        """Return (log_parallax, log_deviation), each (B, H, W): what the exported model computes."""
        prediction = self.predict(reference, sources, valid, displacements, intrinsics)
        return prediction.log_parallax, prediction.log_deviation

    def predict(self, reference, sources, valid, displacements, intrinsics) -> Outputs:
        """Return the prediction with the estimate after each stage."""
        described = self.described(reference), self.described(sources.flatten(0, 1))
        return self.compared(*described, reference, valid, displacements, intrinsics)

    def compared(self, of_reference, of_sources, reference, valid, displacements, intrinsics) -> Outputs:
        """Return the same from what is `described` of the reference, and of the sources (B * S)."""
        of_reference = {stride: named(described, f'described_{stride}') for stride, described in of_reference.items()}
        geometry = valid, displacements, intrinsics
        begun, log_shares, stages = self.begun(of_reference, of_sources, reference, *geometry)
        end = self.ended(begun, self.compared_last(begun, of_reference, of_sources, *geometry))
        return Outputs(end.log_parallax, end.log_deviation, log_shares, (*stages, *end.stages))

    def begun(self, of_reference, of_sources, reference, valid, displacements, intrinsics):
        """Return what the last narrowing goes on from, and log probabilities and stages as in Outputs until then."""
        context = {2: named(self.context2((reference - 0.45) * 4), 'context_2')}
        context[4] = named(self.context4(context[2]), 'context_4')
        strides = [8, *(stride for stride, _, _ in self.config.narrowings)]
        views = {
            stride: self._view(stride, of_reference, of_sources, valid, displacements, intrinsics)
            for stride in dict.fromkeys(strides[:-1])
        }
        q, hidden, log_shares = self.sweep(views[8], self.context8(context[4]))
        q, hidden = _at_next(q, hidden, *strides[:2])
        stages = []
        for narrowing, stride, following in zip(self._typed, strides[1:], strides[2:]):
            q, hidden = narrowing(q, hidden, narrowing.compared(q, views[stride]), context[stride])
            stages.append(q[:, 0])
            q, hidden = _at_next(q, hidden, stride, following)
        return Begun(q, hidden, context), log_shares, stages

    def compared_last(self, begun: Begun, of_reference, of_sources, valid, displacements, intrinsics) -> Compared:
        """Return what the last narrowing compares."""
        stride, _, _ = self.config.narrowings[-1]
        view = self._view(stride, of_reference, of_sources, valid, displacements, intrinsics)
        return self._typed[-1].compared(begun.q, view)

    def ended(self, begun: Begun, compared: Compared) -> End:
        """Return what the last narrowing and the last doubling make of it."""
        stride, _, _ = self.config.narrowings[-1]
        q, hidden = self.narrowings[-1](begun.q, begun.hidden, compared, begun.context[stride])
        both = torch.cat([q, self.log_scale(hidden)], 1)
        fine, log_scale = self._upsample(both, self.mixing(torch.cat([hidden, begun.context[2]], 1))).unbind(1)
        log_parallax = _softly_positive(to_rho(fine)).log()
        log_deviation = log_scale.clamp(-4, 2) + _LAPLACE_LOG_DEVIATION
        return End(log_parallax, log_deviation, (q[:, 0], fine))

    @property
    def _typed(self) -> list[Narrowing]:
        """Return the narrowings as what they are, which a ModuleList does not tell."""
        return [each for each in self.narrowings if isinstance(each, Narrowing)]

    @staticmethod
    def _view(stride, of_reference, of_sources, valid, displacements, intrinsics) -> View:
        height, width = valid.shape[-2:]
        epipolar = Epipolar(displacements, intrinsics, height, width, stride)
        return View.at(stride, of_reference[stride], of_sources[stride], valid, epipolar)

    def described(self, image) -> dict[int, torch.Tensor]:
        """Return by stride what is compared (B, C, h, w) of images (B, 3, H, W)."""
        with torch.no_grad():
            fixed = {
                stride: descriptors(F.avg_pool2d(image, stride), self.config.contrast_floor)
                for stride in _LEARNED_CHANNELS
            }
        if self.learned is None:
            return fixed
        learned = self.learned(fixed[2])
        return fixed | {stride: torch.cat([fixed[stride], of_stride], 1) for stride, of_stride in learned.items()}

    @staticmethod
    def _upsample(x, mixing):
        """Double the size; a fine pixel mixes its nine coarse neighbours, so edges stay sharp (RAFT)."""
        batch, channels, height, width = x.shape
        weights = _softmax(mixing.reshape(batch, 1, 9, 4, height, width), 2)
        padded = F.pad(x, (1, 1, 1, 1), mode='replicate')
        around = torch.stack([padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)], 2)
        fine = (weights * around[:, :, :, None]).sum(2)
        return F.pixel_shuffle(fine.flatten(1, 2), 2)
