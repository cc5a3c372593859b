"""A parallaxnet whose whole way from images to metres is one call of a GPU."""

from __future__ import annotations

import functools

import numpy as np

from ros_depthnet.core import motion, refine, resampling
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame, Prediction, Views
from ros_depthnet.core.measurer import Measurer
from ros_depthnet.core.options import EstimatorOptions
from ros_depthnet.engines.card import ModelCard
from ros_depthnet.engines.metric_model import Engine, Model, longest_first

_LEAST_NOISE = 1e-6  # radians: the graph divides by it
_LEAST_SIDE = 128  # pixels of the detail: less cannot be halved as often as tracking wants


class WholeModel(Model):
    """A Model that can also do all of `core.measurer` at once; see `learning.whole.graph` for what goes in."""

    alignment_rounds = EstimatorOptions.alignment_rounds

    def __init__(self, card: ModelCard, engine: Engine, whole: Engine, input_width: int | None = None):
        """Use an engine of the network alone and one of the whole graph; otherwise see Model."""
        super().__init__(card, engine, input_width)
        self._whole = whole

    def measures(self, camera: Camera) -> bool:
        """Return whether images of a camera's size are large enough for it."""
        return min(camera.width, camera.height) >= _LEAST_SIDE

    def warm_up(self, camera: Camera, options: EstimatorOptions) -> None:
        """Run once for each shape there may be, so that no flight waits for allocation or engine building."""
        measurer = Measurer(self, options)
        black = np.zeros((camera.height, camera.width, 3), np.uint8)
        reference, *sources = (
            Frame(number, black, camera, motion.pose(np.eye(3), (0.1 * number, 0, 0)))
            for number in range(options.max_sources + 1)
        )
        for count in range(1, options.max_sources + 1):
            measurer.estimate(reference, sources[:count])

    def measure(self, near: Views, far: Views, options: EstimatorOptions, parallax: tuple[float, float]) -> Prediction:
        """
        Return depth of the views' reference and the deviation of its logarithm, geometry's included.

        near, far: with the rotation that odometry says. parallax: least and most that is relied upon, pixels.
        """
        near = longest_first(near)
        weights = [1.0] * (len(near.sources) + len(far.sources))
        # One shape, and so one engine, however many further sources there are.
        idle = len(near.sources) + options.alignment_sources - len(weights)
        sources = (*near.sources, *far.sources, *idle * near.sources[:1])
        odometry = np.concatenate([near.T_srcs_ref, far.T_srcs_ref, *idle * [near.T_srcs_ref[:1]]])
        views = Views(near.reference, sources, odometry).detailed()
        size, detail = ((camera.width, camera.height) for camera in (near.camera, views.camera))
        camera = near.camera
        numbers = {
            'camera': (camera.fx, camera.fy, camera.cx, camera.cy),
            'rotation_noise': max(options.rotation_noise, _LEAST_NOISE),
            'weights': weights + idle * [0.0],
            'deviation_scale': self.card.deviation_scale,
            'matching_noise': options.matching_noise,
            'position_noise': options.position_noise,
            'parallax': parallax,
        }
        result = self._whole.run(
            {
                'images': _seen_images((near.reference, *near.sources)),
                'details': _seen_images((views.reference, *views.sources)),
                'odometry': odometry.astype(np.float32),
                'corners': _corners(views.reference, options.rotation_noise),
                **{name: np.array(values, np.float32) for name, values in numbers.items()},
                **_matrices(size, detail),
            }
        )
        return Prediction(result['depth'], result['deviation'])


@functools.lru_cache(maxsize=2)
def _matrices(size: tuple[int, int], detail: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return `core.resampling.matrices`, the same arrays whenever the sizes are, so that they go up once."""
    found = resampling.matrices(size, detail)
    for matrix in found.values():
        matrix.flags.writeable = False
    return found


def _seen_images(frames: tuple[Frame, ...]) -> np.ndarray:
    """Return images with where they show the scene, (N, H, W, 4) uint8."""
    return np.stack([_seen_image(frame) for frame in frames])


def _seen_image(frame: Frame) -> np.ndarray:
    return np.dstack([frame.image, frame.seen_hw])


def _corners(detail: Frame, rotation_noise: float) -> np.ndarray:
    """Return the pixels that can be found again, and 1 where there is one, (P, 3); none if there is no noise."""
    found = np.zeros((refine.POINTS, 3), np.float32)
    if rotation_noise:
        pixels = refine.corners(detail.image, detail.seen_hw)
        found[: len(pixels)] = np.column_stack([pixels, np.ones(len(pixels))])
    return found
