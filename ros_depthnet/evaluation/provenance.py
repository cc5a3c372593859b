"""Which state of the code, and which machine, a number comes from."""

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

from ros_depthnet.resources import share_path


def commit() -> str:
    """Return the commit of the checkout, '-dirty' if changed since; for an installed package its version."""
    root = share_path()
    if (root / '.git').exists():
        describe = ['git', '-C', str(root), 'describe', '--always', '--dirty', '--abbrev=12']
        try:
            return subprocess.run(describe, capture_output=True, check=True, text=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            pass
    try:
        return f'version {importlib.metadata.version("ros_depthnet")}'
    except importlib.metadata.PackageNotFoundError:
        return 'unknown'


def machine() -> str:
    """Return the processor's name and how many cores there are."""
    try:
        named = re.search(r'^model name\s*: (.*)$', Path('/proc/cpuinfo').read_text(), re.MULTILINE)
    except OSError:
        named = None
    return f'{named[1] if named else platform.machine()}, {os.cpu_count()} cores'
