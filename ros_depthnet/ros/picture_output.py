"""Pictures for people, as image_transport publishes them, painted only while somebody looks."""

from collections.abc import Callable

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ros_depthnet.ros.conversions.image import from_rgb, to_jpeg
from ros_depthnet.ros.processing_node import ProcessingNode
from ros_depthnet.ros.topics import Topic


class PictureOutput:
    """A picture under two topics: as it is, and as JPEG."""

    def __init__(self, node: ProcessingNode, raw: Topic, compressed: Topic):
        """Advertise both."""
        self._raw, self._compressed = node.advertise(raw, Image), node.advertise(compressed, CompressedImage)

    def publish(self, header: Header, paint: Callable[[], np.ndarray]) -> None:
        """Publish what `paint` returns, (H, W, 3) uint8 RGB, to those who listen; without them it is not called."""
        if not (self._raw.wanted or self._compressed.wanted):
            return
        picture = paint()
        if self._raw.wanted:
            self._raw.publish(from_rgb(picture, header))
        if self._compressed.wanted:
            self._compressed.publish(to_jpeg(picture, header))
