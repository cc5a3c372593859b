"""Which way is up in a recording whose world has axes of its own."""

import numpy as np

from ros_depthnet.core.motion import pose


def upright(T_world_cams: np.ndarray) -> np.ndarray:
    """
    Return T_up_world, the turn about the origin that makes a recording's world level with z up.

    T_world_cams: (N, 4, 4). The axis of the world nearest to the cameras' mean upward direction is taken for
    up, as worlds are level but some have y up or z down; one with z up already stays as it is.
    """
    mean_up = -np.mean(np.asarray(T_world_cams)[:, :3, 1], axis=0)
    axis = int(np.argmax(np.abs(mean_up)))
    up = np.zeros(3)
    up[axis] = 1.0 if mean_up[axis] >= 0 else -1.0
    if up[2] > 0:
        return np.eye(4)
    ahead = np.roll(np.abs(up), 1)
    return pose(np.stack([ahead, np.cross(up, ahead), up]), np.zeros(3))
