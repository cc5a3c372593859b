"""The judge: which pixels are scored, what a row holds, and how the estimator is flown along a sequence."""

from pathlib import Path

import numpy as np
import plane_world as world
import pytest
import yaml
from tiny_models import red_is_parallax

from ros_depthnet.core import motion
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.engines.card import ModelError
from ros_depthnet.evaluation import evaluate as evaluation
from ros_depthnet.evaluation.evaluate import Result, Skipped, Variant, all_methods, evaluate, load_sets
from ros_depthnet.flight.posed_sequence import NewFrame, SequenceError, write_posed_sequence

POSES = (world.pose([0, 0, 0]), world.pose([0.4, 0, 0], world.turn(y=0.05)), world.pose([0.1, 0, 0.6]))
ABOUT = {'source': 'made here', 'licence': 'Apache-2.0', 'kind': 'plane'}


def plane_set(folder, max_depth=20.0):
    frames = [NewFrame(world.frame(T, 0.1 * i), world.depth(T)) for i, T in enumerate(POSES)]
    return write_posed_sequence(folder / 'plane', frames, [(0, 1), (2, 0)], name='plane', max_depth=max_depth, **ABOUT)


def judged(folder, methods, protocols=('pairs',)):
    return list(evaluate(load_sets([folder]), methods, protocols, lambda text: None))


def test_each_method_gets_a_row_with_what_it_scored(tmp_path):
    constant, dis = judged(plane_set(tmp_path), ['constant', 'dis'])
    assert set(dis.row.as_dict()) == {
        'set',
        'method',
        'protocol',
        'pairs',
        'abs_rel',
        'rmse',
        'mae_log',
        'delta_103',
        'delta_105',
        'delta_125',
        'coverage',
        'ause',
        'flicker',
        'ms_per_pair',
    }
    assert (dis.row.set, dis.row.method, dis.row.protocol, dis.row.pairs) == ('plane', 'dis', 'pairs', 2)
    assert dis.row.scores.delta_125 > 0.9 > constant.row.scores.delta_125
    assert dis.row.ms_per_pair > 0


DAMAGES = {'gone': Path.unlink, 'damaged': lambda path: path.write_bytes(path.read_bytes()[:40])}


@pytest.mark.parametrize('damage', DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize('lost', ['images/00002.png', 'depth/00002.png'])
def test_a_picture_that_is_lost_costs_its_own_pairs_and_frame_alone(tmp_path, damage, lost):
    folder = plane_set(tmp_path)
    sequences = load_sets([folder])
    damage(folder / lost)
    model = str(red_is_parallax(tmp_path))
    pairs, stream = evaluate(sequences, [model], ('pairs', 'stream'), lambda text: None)
    assert (pairs.row.pairs, pairs.dropped) == (1, {'bad_image': 1})
    assert stream.row.pairs == 1 and stream.dropped['bad_image'] == 1


def test_a_set_whose_pairs_are_all_lost_says_which_picture_is(tmp_path):
    folder = plane_set(tmp_path)
    for image in (folder / 'images').iterdir():
        image.unlink()
    (skipped,) = judged(folder, ['dis'])
    assert skipped.why == f'{folder / "images/00002.png"} cannot be read as an image'


def test_constant_is_scored_against_the_visible_truth_below_max_depth(tmp_path):
    """The same number by plain arithmetic: rotate every ray into the source and see whether it is inside."""
    (result,) = judged(plane_set(tmp_path, max_depth=8.0), ['constant'])
    expected = []
    for reference, source in ((0, 1), (2, 0)):
        truth = np.round(world.depth(POSES[reference]) * 1000) / 1000
        R_src_ref = POSES[source][:3, :3].T @ POSES[reference][:3, :3]
        to_source = world.CAMERA.K @ R_src_ref @ np.linalg.inv(world.CAMERA.K)
        seen = np.zeros(truth.shape, bool)
        for v in range(truth.shape[0]):
            for u in range(truth.shape[1]):
                x, y, z = to_source @ (u, v, 1)
                seen[v, u] = -0.5 <= x / z <= 159.5 and -0.5 <= y / z <= 119.5
        kept = truth[seen & (truth < 8)]
        expected.append(np.mean(abs(np.median(kept) - kept) / kept))
    assert result.row.scores.abs_rel == pytest.approx(np.mean(expected), rel=1e-5)


def test_bands_share_the_scored_pixels_out(tmp_path):
    (result,) = judged(plane_set(tmp_path), ['dis'])
    all_bands = [[band for band in result.bands if band.by == by] for by in ('depth', 'foe', 'contrast', 'seen')]
    pixels = sum(band.pixels for band in all_bands[0])
    assert pixels > 30_000
    for bands in all_bands:
        assert sum(band.pixels for band in bands) == pixels
        mean = sum(band.pixels * band.delta_125 for band in bands) / pixels
        assert mean == pytest.approx(result.row.scores.delta_125, abs=0.01)


def test_what_a_source_does_not_see_is_hidden_by_something_nearer_or_out_of_its_image():
    # Half a metre sideways: what is 5 m away moves by 6 pixels, what is 10 m away by 3.
    camera, truth = Camera(64, 48, 60.0, 60.0, 31.5, 23.5), np.full((48, 64), 10.0, np.float32)
    truth[10:30, 30:50] = 5
    truth[:, 60] = 0  # not known
    seen = evaluation._seen(truth, camera, motion.pose(np.eye(3), (-0.5, 0, 0)))
    expected = truth > 0
    expected[:, :3] = False
    expected[10:30, 26:30] = False  # and one more: in the source, points fall between pixels
    np.testing.assert_array_equal(seen[12:28], expected[12:28])
    np.testing.assert_array_equal(seen[32:], expected[32:])


def test_the_limit_falls_with_the_angle_to_the_motion(tmp_path):
    limits = [band.limit for band in judged(plane_set(tmp_path), ['constant'])[0].bands if band.by == 'foe']
    assert limits == sorted(limits, reverse=True)


def test_pixels_go_to_the_band_of_the_contrast_around_them(tmp_path):
    image = np.full((48, 64, 3), 100, np.uint8)
    image[:, 32:] += np.where(np.indices((48, 32)).sum(0) % 2, 12, 0)[..., None].astype(np.uint8)
    frames = [
        NewFrame(Frame(i, image, SMALL, world.pose([0.1 * i, 0, 0])), np.full((48, 64), 3.0, np.float32))
        for i in range(2)
    ]
    folder = write_posed_sequence(tmp_path, frames, [(1, 0)], name='half', max_depth=20, **ABOUT)
    (result,) = judged(folder, ['constant'])
    pixels = {band.low: band.pixels for band in result.bands if band.by == 'contrast'}
    # A chessboard of 12 levels deviates by 6; the windows of 9 pixels on the border see part of it.
    assert pixels[0] == 48 * 28
    assert pixels[4] >= 48 * 31


def test_what_does_not_apply_is_left_out_and_said(tmp_path):
    poses = (world.pose([0, 0, 0]), world.pose([0, 0, 1]))
    frames = [NewFrame(world.frame(T), world.depth(T)) for T in poses]
    folder = write_posed_sequence(tmp_path, frames, [(0, 1)], name='ahead', max_depth=20, **ABOUT)
    (skipped,) = judged(folder, ['sgbm'])
    assert isinstance(skipped, Skipped)
    assert 'sideways' in skipped.why


def test_every_shipped_method_has_a_name():
    assert {'constant', 'dis', 'sgbm', 'sweep', 'default'} <= set(all_methods())


def test_an_unknown_method_is_refused_before_any_work(tmp_path):
    with pytest.raises(ModelError, match='nonsense'):
        judged(plane_set(tmp_path), ['constant', 'nonsense'])


def test_a_set_that_is_none_is_refused(tmp_path):
    with pytest.raises(SequenceError, match='sequence.json'):
        load_sets([tmp_path])


SMALL = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)  # the tiny model's size: pixels stay as they are


@pytest.fixture
def flight(tmp_path):
    """Write a flight sideways, 5 cm a frame, that hovers from the middle on."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0], image[..., 1] = 4, 2
    image[:24, :, 2] = 200  # the model does not look at blue

    def frames():
        for i in range(12):
            place = 0.05 * (i if i < 6 else 6)
            yield NewFrame(
                Frame(i * 100_000_000, image, SMALL, world.pose([place, 0, 0])),
                np.full((48, 64), 3.0, np.float32) if i != 2 else None,
            )

    return write_posed_sequence(tmp_path / 'flight', frames(), [], name='flight', max_depth=20, **ABOUT)


@pytest.fixture
def model(tmp_path):
    """Return the path of a model that reads parallax off the picture."""
    return str(red_is_parallax(tmp_path))


def test_a_stream_scores_every_frame_with_truth_after_the_first(flight, model):
    (result,) = judged(flight, [model], ['stream'])
    assert isinstance(result, Result)
    assert (result.row.protocol, result.row.pairs) == ('stream', 10)
    assert result.dropped['first_frame'] == 1


def test_a_frame_without_depth_counts_as_unknown(flight, model):
    (result,) = judged(flight, [model], ['stream'])
    lost = sum(count for reason, count in result.dropped.items() if reason != 'first_frame')
    assert lost > 0
    assert result.row.scores.coverage <= 1 - (lost - 1) / 10  # one of the dropped may be without truth


def test_variants_of_the_options_fly_side_by_side(flight, model):
    same = 'initial_depth=3,buffer_age=0.35,check_odometry=false'
    variants = [Variant.parse(f'memory=false,{same}'), Variant.parse(f'memory=true,{same}')]
    without, carried = evaluate(load_sets([flight]), [model], ['stream'], lambda text: None, variants)
    assert without.row.method == f'{model}[memory=false,{same}]'
    assert carried.row.method == f'{model}[memory=true,{same}]'
    assert carried.row.scores.coverage > without.row.scores.coverage
    assert carried.dropped['baseline_too_short'] > 0  # known from before, but counted as not measured


def half_doubtful(tmp_path):
    """Write a flight sideways whose right half has twice the parallax and a deviation of 40 %, not 2 %."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0], image[..., 1] = 4, 2
    image[:, 32:] = 8, 40, 0
    image[:24, :, 2] = 200  # the model does not look at blue
    frames = [
        NewFrame(Frame(i * 100_000_000, image, SMALL, world.pose([0.2 * i, 0, 0])), np.full((48, 64), 4.0, np.float32))
        for i in range(4)
    ]
    return write_posed_sequence(tmp_path / 'half', frames, [], name='half', max_depth=20, **ABOUT)


def test_variants_are_compared_on_the_pixels_that_all_know(tmp_path, model):
    simple = 'memory=false,buffer_age=0.15,alignment_rounds=0,check_odometry=false'
    variants = [Variant.parse(f'{simple},max_relative_deviation={most}') for most in (0.1, 0.9)]
    results = evaluate(load_sets([half_doubtful(tmp_path)]), [model], ['stream'], lambda text: None, variants)
    strict, loose = (result.row for result in results)
    assert (strict.scores.coverage, loose.scores.coverage) == (0.5, 1)
    left, right = (abs(np.log(4 / (60 * 0.2 / parallax))) for parallax in (4, 8))
    assert loose.scores.mae_log == pytest.approx((left + right) / 2, rel=1e-3)
    assert strict.common.mae_log == loose.common.mae_log == pytest.approx(left, rel=1e-3)
    assert loose.as_dict()['mae_log_common'] == loose.common.mae_log


def test_flicker_is_told_along_a_flight(tmp_path, model):
    def image(i):
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[..., :2] = 20 + i % 2, 2  # the model reads parallax off the red: 20 and 21 pixels in turn
        pixels[:24, :, 2] = 200 - 9 * i
        return pixels

    frames = [
        NewFrame(
            Frame(i * 100_000_000, image(i), SMALL, world.pose([0.2 * i, 0, 0])), np.full((48, 64), 0.6, np.float32)
        )
        for i in range(5)
    ]
    folder = write_posed_sequence(tmp_path / 'turns', frames, [], name='turns', max_depth=20, **ABOUT)
    simple = Variant.parse('memory=false,buffer_age=0.15,alignment_rounds=0,check_odometry=false,rotation_noise=0')
    (result,) = evaluate(load_sets([folder]), [model], ['stream'], lambda text: None, [simple])
    assert result.row.flicker == pytest.approx(np.log(21 / 20), rel=0.01)


def test_pairs_know_of_variants_too_and_classical_methods_of_none(tmp_path, model):
    variants = [Variant.parse('max_range=10'), Variant.parse('max_range=0.5')]
    names = ['dis', model]
    results = list(evaluate(load_sets([plane_set(tmp_path)]), names, ['pairs'], lambda text: None, variants))
    assert [result.row.method for result in results] == ['dis', f'{model}[max_range=10]', f'{model}[max_range=0.5]']
    assert results[1].row.scores.abs_rel != results[2].row.scores.abs_rel


def test_what_flies_alone_has_nothing_in_common(flight, model):
    (result,) = judged(flight, [model], ['stream'])
    assert result.row.common is None
    assert not any(key.endswith('common') for key in result.row.as_dict())


@pytest.mark.parametrize(
    'text, sentence',
    [
        ('speed=3', "'speed' is none of the options"),
        ('memory=maybe', "'maybe' is no value for the option memory"),
        ('ranges=1.5', 'no value for the option ranges'),
        ('ranges=0', 'ranges must be positive'),
    ],
)
def test_options_that_do_not_exist_are_refused_with_a_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        Variant.parse(text)


def test_options_are_read_as_what_they_are():
    changes = Variant.parse('ranges=2,memory=true,target_parallax=6,max_range=80').changes
    assert changes == {'ranges': 2, 'memory': True, 'target_parallax': 6.0, 'max_range': 80.0}
    assert type(changes['ranges']) is int


def test_methods_without_a_stream_are_said_to_have_none(flight):
    (skipped,) = judged(flight, ['dis'], ['stream'])
    assert isinstance(skipped, Skipped)
    assert skipped.protocol == 'stream'


def test_a_set_without_pairs_has_no_pairs_to_score(flight):
    (skipped,) = judged(flight, ['constant'])
    assert 'no pair' in skipped.why


def test_default_and_the_model_it_stands_for_have_a_row_each(tmp_path):
    folder = plane_set(tmp_path)
    names = [result.row.method for result in judged(folder, ['default', 'parallaxnet'])]
    assert sorted(names) == ['default', 'parallaxnet']


def test_a_model_that_shares_only_its_name_with_a_shipped_one_is_judged_itself(tmp_path, model):
    card = Path(model).with_suffix('.yaml')
    card.write_text(yaml.safe_dump({**yaml.safe_load(card.read_text()), 'name': 'parallaxnet'}))
    own, shipped = judged(plane_set(tmp_path), [model, 'parallaxnet'])
    assert own.row.scores.mae_log != shipped.row.scores.mae_log
