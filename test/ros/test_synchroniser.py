"""Messages that belong together by their stamps."""

import pytest

from ros_depthnet.ros.synchroniser import Synchroniser

MS = 1_000_000


def synchroniser(required=('depth', 'info'), lost=None):
    sets = []
    lost = [] if lost is None else lost
    return sets, Synchroniser('depth', lambda: required, lambda stamp_ns, messages: sets.append(messages), lost.extend)


@pytest.mark.parametrize(
    'arrivals, expected',
    [
        ('d100 i100 d200 i200', 'd100+i100 d200+i200'),
        ('i100 d100', 'd100+i100'),
        ('d100 d200 i200', 'd200+i200'),
        ('d100 i200', ''),
        ('d100 d200 i100 i200', 'd100+i100 d200+i200'),
        ('d100 i100 d100 i100', 'd100+i100 d100+i100'),
        ('d100 i103 d133 i136', 'd100+i103 d133+i136'),  # a calibration stamped 3 ms later
        ('i97 d100 i130 d133', 'd100+i97 d133+i130'),
        ('d100 i107', ''),
        ('i98 i100 d100', 'd100+i100'),
    ],
)
def test_messages_of_nearly_one_stamp_come_together(arrivals, expected):
    sets, synchronise = synchroniser()
    for arrival in arrivals.split():
        topic = {'d': 'depth', 'i': 'info'}[arrival[0]]
        synchronise.add(topic, int(arrival[1:]) * MS, arrival)
    assert ' '.join('+'.join(messages[topic] for topic in ('depth', 'info')) for messages in sets) == expected


def test_a_lost_partner_costs_its_set_alone_and_no_memory():
    lost = []
    sets, synchronise = synchroniser(lost=lost)
    for i in range(1000):
        synchronise.add('depth', i * 100 * MS, i)
    synchronise.add('info', 999 * 100 * MS, 'info')
    assert [messages['depth'] for messages in sets] == [999]
    assert sum(map(len, synchronise._held.values())) == 0
    assert set(lost) == {'info'}
    assert len(lost) == 990


def test_an_optional_partner_is_waited_for_only_while_it_is_published():
    required = {'depth'}
    sets, synchronise = synchroniser(required)
    synchronise.add('depth', 100 * MS, 'd')
    required.add('deviation')
    synchronise.add('depth', 200 * MS, 'd')
    synchronise.add('deviation', 200 * MS, 's')
    assert [set(messages) for messages in sets] == [{'depth'}, {'depth', 'deviation'}]
