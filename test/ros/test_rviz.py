"""rviz/uav.rviz shows what the nodes publish."""

import yaml

from ros_depthnet.resources import share_path
from ros_depthnet.ros.topics import NODES


def displays():
    config = yaml.safe_load(share_path('rviz', 'uav.rviz').read_text())
    return config['Visualization Manager']['Displays']


def test_every_topic_is_one_of_ours_and_of_the_displays_type():
    types = {
        topic.name: topic.type.rsplit('/', 1)[1]
        for topics in NODES.values()
        for topic in (*topics.subscribes, *topics.publishes)
    }
    shown = {
        display['Topic']['Value']: display['Class'].rsplit('/', 1)[1] for display in displays() if 'Topic' in display
    }
    assert {topic: types[topic] for topic in shown} == shown


def test_image_depth_deviation_cloud_obstacles_drone_and_way_are_shown():
    shown = {display['Topic']['Value'] for display in displays() if display.get('Enabled') and 'Topic' in display}
    assert shown == {
        'image_raw',
        'depth/coloured',
        'depth/deviation_coloured',
        'points',
        'obstacles',
        'path',
        'depth/body_pose',
    }


def test_no_display_wants_a_frame_of_its_own():
    """So that `-f FRAME` is all that another odometry's frame takes."""
    frames = {key: value for display in displays() for key, value in display.items() if 'Frame' in key}
    assert set(frames.values()) <= {'<Fixed Frame>'}
