"""The node that turns depth, from depth_node or anybody else, into obstacles and distances per direction."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from ros_depthnet.core.autopilot import obstacle_distance_cm
from ros_depthnet.core.cloud import CloudOptions, make_cloud, trusted_depth
from ros_depthnet.core.motion import inverse
from ros_depthnet.core.mounting import levelled
from ros_depthnet.core.obstacle_tracks import Obstacle, ObstacleTracks
from ros_depthnet.core.obstacles import ObstacleOptions, cluster_obstacles, sector_distances
from ros_depthnet.flight.messages.stamp import to_ns
from ros_depthnet.ros import qos, topics
from ros_depthnet.ros.autopilot import AutopilotLink, check_autopilot
from ros_depthnet.ros.conversions.detections import to_detections, to_odometry
from ros_depthnet.ros.conversions.markers import from_obstacles, shown_by
from ros_depthnet.ros.conversions.scan import from_sectors
from ros_depthnet.ros.depth_consumer import DepthConsumer
from ros_depthnet.ros.depth_link import DepthFrame, DepthLink
from ros_depthnet.ros.parameters import options_from
from ros_depthnet.ros.running import run
from ros_depthnet.ros.transform_output import TransformOutput, check_transform_output

try:
    from vision_msgs import msg as vision_msgs
except ImportError:
    vision_msgs = None

_EACH = qos.reliable(100)  # a message for each of as many obstacles as there may be
_BODY_FRAME = 'base_link'  # REP-105's name, where neither odometry nor the parameter tells another


class ObstacleNode(DepthConsumer):
    """Depth in; boxes round what is near, and the nearest distance in each direction, out."""

    def __init__(self, link: DepthLink | None = None, **node_options):
        """Declare the parameters; depth comes by the link, where there is one."""
        super().__init__('obstacle_node', link, **node_options)

    def configure(self) -> None:
        """Advertise."""
        self._obstacles = self.advertise(topics.OBSTACLES, MarkerArray)
        self._detections = vision_msgs and self.advertise(topics.DETECTIONS, vision_msgs.Detection3DArray)
        self._odometry = self.advertise(topics.OBSTACLE_ODOMETRY, Odometry, _EACH)
        self._distances = self.advertise(topics.OBSTACLE_DISTANCE, LaserScan)
        self._autopilot = AutopilotLink(self)
        self._tracks = ObstacleTracks()
        self._shown: set[tuple[str, int]] = set()

    def activate(self) -> None:
        """Work, and tell the autopilot so."""
        super().activate()
        self._autopilot.start()

    def deactivate(self) -> None:
        """Stop working."""
        if hasattr(self, '_autopilot'):
            self._autopilot.stop()
        super().deactivate()

    def connect(self) -> None:
        """Subscribe, and advertise to tf."""
        self._transforms = TransformOutput(self)
        self.on_disconnect(self._transforms.close)
        super().connect()

    def check(self, settings: SimpleNamespace) -> None:
        """Refuse options that contradict each other."""
        super().check(settings)
        check_autopilot(settings)
        check_transform_output(settings)
        options_from(settings, ObstacleOptions)

    def use(self, frame: DepthFrame) -> None:
        """Publish obstacles and distances of a depth image, if they are wanted."""
        places = self._places(frame)
        if places and frame.pose:
            self._transforms.place(places.level_frame, places.out_frame, places.T_out_level, frame.header.stamp)
        if places and any(output and output.wanted for output in (self._obstacles, self._detections, self._odometry)):
            self._publish_obstacles(self._obstacles_in(frame, places), frame.header.stamp, places.out_frame)
        if places and (self._distances.wanted or self._autopilot.wanted):
            self._publish_distances(frame, places)

    def _places(self, frame: DepthFrame) -> '_Places | None':
        """Return where all is, None while the mounting is not known."""
        body_frame, pose = self.settings.body_frame or _BODY_FRAME, frame.pose
        if pose:
            T_odom_body = pose.T_odom_cam @ inverse(pose.T_body_cam)
            return _Places(
                pose.T_odom_cam, T_odom_body, levelled(T_odom_body), pose.odom_frame, self.settings.level_frame
            )
        T_body_cam = self._mounting.T_body_cam(body_frame, frame.header.frame_id)
        if T_body_cam is None:
            return None
        T_cam_body = inverse(T_body_cam)
        return _Places(np.eye(4), T_cam_body, T_cam_body, frame.header.frame_id, body_frame)

    def _obstacles_in(self, frame: DepthFrame, places: '_Places') -> list[Obstacle]:
        options, settings = options_from(self.settings, ObstacleOptions), self.settings
        trusted = CloudOptions(
            settings.stride, max_distance=options.max_distance, max_relative_deviation=settings.max_relative_deviation
        )
        cloud = make_cloud(frame.depth_hw, frame.deviation_hw, None, frame.camera, places.T_out_cam, trusted)
        boxes = cluster_obstacles(cloud.points, places.T_out_body[:3, 3], places.T_out_level[:3, 2], options)
        if not frame.pose:
            self._tracks.reset()  # as seen by a moving camera everything moves
        return self._tracks.update(to_ns(frame.header.stamp), boxes, places.T_out_body[:3, 3])

    def _publish_obstacles(self, obstacles: Sequence[Obstacle], stamp: Time, out_frame: str) -> None:
        header = Header(stamp=stamp, frame_id=out_frame)
        if self._obstacles.wanted:
            message = from_obstacles(obstacles, header, self._shown)
            self._obstacles.publish(message)
            self._shown = shown_by(message.markers)
        if self._detections and self._detections.wanted:
            self._detections.publish(to_detections(obstacles, header, vision_msgs))
        if self._odometry.wanted:
            for obstacle in obstacles:
                self._odometry.publish(to_odometry(obstacle, header))

    def _publish_distances(self, frame: DepthFrame, places: '_Places') -> None:
        options, settings = options_from(self.settings, ObstacleOptions), self.settings
        depth_hw = frame.depth_hw
        if frame.deviation_hw is not None:
            depth_hw = trusted_depth(depth_hw, frame.deviation_hw, settings.max_relative_deviation)
        T_level_cam = inverse(places.T_out_level) @ places.T_out_cam
        header = Header(stamp=frame.header.stamp, frame_id=places.level_frame)
        if self._distances.wanted:
            distances = sector_distances(depth_hw, frame.camera, T_level_cam, options, settings.scan_range)
            scan = from_sectors(distances, options.sector_angle, settings.scan_range, header)
            self._distances.publish(scan)
        if self._autopilot.wanted:
            told = obstacle_distance_cm(depth_hw, frame.camera, T_level_cam, options, settings.scan_range)
            self._autopilot.tell(told, header)


@dataclass(frozen=True, eq=False)
class _Places:
    """
    Poses in the frame of the boxes, "out", and the names of frames.

    T_out_level: at the body, z up, x the way ahead. Without odometry nobody knows how the
    body leans: it counts as level then, and the level frame is the body's own.
    """

    T_out_cam: np.ndarray
    T_out_body: np.ndarray
    T_out_level: np.ndarray
    out_frame: str
    level_frame: str


def main(args=None) -> None:
    """Run the node."""
    run(ObstacleNode, args)


if __name__ == '__main__':
    main()
