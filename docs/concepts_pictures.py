"""
Draw the figures of docs/concepts.md out of the shipped flight: `python docs/concepts_pictures.py`.

Writes docs/images/parallax.png, exactness.png and estimate.jpg. Needs matplotlib (`pip install -e '.[train]'`).
"""

from pathlib import Path

import cv2
import matplotlib

matplotlib.use('agg')
import matplotlib.pyplot as plt
import numpy as np

from ros_depthnet import Camera, Estimate, PosedSequence, Session, load_model
from ros_depthnet.core import motion
from ros_depthnet.evaluation.methods import depth_noise
from ros_depthnet.evaluation.pictures import depth_picture, deviation_picture, error_picture

ROOT = Path(__file__).parents[1]
FLIGHT = PosedSequence.load(ROOT / 'flights' / 'park')
IMAGES = ROOT / 'docs' / 'images'
REFERENCE, SOURCE = 60, 56
FLOWN = range(50, REFERENCE + 1)
STEP = 14  # pixels between arrows
plt.rcParams.update({'figure.dpi': 110, 'font.size': 9, 'savefig.bbox': 'tight'})


def true_depth() -> np.ndarray:
    """Return the reference's true depth (H, W), metres; NaN where it is unknown or endless."""
    depth_hw = FLIGHT.depth(REFERENCE)
    return np.where((depth_hw > 0) & (depth_hw < FLIGHT.max_depth), depth_hw, np.nan)


def parallax() -> None:
    """Where points of the reference are in the source once its rotation is undone."""
    reference, source, camera = FLIGHT.frame(REFERENCE), FLIGHT.frame(SOURCE), FLIGHT.camera
    t = motion.displacement(motion.inverse(source.T_world_cam) @ reference.T_world_cam)
    grid = np.mgrid[STEP // 2 : camera.height : STEP, STEP // 2 : camera.width : STEP].reshape(2, -1)
    depths = true_depth()[tuple(grid)]
    moved = camera.project(camera.rays_hw3()[tuple(grid)] * depths[:, None] + t)
    figure, axes = plt.subplots(figsize=(6.4, 4.8))
    axes.imshow(reference.image, alpha=0.6)
    arrows = axes.quiver(
        *grid[::-1],
        *(moved - grid[::-1].T).T,
        np.log10(depths),
        angles='xy',
        scale_units='xy',
        scale=1,
        cmap='turbo_r',
        width=0.003,
    )
    axes.plot(*motion.foe(camera, t), 'o', mfc='none', mec='k', ms=14, mew=2)
    axes.set(
        title=f'{np.linalg.norm(t):.2f} m flown: near things shift, the focus of expansion (circle) does not',
        xticks=[],
        yticks=[],
    )
    bar = figure.colorbar(arrows, shrink=0.7, ticks=np.log10([3, 5, 10, 20, 50]), label='true depth, metres')
    bar.ax.set_yticklabels(['3', '5', '10', '20', '50'])
    figure.savefig(IMAGES / 'parallax.png')


def exactness() -> None:
    """What a tenth of a pixel leaves of depth, straight through the image's middle row."""
    camera = Camera(384, 288, 332.0, 332.0, 191.5, 143.5)  # 60 degrees across
    row = camera.height // 2
    angles = np.degrees(np.arctan(camera.rays_hw3()[row, :, 0]))
    figure, pair = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
    for axes, t, title in zip(pair, ([0.5, 0, 0], [0, 0, 0.5]), ('sideways', 'forwards')):
        for depth in (5, 10, 20, 40, 80):
            noise = depth_noise(np.full((camera.height, camera.width), float(depth)), camera, [np.array(t)], noise=0.1)
            axes.plot(angles, 100 * noise[row] / depth, label=f'{depth} m')
        axes.set(title=f'0.5 m {title}', xlabel='degrees off the optical axis', yscale='log', ylim=(0.1, 100))
        axes.grid(alpha=0.3)
    pair[0].set_ylabel('deviation of depth, %')
    pair[0].legend(title='depth', ncols=3, loc='upper center')
    figure.savefig(IMAGES / 'exactness.png')


def estimate() -> None:
    """What the estimator makes of a stretch of the flight."""
    session = Session(load_model())
    outcome = [session.add(FLIGHT.frame(i)) for i in FLOWN][-1]
    assert isinstance(outcome, Estimate)
    size = outcome.camera.width, outcome.camera.height
    truth_hw = cv2.resize(true_depth(), size, interpolation=cv2.INTER_NEAREST)
    pictures = {
        'image': outcome.image,
        'depth: red 3 m, blue 40 m': depth_picture(outcome.depth_hw, 3, 40),
        'deviation: bright is unsure, grey unknown': deviation_picture(outcome.deviation_hw, outcome.depth_hw),
        'error: red too far, blue too near': error_picture(outcome.depth_hw, truth_hw),
    }
    figure, axes = plt.subplots(2, 2, figsize=(8, 6.2), layout='constrained')
    for ax, (title, picture) in zip(axes.flat, pictures.items()):
        ax.imshow(picture)
        ax.set(title=title, xticks=[], yticks=[])
    figure.savefig(IMAGES / 'estimate.jpg')


if __name__ == '__main__':
    for draw in (parallax, exactness, estimate):
        draw()
