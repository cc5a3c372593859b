"""Every topic of the nodes: name, type, meaning, and who publishes or takes it."""

from dataclasses import dataclass

from ros_depthnet.flight.topics import CAMERA_INFO, COMPRESSED, IMAGE, ODOM, Topic


@dataclass(frozen=True)
class NodeTopics:
    """What a node takes and what it gives."""

    subscribes: tuple[Topic, ...]
    publishes: tuple[Topic, ...]


DEPTH = Topic(
    'depth/image',
    'sensor_msgs/msg/Image',
    'Depth, 32FC1 metres: NaN unknown, +Inf beyond range, -Inf too close (or 16UC1 mm, 0 unknown).',
)
DEPTH_CAMERA_INFO = Topic(
    'depth/camera_info', 'sensor_msgs/msg/CameraInfo', 'The calibration scaled to the size of `depth/image`.'
)
DEVIATION = Topic('depth/deviation', 'sensor_msgs/msg/Image', 'One standard deviation of the depth, 32FC1 metres.')
DEPTH_RGB = Topic(
    'depth/rgb', 'sensor_msgs/msg/Image', 'The image that the depth belongs to, at the size of `depth/image`.'
)
MOVING = Topic(
    'moving/mask',
    'sensor_msgs/msg/Image',
    'Probability, times 255, that what a pixel of `depth/image` shows moves by itself, mono8; if `find_moving` is set.',
)
CONTOURS = Topic(
    'depth/contours',
    'sensor_msgs/msg/Image',
    'Lines where things end or surfaces bend: probability times 255, mono8, at the size of `depth/image`.',
)
ORIGIN = Topic(
    'depth/origin',
    'sensor_msgs/msg/Image',
    'Where the depth of each pixel comes from, mono8: 0 unknown, 1 measured, 2 remembered, 3 from one image.',
)
DEPTH_CAMERA_POSE = Topic(
    'depth/camera_pose',
    'geometry_msgs/msg/PoseStamped',
    "Pose of the optical frame in the odometry's frame when the image of `depth/image` was taken.",
)
DEPTH_BODY_POSE = Topic(
    'depth/body_pose', 'nav_msgs/msg/Odometry', 'Pose of the body at that time; its twist is not filled.'
)
DEPTH_COLOURED = Topic(
    'depth/coloured',
    'sensor_msgs/msg/Image',
    'Depth to look at: red is near, blue far (`colour_range`), grey unknown.',
)
DEPTH_COLOURED_COMPRESSED = Topic(
    'depth/coloured/compressed', 'sensor_msgs/msg/CompressedImage', 'The same as JPEG, for a slow link.'
)
DEVIATION_COLOURED = Topic(
    'depth/deviation_coloured',
    'sensor_msgs/msg/Image',
    'Deviation relative to depth, to look at: dark is sure, yellow 50 % or worse, grey unknown.',
)
DEVIATION_COLOURED_COMPRESSED = Topic(
    'depth/deviation_coloured/compressed', 'sensor_msgs/msg/CompressedImage', 'The same as JPEG, for a slow link.'
)
PATH = Topic('path', 'nav_msgs/msg/Path', 'The way the body has come, in the frame of the odometry.')
POINTS = Topic('points', 'sensor_msgs/msg/PointCloud2', 'The cloud: x, y, z and, if there is `depth/rgb`, rgb.')
OBSTACLES = Topic(
    'obstacles',
    'visualization_msgs/msg/MarkerArray',
    'A box and its distance for each obstacle, nearest first, with an id that stays; an arrow for what moves.',
)
DETECTIONS = Topic(
    'obstacles/detections',
    'vision_msgs/msg/Detection3DArray',
    'The same obstacles for planners: id, box, and the probability that it moves; if `vision_msgs` is installed.',
)
OBSTACLE_ODOMETRY = Topic(
    'obstacles/odometry',
    'nav_msgs/msg/Odometry',
    'Place and velocity of each, with covariances: a message an obstacle, `child_frame_id` is `obstacle_` and its id.',
)
OBSTACLE_DISTANCE = Topic(
    'obstacle_distance',
    'sensor_msgs/msg/LaserScan',
    'Nearest distance in each sector in front of the drone; +Inf where it is free, NaN where unknown. Level, '
    'in `level_frame`, counter-clockwise: not for MAVROS.',
)
MAVROS_OBSTACLE = Topic(
    'mavros/obstacle/send',
    'sensor_msgs/msg/LaserScan',
    "All round in 72 sectors as MAVROS' obstacle_distance plugin wants it, clockwise, if `autopilot` is `mavros`.",
)
COMPANION_STATUS = Topic(
    'mavros/companion_process/status',
    'mavros_msgs/msg/CompanionProcessStatus',
    'Heartbeat by way of MAVROS: active only while fresh distances are told, if `mavros_msgs` is installed.',
)
PX4_OBSTACLE_DISTANCE = Topic(
    'fmu/in/obstacle_distance',
    'px4_msgs/msg/ObstacleDistance',
    'The same for PX4 over uXRCE-DDS, if `autopilot` is `px4`.',
)
DIAGNOSTICS = Topic(
    '/diagnostics',
    'diagnostic_msgs/msg/DiagnosticArray',
    'State, rate, latency, provider, dropped frames by reason, and what is wrong, once a second.',
)
TF = Topic(
    '/tf', 'tf2_msgs/msg/TFMessage', 'Poses instead of those of `odom`, if `world_frame` is set; `tf2_msgs` is needed.'
)
TF_STATIC = Topic('/tf_static', 'tf2_msgs/msg/TFMessage', 'What never moves of it.')
TF_TOLD = Topic(
    '/tf', 'tf2_msgs/msg/TFMessage', 'Where the body is at each image, or `level_frame`, if `broadcast_tf` is set.'
)
TF_STATIC_TOLD = Topic(
    '/tf_static', 'tf2_msgs/msg/TFMessage', 'Where the camera sits on the body, if `broadcast_tf` is set.'
)
CLOCK = Topic('/clock', 'rosgraph_msgs/msg/Clock', "The recording's time, for nodes with `use_sim_time`.")

DEPTH_POSES = (DEPTH_CAMERA_POSE, DEPTH_BODY_POSE)
FROM_TF = (TF, TF_STATIC)
TO_TF = (TF_TOLD, TF_STATIC_TOLD)
TO_AUTOPILOT = (MAVROS_OBSTACLE, COMPANION_STATUS, PX4_OBSTACLE_DISTANCE)
_DEPTH_TOPICS = (DEPTH, DEPTH_CAMERA_INFO, DEVIATION, DEPTH_RGB, *DEPTH_POSES)
_TO_LOOK_AT = (DEPTH_COLOURED, DEPTH_COLOURED_COMPRESSED, DEVIATION_COLOURED, DEVIATION_COLOURED_COMPRESSED, PATH)
NODES = {
    'depth_node': NodeTopics(
        (IMAGE, COMPRESSED, CAMERA_INFO, ODOM, *FROM_TF),
        (*_DEPTH_TOPICS, ORIGIN, MOVING, CONTOURS, *_TO_LOOK_AT, *TO_TF, DIAGNOSTICS),
    ),
    'cloud_node': NodeTopics((*_DEPTH_TOPICS, ODOM, *FROM_TF), (POINTS, DIAGNOSTICS)),
    'obstacle_node': NodeTopics(
        (*_DEPTH_TOPICS[:3], *DEPTH_POSES, ODOM, *FROM_TF),
        (OBSTACLES, DETECTIONS, OBSTACLE_ODOMETRY, OBSTACLE_DISTANCE, *TO_AUTOPILOT, TF_TOLD, DIAGNOSTICS),
    ),
    'replay_node': NodeTopics((), (IMAGE, COMPRESSED, CAMERA_INFO, ODOM, CLOCK, DIAGNOSTICS)),
}
