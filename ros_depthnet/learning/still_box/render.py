"""Turn a scene and some views into images with exact depth."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ros_depthnet.learning.still_box.raycast import Kind, Solids, Viewpoints, cast, surface_at
from ros_depthnet.learning.still_box.scene import Scene
from ros_depthnet.learning.still_box.textures import SIZE, TextureAtlas

_SUBPIXELS = torch.tensor([[0.0, 0.0], [0.32, -0.11], [-0.14, 0.36], [-0.34, -0.22], [0.17, 0.41], [0.41, 0.24]])
GAMMA = 2.2
_SHARPNESS = 100  # of what a wet surface mirrors: Phong 1975's exponent
_WAVE = 0.01  # of a tile, over which the slope of a wet film is measured


@dataclass(frozen=True, eq=False)
class Rendering:
    """
    F views of some solids: `images` (F, 3, H, W) in 0..1, `depth` (F, H, W) metres, +Inf for sky.

    `solid` (F, H, W) is the index of what is seen, -1 for sky.
    """

    images: torch.Tensor
    depth: torch.Tensor
    solid: torch.Tensor
    views: Viewpoints
    solids: Solids


@torch.no_grad()
def render(
    scene: Scene,
    atlas: TextureAtlas,
    K: torch.Tensor,
    height: int,
    width: int,
    origins: torch.Tensor,
    rotation_world_cam: torch.Tensor | None = None,
    samples: int = 1,
    times: torch.Tensor | None = None,
) -> Rendering:
    """
    Render F views from `origins` (F, 3), turned by `rotation_world_cam` (F, 3, 3; none: along z).

    `K` is (3, 3) in pixels, pixel centres at integers. Colours are means over `samples` sub-pixel positions
    (1 to 6); depth is exact at the pixel's centre. `times` (F,) in seconds (none: 0) say where what moves is.
    """
    if rotation_world_cam is None:
        rotation_world_cam = torch.eye(3, device=K.device).expand(len(origins), 3, 3)
    if times is None:
        times = torch.zeros(len(origins), device=K.device)
    views = Viewpoints(K, height, width, origins, rotation_world_cam, times)
    rays_cam = views.rays_cam(_SUBPIXELS[:samples].to(K.device))
    hits = cast(scene.solids, views, rays_cam)
    centres = scene.solids.centres(times)
    images = torch.stack(
        [
            _shade(scene, at, atlas, origin, rays_cam @ R.T, t, solid.long(), K[0, 0]).mean(0)
            for origin, R, at, t, solid in zip(origins, rotation_world_cam, centres, hits.t, hits.solid)
        ]
    )
    if scene.light.headlight:
        images = images ** (1 / GAMMA)
    return Rendering(images.permute(0, 3, 1, 2), hits.t[:, 0], hits.solid[:, 0], views, scene.solids)


def _shade(scene, centres, atlas, origin, rays_world, t, solid, focal):
    """Return colours (J, H, W, 3) of one view."""
    colours = _sky(scene.light, atlas, rays_world)
    met = solid >= 0
    rays, t, solid = rays_world[met], t[met], solid[met]
    solids, surface = scene.solids, scene.surface
    place = origin + rays * t[:, None]
    at = surface_at(solids, centres, solid, place)
    normal = at.normal_world
    facing = (normal * rays).sum(-1)
    normal = torch.where(facing[:, None] > 0, -normal, normal)
    size = solids.size[solid]
    period = surface.period[solid]
    uv = _unfold(at.local * size, at.normal_local / size)
    if solids.tube:
        is_tube = (solids.kinds == Kind.TUBE)[solid][:, None]
        uv = torch.where(is_tube, solids.tube.unrolled(at.local) * size[:, :1], uv)
    uv = uv / period[:, None]
    slant = facing.abs() / rays.norm(dim=-1)
    lod = torch.log2(t / focal / period * SIZE / slant.clamp_min(0.05).sqrt())
    texture = atlas.sample(surface.texture[solid], uv, lod)
    contrast = surface.contrast[solid][:, None]
    albedo = surface.tint[solid] * (1 + contrast * (texture / 0.55 - 1)) * 0.75
    headlight = scene.light.headlight
    if headlight:
        slopes = _slopes(atlas, headlight.film, uv, lod) / period[:, None] if headlight.gloss else None
        colours[met] = _lit_by_the_camera(headlight, albedo, normal, rays * t[:, None], slopes)
    else:
        colours[met] = albedo * _brightness(scene.light, place, normal)[:, None]
    return colours.clamp_(0, 1)


def _lit_by_the_camera(headlight, albedo, normal, ways, slopes):
    """
    Return colours (P, 3) of surfaces that the camera looks at along `ways` (P, 3) metres, lit from there.

    `slopes` (P, 2) of the film round about and along, if they are wet.
    """
    if headlight.even:
        return albedo
    distance = ways.norm(dim=-1, keepdim=True)
    to_camera = -ways / distance
    facing = (normal * to_camera).sum(-1, keepdim=True)
    colours = albedo * (headlight.scattered + (1 - headlight.scattered) * facing)
    if slopes is not None:
        across = torch.nn.functional.normalize(torch.linalg.cross(normal, to_camera), dim=-1)
        tilt = headlight.waves * (slopes[:, :1] * across + slopes[:, 1:] * torch.linalg.cross(normal, across))
        film = torch.nn.functional.normalize(normal + tilt, dim=-1)
        colours = colours + headlight.gloss * (film * to_camera).sum(-1, keepdim=True).clamp_min(0) ** _SHARPNESS
    return colours * (headlight.reach / distance) ** 2


def _slopes(atlas, film, uv, lod):
    """Return slopes (P, 2) of the film, a tile, at uv (P, 2)."""
    texture = torch.full((len(uv),), film, device=uv.device)
    steps = torch.tensor([[0.0, 0], [_WAVE, 0], [0, _WAVE]], device=uv.device)
    here, right, down = (atlas.sample(texture, uv + step, lod)[:, 0] for step in steps)
    return torch.stack([right - here, down - here], -1) / _WAVE


def _brightness(light, place, normal):
    """Return what reaches surfaces (P,) at places (P, 3) metres; nothing throws a shadow."""
    lit = 1.1 - light.ambient
    if light.lamps is None:
        return light.ambient + lit * (normal @ light.towards).clamp_min(0)
    glow = torch.zeros_like(place[:, 0])
    for lamp in light.lamps:
        to_lamp = lamp - place
        distance = to_lamp.norm(dim=-1) + 1e-3
        glow += ((normal * to_lamp).sum(-1) / distance).clamp_min(0) / (1 + (distance / light.reach) ** 2)
    return light.ambient + lit * (2 * glow - 0.5)


def _unfold(point, normal):
    """Return uv (P, 2): the two coordinates other than the one the surface faces most."""
    axis = normal.abs().argmax(-1)
    first = torch.where(axis == 0, 1, 0)
    second = torch.where(axis == 2, 1, 2)
    return torch.stack([point.gather(1, first[:, None])[:, 0], point.gather(1, second[:, None])[:, 0]], -1)


def _sky(light, atlas, rays_world):
    direction = torch.nn.functional.normalize(rays_world, dim=-1)
    height = (-direction[..., 1:2]).clamp(0, 1).sqrt()
    sky = torch.lerp(light.horizon, light.zenith, height)
    if not light.cloud_contrast:
        return sky.clone()
    flat = direction.reshape(-1, 3)
    uv = flat[:, :2] / (flat[:, 2:].abs() + 0.5)
    texture = torch.full((len(flat),), light.clouds, device=flat.device)
    clouds = atlas.sample(texture, uv, torch.full((len(flat),), 2.0, device=flat.device)).reshape(sky.shape)
    return sky * (1 + light.cloud_contrast * (clouds - 0.5))
