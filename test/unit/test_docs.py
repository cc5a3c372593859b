"""What strangers read: short, complete, without a dead link, and every printed command exists."""

import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from pages import ROOT, commands, ros2_commands

from ros_depthnet.cli import main as cli
from ros_depthnet.core.reasons import Drop
from ros_depthnet.evaluation.evaluate import COMMON_SCORES
from ros_depthnet.evaluation.methods import CLASSICAL
from ros_depthnet.evaluation.metrics import Scores
from ros_depthnet.evaluation.processing import FOLDERS
from ros_depthnet.flight.posed_sequence import PosedSequence
from ros_depthnet.resources import share_path
from ros_depthnet.ros import reference
from ros_depthnet.ros.bring_up import read_preset, unknown_arguments
from ros_depthnet.ros.parameters import TABLES
from ros_depthnet.ros.peers import arguments_of
from ros_depthnet.ros.topics import NODES

PAGES = sorted(path for path in (ROOT / 'docs').rglob('*.md') if path.parent.name != 'lab')
OF_THE_ROOT = sorted(ROOT.glob('*.md'))
TOPICS = {topic.name for node in NODES.values() for topic in (*node.publishes, *node.subscribes)}
OTHERS = 'colcon', 'source', 'export', 'rosdep'
PRINTED = [
    (page.name, words)
    for page in (*OF_THE_ROOT, *PAGES)
    for words in (*commands(page), *ros2_commands(page))
    if words[0] not in OTHERS
]


def test_the_readme_is_short_and_starts_with_a_picture_and_three_commands():
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    assert len(text.split()) <= 900
    assert text.index('![') < text.index('make demo    ') < text.index('make test    ') < text.index('\nros2 launch ')


def test_whoever_tells_the_version_tells_the_same():
    newest = re.search(r'^(\d+\.\d+\.\d+) \(20\d\d-\d\d-\d\d\)$', (ROOT / 'CHANGELOG.rst').read_text(), re.MULTILINE)
    told = {
        'CHANGELOG.rst': newest[1],
        'package.xml': ElementTree.parse(ROOT / 'package.xml').findtext('version'),
        'setup.py': re.search(r"version='(.*?)'", (ROOT / 'setup.py').read_text())[1],
        **{path.name: yaml.safe_load(path.read_text())['version'] for path in (ROOT / 'models').glob('*.yaml')},
    }
    assert len(set(told.values())) == 1, told


def checked_make(words):
    result = subprocess.run(['make', '-n', *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def checked_depthnet(words):
    assert cli._parser(words[1:]).parse_args(words[1:]).run


def checked_python(words):
    file = f'{words[2].replace(".", "/")}.py' if words[1] == '-m' else words[1]
    assert (ROOT / file).is_file()


# Of ros2cli, ros2launch, sros2 and ros2lifecycle, what the pages use.
VERBS = {
    'launch': (),
    'run': (),
    'topic': ('echo', 'hz'),
    'param': ('set',),
    'lifecycle': ('get',),
    'security': ('create_keystore', 'create_enclave', 'create_permission'),
}
OTHER_PACKAGES = 'mavros', 'ros_gz_bridge'


def checked_ros2(words):
    verb, kind, *rest = words[1:]
    assert kind in (VERBS[verb] or ('ros_depthnet', *OTHER_PACKAGES))
    for shared in re.findall(r'share/ros_depthnet/(\S+)', ' '.join(words)):
        assert share_path(shared).is_file()
    if verb == 'launch' and kind == 'ros_depthnet':
        file, *arguments = rest
        known = {argument.name: argument for argument in arguments_of(file.removesuffix('.launch.py'))}
        assert share_path('launch', file).is_file()
        assert not unknown_arguments(arguments, known.values())
        for name, value in (word.split(':=') for word in arguments if ':=' in word):
            assert value in (known[name].choices or (value,))
            if name == 'preset':
                read_preset(value)
    elif verb == 'run' and rest[0] == 'depthnet':
        if rest[1:]:
            checked_depthnet(rest)
    elif verb == 'run' and kind == 'ros_depthnet':
        topics = {topic.name for topic in (*NODES[rest[0]].publishes, *NODES[rest[0]].subscribes)}
        assert {word.split(':=')[0] for word in rest if ':=' in word} <= topics
    elif verb == 'topic':
        assert rest[0].lstrip('/') in TOPICS or rest[0] in TOPICS
    elif verb == 'param' and rest[0].strip('/') in TABLES:
        node, name, value = rest
        table = {parameter.name: parameter for parameter in TABLES[node.strip('/')]}
        if name != 'NAME':
            assert table[name].live
            table[name].checked(yaml.safe_load(value))
    elif verb == 'param':
        assert rest[0].split('/')[1] in OTHER_PACKAGES
    elif verb == 'lifecycle':
        assert rest[0].strip('/') in TABLES


def checked_pip(words):
    """Packages are those that setup.py asks for."""
    asked = re.findall(r"'([a-zA-Z][\w-]*)", (ROOT / 'setup.py').read_text(encoding='utf-8'))
    assert {re.split('[<>=]', word)[0] for word in words[2:] if not word.startswith(('-', '.'))} <= set(asked)


CHECKS = {
    'make': checked_make,
    'depthnet': checked_depthnet,
    'python': checked_python,
    'ros2': checked_ros2,
    'pip': checked_pip,
}


@pytest.mark.parametrize('page, words', PRINTED, ids=lambda value: value if isinstance(value, str) else ' '.join(value))
def test_a_printed_command_is_one_that_exists(page, words):
    CHECKS[Path(words[0]).name](words)


@pytest.mark.parametrize(
    'words',
    [
        'make nothing',
        'depthnet evaluate --protocol pear a',
        'ros2 launch d uav.launch.py image:=/a',
        'ros2 launch ros_depthnet uav.launch.py imag:=/a',
        'ros2 launch ros_depthnet uav.launch.py preset:=mavro',
        'ros2 launch ros_depthnet uav.launch.py params_file:=a/share/ros_depthnet/config/no.yaml',
        'ros2 run ros_depthnet depth_node --ros-args -r imag:=/a',
        'ros2 topic frequency /depth/image',
        'ros2 lifecycle get /depth',
        'pip install nunpy',
        'ros2 param set /depth_node max_range -1',
        'ros2 param set /depth_node model a',
        'ros2 topic hz /depth/imag',
    ],
)
def test_one_that_does_not_is_found_out(words):
    with pytest.raises((AssertionError, KeyError, SystemExit, ValueError)):
        CHECKS[words.split()[0]](words.split())


@pytest.fixture(scope='module')
def short_flight(tmp_path_factory):
    """The first frames of the shipped flight."""
    whole, folder = share_path('flights', 'park'), tmp_path_factory.mktemp('flights') / 'park'
    shutil.copytree(whole, folder, ignore=lambda _, names: [name for name in names if name[:5].isdigit()])
    index = json.loads((whole / 'sequence.json').read_text())
    index['frames'], index['pairs'] = index['frames'][:8], []
    for file in itertools.chain.from_iterable((frame['image'], frame['depth']) for frame in index['frames']):
        if file:
            shutil.copy(whole / file, folder / file)
    (folder / 'sequence.json').write_text(json.dumps(index))
    assert len(PosedSequence.load(folder).frames) == 8
    return folder


@functools.cache
def run(*words):
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    ).stdout


def test_the_quickstarts_own_commands_run(short_flight, tmp_path):
    assert 'Healthy.' in run('-m', 'ros_depthnet.cli.main', 'doctor', short_flight)
    said = run('-m', 'ros_depthnet.cli.main', 'process', short_flight, '--out', tmp_path / 'out')
    assert '7 depth maps' in said
    assert all((tmp_path / 'out' / folder).is_dir() for folder in FOLDERS)


@pytest.mark.parametrize('example', sorted((ROOT / 'examples').glob('*.py')), ids=lambda path: path.stem)
def test_an_example_runs_on_a_flight_and_is_on_the_page(example, short_flight):
    lines = run(example, short_flight).splitlines()
    assert len(lines) >= 7
    code = example.read_text(encoding='utf-8').strip()
    assert f'```python\n{code}\n```' in (ROOT / 'docs' / 'python.md').read_text(encoding='utf-8')


def test_depth_of_the_example_is_that_of_the_scene(short_flight):
    lines = run(ROOT / 'examples' / 'depth_of_a_folder.py', short_flight).splitlines()
    medians = [float(re.search(r': ([\d.]+) m, (\d+)% known', line)[1]) for line in lines[1:]]
    assert 'first_frame' in lines[0] and all(5 < median < 8 for median in medians)


def test_the_reference_page_shows_every_argument_topic_and_parameter():
    page = ROOT / 'docs' / 'reference.md'
    assert page.read_text(encoding='utf-8') == reference.markdown(), (
        'write it anew: python -m ros_depthnet.ros.reference > docs/reference.md'
    )


def test_every_reason_to_drop_a_frame_is_explained():
    page = (ROOT / 'docs' / 'troubleshooting.md').read_text(encoding='utf-8')
    assert not [reason.value for reason in Drop if f'`{reason.value}`' not in page]


def test_every_method_and_score_is_explained():
    page = (ROOT / 'docs' / 'benchmarks.md').read_text(encoding='utf-8')
    common = (f'{name}_common' for name in COMMON_SCORES)
    names = ('constant', *CLASSICAL, *Scores.__dataclass_fields__, 'flicker', *common)
    assert not [name for name in names if f'`{name}`' not in page]


LAB = ROOT / 'docs' / 'lab'


@pytest.mark.parametrize('page', sorted(set(LAB.glob('*.md')) - {LAB / 'index.md'}), ids=lambda page: page.stem)
def test_an_experiment_is_dated_asks_answers_and_is_listed(page):
    text = page.read_text(encoding='utf-8')
    assert re.match(r'20\d\d-\d\d-\d\d-', page.stem)
    assert text.index('**Question.**') < text.index('**Command.**') < text.index('**Verdict.**')
    assert f'({page.name})' in (LAB / 'index.md').read_text(encoding='utf-8')


def test_links_of_the_pages_at_the_root_lead_somewhere():
    for page in OF_THE_ROOT:
        for target in re.findall(r'\]\(([^)#]+)', page.read_text(encoding='utf-8')):
            assert target.startswith('https://') or (ROOT / target).exists(), f'{page.name}: {target}'


def built(folder, site):
    # Not --quiet: warnings that are not shown do not count as strict.
    mkdocs = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(site)]
    return subprocess.run(mkdocs, cwd=folder, capture_output=True, text=True, check=False)


def test_the_site_builds_without_a_dead_link_and_finds_one(tmp_path):
    pytest.importorskip('mkdocs', reason="the site needs mkdocs: pip install 'ros_depthnet[docs]'")
    result = built(ROOT, tmp_path / 'site')
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / 'site' / 'quickstart.html').is_file()
    shutil.copytree(ROOT / 'docs', tmp_path / 'copy' / 'docs', ignore=shutil.ignore_patterns('lab', 'images'))
    shutil.copy(ROOT / 'mkdocs.yml', tmp_path / 'copy')
    assert built(tmp_path / 'copy', tmp_path / 'other').returncode != 0  # the lab is gone


def test_the_public_names_are_on_the_page_and_load():
    import ros_depthnet

    page = (ROOT / 'docs' / 'python.md').read_text(encoding='utf-8')
    rows = re.findall(r'^\| (`.*?) \|', page, re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r'`(\w+)`', row)) == ros_depthnet.__all__
    assert all(getattr(ros_depthnet, name).__doc__ for name in ros_depthnet.__all__)
    with pytest.raises(AttributeError, match='names no'):
        ros_depthnet.nothing  # noqa: B018
    loaded = run('-c', 'import sys, ros_depthnet; print("numpy" in sys.modules, "Session" in dir(ros_depthnet))')
    assert loaded.split() == ['False', 'True']
