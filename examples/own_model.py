"""A model of one's own, DIS flow triangulated, flown like the shipped ones: `python examples/own_model.py FLIGHT`."""

import sys
from pathlib import Path

import cv2
import numpy as np

from ros_depthnet import Camera, Estimate, Prediction, Session, Views, recorded_frames


class Flow:
    parallax_range = 0.5, 60.0  # pixels at its input size

    def input_size(self, camera: Camera) -> tuple[int, int]:
        return camera.width, camera.height

    def predict(self, ranges: list[Views]) -> list[Prediction]:
        return [self.depth(views) for views in ranges]

    def depth(self, views: Views) -> Prediction:
        camera, (t, source) = views.camera, (views.displacements[0], views.stabilised()[0])
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (views.reference.image, source.image)]
        flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
        # A pixel m shifts by (K t - m' t_z) / Z, m' being where it goes: least squares over both components.
        m = np.dstack(np.meshgrid(np.arange(camera.width), np.arange(camera.height))) + flow
        shift = (camera.K @ t)[:2] - m * t[2]
        inverse = (flow * shift).sum(-1) / np.maximum((shift * shift).sum(-1), 1e-9)
        depth_hw = (1 / np.clip(inverse, 1e-3, 1e2)).astype(np.float32)
        return Prediction(depth_hw, np.full_like(depth_hw, 0.2))


session = Session(Flow())
for recorded in recorded_frames(Path(sys.argv[1]), refused=print):
    outcome = session.add(recorded.frame)
    if isinstance(outcome, Estimate):
        print(f'{outcome.stamp_ns / 1e9:.2f} s: {np.nanmedian(outcome.depth_hw):.1f} m')
