"""The node that turns depth, from depth_node or anybody else, into a point cloud."""

from types import SimpleNamespace

import numpy as np
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from ros_depthnet.core.cloud import CloudOptions, make_cloud
from ros_depthnet.ros import topics
from ros_depthnet.ros.conversions.cloud import from_points
from ros_depthnet.ros.depth_consumer import DepthConsumer
from ros_depthnet.ros.depth_link import DepthFrame, DepthLink
from ros_depthnet.ros.parameters import options_from
from ros_depthnet.ros.running import run


class CloudNode(DepthConsumer):
    """Depth in; points out, in the odometry's frame or the camera's."""

    wants_rgb = True

    def __init__(self, link: DepthLink | None = None, **node_options):
        """Declare the parameters; depth comes by the link, where there is one."""
        super().__init__('cloud_node', link, **node_options)

    def configure(self) -> None:
        """Advertise."""
        self._points = self.advertise(topics.POINTS, PointCloud2)

    def check(self, settings: SimpleNamespace) -> None:
        """Refuse options that contradict each other."""
        super().check(settings)
        options_from(settings, CloudOptions)

    def use(self, frame: DepthFrame) -> None:
        """Publish the points of a depth image."""
        header, T_out_cam = frame.header, np.eye(4)
        if frame.pose:
            header = Header(stamp=header.stamp, frame_id=frame.pose.odom_frame)
            T_out_cam = frame.pose.T_odom_cam
        options = options_from(self.settings, CloudOptions)
        cloud = make_cloud(frame.depth_hw, frame.deviation_hw, frame.rgb, frame.camera, T_out_cam, options)
        self._points.publish(from_points(cloud.points, cloud.rgb, header))


def main(args=None) -> None:
    """Run the node."""
    run(CloudNode, args)


if __name__ == '__main__':
    main()
