"""A few faults of a flight and a short soak, by the scripts that make the table of docs/reliability.md."""

import pytest
from faults import Flight, faults, judge
from soak import Held, grown, growth, soak

FAULTS = {fault.name: fault for fault in faults()}
SOAK_S, PART_S = 12.0, 1.5


@pytest.fixture(scope='module')
def flight(tmp_path_factory):
    flight = Flight(tmp_path_factory.mktemp('flight'))
    yield flight
    assert flight.close() == 0


@pytest.mark.parametrize(
    ('name', 'reasons', 'words'),
    [
        ('images out of order', {'lost', 'busy', 'stale'}, ''),
        ('odometry stuck', {'contradicted'}, 'stopped'),
    ],
)
def test_a_fault_gives_no_wrong_depth_and_every_image_is_accounted_for(flight, name, reasons, words):
    outcome = judge(flight, FAULTS[name])
    assert outcome.sent > 15 and outcome.unaccounted == 0
    assert reasons & outcome.dropped.keys()
    assert outcome.wrong == 0
    assert outcome.recovery_s is not None
    assert any(words in sentence for sentence in outcome.said) or not words


def test_a_node_holds_no_more_after_a_while_of_flying(flight):
    before = len(flight.depths)
    held = growth(soak(flight, SOAK_S, PART_S))
    assert len(flight.depths) > before
    assert not grown(held, most_growth=0.1), held


def test_what_grows_is_named():
    quarters = [Held(100, 20, 20, 8, 4)] * 4 + [Held(104, 22, 23, 8, 4)] * 4
    assert grown(growth(quarters)) == ['memory_mb', 'descriptors']
    assert grown(growth(quarters[:4])) == []
