"""A tiny publisher of depth: a wall ahead, with what belongs to it, as anybody might publish it."""

import array

import numpy as np
from drone import camera_info, odometry, stamp
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image

WIDTH, HEIGHT, FOCAL = 64, 48, 60.0
WALL = 4.0


def depth_image(depth_hw, encoding='32FC1'):
    values = depth_hw.astype('<f4') if encoding == '32FC1' else np.nan_to_num(depth_hw * 1000).astype('<u2')
    return message(values, encoding)


def message(values, encoding):
    height, width = values.shape[:2]
    data = array.array('B', np.ascontiguousarray(values).tobytes())
    return Image(height=height, width=width, encoding=encoding, step=len(data) // height, data=data)


class DepthSource:
    """Publishes depth, camera_info and, unless told otherwise, nothing else; odometry stands at a place."""

    def __init__(self, bench, deviation=False, rgb=False):
        self.bench = bench
        self.publishers = {
            'image': bench.publisher(Image, 'depth/image'),
            'camera_info': bench.publisher(CameraInfo, 'depth/camera_info'),
        }
        if deviation:
            self.publishers['deviation'] = bench.publisher(Image, 'depth/deviation')
        if rgb:
            self.publishers['rgb'] = bench.publisher(Image, 'depth/rgb')
        self.odometry = bench.publisher(Odometry, 'odom')
        self.time_ns = 10**9

    def await_listener(self, odometry=True):
        for publisher in (*self.publishers.values(), *((self.odometry,) if odometry else ())):
            self.bench.until(lambda publisher=publisher: publisher.get_subscription_count() > 0)

    def publish(self, depth_hw=None, encoding='32FC1', y=0.0, turn=None, **others):
        """Publish one frame and odometry round it; return its time."""
        self.time_ns += 100_000_000
        if depth_hw is None:
            depth_hw = np.full((HEIGHT, WIDTH), WALL, np.float32)
        for offset in (-20_000_000, 20_000_000):
            sent = odometry(self.time_ns + offset, y)
            if turn is not None:
                sent.pose.pose.orientation = turn
            self.odometry.publish(sent)
        frame = {
            'image': depth_image(depth_hw, encoding),
            'camera_info': camera_info(depth_hw.shape[1], depth_hw.shape[0], FOCAL * depth_hw.shape[1] / WIDTH),
            **others,
        }
        for name, publisher in self.publishers.items():
            if frame.get(name) is not None:
                frame[name].header.stamp, frame[name].header.frame_id = stamp(self.time_ns), 'optical'
                publisher.publish(frame[name])
        return self.time_ns
