"""Bags, whole and damaged: what there is to be had of them, and a sentence for what is not."""

import json
import sqlite3

import cv2
import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from ros_depthnet.cli.main import main
from ros_depthnet.flight.bag import Bag, RecordingError
from ros_depthnet.flight.intake import IntakeOptions
from ros_depthnet.flight.recorded import recorded_frames
from ros_depthnet.flight.topics import IMAGE, ODOM

FRAMES = 8
TYPES = get_typestore(Stores.LATEST)
PX4 = """
uint64 timestamp
uint64 timestamp_sample
uint8 pose_frame
float32[3] position
float32[4] q
float32[3] velocity
"""


def make(kind, types=TYPES, **fields):
    return types.types[kind.replace('/', '/msg/')](**fields)


def header(ms, frame_id):
    return make(
        'std_msgs/Header',
        stamp=make('builtin_interfaces/Time', sec=ms // 1000, nanosec=ms % 1000 * 10**6),
        frame_id=frame_id,
    )


def image(ms, scale=1):
    pixels = np.random.default_rng(ms).integers(0, 255, 12 * 16 * 3 * scale**2, np.uint8)
    return make(
        'sensor_msgs/Image',
        header=header(ms, 'optical'),
        height=12 * scale,
        width=16 * scale,
        encoding='rgb8',
        is_bigendian=0,
        step=48 * scale,
        data=pixels,
    )


def camera_info(ms, scale=1):
    roi = make('sensor_msgs/RegionOfInterest', x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    K = np.array([10.0, 0, 7.5, 0, 10, 5.5, 0, 0, 1])
    return make(
        'sensor_msgs/CameraInfo',
        header=header(ms, 'optical'),
        height=12 * scale,
        width=16 * scale,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=K,
        r=np.eye(3).ravel(),
        p=np.insert(K, [3, 6, 9], 0),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def pose(ms):
    return make(
        'geometry_msgs/Pose',
        position=make('geometry_msgs/Point', x=ms / 1000, y=0.0, z=0.0),
        orientation=make('geometry_msgs/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0),
    )


def odometry(ms):
    zero = make('geometry_msgs/Vector3', x=0.0, y=0.0, z=0.0)
    return make(
        'nav_msgs/Odometry',
        header=header(ms, 'odom'),
        child_frame_id='base_link',
        pose=make('geometry_msgs/PoseWithCovariance', pose=pose(ms), covariance=np.zeros(36)),
        twist=make(
            'geometry_msgs/TwistWithCovariance',
            covariance=np.zeros(36),
            twist=make('geometry_msgs/Twist', linear=zero, angular=zero),
        ),
    )


def messages(poses=True, scale=1):
    for ms in range(0, 100 * FRAMES + 20, 20):
        if poses:
            yield ms, '/odom', 'nav_msgs/Odometry', odometry(ms)
        if ms % 100 == 0 and ms < 100 * FRAMES:
            yield ms, '/camera/camera_info', 'sensor_msgs/CameraInfo', camera_info(ms, scale)
            yield ms, '/camera/image_raw', 'sensor_msgs/Image', image(ms, scale)


def write(path, events, storage=StoragePlugin.SQLITE3, types=TYPES):
    with Writer(path, version=8, storage_plugin=storage) as writer:
        connections = {}
        for ms, topic, kind, message in events:
            name = kind.replace('/', '/msg/')
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, name, typestore=types)
            writer.write(connections[topic], ms * 10**6 + 1, types.serialize_cdr(message, name))
    return path


def read(path):
    said = []
    frames = [recorded.frame for recorded in recorded_frames(path, lambda refusal: said.append(refusal.sentence))]
    return frames, said


def end_of_messages(path):
    """Return where an MCAP's messages end."""
    data, place = path.read_bytes(), 8
    while data[place] != 0x0F:  # the record "data end"
        place += 9 + int.from_bytes(data[place + 1 : place + 9], 'little')
    return place


@pytest.mark.parametrize('storage', [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_a_whole_bag_gives_every_frame_with_its_pose(tmp_path, storage):
    frames, said = read(write(tmp_path / 'bag', messages(), storage))
    assert not said
    assert [frame.stamp_ns for frame in frames] == [k * 10**8 for k in range(FRAMES)]
    np.testing.assert_allclose([frame.T_world_cam[0, 3] for frame in frames], np.arange(FRAMES) / 10, atol=1e-9)


@pytest.mark.parametrize('storage', [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_without_metadata_it_gives_the_same_and_says_so(tmp_path, storage):
    path = write(tmp_path / 'bag', messages(), storage)
    (path / 'metadata.yaml').unlink()
    frames, said = read(path)
    assert len(frames) == FRAMES
    assert 'not closed properly' in said[0]


@pytest.mark.parametrize('storage', [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_an_index_that_has_no_text_for_a_topic_is_not_believed(tmp_path, storage):
    path = write(tmp_path / 'bag', messages(), storage)
    index = path / 'metadata.yaml'
    index.write_text(index.read_text().replace('name: /odom', 'name: null'))
    frames, said = read(path)
    assert len(frames) == FRAMES
    assert 'not closed properly (its index has None for a name)' in said[0]


def test_rows_of_a_cut_database_that_make_no_sense_cost_themselves_alone(tmp_path):
    path = write(tmp_path / 'bag', messages())
    (path / 'metadata.yaml').unlink()
    with sqlite3.connect(path / 'bag.db3') as connection:
        connection.execute('DROP TABLE schema')
        connection.execute("INSERT INTO topics SELECT id + 10, x'ff', type, serialization_format, '', '' FROM topics")
        connection.execute('INSERT INTO messages SELECT id + 999, topic_id + 10, timestamp, data FROM messages')
        connection.execute("INSERT INTO messages SELECT id + 9999, topic_id, 'noon', data FROM messages LIMIT 3")
    frames, said = read(path)
    assert len(frames) == FRAMES
    assert 'not closed properly' in said[0]


@pytest.mark.parametrize('share, counts', [(1.0, {FRAMES}), (0.6, {2, 3, 4, 5})])
def test_an_mcap_of_a_recorder_that_lost_power_is_read_up_to_where_it_ends(tmp_path, share, counts):
    path = write(tmp_path / 'bag', messages(scale=25), StoragePlugin.MCAP)  # several chunks
    file = next(path.glob('*.mcap'))
    file.write_bytes(file.read_bytes()[: int(share * end_of_messages(file))])
    frames, said = read(path)
    assert len(frames) in counts
    assert [frame.stamp_ns for frame in frames] == [k * 10**8 for k in range(len(frames))]
    assert 'not closed properly' in said[0]


@pytest.mark.parametrize(
    'name, content, words',
    [
        ('empty', None, 'is no flight'),
        ('text.mcap', b'no bag at all', 'cannot be read'),
        ('text.db3', b'no bag at all', 'cannot be read'),
        ('text.txt', b'no bag at all', 'is no flight'),
        ('nothing', False, 'no recording'),
    ],
)
def test_what_is_no_bag_is_refused_in_a_sentence(tmp_path, name, content, words):
    path = tmp_path / name
    if content is None:
        path.mkdir()
    elif content:
        path.write_bytes(content)
    with pytest.raises(RecordingError, match=words):
        read(path)


def test_a_damaged_message_costs_itself_alone(tmp_path):
    path = write(tmp_path / 'bag', messages())
    file = next(path.glob('*.db3'))
    with sqlite3.connect(file) as connection:
        rows = connection.execute(
            'SELECT messages.id FROM messages JOIN topics ON topic_id = topics.id '
            "WHERE name = '/camera/image_raw' ORDER BY timestamp"
        ).fetchall()
        connection.execute('UPDATE messages SET data = substr(data, 1, 40) WHERE id = ?', rows[3])
    frames, said = read(path)
    assert [frame.stamp_ns for frame in frames] == [k * 10**8 for k in range(FRAMES) if k != 3]
    assert 'damaged message on /camera/image_raw' in said[0]


@pytest.mark.parametrize('data', [b'', b'\xff\xd8 no picture'], ids=['empty', 'undecodable'])
def test_a_damaged_image_costs_itself_alone(tmp_path, data):
    events = list(messages())
    place = next(k for k, (ms, _, kind, _) in enumerate(events) if ms == 300 and kind == 'sensor_msgs/Image')
    good = cv2.imencode('.png', np.zeros((12, 16, 3), np.uint8))[1]
    for k, (ms, _, kind, message) in enumerate(events):
        if kind == 'sensor_msgs/Image':
            picture = np.frombuffer(data, np.uint8) if k == place else good.ravel()
            compressed = make('sensor_msgs/CompressedImage', header=message.header, format='png', data=picture)
            events[k] = ms, '/camera/image_raw/compressed', 'sensor_msgs/CompressedImage', compressed
    frames, said = read(write(tmp_path / 'bag', events))
    assert [frame.stamp_ns for frame in frames] == [k * 10**8 for k in range(FRAMES) if k != 3]
    assert len(said) == 1 and 'cannot be decoded' in said[0]


def test_a_bag_damaged_in_the_middle_is_read_up_to_there_and_what_is_lost_is_said(tmp_path):
    path = write(tmp_path / 'bag', messages(scale=16))
    (file,) = path.glob('*.db3')
    data = bytearray(file.read_bytes())
    page = len(data) // 4096 * 2 // 3 * 4096
    data[page : page + 8 * 4096] = bytes(8 * 4096)
    whole, _ = read(path)
    file.write_bytes(data)
    frames, said = read(path)
    assert 2 <= len(frames) < len(whole) == FRAMES
    assert any('is damaged' in sentence and 'is lost' in sentence for sentence in said)


def test_topics_that_are_missing_or_not_clear_are_named(tmp_path):
    without = write(tmp_path / 'without', messages(poses=False))
    with pytest.raises(RecordingError, match='nav_msgs/msg/Odometry or .*depth from motion needs'):
        read(without)
    several = [
        *messages(),
        (0, '/left/image', 'sensor_msgs/Image', image(0)),
        (0, '/right/image', 'sensor_msgs/Image', image(0)),
    ]
    assert Bag(write(tmp_path / 'usual', several)).name(IMAGE) == '/camera/image_raw'
    unclear = [event for event in several if event[1] != '/camera/image_raw']
    with pytest.raises(RecordingError, match='set image_topic to one of /left/image, /right/image'):
        Bag(write(tmp_path / 'unclear', unclear))
    assert Bag(tmp_path / 'unclear', wanted={IMAGE: '/right/image'}).name(IMAGE) == '/right/image'
    with pytest.raises(RecordingError, match='no sensor_msgs/msg/Image on /up'):
        Bag(tmp_path / 'unclear', wanted={IMAGE: '/up'})


def test_poses_come_from_whatever_message_tells_them(tmp_path):
    stamped = [
        (
            ms,
            '/pose',
            'geometry_msgs/PoseStamped',
            make('geometry_msgs/PoseStamped', header=header(ms, 'map'), pose=pose(ms)),
        )
        for ms in range(0, 820, 20)
    ]
    frames, _ = read(write(tmp_path / 'bag', sorted([*messages(poses=False), *stamped], key=lambda each: each[0])))
    np.testing.assert_allclose([frame.T_world_cam[0, 3] for frame in frames], np.arange(FRAMES) / 10, atol=1e-9)


def test_px4s_odometry_is_understood_by_the_definition_in_the_bag(tmp_path):
    types = get_typestore(Stores.LATEST)
    types.register(get_types_from_msg(PX4, 'px4_msgs/msg/VehicleOdometry'))
    north = [
        (
            ms,
            '/fmu/out/vehicle_odometry',
            'px4_msgs/VehicleOdometry',
            make(
                'px4_msgs/VehicleOdometry',
                types,
                timestamp=ms * 1000,
                timestamp_sample=ms * 1000,
                pose_frame=1,
                position=np.array([ms / 1000, 0, -2], np.float32),
                q=np.array([1, 0, 0, 0], np.float32),
                velocity=np.array([1, 0, 0], np.float32),
            ),
        )
        for ms in range(0, 820, 20)
    ]
    events = sorted([*messages(poses=False), *north], key=lambda each: each[0])
    path = write(tmp_path / 'bag', events, types=types)
    assert Bag(path).type(ODOM) == 'px4_msgs/msg/VehicleOdometry'
    frames, _ = read(path)
    # Flying north at 2 m height, looking north: y of ENU, and x of the image is east.
    np.testing.assert_allclose(
        [frame.T_world_cam[:3, 3] for frame in frames], [[0, k / 10, 2] for k in range(FRAMES)], atol=1e-6
    )
    np.testing.assert_allclose(frames[0].T_world_cam[:3, :3], [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-6)


def test_the_doctor_tells_a_flight_without_motion_from_one_that_is_well(tmp_path, capsys):
    still = [(ms, topic, kind, odometry(0) if topic == '/odom' else message) for ms, topic, kind, message in messages()]
    for ms, _, kind, message in still:
        if kind == 'nav_msgs/Odometry':
            message.header = header(ms, 'odom')
    assert main(['doctor', str(write(tmp_path / 'still', still))]) == 2
    assert 'depth from motion needs motion' in capsys.readouterr().out
    fix = tmp_path / 'fix.yaml'
    assert main(['doctor', str(write(tmp_path / 'bag', messages())), '--write', str(fix)]) == 0
    said = capsys.readouterr().out
    assert '/odom' in said and "where 'optical' sits on 'base_link'" in said and 'Healthy' in said
    assert not fix.exists()


def test_parameters_from_a_file_say_how_a_bag_is_to_be_read(tmp_path):
    path, file = write(tmp_path / 'bag', messages()), tmp_path / 'fix.yaml'
    file.write_text(yaml.safe_dump({'/**': {'ros__parameters': {'pose_delay': 0.1, 'pose_gap': 7.0}}}))
    import argparse

    from ros_depthnet.cli.flight_options import add_flight_arguments, intake_options

    parser = argparse.ArgumentParser()
    add_flight_arguments(parser)
    options = intake_options(parser.parse_args(['--params', str(file), '--camera-rpy', '0', '0', '0']))
    assert (options.pose_delay, options.pose_gap, options.camera_rpy) == (0.1, 7.0, (0, 0, 0))
    first = next(iter(recorded_frames(path, lambda refusal: None, options))).frame
    assert first.T_world_cam[0, 3] == pytest.approx(0.1)
    file.write_text(json.dumps(['nonsense']))
    with pytest.raises(ValueError, match='no parameter file'):
        intake_options(parser.parse_args(['--params', str(file)]))


def tf(ms, *placed):
    """Return tf that places each child `x` metres ahead in its parent."""
    return make(
        'tf2_msgs/TFMessage',
        transforms=[
            make(
                'geometry_msgs/TransformStamped',
                header=header(ms, parent),
                child_frame_id=child,
                transform=make(
                    'geometry_msgs/Transform',
                    translation=make('geometry_msgs/Vector3', x=x, y=0.0, z=0.0),
                    rotation=make('geometry_msgs/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0),
                ),
            )
            for parent, child, x in placed
        ],
    )


def with_tf(poses):
    """Return a flight whose tf moves twice as fast in the map as odometry says, on a footprint 0.5 m behind."""
    moving = [(ms, '/tf', 'tf2_msgs/TFMessage', tf(ms, ('map', 'foot', ms / 500))) for ms in range(0, 820, 20)]
    fixed = [(0, '/tf_static', 'tf2_msgs/TFMessage', tf(0, ('foot', 'base_link', 0.5)))]
    return fixed + sorted([*messages(poses), *moving], key=lambda each: each[0])


def test_tf_tells_the_poses_where_nothing_else_does_and_where_it_is_asked_for(tmp_path):
    alone, beside = (write(tmp_path / str(poses), with_tf(poses)) for poses in (False, True))
    ahead = [[2 * k / 10 + 0.5 for k in range(FRAMES)], [k / 10 for k in range(FRAMES)]]
    for path, world_frame, expected in ((alone, '', ahead[0]), (beside, '', ahead[1]), (beside, 'map', ahead[0])):
        options = IntakeOptions(world_frame=world_frame)
        frames = [each.frame for each in recorded_frames(path, lambda refusal: None, options)]
        np.testing.assert_allclose([frame.T_world_cam[0, 3] for frame in frames], expected, atol=1e-9)


def test_tf_that_does_not_lead_to_the_body_is_named(tmp_path, capsys):
    path = write(tmp_path / 'bag', with_tf(False))
    file = tmp_path / 'params.yaml'
    file.write_text(yaml.safe_dump({'/**': {'ros__parameters': {'world_frame': 'earth'}}}))
    assert main(['doctor', str(path), '--params', str(file)]) == 2
    assert "tf does not lead from 'base_link' to 'earth'; it knows base_link, foot, map" in capsys.readouterr().out
