"""How well the sources, moved to where depth and motion put them, look like the reference."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ros_depthnet.learning.losses.hybrid import flowing_to, moving_share
from ros_depthnet.learning.losses.photometric import difference, exposed_alike, least, moves
from ros_depthnet.learning.losses.reprojection import reprojected, sampled, stabilised_motion


@dataclass(frozen=True)
class Photometric:
    """
    What counts as alike, and as likely.

    `ssim_weight`: share of SSIM in the difference of two images. `smooth`: weight of smoothness.
    `leave_out_still`: pixels that are more alike where they stand than reconstructed teach nothing: what flies
    along, but the sky too. `leave_out_moving`: nor does what moves by itself (`losses.hybrid`).
    """

    ssim_weight: float = 0.85
    smooth: float = 0.1
    leave_out_still: bool = False
    leave_out_moving: bool = False


@dataclass(frozen=True, eq=False)
class Views:
    """
    A batch's references and sources, in the unit of length in which depth is said.

    `reference` (B, 3, H, W) in 0..1; `sources` (B, S, 3, H, W); `valid` (B, S, 1, H, W), 1 where a source has
    content; `T_srcs_ref` (B, S, 4, 4); `intrinsics` (B, 4) fx, fy, cx, cy pixels.
    """

    reference: torch.Tensor
    sources: torch.Tensor
    valid: torch.Tensor
    T_srcs_ref: torch.Tensor
    intrinsics: torch.Tensor

    @classmethod
    def stabilised(cls, reference, sources, valid, displacements, intrinsics) -> Views:
        """Return views of sources whose rotation has been undone, displaced by (B, S, 3), as ParallaxNet takes them."""
        T_srcs_ref = stabilised_motion(displacements.flatten(0, 1)).unflatten(0, displacements.shape[:2])
        return cls(reference, sources, valid, T_srcs_ref, intrinsics)

    def shrunk(self, stride: int) -> Views:
        """Return the views at a stride."""

        def pooled(images):
            return F.avg_pool2d(images.flatten(0, 1), stride).unflatten(0, images.shape[:2])

        focal, centre = self.intrinsics.split(2, 1)
        intrinsics = torch.cat([focal / stride, (centre + 0.5) / stride - 0.5], 1)
        reference = F.avg_pool2d(self.reference, stride)
        return Views(reference, pooled(self.sources), pooled(self.valid), self.T_srcs_ref, intrinsics)


def unlike(views: Views, depth, options: Photometric, hidden=None):
    """
    Return the mean photometric difference at a depth (B, H, W), the least over the sources that see a pixel.

    `hidden` (B, S, H, W): what is known to be hidden from a source.
    """
    found, seen = differences(views, depth, options)
    found, counts = least(found, seen if hidden is None else seen & ~hidden)
    if options.leave_out_still:
        still = [
            difference(exposed_alike(image, views.reference, valid[:, 0]), views.reference, options.ssim_weight)
            for image, valid in zip(views.sources.unbind(1), views.valid.unbind(1))
        ]
        counts = counts & moves(found.detach(), torch.stack(still, 1).amin(1))
    weight = counts * (still_share(views, depth, options) if options.leave_out_moving else 1.0)
    return (found * weight).sum() / weight.sum().clamp_min(1)


@torch.no_grad()
def still_share(views: Views, depth, options: Photometric) -> torch.Tensor:
    """
    Return how likely a pixel does not move by itself, (B, H, W), by a depth (B, H, W) that may be wrong in places.

    Both errors, by depth and by flow, are the least over the sources that show a pixel, as `unlike` has it.
    """
    pixels = torch.stack([reprojected(depth, T, views.intrinsics)[0] for T in views.T_srcs_ref.unbind(1)], 1)
    by_depth, seen = differences(views, depth, options)
    by_flow, shown = differences_at(views, flowing_to(views.reference, views.sources, pixels), options)
    both = seen & shown
    (rigid, counts), (flowing, _) = least(by_depth, both), least(by_flow, both)
    return 1 - moving_share(rigid - flowing, counts)


def differences(views: Views, depth, options: Photometric) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the difference of each source at a depth (B, H, W), and where it sees the pixel, (B, S, H, W)."""
    places = [reprojected(depth, T_src_ref, views.intrinsics) for T_src_ref in views.T_srcs_ref.unbind(1)]
    pixels, depths = (torch.stack(each, 1) for each in zip(*places))
    found, seen = differences_at(views, pixels, options)
    return found, seen & (depths > 0)


def differences_at(views: Views, pixels, options: Photometric) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the difference of each source at its pixels (B, S, H, W, 2), and where it shows them, (B, S, H, W)."""
    found, seen = [], []
    for image, valid, there in zip(*(each.unbind(1) for each in (views.sources, views.valid, pixels))):
        shown, inside = sampled(torch.cat([image, valid], 1), there)
        sees = inside & (shown[:, 3] > 0.99)
        alike = exposed_alike(shown[:, :3], views.reference, sees.float())
        found.append(difference(alike, views.reference, options.ssim_weight))
        seen.append(sees)
    return torch.stack(found, 1), torch.stack(seen, 1)


def at_size(values, image):
    """Return values (B, h, w) at the size of an image (B, C, H, W), bilinear."""
    if values.shape[1:] == image.shape[2:]:
        return values
    return F.interpolate(values[:, None], image.shape[2:], mode='bilinear')[:, 0]
