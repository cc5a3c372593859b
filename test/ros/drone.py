"""A drone that flies sideways, whose depth follows from the colour of its images."""

import array

import numpy as np
from bench import value
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image

from ros_depthnet.ros.depth_node import DepthNode

WIDTH, HEIGHT, FOCAL = 64, 48, 60.0
STEP = 0.5  # metres between two images
PERIOD_NS = 100_000_000
START_NS = 1_000_000_000
RED, GREEN = 10, 5  # parallax in pixels, its deviation in percent
DEPTH = FOCAL * STEP / RED


def stamp(time_ns):
    return Time(sec=time_ns // 10**9, nanosec=time_ns % 10**9)


def image(time_ns, rgb=(RED, GREEN, 0), width=WIDTH, height=HEIGHT, blank=False):
    """Return an rgb8 image of one colour, the upper half bluer unless it is to be blank."""
    pixels = np.full((height, width, 3), rgb, np.uint8)
    if not blank:
        pixels[: height // 2, :, 2] = 200 - 10 * (time_ns // PERIOD_NS % 20)  # an image that stays is frozen
    message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    message.header.stamp, message.header.frame_id = stamp(time_ns), 'optical'
    message.data = array.array('B', pixels.tobytes())
    return message


def camera_info(width=WIDTH, height=HEIGHT, focal=FOCAL):
    cx, cy = (width - 1) / 2, (height - 1) / 2
    k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
    return CameraInfo(width=width, height=height, k=k, d=[0.0] * 5)


def odometry(time_ns, y):
    """Return odometry at y metres to the left, looking ahead."""
    message = Odometry(child_frame_id='base_link')
    message.header.stamp, message.header.frame_id = stamp(time_ns), 'odom'
    message.pose.pose.position.y = float(y)
    message.pose.pose.orientation.w = 1.0
    return message


class Drone:
    """A depth_node, and what it listens to, by these topics; its pose is told by `says(time_ns, y)`."""

    def __init__(self, bench, model, says=odometry, odom='odom', image_raw='image_raw', camera_info='camera_info'):
        self.bench, self.model, self.says = bench, model, says
        self.images = bench.publisher(Image, image_raw)
        self.infos = bench.publisher(CameraInfo, camera_info)
        self.odometry = bench.publisher(type(says(START_NS, 0)), odom)
        self.depths = bench.collect(Image, 'depth/image')
        self.time_ns = START_NS
        self.flown = 0

    def start(self, **parameters):
        """Start the node, and give it the calibration as soon as it listens."""
        node = self.bench.start(DepthNode, **{'model': str(self.model), 'max_sources': 1, **parameters})
        self.await_node()
        self.infos.publish(camera_info())
        return node

    def await_node(self):
        for publisher in (self.images, self.infos, self.odometry):
            self.bench.until(lambda publisher=publisher: publisher.get_subscription_count() > 0)

    def frame(self, message=None, with_odometry=True):
        """Fly one step, send odometry on both sides of the image, and the image; return its time."""
        self.time_ns += PERIOD_NS
        self.flown += 1
        if with_odometry:
            for part in (-0.4, 0.6):
                self.odometry.publish(self.says(self.time_ns + round(part * PERIOD_NS), STEP * (self.flown + part)))
        message = message or image(self.time_ns)
        message.header.stamp = stamp(self.time_ns)
        self.images.publish(message)
        return self.time_ns

    def frames(self, count):
        """Fly so many steps, one image after the other, each given time to be worked on."""
        for _ in range(count):
            self.frame()
            self.bench.spin(0.15)

    def await_depth(self, count=1):
        """Fly on until so many more depth images have come."""
        wanted = len(self.depths) + count
        for _ in range(100):
            self.frame()
            self.bench.spin(0.1)
            if len(self.depths) >= wanted:
                return self.depths[-1]
        raise AssertionError('no depth came')

    def dropped(self, reason):
        """Wait until diagnostics count a drop for this reason; return the status."""
        return self.bench.status('depth_node', lambda status: value(status, f'dropped/{reason}'))

    def refused(self, reason):
        """Wait until diagnostics count messages other than images refused for this reason; return the status."""
        return self.bench.status('depth_node', lambda status: value(status, f'refused/{reason}'))
