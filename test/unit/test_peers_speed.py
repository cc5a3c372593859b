"""Networks of other kinds, for their time: they must be of the published size, or their time says nothing."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the learning room needs the `train` extra')

from ros_depthnet.learning.networks.monocular_peer import Monocular  # noqa: E402
from ros_depthnet.learning.networks.multi_view_peer import (  # noqa: E402
    PLANES,
    EfficientNetV2S,
    MultiViewPeer,
)
from ros_depthnet.learning.peers import in_onnx_runtime, passed_by  # noqa: E402


def test_the_monocular_network_is_as_large_as_depth_anything_small():
    assert sum(weight.numel() for weight in Monocular().parameters()) == pytest.approx(24.8e6, rel=0.02)


def test_the_monocular_network_answers_for_every_pixel():
    with torch.inference_mode():
        assert Monocular(side=56)(torch.zeros(1, 3, 56, 56)).shape == (1, 1, 56, 56)


def test_the_multi_view_networks_trunk_is_efficientnet_v2_s():
    # torchvision's has 21,458,488 weights, of which 330,240 are its last convolution's and 1,281,000 its classifier's.
    assert sum(weight.numel() for weight in EfficientNetV2S().parameters()) == 21_458_488 - 330_240 - 1_281_000


def test_onnx_runtime_answers_as_the_multi_view_network_does_at_half_the_size(tmp_path):
    network, inputs = MultiViewPeer().eval(), passed_by(64, 96)
    with torch.inference_mode():
        expected = network(*inputs).numpy()
    assert expected.shape == (1, 1, 32, 48)
    np.testing.assert_allclose(in_onnx_runtime(network, inputs, tmp_path / 'peer.onnx', 2)()[0], expected, atol=1e-3)


def test_its_volume_is_highest_at_the_depth_that_is_true():
    wall = torch.nn.functional.normalize(torch.randn(1, 16, 12, 64), dim=1)  # unlike anywhere else
    depth, focal = 1.0, 20.0
    K = torch.tensor([[focal, 0, 32.0], [0, focal, 6.0], [0, 0, 1]])
    T_srcs_ref = torch.eye(4).repeat(2, 1, 1)
    T_srcs_ref[:, 0, 3] = torch.tensor([0.2, -0.2])  # by 4 pixels at 1 m
    sources = torch.cat([wall.roll(4, -1), wall.roll(-4, -1)])
    best = MultiViewPeer.volume(wall, sources, K, torch.linalg.inv(K), T_srcs_ref).argmax(1)[0, :, 8:-8]
    planes = torch.logspace(*torch.tensor([0.25, 5.0]).log10().tolist(), PLANES)
    assert ((planes[best] / depth).log().abs() < 0.06).all()
