"""
Fixtures shared by the unit tests.

Four tests hold the judge of `depthnet evaluate` to reference values, and the reader to files on other people's
sequences, which are not ours to ship. They are looked for beside the checkout; without them these four skip.
"""

from pathlib import Path

import pytest

SAMPLES = Path(__file__).resolve().parents[3] / 'shared' / 'data'


@pytest.fixture(scope='session')
def samples() -> Path:
    """Return the folder of real and synthetic sample sequences, which are not part of this repository."""
    if not SAMPLES.is_dir():
        pytest.skip(f'the sample sequences, which are no part of this repository, are not at {SAMPLES}')
    return SAMPLES
