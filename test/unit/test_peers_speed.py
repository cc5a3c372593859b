"""Networks of other kinds, for their time: they must be of the published size, or their time says nothing."""

import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.learning.peers import Monocular  # noqa: E402


def test_the_monocular_network_is_as_large_as_depth_anything_small():
    assert sum(weight.numel() for weight in Monocular().parameters()) == pytest.approx(24.8e6, rel=0.02)


def test_the_monocular_network_answers_for_every_pixel():
    with torch.inference_mode():
        assert Monocular(side=56)(torch.zeros(1, 3, 56, 56)).shape == (1, 1, 56, 56)
