"""The matching cost in one pass, against a slow, obvious version; the graph in parts, against the whole graph."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from ros_depthnet.engines.matching import Matching
from ros_depthnet.engines.onnx_engine import OnnxEngine
from ros_depthnet.engines.split_session import SplitSession, stages_of
from ros_depthnet.resources import share_path

FX, FY, CX, CY = INTRINSICS = np.array([70, 65, 33, 22], np.float32)
STRIDE, HEIGHT, WIDTH = 4, 12, 16
GROUPS = (3, 1, 2)


def tap(image_chw, x, y):
    """Return an image's values at a place between pixels, 0 beyond its edge, pixel by pixel."""
    total = np.zeros(len(image_chw))
    for column in (int(np.floor(x)), int(np.floor(x)) + 1):
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            if 0 <= column < image_chw.shape[2] and 0 <= row < image_chw.shape[1]:
                total += (1 - abs(x - column)) * (1 - abs(y - row)) * image_chw[:, row, column]
    return total


def slow_costs(reference, sources, seen, displacements, rho):
    """Compare by the definition, a place at a time: points of the reference projected into each source."""
    costs, share = np.zeros((len(GROUPS), *rho.shape)), np.zeros(rho.shape[1:])
    for d, y, x in np.ndindex(rho.shape):
        u, v = (x + 0.5) * STRIDE - 0.5, (y + 0.5) * STRIDE - 0.5  # in pixels of the input
        ray = np.array([(u - CX) / FX, (v - CY) / FY, 1])
        off, total = np.zeros(len(GROUPS)), 0
        for source, seen_hw, displacement in zip(sources, seen, displacements, strict=True):
            point = ray + displacement * rho[d, y, x] / FX
            place = point[:2] / max(point[2], 0.05) * (FX, FY) + (CX, CY)
            there = tap(np.concatenate([source * seen_hw, seen_hw[None]]), *((place + 0.5) / STRIDE - 0.5))
            difference = np.abs(there[:-1] - reference[:, y, x] * there[-1])
            off += [part.mean() for part in np.split(difference, np.cumsum(GROUPS)[:-1])]
            total += there[-1]
        costs[:, d, y, x] = np.minimum(off / (total + 1e-3), 2) / 2 if total > 0.01 else 0.4
        share[y, x] += total / (len(sources) * len(rho))
    return costs.reshape(-1, *rho.shape[1:]), share[None]


@pytest.mark.parametrize('ahead', [0, 0.6, -0.6])
def test_one_pass_computes_the_definition(ahead):
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(3, sum(GROUPS), HEIGHT, WIDTH)).astype(np.float32)
    seen = rng.uniform(size=(3, HEIGHT, WIDTH)).round(1).astype(np.float32)
    seen[0] = 1
    displacements = np.float32([[1, 0, ahead], [0.3, -0.4, ahead]])
    rho = rng.uniform(0, 60, (5, HEIGHT, WIDTH)).astype(np.float32)
    matching = Matching(2)
    reference, *sources = matching.packed(descriptors, seen)
    batch = (each[None] for each in (reference, np.stack(sources), displacements, INTRINSICS))
    found = matching.costs(*batch, STRIDE, GROUPS, rho[None])
    expected = slow_costs(descriptors[0], descriptors[1:], seen[1:], displacements, rho)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one[0], other, atol=2e-5)
    assert (expected[0] == 0.4).any() and (expected[0] != 0.4).mean() > 0.5


def wall(batch, sources, height, width, ahead):
    """Return inputs of parallaxnet: a texture that passes sideways and comes nearer, seen in part."""
    rng = np.random.default_rng(batch)
    coarse = rng.uniform(size=(batch, 3, height // 4, width // 4)).astype(np.float32)
    reference = coarse.repeat(4, 2).repeat(4, 3)
    shares = np.float32(1 / np.arange(1, sources + 1))
    valid = np.ones((batch, sources, 1, height, width), np.float32)
    valid[..., :9] = 0
    displacements = np.stack([shares, 0 * shares, ahead * shares], -1)
    return {
        'reference': reference,
        'sources': np.stack([np.roll(reference, round(12 * share), -1) for share in shares], 1),
        'valid': valid,
        'displacements': np.tile(displacements, (batch, 1, 1)),
        'intrinsics': np.tile(np.float32([width, width, width / 2, height / 2]), (batch, 1)),
    }


@pytest.mark.parametrize('name', ['parallaxnet', 'parallaxnet_small'])
def test_shipped_models_compute_the_same_in_parts(name):
    path = share_path('models', f'{name}.onnx')
    whole = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    parts = SplitSession(onnx.load(path), onnxruntime.InferenceSession, threads=2)
    for inputs in (wall(1, 1, 64, 96, 0), wall(2, 3, 96, 64, 0.3), wall(1, 2, 64, 128, -0.3)):
        for one, other in zip(parts.run(None, inputs), whole.run(None, inputs), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


def test_the_engine_runs_shipped_models_in_parts_on_a_cpu():
    engine = OnnxEngine(share_path('models', 'parallaxnet_small.onnx'), 'cpu')
    assert isinstance(engine._session, SplitSession)
    inputs = wall(1, 1, 64, 96, 0)
    assert set(engine.run(inputs)) == {'log_parallax', 'log_deviation'}


def test_without_onnx_to_cut_it_the_whole_graph_runs_and_says_so():
    code = """if True:
        import logging, sys
        sys.modules['onnx'] = None
        logging.basicConfig()
        from ros_depthnet.engines.onnx_engine import OnnxEngine
        print(type(OnnxEngine(sys.argv[1], 'cpu')._session).__name__)
    """
    command = [sys.executable, '-c', code, str(share_path('models', 'parallaxnet_small.onnx'))]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == 'InferenceSession'
    assert 'onnx is missing' in result.stderr


def test_a_file_that_says_nothing_of_it_is_not_cut():
    assert stages_of(onnx.load(share_path('models', 'depthnet.onnx'))) == ()
