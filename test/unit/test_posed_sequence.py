"""The posed-sequence format: what is read, what is written, and what is refused with a sentence."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.core.reasons import Drop
from ros_depthnet.flight.posed_sequence import (
    NewFrame,
    PosedSequence,
    SequenceError,
    write_posed_sequence,
)
from ros_depthnet.flight.recorded import recorded_frames

CAMERA = Camera(width=8, height=6, fx=7.0, fy=7.5, cx=3.5, cy=2.5)
ABOUT = {'name': 'tiny', 'source': 'made here', 'licence': 'Apache-2.0', 'kind': 'noise', 'max_depth': 10.0}


def turned(angle, x):
    T_world_cam = np.eye(4)
    T_world_cam[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    T_world_cam[0, 3] = x
    return T_world_cam


def new_frames(count=2):
    rng = np.random.default_rng(0)
    for i in range(count):
        image = rng.integers(0, 255, (6, 8, 3), np.uint8)
        depth = rng.uniform(1, 9, (6, 8)).astype(np.float32)
        frame = Frame(100_000_000 * i, image, CAMERA, turned(0.1 * i, 0.2 * i))
        yield NewFrame(frame, depth if i == 1 else None)


def written(folder, **changes):
    return write_posed_sequence(folder, new_frames(), [(1, 0)], **{**ABOUT, **changes})


def test_what_was_written_is_read_back(tmp_path):
    sequence = PosedSequence.load(written(tmp_path))
    expected = list(new_frames())
    assert (sequence.name, sequence.kind, sequence.max_depth) == ('tiny', 'noise', 10.0)
    assert sequence.metric
    assert sequence.camera == CAMERA
    assert sequence.pairs == ((1, 0),)
    assert sequence.with_truth == (1,)
    for i, new in enumerate(expected):
        frame = sequence.frame(i)
        assert frame.stamp_ns == new.frame.stamp_ns
        np.testing.assert_array_equal(frame.image, new.frame.image)
        np.testing.assert_allclose(frame.T_world_cam, new.frame.T_world_cam)
    np.testing.assert_allclose(sequence.depth(1), expected[1].depth_hw, atol=0.0006)


def test_what_moves_is_read_back_where_it_is_known(tmp_path):
    first, second = new_frames()
    moving_hw = np.eye(6, 8, dtype=bool)
    folder = write_posed_sequence(tmp_path, [first, replace(second, moving_hw=moving_hw)], [], **ABOUT)
    sequence = PosedSequence.load(folder)
    assert sequence.moving(0) is None
    np.testing.assert_array_equal(sequence.moving(1), moving_hw)


def test_images_may_be_jpeg(tmp_path):
    sequence = PosedSequence.load(written(tmp_path, jpeg_quality=95))
    assert sequence.frames[0].image_path.suffix == '.jpg'
    assert sequence.image(0).shape == (6, 8, 3)


def test_colours_are_in_rgb_order(tmp_path):
    folder = written(tmp_path)
    blue_in_opencv_order = np.full((6, 8, 3), (255, 0, 0), np.uint8)
    cv2.imwrite(str(folder / 'images/00000.png'), blue_in_opencv_order)
    assert PosedSequence.load(folder).image(0)[0, 0].tolist() == [0, 0, 255]


def test_grey_images_become_three_equal_channels(tmp_path):
    folder = written(tmp_path)
    cv2.imwrite(str(folder / 'images/00000.png'), np.full((6, 8), 77, np.uint8))
    assert np.unique(PosedSequence.load(folder).image(0)).tolist() == [77]


def test_zero_units_are_unknown_depth(tmp_path):
    folder = written(tmp_path)
    units = np.full((6, 8), 2500, np.uint16)
    units[0, 0] = 0
    cv2.imwrite(str(folder / 'depth/00001.png'), units)
    depth = PosedSequence.load(folder).depth(1)
    assert np.isnan(depth[0, 0])
    assert depth[3, 3] == pytest.approx(2.5)


def test_depth_that_does_not_fit_is_written_as_unknown(tmp_path):
    depth = np.full((6, 8), 3.0, np.float32)
    depth[0, :4] = [np.inf, np.nan, -1.0, 66.0]
    frame = next(iter(new_frames())).frame
    folder = write_posed_sequence(tmp_path, [NewFrame(frame, depth)], [], **ABOUT)
    units = cv2.imread(str(folder / 'depth/00000.png'), cv2.IMREAD_UNCHANGED)
    assert units[0, :5].tolist() == [0, 0, 0, 0, 3000]


def test_writing_frames_of_two_cameras_is_refused(tmp_path):
    first, second = new_frames()
    image = second.frame.image
    other = Frame(1, image, Camera(8, 6, 9.0, 9.0, 3.5, 2.5), np.eye(4))
    with pytest.raises(SequenceError, match='another camera'):
        write_posed_sequence(tmp_path, [first, NewFrame(other)], [], **ABOUT)


def edit(folder, change):
    index = folder / 'sequence.json'
    content = json.loads(index.read_text())
    change(content)
    index.write_text(json.dumps(content))


@pytest.mark.parametrize(
    'change, complaint',
    [
        (lambda c: c.pop('camera'), '"camera"'),
        (lambda c: c['camera'].update(fx=0), '"camera.fx"'),
        (lambda c: c['camera'].update(cx='left'), '"camera.cx"'),
        (lambda c: c.update(depth_scale=-1), '"depth_scale"'),
        (lambda c: c.update(frames=[]), 'no frames'),
        (lambda c: c.update(frames=['a']), 'entry 0 of "frames"'),
        (lambda c: c['frames'][1].update(depth='depth/none.png'), 'none.png'),
        (lambda c: c['frames'][0].update(stamp=float('nan')), r'frames\[0\].stamp'),
        (lambda c: c['frames'][1].pop('T_world_cam'), r'frames\[1\].T_world_cam'),
        (lambda c: c['frames'][1].update(T_world_cam=[[float('nan')] * 4] * 4), r'frames\[1\].T_world_cam'),
        (lambda c: c['frames'][1].update(T_world_cam=np.diag([2, 2, 2, 1]).tolist()), r'frames\[1\].T_world_cam'),
        (lambda c: c.update(pairs=[[1, 7]]), r'\[1, 7\]'),
        (lambda c: c.update(pairs=[[0, 1]]), 'reference has no depth'),
    ],
)
def test_a_faulty_index_is_refused_in_one_sentence_that_names_the_fault(tmp_path, change, complaint):
    folder = written(tmp_path)
    edit(folder, change)
    with pytest.raises(SequenceError, match=complaint) as caught:
        PosedSequence.load(folder)
    assert str(folder) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(SequenceError, match='sequence.json'):
        PosedSequence.load(tmp_path)


def test_a_damaged_index_is_refused(tmp_path):
    (written(tmp_path) / 'sequence.json').write_text('{"name": ')
    with pytest.raises(SequenceError, match='is not valid JSON'):
        PosedSequence.load(tmp_path)


@pytest.mark.parametrize(
    'spoil, words',
    [
        (lambda path: path.write_bytes(path.read_bytes()[:40]), 'cannot be read'),
        (lambda path: path.write_bytes(b''), 'cannot be read'),
        (lambda path: path.unlink(), 'cannot be read'),
        (lambda path: cv2.imwrite(str(path), np.zeros((5, 8, 3), np.uint8)), '8x5'),
    ],
    ids=['cut', 'empty', 'gone', 'another size'],
)
def test_a_damaged_image_costs_itself_alone_and_is_named(tmp_path, spoil, words):
    folder = write_posed_sequence(tmp_path, new_frames(4), [], **ABOUT)
    spoil(folder / 'images/00002.png')
    said = []
    frames = list(recorded_frames(folder, said.append))
    assert [each.frame.stamp_ns for each in frames] == [0, 100_000_000, 300_000_000]
    assert [refusal.reason for refusal in said] == [Drop.BAD_IMAGE]
    assert '00002.png' in said[0].sentence and words in said[0].sentence
    with pytest.raises(SequenceError, match=f'00002.png .*{words}'):  # where each counts
        PosedSequence.load(folder).image(2)


def test_truth_that_is_lost_is_none(tmp_path):
    sequence = PosedSequence.load(written(tmp_path))
    assert sequence.truth(0) is None
    np.testing.assert_array_equal(sequence.truth(1), sequence.depth(1))
    sequence.frames[1].depth_path.write_bytes(b'no picture')
    assert sequence.truth(1) is None


def test_an_eight_bit_depth_map_is_refused(tmp_path):
    folder = written(tmp_path)
    cv2.imwrite(str(folder / 'depth/00001.png'), np.zeros((6, 8), np.uint8))
    with pytest.raises(SequenceError, match='16-bit'):
        PosedSequence.load(folder).depth(1)


def test_the_samples_are_readable(samples: Path):
    for folder in sorted(path for path in samples.iterdir() if path.is_dir()):
        sequence = PosedSequence.load(folder)
        assert sequence.pairs
        assert sequence.image(0).shape == (sequence.camera.height, sequence.camera.width, 3)
        truth = sequence.depth(sequence.pairs[0][0])
        assert np.isfinite(truth).mean() > 0.5
