"""What a graph tells by itself: which topics play which part, and how a depth node is set."""

import pytest
from drone import Drone
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ros_depthnet.ros.depth_node import DepthNode
from ros_depthnet.ros.graph import Source, depth_nodes, find_sources, mismatches, parameters_of, rivals
from ros_depthnet.ros.topics import CAMERA_INFO, IMAGE, ODOM


@pytest.fixture
def find(bench):
    """Return a function that publishes topics of some types, and returns which are chosen and what is complained of."""

    def found(published, wanted=None, taker=None, namespace=''):
        for name, kind in published:
            bench.publisher(kind, name)
        bench.spin(0.3)
        sources, complaints = find_sources(bench.peer, wanted or {}, taker, False, namespace)
        names = {part.name: source.name for part, source in sources.items()}
        return names, ' '.join(complaint.sentence for complaint in complaints)

    return found


CAMERA = [('/left/image_raw', Image), ('/left/camera_info', CameraInfo)]
POSES = [('/fcu/odom', Odometry)]


def test_each_part_is_played_by_the_only_topic_of_its_best_type(find):
    names, said = find([*CAMERA, *POSES, ('/left/image_raw/compressed', CompressedImage), ('/fcu/pose', PoseStamped)])
    assert names == {'image_raw': '/left/image_raw', 'camera_info': '/left/camera_info', 'odom': '/fcu/odom'}
    assert not said


def test_poses_of_another_type_and_compressed_images_will_do(find):
    names, said = find([('/cam/compressed', CompressedImage), CAMERA[1], ('/slam/pose', PoseStamped)])
    assert (names['image_raw'], names['odom']) == ('/cam/compressed', '/slam/pose') and not said


def test_two_cameras_are_a_question_which_the_user_or_the_namespace_answers(find):
    right = [('/right/image_raw', Image), ('/right/camera_info', CameraInfo)]
    names, said = find([*CAMERA, *right, *POSES])
    assert 'image_raw' not in names
    assert 'sensor_msgs/msg/Image (/left/image_raw, /right/image_raw): name one with --image.' in said
    names, said = find([], {IMAGE: '/right/image_raw', CAMERA_INFO: '/right/camera_info'})
    assert names['image_raw'] == '/right/image_raw' and not said
    assert find([], {ODOM: '/fcu/odom'}, namespace='/left')[0]['camera_info'] == '/left/camera_info'


def test_what_depth_node_takes_is_what_is_meant_and_what_it_gives_is_no_input(bench, find, model):
    bench.collect(Image, 'depth/image')
    Drone(bench, model).start()
    names, said = find([*CAMERA, *POSES], taker='/depth_node')
    assert names == {'image_raw': '/image_raw', 'camera_info': '/camera_info', 'odom': '/odom'} and not said


def test_two_that_publish_odometry_on_one_topic_are_named(bench):
    for _ in range(2):
        bench.publisher(Odometry, 'two/odom')
    bench.until(lambda: bench.peer.count_publishers('two/odom') == 2)
    (complaint,) = rivals(bench.peer, {ODOM: Source(ODOM, '/two/odom', ODOM.type)})
    assert 'More than one publisher sends odometry on /two/odom (/peer)' in complaint.sentence


def test_a_topic_that_nobody_publishes_is_named_with_those_that_would_do(find):
    names, said = find([*CAMERA, *POSES], {IMAGE: '/image_raw'})
    assert names['image_raw'] == '/left/image_raw'  # so that the rest can be looked at
    assert 'Nobody publishes /image_raw' in said and 'launch argument image:=/left/image_raw' in said


def test_the_parameters_of_a_running_node_are_read(bench, model):
    bench.start(DepthNode, model=str(model), camera_xyz=[1.0, 2.0, 3.0], pose_delay=0.5)
    bench.spin(0.3)
    (name,) = depth_nodes(bench.peer, '')
    told = parameters_of(
        bench.peer,
        name,
        ['camera_xyz', 'pose_delay', 'no_such'],
        lambda condition, seconds: bench.until(condition, seconds) or True,
    )
    assert (list(told['camera_xyz']), told['pose_delay']) == ([1, 2, 3], 0.5)
    assert 'no_such' not in told
    assert depth_nodes(bench.peer, '/uav') == []


def test_one_subscription_that_hears_is_enough(bench):
    kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    bench.publisher(CameraInfo, 'info')
    bench.collect(CameraInfo, 'info', kept)
    bench.spin(0.3)
    (complaint,) = mismatches(bench.peer, ['/info'])
    assert 'peer hears nothing of peer on /info' in complaint.sentence
    assert 'volatile publisher and transient local subscription' in complaint.sentence
    bench.collect(CameraInfo, 'info')
    bench.spin(0.3)
    assert mismatches(bench.peer, ['/info']) == []
