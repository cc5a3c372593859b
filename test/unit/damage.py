"""Damage to what readers take: to its bytes anywhere, and behind checksums, where bytes alone never get."""

import io
import math
import struct
import zipfile
import zlib

import onnx

NUMBERS = (0, 1, -1, 2, 3, 7, 16, 255, 640, 2**31 - 1, 2**32 - 1, 0.5, -0.5, 1e-9, 1e9, 1e300, -1e300,
           math.nan, math.inf, -math.inf)  # fmt: skip
ODDITIES = (*NUMBERS, None, True, False, '', 'x', 'a' * 999, '\0', 'é', [], {}, [1], [[]], {'a': 1}, '../..', 10**400)
_REPEATED = 3000  # deeper than Python's stack
_PNG_START = 8


def odd(rng):
    """Return something that nobody expects."""
    return ODDITIES[rng.integers(len(ODDITIES))]


def number(rng) -> float:
    """Return a number, half of them odd."""
    return float(NUMBERS[rng.integers(len(NUMBERS))] if rng.random() < 0.5 else rng.normal(0, 10 ** rng.uniform(-2, 3)))


def mutated(rng, data: bytes, spans=()) -> bytes:
    """Return bytes of which a few are others, or missing, or twice; in one of the `spans` (first, end), if given."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        low, high = spans[rng.integers(len(spans))] if spans else (0, len(data))
        high = min(high, len(data))
        if low >= high:
            break
        first = int(rng.integers(low, high))
        length = int(min(rng.geometric(0.2), high - first))
        kind = rng.integers(40)
        if kind < 8:
            data[first] ^= 1 << int(rng.integers(8))
        elif kind < 17:
            data[first : first + length] = rng.bytes(length)
        elif kind < 25:
            del data[first : first + length]
        elif kind < 33:
            data[first:first] = data[first : first + length]
        elif kind < 34:
            data[first:first] = data[first : first + 1] * _REPEATED
        else:
            del data[first:]
    return bytes(data)


def altered(rng, tree):
    """Return a tree of dicts and lists in which one place is something else, a little more or less, or gone."""
    places = list(_places(tree))
    if not places:
        return odd(rng)
    where, key = places[rng.integers(len(places))]
    kind, value = rng.random(), where[key]
    if kind < 0.2:
        del where[key]
    elif kind < 0.4 and type(value) in (int, float):
        where[key] = type(value)(value + rng.integers(-3, 4)) if kind < 0.3 else value * 1.01
    elif kind < 0.4 and isinstance(where, list):
        where.insert(key, value)
    else:
        where[key] = odd(rng)
    return tree


def _places(tree):
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(pairs):
        yield tree, key
        yield from _places(value)


def damaged_png(rng, png: bytes) -> bytes:
    """Return a PNG with true checksums, one of whose chunks is damaged; of pixels before they are compressed."""
    chunks, at = [], _PNG_START
    while at < len(png):
        (length,) = struct.unpack_from('>I', png, at)
        chunks.append([png[at + 4 : at + 8], png[at + 8 : at + 8 + length]])
        at += 12 + length
    chunk = chunks[rng.integers(len(chunks))]
    if chunk[0] == b'IDAT' and rng.random() < 0.7:
        chunk[1] = zlib.compress(mutated(rng, zlib.decompress(chunk[1])))
    elif rng.random() < 0.2:
        chunks.insert(int(rng.integers(len(chunks))), chunk)
    else:
        chunk[1] = mutated(rng, chunk[1])
    return png[:_PNG_START] + b''.join(
        struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))
        for kind, content in chunks
    )


def damaged_zip(rng, data: bytes) -> bytes:
    """Return a ZIP with true checksums, one of whose files is damaged, missing, or another's."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    names = list(files)
    name, kind = names[rng.integers(len(names))], rng.random()
    if kind < 0.1:
        del files[name]
    elif kind < 0.2:
        files[name] = files[names[rng.integers(len(names))]]
    else:
        start = min(len(files[name]), 128)  # what says how the rest is to be read
        files[name] = mutated(rng, files[name], ((0, start), (0, len(files[name]))))
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w') as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def damaged_npy(rng, data: bytes) -> bytes:
    """Return a NumPy file that is damaged in its header, which says how the rest is to be read."""
    return mutated(rng, data, ((0, 128),))


def altered_network(rng, model: onnx.ModelProto) -> bytes:
    """Return an ONNX file, sound as such, of which one to three fields, entries or weights are otherwise."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for _ in range(int(rng.integers(1, 4))):
        places = list(_fields(model))
        message, field = places[rng.integers(len(places))]
        if field.is_repeated:
            entries = getattr(message, field.name)
            at, kind = int(rng.integers(len(entries))), rng.random()
            if kind < 0.3:
                del entries[at]
            elif kind < 0.5:
                entries.append(entries[at])
            elif field.message_type is None:
                entries[at] = _changed(rng, entries[at])
            else:
                entries.append(entries[at])
                del entries[at]  # another order
        elif rng.random() < 0.2 or field.message_type is not None:
            message.ClearField(field.name)
        else:
            try:
                setattr(message, field.name, _changed(rng, getattr(message, field.name)))
            except ValueError:  # no value of an enumeration, or out of a field's range
                message.ClearField(field.name)
    return model.SerializeToString()


def _fields(message):
    """Return every field that is set, with the message it is in."""
    for field, value in message.ListFields():
        yield message, field
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                yield from _fields(each)


def _changed(rng, value):
    if isinstance(value, str):
        return value[: rng.integers(len(value) + 1)] if rng.random() < 0.5 else str(rng.choice(['', 'x', 'B', 'Relu']))
    if isinstance(value, bytes):
        return mutated(rng, value) if value else b'x'
    if isinstance(value, float):
        return number(rng)
    return int(rng.choice([0, -1, 1, 2, 3, 7, 10, 16, 2**20, value + 1, value - 1]))
