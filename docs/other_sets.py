"""
Turn small test data of other projects into posed sequences: `python docs/other_sets.py DOWNLOADS SETS`.

DOWNLOADS has a folder for each project; docs/lab/2026-11-25-other-peoples-pairs.md says which and whose data they
are. What is not there is left out. Disparities tell parallax only: where focal length and baseline are unknown, any do.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.flight.posed_sequence import NewFrame, write_posed_sequence

APART = 100.0  # metres between the scenes of one set


def image(path) -> np.ndarray:
    """Return RGB uint8 (H, W, 3)."""
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise FileNotFoundError(path)
    return np.ascontiguousarray(found[..., 2::-1].astype(np.uint8))


def units(path, per_unit) -> np.ndarray:
    """Return a file of whole numbers as float32, NaN where it has 0."""
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32)
    return np.where(raw > 0, raw / np.float32(per_unit), np.nan)


def translation(x=0.0, y=0.0, z=0.0) -> np.ndarray:
    """Return a pose without rotation, metres."""
    T = np.eye(4)
    T[:3, 3] = x, y, z
    return T


def write(folder, camera, posed, pairs, depth_scale, max_depth=20.0) -> None:
    """Write (image, T_world_cam, depth or None) as a posed sequence."""
    frames = [
        NewFrame(Frame(number * 10**8, picture, camera, T_world_cam), depth)
        for number, (picture, T_world_cam, depth) in enumerate(posed)
    ]
    about = {'name': folder.name, 'source': folder.name, 'licence': 'see the source', 'kind': 'others'}
    write_posed_sequence(folder, frames, pairs, **about, max_depth=max_depth, depth_scale=depth_scale)


def write_stereo(folder, scenes, camera, baseline, depth_scale=0.0002, max_depth=20.0) -> None:
    """Write (left, right, depth of left, depth of right or None) of each scene."""
    posed, pairs = [], []
    for left, right, of_left, of_right in scenes:
        n, away = len(posed), APART * len(posed) / 2
        posed += [(left, translation(z=away), of_left), (right, translation(baseline, z=away), of_right)]
        pairs += [(n, n + 1)] if of_right is None else [(n, n + 1), (n + 1, n)]
    write(folder, camera, posed, pairs, depth_scale, max_depth)


def write_disparities(folder, scenes, f, baseline, centre=None) -> None:
    """Write (left, right, disparity of left, of right or None), pixels, of each scene."""

    def depth(disparity):
        return None if disparity is None else f * baseline / np.where(disparity > 1, disparity, np.nan)

    height, width = scenes[0][2].shape
    camera = Camera(width, height, f, f, *(centre or ((width - 1) / 2, (height - 1) / 2)))
    scenes = [(left, right, depth(first), depth(second)) for left, right, first, second in scenes]
    write_stereo(folder, scenes, camera, baseline)


def motorcycle(source, sets):
    """Middlebury 2014 (Scharstein et al., GCPR 2014) at a quarter; scikit-image 0.18.3, `skimage/data`."""
    dx = 31.086  # between the two principal points, pixels
    left, right = image(source / 'motorcycle_left.png'), image(source / 'motorcycle_right.png')
    disparity = np.load(source / 'motorcycle_disp.npz')['arr_0']
    shift, size = np.float64([[1, 0, -dx], [0, 1, 0]]), disparity.shape[::-1]
    right = cv2.warpAffine(right, shift, size, flags=cv2.INTER_CUBIC)
    disparity = np.where(np.isfinite(disparity), disparity + dx, np.nan)
    scene = left, right, disparity, None
    write_disparities(sets / 'motorcycle', [scene], 994.978, 0.193001, (311.193, 254.877))


def cones(source, sets):
    """Middlebury 2003 (Scharstein and Szeliski, CVPR 2003); CNES's Pandora, `notebooks/data`."""
    disparity = np.abs(cv2.imread(str(source / 'Cones_LEFT_GT.tif'), cv2.IMREAD_UNCHANGED))
    scene = image(source / 'left_rgb.tif'), image(source / 'right_rgb.tif'), disparity, None
    write_disparities(sets / 'cones', [scene], 675.0, 0.06)


def middlebury(source, sets):
    """Middlebury 2003 and 2005 (CVPR 2003, 2007); PRiMEStereoMatch, `data`."""

    def scene(folder, left, right, first, second, per_pixel):
        views = (image(source / folder / name) for name in (left, right))
        disparities = (units(source / folder / name, per_pixel) for name in (first, second))
        return *views, *disparities

    teddy = scene('Teddy', 'im2.png', 'im6.png', 'disp2.png', 'disp6.png', 4)
    write_disparities(sets / 'teddy', [teddy], 675.0, 0.06)
    for name, folders in (('art', 'Art Books Dolls Moebius'), ('laundry', 'Laundry Reindeer')):
        scenes = [scene(folder, 'view1.png', 'view5.png', 'disp1.png', 'disp5.png', 3) for folder in folders.split()]
        write_disparities(sets / name, scenes, float(scenes[0][2].shape[1]), 0.1)
        if name == 'art':
            for exposure, gain in (('darker', 0.5), ('brighter', 2.0)):
                unequal = [(left, exposed(right, gain), *truth) for left, right, *truth in scenes]
                write_disparities(sets / f'art_{exposure}', unequal, float(scenes[0][2].shape[1]), 0.1)


def exposed(picture, gain) -> np.ndarray:
    """Return what the camera had made of `gain` times the light, clipped and with a little noise."""
    noise = np.random.default_rng(0).normal(0, 1.5, picture.shape)
    values = 255 * np.clip((picture / 255) ** 2.2 * gain, 0, 1) ** (1 / 2.2) + noise
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def aloe(source, sets):
    """Middlebury 2006 (CVPR 2007) at half its size; OpenCV, `samples/data` (Debian's opencv-doc)."""
    disparity = units(source / 'aloeGT.png', 2)[::2, ::2]
    size = disparity.shape[::-1]
    left, right = (cv2.resize(image(source / f'aloe{side}.jpg'), size, interpolation=cv2.INTER_AREA) for side in 'LR')
    write_disparities(sets / 'aloe', [(left, right, disparity, None)], float(size[0]), 0.1)


def livingroom(source, sets):
    """Redwood's augmented ICL-NUIM (Choi et al., CVPR 2015); Open3D before 0.9, `examples/TestData/RGBD`."""
    rows = [line.split() for line in (source / 'trajectory.log').read_text().splitlines() if line.strip()]
    posed = [
        (
            image(source / f'color/0000{i}.jpg'),
            np.array(rows[5 * i + 1 : 5 * i + 5], float),
            units(source / f'depth/0000{i}.png', 1000),
        )
        for i in range(5)
    ]
    camera = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
    write(sets / 'livingroom', camera, posed, [(4, 0), (0, 4), (4, 1), (0, 3)], 0.0005)


HOSPITAL = (  # reference and source, their parallax around 25 pixels
    (4, 5), (13, 14), (22, 24), (31, 33), (40, 42), (49, 59), (58, 61), (67, 69), (76, 77), (85, 84),
    (94, 97), (103, 104), (112, 111), (121, 120), (130, 131), (139, 140), (148, 150), (157, 159),
    (166, 165), (175, 174), (184, 185),
)  # fmt: skip


def hospital(source, sets):
    """TartanAir (Wang et al., IROS 2020); RGBD_map_stitching: `image_left`, `depth_left`, `pose_left.txt`."""
    from_ned = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float)
    poses, used = np.loadtxt(source / 'pose_left.txt'), sorted({i for pair in HOSPITAL for i in pair})
    posed = []
    for number in used:
        T_world_cam = translation(*poses[number, :3])
        T_world_cam[:3, :3] = rotation(*poses[number, 3:]) @ from_ned
        depth = np.load(source / f'depth_left/{number:06d}_left_depth.npy')
        posed.append((image(source / f'image_left/{number:06d}_left.png'), T_world_cam, depth))
    pairs = [tuple(used.index(number) for number in pair) for pair in HOSPITAL]
    write(sets / 'hospital', Camera(640, 480, 320.0, 320.0, 320.0, 240.0), posed, pairs, 0.0005)


def rotation(x, y, z, w) -> np.ndarray:
    """Return the matrix (3, 3) of a unit quaternion."""
    angle = 2 * np.arctan2(np.linalg.norm([x, y, z]), w)
    return cv2.Rodrigues(np.array([x, y, z]) / max(np.linalg.norm([x, y, z]), 1e-12) * angle)[0]


def road(source, sets):
    """
    KITTI raw, 2011_09_26 drive 1 (Geiger et al., IJRR 2013); kitti_iterator, `kitti_*_mini`.

    Forward: five frames with a lidar scan each, whose poses are carried by their velocities to the stamp of
    the image, up to 10 ms. Sideways: the two colour cameras with the depth of KITTI's depth benchmark.
    """
    day = source / 'kitti_raw_mini/2011_09_26'
    drive = day / '2011_09_26_drive_0001_sync'
    cams, velo_to_cam, imu_to_velo = (
        calibration(day / f'calib_{name}.txt') for name in ('cam_to_cam', 'velo_to_cam', 'imu_to_velo')
    )
    rectify = np.eye(4)
    rectify[:3, :3] = cams['R_rect_00'].reshape(3, 3)
    left, right = (cams[f'P_rect_0{n}'].reshape(3, 4) for n in (2, 3))
    f, cx, cy = left[0, 0], left[0, 2], left[1, 2]
    T_cam_velo = translation(*np.linalg.solve(left[:, :3], left[:, 3])) @ rectify @ rigid(velo_to_cam)
    T_imu_cam = np.linalg.inv(T_cam_velo @ rigid(imu_to_velo))

    sample = [np.loadtxt(drive / f'oxts/data/{i:010d}.txt') for i in range(5)]
    late = seconds(drive / 'image_02/timestamps.txt') - seconds(drive / 'oxts/timestamps.txt')
    size = image(drive / 'image_02/data/0000000000.png').shape[1::-1]
    camera = Camera(*size, f, f, cx, cy)
    posed = []
    for i in range(5):
        scan = np.fromfile(drive / f'velodyne_points/data/{i:010d}.bin', np.float32).reshape(-1, 4)
        depth = lidar_depth(scan[scan[:, 0] > 2, :3], T_cam_velo, camera)
        T_world_cam = inertial_pose(sample[i], late[i], sample[0]) @ T_imu_cam
        posed.append((image(drive / f'image_02/data/{i:010d}.png'), T_world_cam, depth))
    pairs = [(i, j) for i in range(5) for j in range(5) if 0 < abs(i - j) <= 2]
    write(sets / 'road', camera, posed, pairs, 0.002, max_depth=80.0)

    truth = source / 'kitti_depth_mini/train/2011_09_26_drive_0001_sync/proj_depth/groundtruth'
    scenes = [
        (
            *(image(drive / f'image_0{n}/data/{i:010d}.png') for n in (2, 3)),
            *(units(truth / f'image_0{n}/{i:010d}.png', 256) for n in (2, 3)),
        )
        for i in (5, 25, 45, 65, 85)
    ]
    baseline = (left[0, 3] - right[0, 3]) / f
    write_stereo(sets / 'road_sideways', scenes, camera, baseline, depth_scale=0.002, max_depth=80.0)


def calibration(path) -> dict[str, np.ndarray]:
    """Return the numbers of one of KITTI's calibration files by name."""
    lines = (line.split(':', 1) for line in path.read_text().splitlines() if ':' in line)
    return {name: np.array(text.split(), float) for name, text in lines if name != 'calib_time'}


def rigid(values) -> np.ndarray:
    """Return the transform (4, 4) that a calibration file has as R and T."""
    T = translation(*values['T'])
    T[:3, :3] = values['R'].reshape(3, 3)
    return T


def seconds(path) -> np.ndarray:
    """Return the seconds of the minute of a file of time stamps."""
    return np.array([float(line.split(':')[-1]) for line in path.read_text().splitlines()])


def inertial_pose(sample, late, origin) -> np.ndarray:
    """Return the pose of the inertial unit, east-north-up, `late` seconds after one of its samples."""
    metres = 6378137.0 * np.cos(np.radians(origin[0]))
    roll, pitch, yaw = sample[3:6]
    T = np.eye(4)
    for axis, angle in (((0, 0, 1), yaw), ((0, 1, 0), pitch), ((1, 0, 0), roll)):
        T[:3, :3] = T[:3, :3] @ cv2.Rodrigues(angle * np.array(axis, float))[0]
    north, north0 = (np.log(np.tan(np.pi / 4 + np.radians(row[0]) / 2)) for row in (sample, origin))
    east = np.radians(sample[1] - origin[1])
    T[:3, 3] = metres * east, metres * (north - north0), sample[2] - origin[2]
    T[:3, 3] += T[:3, :3] @ sample[8:11] * late
    T[:3, :3] = T[:3, :3] @ cv2.Rodrigues(sample[17:20] * late)[0]
    return T


def lidar_depth(points, T_cam_velo, camera) -> np.ndarray:
    """Return depth (H, W) of the points in sight; the lidar, higher up, sees more, which is left out."""
    x, y, z = T_cam_velo[:3, :3] @ points.T + T_cam_velo[:3, 3:]
    u = np.round(camera.fx * x / z + camera.cx).astype(int)
    v = np.round(camera.fy * y / z + camera.cy).astype(int)
    seen = (z > 1) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    u, v, z = u[seen], v[seen], z[seen]
    far_first = np.argsort(-z)
    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    depth[v[far_first], u[far_first]] = z[far_first]
    nearest = cv2.erode(np.minimum(depth, 1000), np.ones((11, 7), np.uint8))
    return np.where(depth > 1.08 * nearest + 0.3, np.nan, depth)


MAKERS = {
    'skimage': motorcycle,
    'pandora': cones,
    'PRiMEStereoMatch': middlebury,
    'opencv': aloe,
    'open3d': livingroom,
    'RGBD_map_stitching': hospital,
    'kitti_iterator': road,
}

if __name__ == '__main__':
    downloads, sets = map(Path, sys.argv[1:])
    for project, make in MAKERS.items():
        if (downloads / project).is_dir():
            make(downloads / project, sets)
