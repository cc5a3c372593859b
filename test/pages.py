"""The commands that pages for users print."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r'^( *)```sh\n(.*?)^\1```', re.MULTILINE | re.DOTALL)


def commands(page):
    """Return the commands of a page's shell blocks, as words."""
    for _, block in _BLOCK.findall(page.read_text(encoding='utf-8')):
        for line in block.replace('\\\n', ' ').splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def ros2_commands(page):
    """Return the ros2 commands in what a page shows in any other block or in a line, as words."""
    text = _BLOCK.sub('', page.read_text(encoding='utf-8')).replace('\\\n', ' ')
    blocks = re.findall(r'^ *```\n(.*?)^ *```', text, re.MULTILINE | re.DOTALL)
    lines = re.findall(r'\bros2 .*', '\n'.join(blocks)) + re.findall(r'`(ros2 [^`]*)`', text)
    for line in lines:
        words = shlex.split(line, comments=True)
        if len(words) > 3:  # `ros2 param set` is a name
            yield words
