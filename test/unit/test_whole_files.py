"""What is written is there whole or not at all, and a full disk is a sentence."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ros_depthnet
from ros_depthnet.flight.pictures import read_picture, write_picture
from ros_depthnet.whole_files import whole_file, write_file

FULL = """if True:  # a file may hold two thousand bytes, as on a disk with no more room
    import resource, sys
    from pathlib import Path
    import numpy as np
    from ros_depthnet.evaluation.moments import Moments
    from ros_depthnet.flight.pictures import write_picture
    from ros_depthnet.whole_files import write_file
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    folder = Path(sys.argv[1])
    noise = np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8)
    for name, write in {
        'text': lambda path: write_file(path, 'x' * 2001),
        'png': lambda path: write_picture(path, noise),
        'jpg': lambda path: write_picture(path, noise),
        'npy': lambda path: Moments(folder).add_depth(7, noise.astype(np.float32)),
    }.items():
        try:
            write(folder / f'deep/er.{name}')
        except OSError as error:
            print(Path(error.filename).name, error.strerror)
"""


def test_where_there_is_no_room_the_file_is_named_and_nothing_is_left(tmp_path):
    said = subprocess.run([sys.executable, '-c', FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == [
        f'{name} File too large' for name in ('er.text', 'er.png', 'er.jpg', '7.depth.npy')
    ]
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == []


def test_what_was_there_stays_until_all_is_written(tmp_path):
    path = tmp_path / 'summary.json'
    write_file(path, 'finished')
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b'half')
        file.flush()
        assert path.read_text() == 'finished'
        raise KeyboardInterrupt
    assert path.read_text() == 'finished'
    assert list(tmp_path.iterdir()) == [path]
    write_file(path, 'é')
    assert path.read_bytes() == 'é'.encode()


def test_links_and_pipes_are_written_to_and_stay(tmp_path):
    (tmp_path / 'disk').mkdir()
    link, pipe = tmp_path / 'link', tmp_path / 'pipe'
    link.symlink_to(tmp_path / 'disk' / 'scores.json')
    write_file(link, 'scores')
    assert link.is_symlink() and (tmp_path / 'disk' / 'scores.json').read_text() == 'scores'
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_file(pipe, 'said')  # as to /dev/stdout
    assert os.read(reader, 9) == b'said' and pipe.is_fifo()
    os.close(reader)
    with pytest.raises(OSError, match='disk'):
        write_file(tmp_path / 'disk', 'a folder')


def test_a_picture_without_an_ending_that_says_its_kind_is_refused(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)
    write_picture(tmp_path / 'a.png', picture)
    np.testing.assert_array_equal(read_picture(tmp_path / 'a.png', 1), picture)
    with pytest.raises(ValueError, match='name a picture .png or .jpg'):
        write_picture(tmp_path / 'a', picture)


ELSEWHERE = {
    'cli/main.py': 'the null device',
    'cli/process.py': 'a folder, to lock it',
    'evaluation/flight_report.py': 'a video; the page that is written after it would not fit either',
    'learning/curves.py': 'a picture that is drawn again at the next row',
    'learning/quantise.py': 'a temporary folder',
    'ros/bag_writing.py': 'a bag, removed where it is not whole',
    'ros/isolation.py': 'a lock',
    'ros/processes.py': 'the log of a process that it starts',
}
WRITES = ('write_text', 'write_bytes', 'imwrite', 'tofile', 'savefig', 'VideoWriter', 'Writer')
SAVES = ('json.dump', 'onnx.save', 'os.open')  # np.save and torch.save are given a file that comes to be whole


def _writes(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    modes = [word.value for word in [*call.args, *(each.value for each in call.keywords)]
             if isinstance(word, ast.Constant) and isinstance(word.value, str)]  # fmt: skip
    opened = name.endswith('open') and any(set(mode) & set('wax') and len(mode) < 4 for mode in modes)
    whole = {'file', 'content'} & set(map(ast.unparse, call.args))
    to_a_path = name in ('np.save', 'np.savez_compressed', 'torch.save') and not whole
    return opened or to_a_path or name in SAVES or name.rpartition('.')[2] in WRITES


def test_every_other_module_writes_by_these_means():
    root = Path(ros_depthnet.__file__).parent
    writing = {
        str(path.relative_to(root))
        for path in root.rglob('*.py')
        if any(isinstance(node, ast.Call) and _writes(node) for node in ast.walk(ast.parse(path.read_text())))
    }
    assert writing - {'whole_files.py'} == set(ELSEWHERE)
