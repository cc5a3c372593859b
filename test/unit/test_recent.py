"""Rates and percentiles of the last seconds."""

import numpy as np
import pytest

from ros_depthnet.core.recent import Recent


def test_the_rate_is_that_of_the_last_seconds():
    recent = Recent(window=2.0)
    for now in [*np.arange(0, 10, 0.5), *np.arange(10, 20, 0.1)]:
        recent.add(now)
    assert recent.rate(19.9) == pytest.approx(10)


def test_the_rate_sinks_while_nothing_comes_and_ends_at_zero():
    recent = Recent(window=5.0)
    for now in np.arange(0, 2, 0.1):
        recent.add(now)
    assert recent.rate(3.9) == pytest.approx(0.5)
    assert recent.rate(60) == 0


@pytest.mark.parametrize('count', [0, 1])
def test_one_value_is_no_rate(count):
    recent = Recent()
    for _ in range(count):
        recent.add(1.0)
    assert recent.rate(1.0) == 0


def test_percentiles_are_those_of_what_is_remembered():
    recent = Recent(window=10.0)
    recent.add(0.0, 1e6)
    for value in range(1, 101):
        recent.add(20.0, value)
    p50, p95 = recent.percentiles(50, 95)
    assert sorted(range(1, 101))[49] <= p50 <= sorted(range(1, 101))[50]
    assert 95 <= p95 <= 96


def test_no_values_have_no_percentiles():
    assert np.isnan(Recent().percentiles(50, 95)).all()
