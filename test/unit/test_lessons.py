"""Lessons: what a network's last narrowing goes on from and a larger one's answers, worked out once."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.learning import lessons  # noqa: E402
from ros_depthnet.learning.dataset import RenderedFlights, render_shards  # noqa: E402
from ros_depthnet.learning.export import example_inputs, export_parallaxnet  # noqa: E402
from ros_depthnet.learning.lessons import write_lessons  # noqa: E402
from ros_depthnet.learning.networks.parallaxnet import ParallaxNet, ParallaxNetConfig  # noqa: E402
from ros_depthnet.learning.parallax_task import ParallaxTask  # noqa: E402
from ros_depthnet.learning.recipe import Recipe  # noqa: E402
from ros_depthnet.learning.slimming import slim  # noqa: E402
from ros_depthnet.learning.still_box.sequences import SequenceOptions  # noqa: E402
from ros_depthnet.learning.still_box.textures import TextureAtlas  # noqa: E402
from ros_depthnet.learning.task import Stage  # noqa: E402
from ros_depthnet.learning.taught_end_task import Lessons, TaughtEndTask  # noqa: E402
from ros_depthnet.learning.taught_parallax_task import TaughtParallaxTask  # noqa: E402
from ros_depthnet.learning.training import train  # noqa: E402
from ros_depthnet.learning.weights import halve, write_checkpoint  # noqa: E402

LARGE = ParallaxNetConfig(
    hypotheses=8, sweep_channels=8, deep_channels=8, fine_channels=(8, 8, 8), context_channels=(4, 8, 8),
    learned_groups=2,
)  # fmt: skip
SLIM = dataclasses.replace(LARGE, fine_channels=(8, 8, 6), learned_strides=(8, 4))
BATCH = {**example_inputs(2, 2, 64, 96), 'parallax': torch.full((2, 64, 96), 9.0)}


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    torch.manual_seed(1)
    network, weights = ParallaxNet(LARGE), tmp_path_factory.mktemp('teacher') / 'teacher.onnx'
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.2)
    export_parallaxnet(halve(network), weights)
    return weights


def task_of(network, teacher):
    return TaughtEndTask(
        TaughtParallaxTask(network, median_parallax=(0.1, 100.0), teacher_weights=teacher, teacher_network=LARGE)
    )


def begun(task):
    network = task.build().eval()
    slim(network, task.of_whole.teacher)
    return network


def test_the_end_of_a_lesson_is_the_end_of_the_whole_network(teacher):
    task = task_of(SLIM, teacher)
    network = begun(task)
    lesson = {name: values.float() for name, values in task.lesson(network, BATCH).items()}
    of_lesson = task.loss_terms(network, lesson)
    of_whole = ParallaxTask(SLIM).loss_terms(network, BATCH)
    assert set(of_lesson) == {'taught', 'stage2', 'stage3', 'likelihood'}
    for name in ('stage2', 'stage3', 'likelihood'):
        assert of_lesson[name].item() == pytest.approx(of_whole[name].item(), rel=1e-3)


def test_a_teacher_that_goes_on_from_its_own_beginning_says_what_it_always_says(teacher):
    task = task_of(LARGE, teacher)
    lesson = task.lesson(task.of_whole.teacher, BATCH)
    inputs = {name: value for name, value in BATCH.items() if name != 'parallax'}
    half, full = task.of_whole.teacher.predict(**inputs).stages[-2:]
    assert torch.allclose(lesson['half'], half, atol=1e-5)
    assert torch.allclose(lesson['full'], full, atol=1e-5)


def test_from_lessons_the_end_learns_and_nothing_else(tmp_path, teacher):
    folder, options = tmp_path / 'set', SequenceOptions(width=64, height=64, samples=1)
    render_shards(folder, 5, range(1), options, TextureAtlas(procedural=8, photo_tiles=0))
    flights, task = RenderedFlights.open(folder), task_of(SLIM, teacher)
    network = begun(task)
    recipe = Recipe((Stage(60, (64, 64), 4, 2, frozen_norms=True),), task, learning_rate=0.002, warmup=1)
    written = []
    for _ in range(2):  # what is there is not made again
        write_lessons(tmp_path / 'lessons', recipe, task, network, [flights], written.append)
    assert written == [f'{number} of 4 lessons' for number in (1, 2, 3, 4)]
    taught = Lessons.open(tmp_path / 'lessons')
    start = tmp_path / 'start.pt'
    write_checkpoint(start, {'network': network.state_dict()})
    learned = train(recipe, [taught], flights, tmp_path / 'run', loaders=0, start_from=start)
    moved = {
        name.split('.')[0]
        for (name, before), after in zip(network.named_parameters(), learned.parameters(), strict=True)
        if not torch.equal(before, after)
    }
    assert moved == {'narrowings', 'mixing', 'log_scale'}
    assert all(
        torch.equal(a, b) for a, b in zip(network.narrowings[1].parameters(), learned.narrowings[1].parameters())
    )
    lesson = task.draw(taught, recipe.stages[0], np.random.default_rng(0))
    before, after = (sum(task.loss_terms(each.eval(), lesson).values()) for each in (network, learned))
    assert after < before


def test_where_there_are_no_lessons_it_is_said_how_to_make_them(tmp_path):
    with pytest.raises(
        FileNotFoundError, match='No lessons in .*: make them with python -m ros_depthnet.learning.lessons'
    ):
        Lessons.open(tmp_path)


def test_a_recipe_that_takes_no_lessons_is_named(tmp_path, monkeypatch, capsys):
    arguments = [
        'lessons',
        str(tmp_path),
        '--config',
        'parallaxnet',
        '--data',
        str(tmp_path),
        '--start-from',
        'none.pt',
    ]
    monkeypatch.setattr('sys.argv', arguments)
    with pytest.raises(SystemExit):
        lessons.main()
    assert 'parallaxnet takes no lessons.' in capsys.readouterr().err
