"""The command line: what it says, how it ends, and that it starts quickly."""

import itertools
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import plane_world as world
import pytest
from tiny_models import red_is_parallax

from ros_depthnet.cli import main as cli
from ros_depthnet.core.camera import Camera
from ros_depthnet.core.frames import Frame
from ros_depthnet.evaluation.bench import past_a_wall
from ros_depthnet.evaluation.methods import dis
from ros_depthnet.flight.posed_sequence import NewFrame, write_posed_sequence

ROOT = Path(__file__).resolve().parents[2]
ABOUT = {'source': 'made here', 'licence': 'Apache-2.0', 'kind': 'plane'}


@pytest.fixture
def plane(tmp_path):
    """Write a set with one pair."""
    frames = [
        NewFrame(world.frame(T, t), world.depth(T))
        for t, T in ((0.0, world.pose([0, 0, 0])), (0.1, world.pose([0.4, 0, 0])))
    ]
    return write_posed_sequence(tmp_path / 'plane', frames, [(1, 0)], name='plane', max_depth=20, **ABOUT)


@pytest.fixture
def flight(tmp_path):
    """Write a flight of 3 m depth, as the tiny model sees it when frames are .2 m apart."""
    camera = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)

    def image(i):
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[..., :2] = 4, 2
        pixels[:24, :, 2] = 200 - 20 * i  # the model does not look at blue, but an image that stays is frozen
        return pixels

    frames = [
        NewFrame(Frame(i * 10**8, image(i), camera, world.pose([0.2 * i, 0, 0])), np.full((48, 64), 3.0))
        for i in range(6)
    ]
    return write_posed_sequence(tmp_path / 'flight', frames, [], name='flight', max_depth=20, **ABOUT)


def run_python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )


def test_help_names_every_subcommand():
    shown = run_python('-m', 'ros_depthnet.cli.main', '--help')
    assert shown.returncode == 0
    for name in cli.SUBCOMMANDS:
        assert f'\n    {name} ' in shown.stdout


@pytest.mark.parametrize('name', cli.SUBCOMMANDS)
def test_every_subcommand_has_a_module_with_arguments_and_a_body(name, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([name, '--help'])
    assert ended.value.code == 0
    assert f'depthnet {name}' in capsys.readouterr().out


@pytest.mark.parametrize('words', [['evaluate'], ['render'], ['render', 'flight'], ['train'], ['export']])
def test_help_imports_nothing_heavy(words):
    checked = run_python(
        '-c',
        (
            'import sys\n'
            'from ros_depthnet.cli.main import main\n'
            f'try:\n    main({[*words, "--help"]})\nexcept SystemExit:\n    pass\n'
            'print(sorted({"numpy", "cv2", "torch", "onnxruntime", "rclpy"} & set(sys.modules)))'
        ),
    )
    assert checked.stdout.splitlines()[-1] == '[]'


@pytest.mark.parametrize(
    'option, value, complaint',
    [
        ('--size', '256', "'256' is no size such as 256x192"),
        ('--step-parallax', '3', "'3' is no range such as 0.6,22"),
        ('--step-parallax', '9,3', "'9,3' is no range of positive numbers"),
        ('--scenes', 'street,moon', "'moon' is not a valid Preset; there are still_box, boxes, room,"),
    ],
)
def test_what_no_training_set_can_have_is_refused(option, value, complaint, capsys):
    with pytest.raises(SystemExit):
        cli.main(['render', 'set', 'out', option, value])
    assert complaint in capsys.readouterr().err


def test_defaults_and_choices_of_a_rendered_flight_are_told(capsys):
    with pytest.raises(SystemExit):
        cli.main(['render', 'flight', '--help'])
    told = ' '.join(capsys.readouterr().out.split())
    assert '{park,still_box,boxes,room,corridor,forest,street,terrain,interior,tube_smooth,' in told
    assert 'frames per second (10.0)' in told and 'pixels (0.0)' in told


def test_the_version_is_told():
    assert run_python('-m', 'ros_depthnet.cli.main', '--version').stdout.startswith('depthnet ')


@pytest.mark.parametrize(
    'arguments, named',
    [
        (['evaluate', '/no/such/set'], '/no/such/set'),
        (['process', '/no/such/flight', '--out', '{out}'], '/no/such/flight'),
        (['evaluate', '{plane}', '--methods', 'nonsense'], 'nonsense'),
        (['doctor'], '--live'),
        (['doctor', '{plane}', '--live'], '--live'),
        (['process', '{plane}', '--out', '{out}', '--model', '/no/such.onnx'], '/no/such'),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_and_status_1(arguments, named, plane, tmp_path, capsys):
    filled = [argument.format(plane=plane, out=tmp_path / 'out') for argument in arguments]
    assert cli.main(filled) == 1
    complaint = capsys.readouterr().err.strip().splitlines()[-1]
    assert named in complaint
    assert complaint.startswith('depthnet: ') and complaint.endswith('.')
    assert 'Traceback' not in complaint


def with_body(monkeypatch, body):
    """Register a subcommand with this body."""
    module = types.SimpleNamespace(add_arguments=lambda parser: None, run=body)
    monkeypatch.setitem(cli.SUBCOMMANDS, 'trial', 'a trial')
    monkeypatch.setitem(sys.modules, 'ros_depthnet.cli.trial', module)


def test_an_option_that_is_none_is_refused_with_the_usage_of_the_subcommand(capsys):
    with pytest.raises(SystemExit):
        cli.main(['process', 'flight', '--out', 'out', '--provder', 'cuda'])
    said = capsys.readouterr().err
    assert 'usage: depthnet process' in said and said.endswith('unrecognized arguments: --provder cuda\n')


def test_ctrl_c_ends_with_130_and_a_sentence(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    with_body(monkeypatch, interrupted)
    assert cli.main(['trial']) == 130
    assert capsys.readouterr().err == '\ndepthnet: interrupted.\n'


def test_a_missing_extra_is_named(monkeypatch, capsys):
    def without_torch(arguments):
        raise ModuleNotFoundError("No module named 'torch'", name='torch')

    with_body(monkeypatch, without_torch)
    assert cli.main(['trial']) == 1
    assert f"{sys.executable} -m pip install 'ros_depthnet[train]'" in capsys.readouterr().err  # not any pip


def test_debug_shows_the_traceback(monkeypatch):
    def wrong(arguments):
        raise ValueError('bad')

    with_body(monkeypatch, wrong)
    with pytest.raises(ValueError, match='bad'):
        cli.main(['--debug', 'trial'])


def test_evaluate_writes_the_rows_and_the_commit(plane, tmp_path, capsys):
    scores = tmp_path / 'new' / 'scores.json'
    assert cli.main(['evaluate', str(plane), '--methods', 'constant,dis', '--json', str(scores)]) == 0
    content = json.loads(scores.read_text())
    assert content['commit']
    constant, dis = content['rows']
    assert list(dis) == [
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
    ]
    assert constant['ause'] is None and constant['flicker'] is None  # JSON has no NaN
    assert dis['delta_125'] > 0.9
    assert 'dis' in capsys.readouterr().out


def test_a_file_among_the_sets_is_left_out(plane, tmp_path, capsys):
    (tmp_path / 'README.md').touch()
    assert cli.main(['evaluate', str(plane), str(tmp_path / 'README.md'), '--methods', 'constant']) == 0
    assert 'README.md' in capsys.readouterr().err


def test_evaluate_writes_a_page_with_pictures(plane, tmp_path):
    folder = tmp_path / 'page'
    assert cli.main(['evaluate', str(plane), '--methods', 'constant,dis', '--html', str(folder)]) == 0
    (picture,) = folder.glob('*.jpg')
    assert picture.name in (folder / 'index.html').read_text()
    assert cv2.imread(str(picture)).shape[1] > 3 * 300


def test_process_writes_depth_in_millimetres(flight, tmp_path):
    out, model = tmp_path / 'out', str(red_is_parallax(tmp_path))
    assert cli.main(['process', str(flight), '--out', str(out), '--model', model]) == 0
    summary = json.loads((out / 'summary.json').read_text())
    assert summary['frames'] == 6
    maps = sorted((out / 'depth').iterdir())
    assert len(maps) == summary['depth_maps'] == 6 - sum(summary['dropped'].values()) > 0
    # The model says 4 px of parallax for whatever baseline was chosen: k frames of .2 m give k * 3 m.
    millimetres = cv2.imread(str(maps[0]), cv2.IMREAD_UNCHANGED)
    assert millimetres.dtype == np.uint16
    assert millimetres[20, 30] % 3000 == pytest.approx(0, abs=2)
    assert (out / 'cloud.ply').stat().st_size > 200
    assert not (out / '.moments').exists()


def test_process_draws_contours_if_asked(flight, tmp_path):
    out, model = tmp_path / 'out', str(red_is_parallax(tmp_path))
    assert cli.main(['process', str(flight), '--out', str(out), '--model', model, '--contours']) == 0
    depths, lines = (sorted((out / name).iterdir()) for name in ('depth', 'contours'))
    assert [path.name for path in lines] == [path.name for path in depths]
    drawn, depth = (cv2.imread(str(paths[0]), cv2.IMREAD_UNCHANGED) for paths in (lines, depths))
    assert drawn.dtype == np.uint8 and drawn.shape == depth.shape
    assert cli.main(['process', str(flight), '--out', str(out), '--model', model]) == 0
    assert not (out / 'contours').exists()


def test_process_takes_out_what_an_earlier_run_left(flight, tmp_path):
    out, model = tmp_path / 'out', str(red_is_parallax(tmp_path))
    (out / 'depth').mkdir(parents=True)
    (out / 'depth' / 'old.png').touch()
    (out / 'mine.txt').touch()
    assert cli.main(['process', str(flight), '--out', str(out), '--model', model]) == 0
    assert not (out / 'depth' / 'old.png').exists()
    assert (out / 'mine.txt').exists()


def bench(tmp_path, numbers):
    """Run a short `depthnet bench` that writes its numbers to a file; return its status."""
    model = str(red_is_parallax(tmp_path))
    short = ['--widths', '64', '--threads', '1', '--sources', '1', '--seconds', '0.05', '--cameras', '160x120']
    return cli.main(['bench', '--model', model, *short, '--json', str(numbers)])


def test_bench_with_no_room_for_its_numbers_prints_them_and_says_so(tmp_path, capsys):
    assert bench(tmp_path, '/dev/full') == 1
    said = capsys.readouterr()
    assert 'red_is_parallax in flight' in said.out
    assert said.err.strip().splitlines()[-1] == 'depthnet: /dev/full: No space left on device.'


def test_bench_compares_within_one_run(tmp_path):
    numbers = tmp_path / 'bench.json'
    assert bench(tmp_path, numbers) == 0
    content = json.loads(numbers.read_text())
    rows = {row['method']: row for row in content['rows']}
    assert rows['dis']['times_dis'] == 1
    assert rows['sweep']['times_dis'] == pytest.approx(rows['sweep']['ms'] / rows['dis']['ms'], rel=0.01)
    assert set(rows) == {'dis', 'sgbm', 'sweep', 'red_is_parallax', 'red_is_parallax in flight'}
    assert {row['camera'] for row in content['stages']} == {'160x120'}
    assert content['network']['work'].keys() == {'multiply_adds', 'weight_bytes', 'tensor_bytes'}
    assert 'cores' in content['machine'] and content['commit']


def test_what_bench_flies_past_is_a_wall_at_ten_metres():
    camera = Camera(128, 96, 128, 128, 64, 48)
    frames = list(itertools.islice(past_a_wall(camera), 40))
    for source, reference in (frames[:2], frames[-2:]):
        assert np.median(dis(reference, source).depth_hw) == pytest.approx(10, rel=0.05)


def test_view_without_the_viewer_says_what_to_install(tmp_path):
    without = 'import sys; sys.modules["rerun"] = None; from ros_depthnet.cli.main import main; sys.exit(main())'
    result = run_python('-c', without, 'view', str(tmp_path))
    assert result.returncode == 1
    install = f"{sys.executable} -m pip install 'ros_depthnet[view]'"
    assert result.stderr == f'depthnet: the Python package rerun is missing: {install}.\n'


def test_view_writes_a_file_of_the_viewers(flight, tmp_path, capsys):
    pytest.importorskip('rerun', reason='the viewer is the `view` extra')
    model, file = red_is_parallax(tmp_path), tmp_path / 'flight.rrd'
    assert cli.main(['view', str(flight), '--model', str(model), '--save', str(file)]) == 0
    assert file.read_bytes()[:4] == b'RRF2'
    assert f'5 depth maps; look at them with `rerun {file}`.' in capsys.readouterr().out
