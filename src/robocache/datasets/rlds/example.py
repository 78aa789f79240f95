"""tf.train.Example, parsed by hand: a record's keys, and the numbers or bytes under each.

The message is a map from key to one of three lists (bytes, float32, int64). Numbers may be packed
or not; both are read with numpy. Every length is checked against the bytes that are there, so what
is made is at most 8 times as large as the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, MissingStreamError, ShapeError

Kind = Literal["bytes", "float", "int", "empty"]
Span = tuple[int, int]
"""First byte and end of a part of the record."""

_KINDS: dict[int, Kind] = {1: "bytes", 2: "float", 3: "int"}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_NUMBER_FIELD = 1


class Feature(NamedTuple):
    """The list under one key.

    Attributes:
        kind: what it holds; "empty" when the writer left it out.
        spans: where its parts lie in the record: for bytes one per item, for numbers one per list.
    """

    kind: Kind
    spans: list[Span]


def parse_example(record: bytes) -> dict[str, Feature]:
    """Key -> Feature of a serialized Example.

    Raises:
        CorruptFileError: not an Example; names the byte.
    """
    found: dict[str, Feature] = {}
    for _, features in _submessages(record, (0, len(record)), 1):
        for _, entry in _submessages(record, features, 1):
            key, feature = _entry(record, entry)
            found[key] = feature
    return found


@dataclass(frozen=True)
class Record:
    """An Example that has been taken apart: its bytes, and where each key's values lie."""

    data: bytes
    features: Mapping[str, Feature]

    def size(self, key: str) -> int | None:
        """Number of values under a key; None: it is not there."""
        feature = self.features.get(key)
        if feature is None:
            return None
        if feature.kind == "float":
            return len(self.floats(key))
        return len(self.integers(key)) if feature.kind == "int" else len(feature.spans)

    def floats(self, key: str) -> NDArray[np.float32]:
        """(N,) values of a float list.

        Raises:
            MissingStreamError, ShapeError, CorruptFileError: absent, another list, damaged.
        """
        spans = self._spans(key, "float")
        return _joined([_floats(self.data, span) for span in spans], np.float32)

    def integers(self, key: str) -> NDArray[np.int64]:
        """(N,) values of an integer list.

        Raises:
            MissingStreamError, ShapeError, CorruptFileError: absent, another list, damaged.
        """
        spans = self._spans(key, "int")
        return _joined([_integers(self.data, span) for span in spans], np.int64)

    def spans(self, key: str) -> list[Span]:
        """Where the byte strings of a key lie.

        Raises:
            MissingStreamError, ShapeError: absent, or another list.
        """
        return self._spans(key, "bytes")

    def _spans(self, key: str, kind: Kind) -> list[Span]:
        feature = self.features.get(key)
        if feature is None:
            raise MissingStreamError(f"features.json declares {key}, the record does not hold it")
        if feature.kind not in (kind, "empty"):
            raise ShapeError(f"{key} holds {feature.kind} values, expected {kind}")
        return feature.spans


def _joined(parts: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _entry(record: bytes, entry: Span) -> tuple[str, Feature]:
    """Key and value of one entry of the map."""
    key, feature = "", Feature("empty", [])
    for field, wire, span in _fields(record, entry):
        if field == 1 and wire == _LENGTH:
            try:
                key = record[slice(*span)].decode()
            except UnicodeDecodeError as error:
                raise _damaged(span[0], "a key is not text") from error
        elif field == 2 and wire == _LENGTH:
            feature = _feature(record, span)
    return key, feature


def _feature(record: bytes, message: Span) -> Feature:
    """The last kind of list that is given; lists of one kind are joined."""
    kind: Kind = "empty"
    lists: list[Span] = []
    for field, wire, span in _fields(record, message):
        if field in _KINDS and wire == _LENGTH:
            lists = [*lists, span] if kind == _KINDS[field] else [span]
            kind = _KINDS[field]
    if kind == "bytes":
        items = [item for span in lists for _, item in _submessages(record, span, 1)]
        return Feature(kind, items)
    return Feature(kind, lists)


def _submessages(record: bytes, message: Span, wanted: int) -> Iterator[tuple[int, Span]]:
    """Fields numbered `wanted` that hold bytes; others are passed over."""
    for field, wire, span in _fields(record, message):
        if field == wanted and wire == _LENGTH:
            yield field, span


def _fields(record: bytes, message: Span) -> Iterator[tuple[int, int, Span]]:
    """Number, wire type and place of every field of a message."""
    at, end = message
    while at < end:
        start = at
        tag, at = _varint(record, at, end)
        wire = tag & 7
        if wire == _LENGTH:
            length, at = _varint(record, at, end)
            stop = at + length
        elif wire == _VARINT:
            stop = _varint(record, at, end)[1]
        elif wire in (_FIXED64, _FIXED32):
            stop = at + (8 if wire == _FIXED64 else 4)
        else:
            raise _damaged(start, f"wire type {wire} does not belong into an Example")
        if stop > end:
            raise _damaged(start, f"a field goes to byte {stop}, its message ends at {end}")
        yield tag >> 3, wire, (at, stop)
        at = stop


def _varint(record: bytes, at: int, end: int) -> tuple[int, int]:
    """A variable-length integer and the byte after it."""
    if at < end and record[at] < 0x80:
        return record[at], at + 1
    value = shift = 0
    for position in range(at, min(end, at + 10)):
        byte = record[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    raise _damaged(at, "an integer does not end")


def _floats(record: bytes, message: Span) -> NDArray[np.float32]:
    start, end = message
    unpacked = np.frombuffer(record, np.uint8, end - start, start)
    if len(unpacked) % 5 == 0 and len(unpacked) and (unpacked[::5] == 0x0D).all():
        return np.ascontiguousarray(unpacked.reshape(-1, 5)[:, 1:]).view("<f4").ravel()
    parts = []
    for field, wire, (at, stop) in _fields(record, message):
        if field != _NUMBER_FIELD:
            continue
        if wire not in (_LENGTH, _FIXED32) or (stop - at) % 4:
            raise _damaged(at, f"{stop - at} bytes of wire type {wire} are not float32 values")
        parts.append(np.frombuffer(record, "<f4", (stop - at) // 4, at))
    return _joined(parts, np.float32)


def _integers(record: bytes, message: Span) -> NDArray[np.int64]:
    start, end = message
    if end > start and record[start] == 0x08:
        # Not packed: a tag before every value, tag and value alike variable-length integers.
        both = _packed(record, message)
        if len(both) % 2 == 0 and (both[::2] == 0x08).all():
            return np.ascontiguousarray(both[1::2])
    parts = []
    for field, wire, span in _fields(record, message):
        if field != _NUMBER_FIELD:
            continue
        if wire not in (_LENGTH, _VARINT):
            raise _damaged(span[0], f"wire type {wire} is not an integer")
        parts.append(_packed(record, span))
    return _joined(parts, np.int64)


def _packed(record: bytes, span: Span) -> NDArray[np.int64]:
    """Variable-length integers one after another: seven bits a byte, lowest first."""
    start, end = span
    data = np.frombuffer(record, np.uint8, end - start, start)
    last = data < 0x80
    if last.all():
        return data.astype(np.int64)
    if not last[-1]:
        raise _damaged(end, "an integer does not end")
    stops = np.flatnonzero(last)
    starts = np.concatenate([[0], stops[:-1] + 1])
    longest = int((stops - starts).max()) + 1
    if longest > 10:
        raise _damaged(start, f"an integer is {longest} bytes long, at most 10 are allowed")
    values = np.zeros(len(stops), np.uint64)
    for k in range(longest):
        here = starts + k <= stops
        digits = data[starts[here] + k].astype(np.uint64) & np.uint64(0x7F)
        values[here] |= digits << np.uint64(7 * k)
    return values.view(np.int64)


def _damaged(position: int, problem: str) -> CorruptFileError:
    return CorruptFileError(f"byte {position} of the record: {problem}")
