"""Exact synchronising: the own one, and message_filters' where it is installed, mean the same."""

import pytest
from sensor_msgs.msg import Image

from ros_depthnet.ros.conversions.time import to_ns, to_stamp
from ros_depthnet.ros.synchroniser import ExactSynchroniser

try:
    import message_filters
except ImportError:
    message_filters = None

TOPICS = ('depth', 'info')


class Own:
    def __init__(self, sets):
        self._synchroniser = ExactSynchroniser(
            lambda: TOPICS, lambda stamp_ns, messages: sets.append(tuple(messages[topic] for topic in TOPICS))
        )

    def add(self, topic, message):
        self._synchroniser.add(topic, to_ns(message.header.stamp), message)


class MessageFilters:
    def __init__(self, sets):
        self._filters = {topic: message_filters.SimpleFilter() for topic in TOPICS}
        self._synchroniser = message_filters.TimeSynchronizer(list(self._filters.values()), 10)
        self._synchroniser.registerCallback(lambda *messages: sets.append(messages))

    def add(self, topic, message):
        self._filters[topic].signalMessage(message)


@pytest.mark.parametrize('kind', [Own] if message_filters is None else [Own, MessageFilters])
@pytest.mark.parametrize(
    'arrivals, expected',
    [
        ('d1 i1 d2 i2', '1 2'),
        ('i1 d1', '1'),
        ('d1 d2 i2', '2'),
        ('d1 i2', ''),
        ('d1 d2 i1 i2', '1 2'),
        ('d1 i1 d1 i1', '1 1'),
    ],
)
def test_messages_of_one_stamp_come_together(kind, arrivals, expected):
    sets = []
    synchroniser = kind(sets)
    for topic, number in arrivals.split():
        message = Image()
        message.header.stamp = to_stamp(int(number))
        synchroniser.add({'d': 'depth', 'i': 'info'}[topic], message)
    assert [tuple(message.header.stamp.nanosec for message in messages) for messages in sets] == [
        (int(number),) * 2 for number in expected.split()
    ]


def test_a_lost_partner_costs_its_set_alone_and_no_memory():
    sets = []
    synchroniser = ExactSynchroniser(lambda: TOPICS, lambda stamp_ns, messages: sets.append(stamp_ns))
    for i in range(1000):
        synchroniser.add('depth', i, object())
    synchroniser.add('info', 999, object())
    assert sets == [999]
    assert len(synchroniser._sets) == 0


def test_an_optional_partner_is_waited_for_only_while_it_is_published():
    sets, required = [], {'depth'}
    synchroniser = ExactSynchroniser(lambda: required, lambda stamp_ns, messages: sets.append(set(messages)))
    synchroniser.add('depth', 1, object())
    required.add('deviation')
    synchroniser.add('depth', 2, object())
    synchroniser.add('deviation', 2, object())
    assert sets == [{'depth'}, {'depth', 'deviation'}]
