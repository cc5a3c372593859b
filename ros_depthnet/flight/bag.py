"""Recorded flights in rosbag2 (sqlite3, MCAP), the damaged ones as far as they go."""

import heapq
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from ros_depthnet.flight.mounting import TransformTree
from ros_depthnet.flight.topics import CAMERA_INFO, COMPRESSED, IMAGE, ODOM, Topic
from ros_depthnet.flight.transforms import TRANSFORMS, pose_types, static_transforms

_STATIC_TOPIC = 'tf_static'
PARAMETERS = {
    IMAGE: 'image_topic',
    COMPRESSED: 'compressed_topic',
    CAMERA_INFO: 'camera_info_topic',
    ODOM: 'odom_topic',
}
_SUFFIXES = ('.mcap', '.db3')

_SOUND_ROWS = (
    "FROM messages JOIN topics ON topic_id = topics.id WHERE typeof(name) = 'text' AND typeof(type) = 'text' "
    "AND typeof(timestamp) = 'integer' AND typeof(data) = 'blob'"
)

# Of damaged files and messages the libraries let through whatever the damage leads to, down to apsw and struct.
_DAMAGE = Exception


class RecordingError(ValueError):
    """A recording that cannot be played; the text says why in one sentence."""


@dataclass(frozen=True, eq=False)
class Record:
    """A message as it was recorded: when, on which topic, of which type, its CDR bytes."""

    time_ns: int
    topic: str
    type: str
    cdr: bytes


class Bag:
    """
    A rosbag2: a folder, or a file of one.

    Where its index is missing, as after a recorder lost power, its messages are read one after the other up
    to where they end. `report` gets a sentence for all that is lost.
    """

    def __init__(
        self,
        path: Path,
        report: Callable[[str], None] = lambda sentence: None,
        wanted: Mapping[Topic, str] | None = None,
        world_frame: str = '',
    ):
        """
        Open a bag and choose its topics, the `wanted` ones where named; raises RecordingError.

        With a `world_frame` the poses are those of tf, else only where there are no others.
        """
        self._types_of: dict[Topic, tuple[str, ...]] = {
            topic: (topic.type,) for topic in (IMAGE, COMPRESSED, CAMERA_INFO)
        }
        self._types_of[ODOM] = pose_types(world_frame)
        self.path, self._report = path, report
        self._types = get_typestore(Stores.LATEST)
        self._known: set[str] = set()
        if not path.exists():
            raise RecordingError(f'There is no recording at {path}.')
        self._storages = self._open()
        self.counts: Counter[tuple[str, str]] = Counter()
        for storage in self._storages:
            self.counts.update(storage.counts)
        found = {topic: self._find(topic, (wanted or {}).get(topic, '')) for topic in self._types_of}
        self._chosen = {topic: name_and_type for topic, name_and_type in found.items() if name_and_type}
        self.topics = frozenset(self._chosen)

    def name(self, topic: Topic) -> str:
        """Return a chosen topic's name in the bag."""
        return self._chosen[topic][0]

    def type(self, topic: Topic) -> str:
        """Return a chosen topic's type of message."""
        return self._chosen[topic][1]

    def require(self, *topics: Topic) -> None:
        """Raise RecordingError where one of these is missing."""
        if not self.topics & {IMAGE, COMPRESSED}:
            raise RecordingError(f'The bag {self.path} has no image topic.')
        for topic in topics:
            if topic not in self.topics:
                raise RecordingError(
                    f'{self.path} has no topic of type {" or ".join(self._types_of[topic])}, which '
                    'depth from motion needs.'
                )

    def events(self) -> Iterator[tuple[Record, Topic]]:
        """Return the chosen topics' records in the order of recording."""
        topics = {name: topic for topic, (name, _) in self._chosen.items()}
        for record in self.records(topics):
            topic = topics[record.topic]
            if record.type == self.type(topic):
                yield record, topic

    def records(self, names: Iterable[str]) -> Iterator[Record]:
        """Return the records of some topics; raises RecordingError where the bag cannot be read on."""
        yield from heapq.merge(
            *(storage.records(frozenset(names)) for storage in self._storages), key=lambda record: record.time_ns
        )

    def message(self, record: Record) -> Any:
        """Return a record's message; None, and a report, where it is damaged."""
        try:
            return self._types.deserialize_cdr(record.cdr, record.type)
        except _DAMAGE as error:
            why = str(error) or type(error).__name__
            self._report(f'A damaged message on {record.topic} is left out: {why}.')
            return None

    def static_messages(self) -> list:
        """Return the messages of /tf_static."""
        names = [name for name, kind in self.counts if kind == TRANSFORMS and _is_static(name)]
        messages = map(self.message, self.records(names) if names else ())
        return [message for message in messages if message is not None]

    def static_transforms(self) -> TransformTree:
        """Return all that /tf_static says."""
        return TransformTree(
            transform for message in self.static_messages() for transform in static_transforms(message, self._report)
        )

    def _find(self, topic: Topic, wanted: str) -> tuple[str, str] | None:
        """Return a topic's name and type: the wanted one, the usual one, or the only one of its best type."""
        for kind in self._types_of[topic]:
            names = sorted(name for name, other in self.counts if other == kind and not _is_static(name))
            if wanted and wanted in names:
                return wanted, kind
            if wanted or not names:
                continue
            usual = [name for name in names if name.endswith((f'/{topic.name}', '/tf'))]
            if len(usual) == 1 or len(names) == 1:
                return (usual or names)[0], kind
            raise RecordingError(
                f'The bag {self.path} has several {kind}: set {PARAMETERS[topic]} to one of {", ".join(names)}.'
            )
        if wanted:
            there = ', '.join(sorted(name for name, kind in self.counts if kind in self._types_of[topic])) or 'none'
            raise RecordingError(f'The bag {self.path} has no {topic.type} on {wanted}; it has: {there}.')
        return None

    def _open(self) -> list['_Storage']:
        """Return what there is to read, by the bag's index where it has one."""
        try:
            return [_Indexed(self.path, self._learn, self._report)]
        except _DAMAGE as error:
            why = str(error).rstrip('.') or type(error).__name__
        there = [self.path] if self.path.is_file() else sorted(self.path.iterdir())
        files = [file for file in there if file.suffix in _SUFFIXES]
        found: list[_Storage] = []
        readers: dict[str, Callable[..., _Storage]] = {'.mcap': _CutMcap, '.db3': _CutSqlite}
        for file in files:
            try:
                found.append(_Indexed(file, self._learn, self._report))
            except _DAMAGE:
                try:
                    found.append(readers[file.suffix](file, self._learn))
                except _DAMAGE:
                    continue
        if not files:
            raise RecordingError(
                f'{self.path} is no flight: neither a rosbag2 (.mcap or .db3) nor a folder of images and poses '
                '(sequence.json).'
            )
        if not any(storage.counts for storage in found):
            raise RecordingError(f'The bag {self.path} cannot be read: {why}.')
        self._report(f'The bag {self.path} was not closed properly ({why}); what is in it is used.')
        return found

    def _learn(self, kind: str, definition: str) -> None:
        """Make a type known that ROS itself does not have."""
        if kind in self._types.types or kind in self._known or not definition:
            return
        self._known.add(kind)
        try:
            found = get_types_from_msg(definition, kind)
            self._types.register({name: what for name, what in found.items() if name not in self._types.types})
        except _DAMAGE:
            self._report(f'The definition of {kind} in the bag cannot be understood.')


def _text(told: object) -> str:
    """Return what an index says where it must be text; raises TypeError."""
    if not isinstance(told, str):
        raise TypeError(f'its index has {told!r} for a name')
    return told


def _is_static(name: str) -> bool:
    return name.rpartition('/')[2] == _STATIC_TOPIC


class _Indexed:
    """A bag that rosbags reads, up to where it is damaged."""

    def __init__(self, path: Path, learn: Callable[[str, str], None], report: Callable[[str], None]):
        self._path, self._report = path, report
        with Reader(path) as reader:
            self.counts: Counter[tuple[str, str]] = Counter()
            for connection in reader.connections:
                self.counts[_text(connection.topic), _text(connection.msgtype)] += connection.msgcount
                definition = connection.msgdef
                if definition.format == MessageDefinitionFormat.MSG:
                    learn(connection.msgtype, definition.data)

    def records(self, names: frozenset[str]) -> Iterator[Record]:
        time_ns = None
        try:
            with Reader(self._path) as reader:
                connections = [each for each in reader.connections if each.topic in names]
                for connection, time_ns, cdr in reader.messages(connections) if connections else ():
                    yield Record(time_ns, connection.topic, connection.msgtype, bytes(cdr))
        except _DAMAGE as error:
            what = f'The bag {self._path} is damaged ({str(error) or type(error).__name__})'
            if time_ns is None:
                raise RecordingError(f'{what}.') from error
            self._report(f'{what}: what was recorded after {time_ns / 1e9:.3f} s is lost.')


class _CutMcap:
    """An MCAP without its end, read from the front for as long as it makes sense."""

    def __init__(self, path: Path, learn: Callable[[str, str], None]):
        self._path = path
        self.counts: Counter[tuple[str, str]] = Counter()
        for channel, schema, _ in self._messages():
            self.counts[channel.topic, schema.name] += 1
            learn(schema.name, schema.data.decode(errors='replace') if schema.encoding == 'ros2msg' else '')

    def records(self, names: frozenset[str]) -> Iterator[Record]:
        found = (
            Record(message.log_time, channel.topic, schema.name, message.data)
            for channel, schema, message in self._messages()
            if channel.topic in names
        )
        return iter(sorted(found, key=lambda record: record.time_ns))

    def _messages(self) -> Iterator[tuple[Channel, Schema, Message]]:
        schemas, channels = {}, {}
        with self._path.open('rb') as file:
            try:
                for record in StreamReader(file).records:
                    if isinstance(record, Schema):
                        schemas[record.id] = record
                    elif isinstance(record, Channel):
                        channels[record.id] = record
                    elif isinstance(record, Message) and record.channel_id in channels:
                        channel = channels[record.channel_id]
                        if channel.schema_id in schemas:
                            yield channel, schemas[channel.schema_id], record
            except _DAMAGE:
                return  # here it was cut


class _CutSqlite:
    """A sqlite3 bag that rosbags refuses, as far as sqlite reads it."""

    def __init__(self, path: Path, learn: Callable[[str, str], None]):
        self._path = path
        self.counts: Counter[tuple[str, str]] = Counter()
        with self._connected() as connection:
            for name, kind, count in connection.execute(
                f'SELECT name, type, COUNT(*) {_SOUND_ROWS} GROUP BY topics.id'
            ):
                self.counts[name, kind] += count

    def records(self, names: frozenset[str]) -> Iterator[Record]:
        query = f'SELECT timestamp, name, type, data {_SOUND_ROWS} ORDER BY timestamp'
        with self._connected() as connection:
            try:
                for time_ns, name, kind, data in connection.execute(query):
                    if name in names:
                        yield Record(time_ns, name, kind, data)
            except sqlite3.Error:
                return  # here it was cut

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(f'file:{self._path}?mode=ro', uri=True)


_Storage = _Indexed | _CutMcap | _CutSqlite
