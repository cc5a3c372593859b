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
