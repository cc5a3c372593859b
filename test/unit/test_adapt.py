"""Learning from one's own flights: labels by consensus, samples from them, and a model kept only if better."""

import contextlib
import dataclasses
import functools
import hashlib
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import plane_world as world
import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.cli import main as cli  # noqa: E402
from ros_depthnet.core.frames import Frame  # noqa: E402
from ros_depthnet.core.measurer import Measurer  # noqa: E402
from ros_depthnet.engines.model import load_model  # noqa: E402
from ros_depthnet.flight.posed_sequence import NewFrame, write_posed_sequence  # noqa: E402
from ros_depthnet.learning import adapt as adapting  # noqa: E402
from ros_depthnet.learning import labels  # noqa: E402
from ros_depthnet.learning.adapt_task import labelled_sample  # noqa: E402
from ros_depthnet.learning.augment import AugmentOptions  # noqa: E402
from ros_depthnet.learning.export import export_parallaxnet  # noqa: E402
from ros_depthnet.learning.judged import Judgement, photometric_error  # noqa: E402
from ros_depthnet.learning.labels import LabelledFlight, Teacher, begin_labels, measure  # noqa: E402
from ros_depthnet.learning.networks.parallaxnet import (  # noqa: E402
    Epipolar,
    ParallaxNet,
    ParallaxNetConfig,
    View,
    descriptors,
    matching_cost,
    to_q,
)
from ros_depthnet.learning.parallax_task import loss_terms, stack  # noqa: E402
from ros_depthnet.learning.still_box.textures import TextureAtlas  # noqa: E402
from ros_depthnet.learning.weights import halve  # noqa: E402
from ros_depthnet.whole_files import write_file  # noqa: E402

UNSPOILT = AugmentOptions(exposure=0, noise=0, blur=0, grey=0, rotation_noise=0, direction_noise=0)
MODEL = 'parallaxnet_small'


def poses(count):
    """Return where a camera is that goes to the right and forth, nodding."""
    return [world.pose([0.08 * i, 0.02 * (i % 3), 0.01 * i], world.turn(0.01 * (i % 2))) for i in range(count)]


def flight(count):
    return [world.frame(T, 0.1 * i) for i, T in enumerate(poses(count))]


@pytest.fixture(scope='module')
def model():
    return load_model(MODEL)


def measure_flight(frames, model, folder):
    sized = list(map(Measurer(model).sized, frames))
    for numbers in begin_labels(folder, [frame.stamp_ns for frame in frames], Teacher.of(model)):
        measure(sized, numbers, model, folder)


@pytest.fixture(scope='module')
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp('labels')
    frames = flight(9)
    lied = frames[4].T_world_cam.copy()
    lied[:3, 3] += [0.0, 0.15, 0.0]
    frames[4] = Frame(frames[4].stamp_ns, frames[4].image, frames[4].camera, lied)
    measure_flight(frames, model, folder)
    return folder


@pytest.fixture(scope='module')
def labelled(folder):
    return LabelledFlight(folder)


def true_depth(frame):
    camera, T_world_cam = frame.camera, frame.T_world_cam
    v, u = np.mgrid[: camera.height, : camera.width].astype(float)
    rays_cam = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1)
    return (world.DISTANCE - world.NORMAL @ T_world_cam[:3, 3]) / (rays_cam @ T_world_cam[:3, :3].T @ world.NORMAL)


def errors(labelled, number):
    """Return |d ln(depth)| of what is believed of a frame, against the plane."""
    label = labelled.label(number)
    known = np.isfinite(label.depth_hw)
    return np.abs(np.log(label.depth_hw[known] / true_depth(label.frame)[known])), known.mean()


def test_what_neighbours_agree_on_is_true(labelled):
    for number in (1, 2, 7):
        error, share = errors(labelled, number)
        assert share > 0.3 and np.median(error) < 0.02 and np.quantile(error, 0.95) < 0.06


def test_a_frame_whose_pose_is_wrong_is_hardly_believed(labelled):
    shares = [np.isfinite(labelled.label(number).depth_hw).mean() for number in range(len(labelled))]
    assert shares[4] < 0.1 < min(shares[:3])


def test_labelling_goes_on_where_it_was_stopped(model, folder):
    paths = sorted(folder.glob('*.npz'))
    kept = {path: path.stat().st_mtime_ns for path in paths[1:]}
    paths[0].unlink()
    measure_flight(flight(9), model, folder)
    assert paths[0].is_file()
    assert kept == {path: path.stat().st_mtime_ns for path in paths[1:]}


@pytest.mark.parametrize('others', [slice(1, 9), slice(0, 8)], ids=['other stamps', 'fewer'])
def test_labels_of_other_frames_are_not_mixed_with_a_flights_own(model, folder, others):
    """As when a flight is labelled again with another share held out: what was learned from would be the judge."""
    with pytest.raises(ValueError, match='holds labels of other frames: .* Remove it, or write elsewhere'):
        measure_flight(flight(9)[others], model, folder)


def test_a_damaged_label_is_a_sentence(model, folder, tmp_path):
    Teacher.of(model).write(tmp_path)
    whole = next(folder.glob('*.npz')).read_bytes()
    for rest in (whole[:200], b'', b'label', whole[: len(whole) // 2]):
        (tmp_path / '000000.npz').write_bytes(rest)
        for read in (LabelledFlight, lambda path: measure_flight(flight(1), model, path)):
            with pytest.raises(ValueError, match=r'damaged: delete it, and label the flight again\.$'):
                read(tmp_path)


def test_labels_of_another_teacher_are_not_mixed_with_ones_own(model, folder, monkeypatch):
    other = load_model('parallaxnet')
    ours, others = rf'\(float32, {model.card.sha256[:12]}\)', rf'\(int8, {other.card.int8_sha256[:12]}\)'
    both = rf'by {MODEL} .* {ours}, not by parallaxnet .* {others}'
    with pytest.raises(ValueError, match=rf'holds labels {both}\. Remove it, or write elsewhere'):
        measure_flight(flight(9), other, folder)
    monkeypatch.setattr(labels, '_PASSES', 1)
    with pytest.raises(ValueError, match='holds labels with other options'):
        measure_flight(flight(9), model, folder)


@pytest.mark.parametrize('said', [None, '', '{', 'name: small', '[1, 2]'])
def test_labels_that_do_not_say_whose_they_are_are_refused(model, folder, tmp_path, said):
    shutil.copy(folder / '000000.npz', tmp_path)
    if said is not None:
        write_file(tmp_path / 'teacher.yaml', said)
    for read in (LabelledFlight, lambda path: measure_flight(flight(9), model, path)):
        with pytest.raises(ValueError, match='does not say who labelled it: remove it, and label the flight again'):
            read(tmp_path)


def test_a_folder_without_labels_says_how_to_make_them(tmp_path):
    with pytest.raises(ValueError, match='depthnet label'):
        LabelledFlight(tmp_path)


@pytest.mark.parametrize('seed', range(4))
def test_descriptors_of_a_labelled_sample_agree_best_at_the_labelled_parallax(labelled, seed):
    """Crop, stabilising, flips, displacements, intrinsics and label belong together."""
    rng = np.random.default_rng(seed)
    drawn = labelled_sample(labelled.label(2), labelled, 1, (160, 128), rng, UNSPOILT, (3.0, 60.0))
    batch = stack([drawn])
    truth, known = batch['parallax'].nan_to_num(1.0), batch['parallax'].isfinite()[0]
    epipolar = Epipolar(batch['displacements'], batch['intrinsics'], *batch['reference'].shape[-2:], 1)
    of_reference, of_source = (descriptors(image, 0.03) for image in (batch['reference'], batch['sources'][:, 0]))
    view = View.at(1, of_reference, of_source, batch['valid'], epipolar)
    half, exact, double = (
        float(matching_cost(view, (truth * factor)[:, None])[0][0, 0][known].mean()) for factor in (0.7, 1.0, 1.4)
    )
    assert exact < half and exact < double


def test_sources_moved_by_the_true_depth_look_most_like_the_reference():
    reference, *sources = (flight(9)[number] for number in (2, 5, 0))
    depth_hw = true_depth(reference).astype(np.float32)
    nearer, right, farther = (photometric_error(reference, sources, depth_hw * np.float32(f)) for f in (0.9, 1, 1.1))
    assert right < 0.5 * min(nearer, farther)


def test_a_model_is_judged_by_what_is_believed(model, labelled):
    judgement = Judgement.of(model, [labelled])
    assert judgement.error < 0.1 and len(judgement.shown) == 3  # of frame 4, whose pose is wrong, nothing is believed
    assert judgement.photometric == pytest.approx(np.mean([each.photometric for each in judgement.shown]), rel=0.5)
    each = judgement.shown[0]
    farther = dataclasses.replace(each, depth_hw=each.depth_hw * np.float32(2))
    assert farther.error == pytest.approx(math.log(2), abs=2 * each.error)


def test_a_frame_of_which_nothing_is_believed_gives_no_sample(labelled):
    label = labelled.label(4)
    assert labelled_sample(label, labelled, 1, (160, 128), np.random.default_rng(0), UNSPOILT, (3.0, 60.0)) is None


def test_what_is_unknown_teaches_nothing(labelled):
    torch.manual_seed(0)
    network = ParallaxNet(ParallaxNetConfig(hypotheses=8, sweep_channels=8, deep_channels=8, fine_channels=(8, 8, 8)))
    drawn = labelled_sample(labelled.label(2), labelled, 1, (96, 64), np.random.default_rng(0), UNSPOILT, (3.0, 60.0))
    batch = stack([drawn])
    truth = batch.pop('parallax')
    unknown = torch.zeros_like(truth, dtype=torch.bool)
    unknown[..., :32] = True
    truth = torch.where(truth.isfinite(), truth, torch.tensor(10.0))
    prediction = network.predict(**batch)

    def terms(value):
        truth_there = torch.where(unknown, torch.tensor(value), truth)
        return loss_terms(prediction, network.sweep.q, truth_there, (1.0, 1.0, 1.0, 1.0))

    terms_of_nan = terms(math.nan)
    sum(terms_of_nan.values()).backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in network.parameters())
    error = (prediction.stages[-1] - to_q(truth)).abs()[~unknown]
    assert terms_of_nan['stage3'].item() == pytest.approx(error.mean().item(), rel=1e-4)


def test_flights_of_several_teachers_do_not_teach_together(model, folder, tmp_path):
    for part in ('a/learned', 'a/held_out', 'b/learned', 'b/held_out'):
        shutil.copytree(folder, tmp_path / part)
    dataclasses.replace(Teacher.of(model), version='0.1').write(tmp_path / 'b/learned')
    with pytest.raises(ValueError, match='labelled by several teachers: label them again, all by one'):
        adapting.adapt([tmp_path / 'a', tmp_path / 'b'], MODEL, tmp_path / 'own.onnx', tmp_path, None, None)


def sequence(folder, frames):
    about = {'source': 'made here', 'licence': 'Apache-2.0', 'kind': 'plane'}
    return write_posed_sequence(folder, [NewFrame(frame) for frame in frames], [], name='own', max_depth=20,
                                **about)  # fmt: skip


@pytest.fixture(scope='module')
def own(tmp_path_factory):
    """Return a flight, and a folder that keeps its labels and what is rendered from test to test."""
    folder = tmp_path_factory.mktemp('own')
    return sequence(folder / 'flight', flight(18)), folder / 'out'


def hurry(monkeypatch, **options):
    """Make what `depthnet adapt` renders and learns from small."""
    hurried = functools.partial(adapting.AdaptOptions, crop=(96, 64), **options)
    monkeypatch.setattr(adapting, 'AdaptOptions', hurried)
    monkeypatch.setattr(adapting, 'shared_atlas', lambda device: TextureAtlas(procedural=8, photo_tiles=0))
    monkeypatch.setattr(adapting, '_SHARES', (1.0, 0.5))


def label(path, out, *options):
    return cli.main(['label', str(path), '--teacher', MODEL, '--out', str(out), '--held-out', '.5', '--force',
                     *options])  # fmt: skip


def digests(out):
    return {path.relative_to(out): hashlib.sha256(path.read_bytes()).hexdigest() for path in out.rglob('*.npz')}


def test_labels_are_the_same_however_many_label_and_wherever_they_were_stopped(own, tmp_path, capsys):
    path, out = own
    assert label(path, out / 'labels') == 0
    alone = digests(out / 'labels')
    assert len(alone) == 18
    assert label(path, tmp_path, '--jobs', '2') == 0
    assert digests(tmp_path) == alone
    for number in (3, 8):
        (tmp_path / 'flight' / 'learned' / f'{number:06d}.npz').unlink()
    assert label(path, tmp_path, '--jobs', '3') == 0
    assert digests(tmp_path) == alone


LABEL = """if True:
    import sys
    from ros_depthnet.cli.main import main

    if __name__ == '__main__':
        sys.exit(main(['label', *sys.argv[1:], '--held-out', '.5', '--force', '--jobs', '2']))
"""


@contextlib.contextmanager
def labelling(path, out):
    """Start to label, and give the process and those of its workers once they have begun."""
    script = out.with_suffix('.py')
    script.write_text(LABEL)
    command = [sys.executable, script, path, '--teacher', MODEL, '--out', out]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: any(out.rglob('*.npz')))
        children = map(int, Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split())
        yield process, [child for child in children if 'spawn_main' in Path(f'/proc/{child}/cmdline').read_text()]
    finally:
        process.kill()
        process.communicate()


def until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_workers_that_label_end_with_their_command(own, tmp_path):
    with labelling(own[0], tmp_path / 'out') as (process, workers):
        assert len(workers) == 2
        process.kill()
        until(lambda: not any(Path(f'/proc/{worker}').exists() for worker in workers))


def test_a_worker_that_dies_is_a_sentence_and_what_was_labelled_stays(own, tmp_path):
    path, out = own[0], tmp_path / 'out'
    with labelling(path, out) as (process, workers):
        os.kill(workers[0], signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and 'A labelling process stopped early; run the command again to go on.' in said
    there = digests(out)
    assert there and label(path, out) == 0
    assert there.items() < digests(out).items()


def adapt(path, out, *options):
    return cli.main(['adapt', str(path), '--model', MODEL, '--teacher', MODEL, '--out', str(out),
                     '--held-out', '.5', '--force', *options])  # fmt: skip


def test_a_flight_teaches_a_model_or_it_is_said_that_it_does_not(own, monkeypatch, capsys):
    hurry(monkeypatch)
    path, out = own
    shutil.rmtree(out / 'run', ignore_errors=True)
    status = adapt(path, out, '--steps', '3')
    said = capsys.readouterr().out
    assert 'on what was held out' in said and 'photometric error there' in said and 'on rendered scenes' in said
    assert cv2.imread(str(out / 'run' / 'held_out.png')).shape[1] > 5 * 288
    assert 'photometric' in (out / 'run' / 'curve.csv').read_text().splitlines()[0]
    assert (out / 'adapted.onnx').is_file() == (status == 0) == (out / 'adapted.yaml').is_file()
    if status == 0:
        card = load_model(str(out / 'adapted.onnx')).card
        told = card.training['adapted']
        assert told['from'] == told['teacher']['name'] == MODEL and told['frames'] == 9
        assert told['teacher']['sha256'] == load_model(MODEL).card.sha256
        before, after = (card.scores[f'{when}_adapting'] for when in ('before', 'after'))
        assert before.keys() == after.keys() == {'held_out', 'photometric', 'rendered'}
        assert after['held_out'] < before['held_out']


def test_what_has_begun_to_learn_something_else_does_not_go_on(own, monkeypatch, capsys):
    hurry(monkeypatch)
    path, out = own
    shutil.rmtree(out / 'run', ignore_errors=True)
    adapt(path, out, '--steps', '1', '--seed', '3')
    capsys.readouterr()
    assert adapt(path, out, '--steps', '1', '--seed', '4') == 1
    assert 'has begun with another model, other flights or other options: remove it' in capsys.readouterr().err


def test_no_time_to_learn_is_a_sentence_before_anything_is_labelled(tmp_path, capsys):
    assert adapt(tmp_path / 'flight', tmp_path / 'out', '--minutes', '0') == 1
    assert 'Adapting takes more than 0 minutes.' in capsys.readouterr().err


def test_a_model_that_learned_nothing_is_not_written_and_an_earlier_one_stays(own, monkeypatch, capsys):
    hurry(monkeypatch, learning_rate=0.0)
    path, out = own
    shutil.rmtree(out / 'run', ignore_errors=True)
    write_file(out / 'other.onnx', 'of an earlier run')
    assert adapt(path, out, '--steps', '1', '--name', 'other') == 1
    assert 'Nothing was written, as the model is no better by it' in capsys.readouterr().out
    assert (out / 'other.onnx').read_text() == 'of an earlier run'
    assert {each.name for each in out.glob('*.*')} <= {'adapted.onnx', 'adapted.yaml', 'other.onnx'}


@contextlib.contextmanager
def files_of_at_most(size):
    """Let no file grow beyond so many bytes, as where a disk has no more room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_where_there_is_no_room_for_what_was_learned_an_earlier_model_stays(own, monkeypatch, capsys):
    hurry(monkeypatch)
    path, out = own
    shutil.rmtree(out / 'run', ignore_errors=True)
    write_file(out / 'kept.onnx', 'of an earlier run')
    with files_of_at_most(6_000_000):
        assert adapt(path, out, '--steps', '1', '--name', 'kept') == 1
    assert 'run/last.pt: File too large.' in capsys.readouterr().err
    assert (out / 'kept.onnx').read_text() == 'of an earlier run' and not list((out / 'run').glob('last.pt*'))


def test_where_there_is_no_room_for_an_export_its_file_is_named(tmp_path):
    network = ParallaxNet(ParallaxNetConfig())
    with files_of_at_most(1000), pytest.raises(OSError, match=r'own\.onnx'):
        export_parallaxnet(halve(network), tmp_path / 'own.onnx')
    assert list(tmp_path.iterdir()) == []


def test_a_flight_too_short_to_hold_some_out_is_a_sentence(tmp_path, capsys):
    assert adapt(sequence(tmp_path / 'short', flight(9)), tmp_path / 'out') == 1
    assert '9 usable frames are too few' in capsys.readouterr().err


def test_a_flight_that_stands_still_is_a_sentence(own, tmp_path, monkeypatch, capsys):
    hurry(monkeypatch)
    _, out = own
    shutil.rmtree(out / 'run', ignore_errors=True)
    still = sequence(tmp_path / 'still', [world.frame(poses(1)[0], 0.1 * i) for i in range(18)])
    assert adapt(still, out, '--steps', '1') == 1
    assert 'Hardly anything of the flight is believed, or it has no baselines' in capsys.readouterr().err


def test_a_flight_whose_odometry_its_images_contradict_is_refused_before_anything_is_labelled(tmp_path, capsys):
    frames = [world.frame(T, 0.1 * i) for i, T in enumerate(poses(24))]
    turned = [
        Frame(f.stamp_ns, f.image, f.camera, f.T_world_cam @ world.pose([0, 0, 0], world.turn(0.6))) for f in frames
    ]
    path, out = sequence(tmp_path / 'turned', turned), tmp_path / 'out'
    assert cli.main(['adapt', str(path), '--model', MODEL, '--teacher', MODEL, '--out', str(out)]) == 1
    assert '--force' in capsys.readouterr().err
    assert not (out / 'labels').exists()
