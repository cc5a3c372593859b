"""
Where the camera is: poses, their interpolation in time, and what motion does to an image.

A pose is a (4, 4) float64 matrix; `T_a_b` maps points of frame b into frame a. Nothing here is locked: a
`PoseBuffer` shared by threads is guarded by whoever shares it.
"""

import bisect
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ros_depthnet.core.camera import Camera

_DISORDER_NS = 100_000_000  # messages overtake each other by less; clocks are set by more


class InvalidPose(ValueError):
    """A pose that is no rigid motion: NaN, a zero quaternion, a matrix that is no rotation."""


class TimeJump(ValueError):
    """A stamp far older than the newest one already held: a looped bag or a reset clock."""


class NoPose(LookupError):
    """The buffer cannot say where the body was; `reason` says why in a few words."""

    def __init__(self, reason: str):
        super().__init__(f'There is no pose at this time: {reason}.')
        self.reason = reason


def pose(rotation_33: npt.ArrayLike, translation_3: npt.ArrayLike) -> np.ndarray:
    """Return the (4, 4) pose with this rotation and this translation in metres."""
    T = np.eye(4)
    T[:3, :3] = rotation_33
    T[:3, 3] = translation_3
    return T


def inverse(T: np.ndarray) -> np.ndarray:
    """Return the inverse of a pose."""
    return pose(T[:3, :3].T, -T[:3, :3].T @ T[:3, 3])


def checked(T: npt.ArrayLike) -> np.ndarray:
    """Return T as a (4, 4) float64 pose; raise InvalidPose when it is no rigid motion."""
    T = np.asarray(T, np.float64)
    if T.shape != (4, 4):
        raise InvalidPose(f'A pose is a 4 x 4 matrix, not one of shape {T.shape}.')
    if not np.isfinite(T).all():
        raise InvalidPose('The pose contains NaN or infinite numbers.')
    rotation = T[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
        raise InvalidPose('The rotation of the pose is not a rotation matrix.')
    return T


def from_quaternion(xyz: npt.ArrayLike, quat_xyzw: npt.ArrayLike) -> np.ndarray:
    """Return the pose of a position in metres and a quaternion (x, y, z, w) of any norm but zero."""
    quat = np.asarray(quat_xyzw, np.float64)
    norm = np.linalg.norm(quat)
    if not (np.isfinite(norm) and np.isfinite(xyz).all()):
        raise InvalidPose('The pose contains NaN or infinite numbers.')
    if norm < 1e-6:
        raise InvalidPose('The orientation is the zero quaternion, so the odometry has no attitude yet.')
    x, y, z, w = quat / norm
    return pose(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ],
        xyz,
    )


def quaternion(T: np.ndarray) -> np.ndarray:
    """Return the unit quaternion (x, y, z, w), w >= 0, of a pose's rotation (Bar-Itzhack 2000)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = T[:3, :3]
    symmetric = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    quat = np.linalg.eigh(symmetric)[1][:, -1]
    return -quat if quat[3] < 0 else quat


def interpolate(T_a: np.ndarray, T_b: np.ndarray, fraction: float) -> np.ndarray:
    """Return the pose at a fraction (0 to 1) of the way from T_a to T_b: slerp, and linear in position."""
    turn, _ = cv2.Rodrigues(T_a[:3, :3].T @ T_b[:3, :3])
    part, _ = cv2.Rodrigues(turn * fraction)
    return pose(T_a[:3, :3] @ part, T_a[:3, 3] + fraction * (T_b[:3, 3] - T_a[:3, 3]))


class Track:
    """Poses by time, asked for at many times at once; like `interpolate` between two of them."""

    def __init__(self, poses: Mapping[int, np.ndarray]):
        """Take poses (4, 4) by stamp in nanoseconds, at least one."""
        self._stamps_ns = np.array(sorted(poses))
        self._T = np.stack([poses[stamp_ns] for stamp_ns in sorted(poses)])
        turns = [
            cv2.Rodrigues(before[:3, :3].T @ after[:3, :3])[0][:, 0] for before, after in itertools.pairwise(self._T)
        ]
        self._turns = np.reshape(turns, (-1, 3))

    def at(self, stamps_ns: np.ndarray) -> np.ndarray:
        """Return the poses (N, 4, 4) at times (N,), nanoseconds; NaN before the first pose and from the last on."""
        after = np.searchsorted(self._stamps_ns, stamps_ns)
        inside = (after > 0) & (after < len(self._stamps_ns))
        found = np.full((len(stamps_ns), 4, 4), np.nan)
        after = after[inside]
        start, end = self._stamps_ns[after - 1], self._stamps_ns[after]
        fraction = ((stamps_ns[inside] - start) / (end - start))[:, None]
        T_before, T_after = self._T[after - 1], self._T[after]
        found[inside] = T_before
        found[inside, :3, :3] = T_before[:, :3, :3] @ rotations(fraction * self._turns[after - 1])
        found[inside, :3, 3] += fraction * (T_after[:, :3, 3] - T_before[:, :3, 3])
        return found


def rotations(vectors: np.ndarray) -> np.ndarray:
    """Return the rotations (N, 3, 3) by rotation vectors (N, 3), radians (Rodrigues)."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    cross = np.zeros((len(vectors), 3, 3))
    cross[:, [2, 0, 1], [1, 2, 0]] = vectors
    cross -= cross.transpose(0, 2, 1)
    half = np.sinc(angle / (2 * np.pi))  # numpy's sinc(x) is sin(pi x) / (pi x)
    return np.eye(3) + np.sinc(angle / np.pi) * cross + half * half / 2 * (cross @ cross)


def rotation_angle(T: np.ndarray) -> float:
    """Return the angle of a pose's rotation, 0 to pi radians."""
    R = T[:3, :3]
    sine = np.linalg.norm([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    return float(np.arctan2(sine, np.trace(R) - 1))


class PoseBuffer:
    """
    The poses of the last seconds, asked for at any time between two of them.

    Poses are interpolated, never taken from the nearest sample: at 5 m/s an odometry message 10 ms away is 5
    cm away, a sizeable part of a baseline.
    """

    def __init__(self, duration: float = 5.0, max_gap: float = 0.25):
        """Hold `duration` seconds of poses; refuse to interpolate over more than `max_gap` seconds."""
        self._duration_ns = round(duration * 1e9)
        self._max_gap_ns = round(max_gap * 1e9)
        self.clear()

    def clear(self) -> None:
        """Forget every pose."""
        self._stamps_ns: list[int] = []
        self._poses: list[np.ndarray] = []

    @property
    def newest_ns(self) -> int | None:
        """The newest stamp in nanoseconds; None when empty."""
        return self._stamps_ns[-1] if self._stamps_ns else None

    def add(self, stamp_ns: int, T_world_body: np.ndarray) -> None:
        """
        Take a pose; a repeated stamp replaces the one before, and small disorder is put in order.

        Raises InvalidPose for one that is no rigid motion, and TimeJump for a stamp older than the newest by
        more than messages overtake each other, both leaving the buffer as it was.
        """
        T_world_body = checked(T_world_body)
        back_ns = self._stamps_ns[-1] - stamp_ns if self._stamps_ns else 0
        if back_ns > _DISORDER_NS:
            raise TimeJump(f'Odometry time ran back by {back_ns / 1e9:.3f} s.')
        place = bisect.bisect_left(self._stamps_ns, stamp_ns)
        if place < len(self._stamps_ns) and self._stamps_ns[place] == stamp_ns:
            self._poses[place] = T_world_body
            return
        self._stamps_ns.insert(place, stamp_ns)
        self._poses.insert(place, T_world_body)
        expired = bisect.bisect_left(self._stamps_ns, self._stamps_ns[-1] - self._duration_ns)
        del self._stamps_ns[:expired], self._poses[:expired]

    def at(self, stamp_ns: int) -> np.ndarray:
        """Return T_world_body at a time; raise NoPose ('before the buffer', 'not yet', 'gap of 0.8 s')."""
        after = bisect.bisect_left(self._stamps_ns, stamp_ns)
        if after == len(self._stamps_ns):
            raise NoPose('not yet')
        if self._stamps_ns[after] == stamp_ns:
            return self._poses[after]
        if after == 0:
            raise NoPose('before the buffer')
        start, end = self._stamps_ns[after - 1], self._stamps_ns[after]
        if end - start > self._max_gap_ns:
            raise NoPose(f'gap of {(end - start) / 1e9:.1f} s')
        return interpolate(self._poses[after - 1], self._poses[after], (stamp_ns - start) / (end - start))


@dataclass(frozen=True, eq=False)
class Stabilised:
    """
    A source image as it would look from the same place, turned into the reference's axes.

    image: (H, W, 3) uint8, black where not valid. valid_hw: (H, W) bool, where the source has content.
    displacement: (3,) float64 metres; a reference point P is at P + displacement in the stabilised source.
    """

    image: np.ndarray
    valid_hw: np.ndarray
    displacement: np.ndarray


def displacement(T_src_ref: np.ndarray) -> np.ndarray:
    """Return what is left of T_src_ref once its rotation is undone: (3,) metres, reference's axes."""
    return T_src_ref[:3, :3].T @ T_src_ref[:3, 3]


def squared_parallax(camera: Camera, displacement: np.ndarray) -> np.ndarray:
    """
    Return `(f D)^2`, (H, W): the square of the pixels that a point moves for each inverse metre of its depth.

    `f D` is `f |t_xy - t_z r_xy|` for the ray r: it vanishes at the focus of expansion. Matching noise of s pixels
    makes depth of it that is off by `sigma_Z = Z^2 s / (f D)`.
    """
    x, y, z = displacement
    rays_hw3 = camera.rays_hw3()
    across, down = camera.fx * (x - z * rays_hw3[0, :, 0]), camera.fy * (y - z * rays_hw3[:, 0, 1])
    return np.square(across) + np.square(down)[:, None]


def in_view(camera: Camera, R_src_ref: np.ndarray, seen_hw: np.ndarray) -> np.ndarray:
    """
    Return what of the reference's directions a source shows, (H, W) bool; both images are of this camera.

    seen_hw: (H, W) bool, where the source shows the scene.
    """
    valid = cv2.warpPerspective(
        seen_hw.astype(np.uint8), _homography(camera, R_src_ref), (camera.width, camera.height), flags=cv2.INTER_NEAREST
    )
    rays_hw3, (x, y, z) = camera.rays_hw3(), R_src_ref[2].astype(np.float32)
    return valid.astype(bool) & (x * rays_hw3[0, :, 0] + (y * rays_hw3[:, 0, 1] + z)[:, None] > 0)


def stabilise(
    image: np.ndarray, camera: Camera, T_src_ref: np.ndarray, seen_hw: np.ndarray | None = None
) -> Stabilised:
    """
    Warp a source image by the homography `K R_ref_src K^-1`, so that only translation is left of the motion.

    Both images are of this camera. The valid region follows from the geometry, not from black pixels, and from
    seen_hw, (H, W) bool, where the source shows the scene (None: everywhere).
    """
    R_src_ref = T_src_ref[:3, :3]
    # Replicated borders keep the cubic kernel from mixing black into the outermost valid pixels.
    warped = cv2.warpPerspective(
        image,
        _homography(camera, R_src_ref),
        (camera.width, camera.height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    valid_hw = in_view(camera, R_src_ref, np.ones(image.shape[:2], bool) if seen_hw is None else seen_hw)
    return Stabilised(cv2.bitwise_and(warped, warped, mask=valid_hw.view(np.uint8)), valid_hw, displacement(T_src_ref))


def _homography(camera: Camera, R_src_ref: np.ndarray) -> np.ndarray:
    return camera.K @ R_src_ref.T @ np.linalg.inv(camera.K)


def projection(camera: Camera, T_src_ref: np.ndarray) -> np.ndarray:
    """
    Return (3, 4) float32 that maps (column, row, 1, inverse depth) in a reference to a source's homogeneous pixel.

    Its third number is the depth there over the depth here; both images are of this camera.
    """
    to_ray = np.eye(4)
    to_ray[:3, :3] = np.linalg.inv(camera.K)
    return (camera.K @ T_src_ref[:3] @ to_ray).astype(np.float32)


def foe(camera: Camera, displacement: np.ndarray) -> np.ndarray:
    """Return the focus of expansion, the pixel (2,) of `K t`; far outside or infinite for sideways motion."""
    forward = displacement[2] or 5e-324  # keeps 0 / 0 from being NaN
    with np.errstate(over='ignore'):
        return np.array([camera.fx, camera.fy]) * (displacement[:2] / forward) + (camera.cx, camera.cy)
