"""Poses out of tf, with messages as plain objects: which frames, which times, and what is between."""

from types import SimpleNamespace as Message

import cv2
import numpy as np
import pytest

from ros_depthnet.core import motion
from ros_depthnet.core.motion import InvalidPose
from ros_depthnet.flight.transforms import TransformPoses

MS = 1_000_000


def turned(yaw, xyz):
    return motion.pose(cv2.Rodrigues(np.array([0.0, 0, yaw]))[0], xyz)


def transforms(ms, **placed):
    """Return a message of tf: T_parent_child, (4, 4), by parent__child, all at one time."""
    return Message(transforms=[_transform(ms, *names.split('__'), T) for names, T in placed.items()])


def _transform(ms, parent, child, T):
    x, y, z = T[:3, 3]
    rotation = dict(zip('xyzw', motion.quaternion(T)))
    return Message(
        header=Message(stamp=Message(sec=0, nanosec=ms * MS), frame_id=parent),
        child_frame_id=child,
        transform=Message(translation=Message(x=x, y=y, z=z), rotation=Message(**rotation)),
    )


def map_odom(ms):
    return turned(0.2 + ms / 1000, (1, 2, ms / 500))


def odom_foot(ms):
    return turned(ms / 300, (ms / 100, 0, 0))


FOOT_BASE = turned(0.1, (0, 0, 0.3))


def chain(world_frame, body_frame='base_link'):
    poses = TransformPoses(world_frame, body_frame)
    assert poses.read_static(transforms(0, foot__base_link=FOOT_BASE)) == []
    return poses


def test_a_body_on_a_moving_frame_has_a_pose_at_each_of_its_stamps():
    poses = chain('odom')
    for ms in (0, 20, 40):
        (pose,) = poses.read(transforms(ms, odom__foot=odom_foot(ms)))
        assert (pose.stamp_ns, pose.world_frame, pose.body_frame) == (ms * MS, 'odom', 'base_link')
        np.testing.assert_allclose(pose.T_world_body, odom_foot(ms) @ FOOT_BASE, atol=1e-9)


def test_where_two_transforms_move_there_is_a_pose_for_each_newest_time_that_both_are_known_of():
    poses, found = chain('map'), []
    for ms in range(0, 400, 10):
        if ms % 100 == 30:
            found += poses.read(transforms(ms, map__odom=map_odom(ms)))
        if ms % 20 == 0:
            found += poses.read(transforms(ms, odom__foot=odom_foot(ms)))
    assert [pose.stamp_ns for pose in found] == [ms * MS for ms in (120, 130, 220, 230, 320, 330)]
    for pose in found:
        ms = pose.stamp_ns / MS
        np.testing.assert_allclose(pose.T_world_body, map_odom(ms) @ odom_foot(ms) @ FOOT_BASE, atol=1e-9)


def test_without_a_world_it_is_odom_where_that_is_above_the_body_else_what_is_on_top():
    both = transforms(0, map__odom=map_odom(0), odom__foot=odom_foot(0))
    assert chain('').read(both)[0].world_frame == 'odom'
    assert chain('').read(transforms(0, local__foot=odom_foot(0)))[0].world_frame == 'local'


def test_leading_slashes_of_frames_do_not_count():
    (pose,) = chain('/odom', '/base_link').read(transforms(0, **{'/odom__/foot': odom_foot(0)}))
    assert (pose.world_frame, pose.body_frame) == ('odom', 'base_link')


@pytest.mark.parametrize(
    'placed',
    [
        {'map__cart': np.eye(4)},  # another tree
        {'base_link__gimbal': np.eye(4)},  # below the body
        {'base_link__foot': np.eye(4), 'foot__odom': np.eye(4)},  # a circle
    ],
)
def test_frames_that_do_not_hang_together_give_no_pose_and_are_named(placed):
    poses = chain('odom')
    assert poses.read(transforms(0, **placed)) == []
    assert "from 'base_link' to 'odom'" in poses.missing
    assert all(name in poses.missing for names in placed for name in names.split('__'))


def test_time_that_runs_back_begins_anew():
    poses = chain('odom')
    for ms in (900, 920, 20, 40):
        (pose,) = poses.read(transforms(ms, odom__foot=odom_foot(ms)))
        assert pose.stamp_ns == ms * MS


def test_what_is_no_rotation_is_refused_on_the_way_to_the_body_and_nowhere_else():
    def broken(names):
        message = transforms(0, **{'odom__foot': np.eye(4), names: np.eye(4)})
        message.transforms[-1].transform.rotation.w = float('nan')
        return message

    with pytest.raises(InvalidPose):
        chain('odom').read(broken('odom__foot'))
    assert len(chain('odom').read(broken('odom__cart'))) == 1
