"""`depthnet view --live`: what the running nodes publish reaches the viewer, whole."""

import threading

import numpy as np
import pytest
from drone import HEIGHT, STEP, WIDTH
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from ros_depthnet.core.obstacle_tracks import ObstacleTracks
from ros_depthnet.core.obstacles import Box
from ros_depthnet.flight.messages.image import to_depth
from ros_depthnet.flight.messages.stamp import to_ns
from ros_depthnet.ros.conversions.markers import from_obstacles, to_boxes
from ros_depthnet.ros.live_view import show_live


class Seen:
    """Keeps what a viewer is given."""

    def __init__(self):
        self.moments, self.obstacles = [], []

    def show(self, *moment):
        self.moments.append(moment)

    def show_obstacles(self, stamp_ns, boxes):
        self.obstacles.append(boxes)


def standing(boxes):
    return ObstacleTracks().update(0, boxes, np.zeros(3))


def test_depth_comes_with_its_image_deviation_and_pose(drone):
    box = Box(np.array([4.0, 1.0, 0.0]), np.array([1.0, 2.0, 3.0]), 3.5, 40)
    seen, drawn = Seen(), from_obstacles(standing([box]), Header(), set())
    foreign = MarkerArray(markers=[Marker(ns='planner', type=Marker.SPHERE)])
    markers = drone.bench.publisher(MarkerArray, 'obstacles')
    drone.start()
    listening = threading.Thread(target=show_live, args=(seen, '', 5.0, lambda text: None))
    listening.start()
    for _ in range(60):
        drone.frame()
        markers.publish(foreign)
        markers.publish(drawn)
        drone.bench.spin(0.1)
        if len(seen.moments) >= 2 and seen.obstacles:
            break
    listening.join()
    stamp_ns, camera, T_odom_cam, image, depth_hw, deviation_hw = seen.moments[-1]
    assert depth_hw.shape == deviation_hw.shape == image.shape[:2] == (camera.height, camera.width) == (HEIGHT, WIDTH)
    (sent,) = (message for message in drone.depths if to_ns(message.header.stamp) == stamp_ns)
    np.testing.assert_array_equal(depth_hw, to_depth(sent))
    assert T_odom_cam[1, 3] == pytest.approx((stamp_ns - 10**9) / 10**8 * STEP, abs=1e-3)
    assert {tuple(box.distance for box in boxes) for boxes in seen.obstacles} == {(3.5,)}


def test_no_depth_is_a_sentence(bench):
    with pytest.raises(ValueError, match='No depth came on /uav7/depth/image: start the nodes, or ask'):
        show_live(Seen(), 'uav7', 0.5, lambda text: None)


def test_boxes_are_read_back_as_they_were_drawn():
    boxes = [Box(np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.5, 2.0]), 2.2, 0), Box(np.zeros(3), np.ones(3), 7.1, 0)]
    found = to_boxes(from_obstacles(standing(boxes), Header(), {('boxes', 9)}))
    assert [(*box.centre, *box.size, box.distance) for box in found] == [
        (*box.centre, *box.size, box.distance) for box in boxes
    ]


@pytest.mark.parametrize(
    'foreign',
    [
        [Marker(ns='boxes', id=5, type=Marker.CUBE)],  # of which nobody says how far it is
        [Marker(ns='boxes', id=5, type=Marker.CUBE), Marker(ns='distances', id=5, text='')],
        [Marker(ns='boxes', id=5, type=Marker.CUBE), Marker(ns='distances', id=5, text='far away')],
        [Marker(ns='boxes', id=5, type=Marker.LINE_LIST), Marker(ns='distances', id=5, text='3.0 m')],
        [Marker(ns='planner', id=0, type=Marker.CUBE), Marker(action=Marker.DELETEALL)],
    ],
)
def test_what_others_draw_is_left_out(foreign):
    ours = from_obstacles(standing([Box(np.zeros(3), np.ones(3), 7.1, 0)]), Header(), set())
    found = to_boxes(MarkerArray(markers=[*foreign, *ours.markers, *foreign]))
    assert [box.distance for box in found] == [7.1]
