"""The nodes' speed over DDS: what is told of a rate is what was sent, and what came of it."""

import pytest

from ros_depthnet.ros.graph_bench import MISSING, Rated, _highest, graph_speed


def rated(rate, missing):
    return Rated(rate, 20, missing, rate, 1.0, 2.0, 0.1, {})


@pytest.mark.parametrize('limit', [0.9, 7.0, 41.0])
def test_the_highest_rate_is_found_to_a_sixth(limit):
    tried = []

    def measured(rate):
        tried.append(rate)
        return rated(rate, 0.0 if rate <= limit else 0.3)

    found = _highest(measured)
    assert limit / 1.16 < found.rate_hz <= limit
    assert len(tried) <= 6


def test_nodes_that_always_miss_some_have_no_highest_rate():
    assert _highest(lambda rate: rated(rate, MISSING + 0.01)) is None


def test_a_depth_node_past_a_wall_is_measured(model, tmp_path):
    found = graph_speed(
        (160, 120),
        (5.0,),
        1.0,
        tmp_path,
        lambda text: None,
        {'model': str(model), 'threads': 1},
        nodes=('depth_node',),
        search=False,
    )
    (at_five,) = found.at_rates
    assert found.camera == '160x120' and found.at_highest is None
    assert 0.5 < found.first_depth_s < 60
    assert at_five.images == pytest.approx(5 * 4, abs=2)  # twenty images, as a second has too few
    assert at_five.missing <= 0.2
    assert at_five.depth_hz == pytest.approx(5 * (1 - at_five.missing), rel=0.15)
    assert 0 < at_five.latency_p50_ms <= at_five.latency_p95_ms
    assert 0.01 < at_five.cpu['depth_node'] < 2
    assert 80 < found.memory_mb['depth_node'] < 1000
