"""Serialised messages (CDR) to values, by a plan made once for each type.

Nested messages are taken apart: a field is named by its path, e.g. "wrench.force.x". Neighbouring
numbers are read by one `struct` call; no code is generated from what a file says.
"""

from __future__ import annotations

import struct
from typing import Any, Literal, Protocol

import numpy as np

from robocache.core.errors import CorruptFileError, DataError
from robocache.datasets.ros.definitions import PRIMITIVES, Definitions, Field

DEEPEST = 32
MOST_FIELDS = 10_000

Bytes = bytes | memoryview
Order = Literal["<", ">"]
Fields = dict[str, Any]


class _Step(Protocol):
    """One part of a plan."""

    def read(self, data: Bytes, at: int, order: Order, fields: Fields) -> int:
        """Put values into `fields`; return the position behind them."""
        ...


class MessageType:
    """How messages of one type are read.

    Args:
        name: "package/Name".
        types: definitions of it and of all it is made of.

    Attributes:
        layout: path -> type as it is declared, with "[]" for arrays, in order.
        numbers: path -> dtype of its single numbers, in order.
        arrays: path -> dtype of its arrays of numbers, in order.

    Raises:
        DataError: a type that is not defined, contains itself, or cannot be read.
    """

    def __init__(
        self,
        name: str,
        types: Definitions,
        *,
        depth: int = 0,
        known: dict[str, MessageType] | None = None,
    ) -> None:
        self.name = name
        self.numbers: dict[str, np.dtype[Any]] = {}
        self.arrays: dict[str, np.dtype[Any]] = {}
        self.layout: dict[str, str] = {}
        self.messages: dict[str, MessageType] = {}
        self._steps: list[_Step] = []
        self._count = 0
        self._known: dict[str, MessageType] = {} if known is None else known
        self._plan(name, "", types, depth)

    def decode(self, data: Bytes) -> Fields:
        """Path -> value: numbers, texts, arrays (bytes as a slice of `data`), lists of messages.

        Raises:
            CorruptFileError: the message is shorter or longer than its definition says.
        """
        if len(data) < 4 or data[0] != 0 or data[1] > 1:
            raise CorruptFileError(
                f"a message begins with {bytes(data[:4]).hex() or '-'}, which is not plain CDR"
            )
        fields: Fields = {}
        try:
            end = self.read(data, 4, "<" if data[1] else ">", fields)
        except struct.error as error:
            raise CorruptFileError(f"a message is too short for {self.name} ({error})") from error
        if len(data) - end > 3:
            raise CorruptFileError(
                f"a message has {len(data) - end} bytes more than the definition of {self.name}"
            )
        return fields

    def read(self, data: Bytes, at: int, order: Order, fields: Fields) -> int:
        for step in self._steps:
            at = step.read(data, at, order, fields)
        return at

    def _plan(self, name: str, prefix: str, types: Definitions, depth: int) -> None:
        if name not in types:
            raise DataError(f"type {name} is not defined in the bag")
        if depth > DEEPEST:
            raise DataError(f"type {name} contains itself, or is nested too deeply")
        for field in types[name] or (Field("structure_needs_at_least_one_member", "uint8"),):
            self._count += 1
            if self._count > MOST_FIELDS:
                raise DataError(f"type {self.name} has more than {MOST_FIELDS} fields")
            self._plan_field(field, prefix + field.name, types, depth)

    def _plan_field(self, field: Field, path: str, types: Definitions, depth: int) -> None:
        if field.type in PRIMITIVES or field.type == "string" or field.array:
            self.layout[path] = field.type + ("[]" if field.array else "")
        if field.type == "wstring":
            raise DataError(f"field {path} is a wstring, which is not read")
        if field.type == "string":
            self._steps.append(_Texts(path, field.count) if field.array else _Text(path))
        elif field.type not in PRIMITIVES:
            if not field.array:
                self._plan(field.type, path + ".", types, depth + 1)
                return
            if field.type not in self._known:
                self._known[field.type] = MessageType(
                    field.type, types, depth=depth + 1, known=self._known
                )
            self.messages[path] = self._known[field.type]
            self._steps.append(_Messages(path, self.messages[path], field.count))
        elif field.array:
            self.arrays[path] = np.dtype(PRIMITIVES[field.type])
            self._steps.append(_Array(path, self.arrays[path], field.count))
        else:
            last = self._steps[-1] if self._steps else None
            run = last if isinstance(last, _Numbers) else _Numbers()
            if run is not last:
                self._steps.append(run)
            run.add(path, PRIMITIVES[field.type])
            self.numbers[path] = np.dtype(PRIMITIVES[field.type])


class _Numbers:
    """Neighbouring numbers, each aligned to its size."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._codes: list[str] = []
        self._formats: dict[tuple[int, Order], struct.Struct] = {}

    def add(self, path: str, code: str) -> None:
        self._paths.append(path)
        self._codes.append(code)

    def read(self, data: Bytes, at: int, order: Order, fields: Fields) -> int:
        offset = (at - 4) % 8
        form = self._formats.get((offset, order)) or self._format(offset, order)
        fields.update(zip(self._paths, form.unpack_from(data, at)))
        return at + form.size

    def _format(self, offset: int, order: Order) -> struct.Struct:
        parts: list[str] = [order]
        position = offset
        for code in self._codes:
            size = struct.calcsize(order + code)
            padding = -position % size
            parts.append(f"{padding}x{code}")
            position += padding + size
        return self._formats.setdefault((offset, order), struct.Struct("".join(parts)))


class _Text:
    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, data: Bytes, at: int, order: Order, fields: Fields) -> int:
        fields[self._path], at = _read_text(data, at, order)
        return at


class _Texts:
    def __init__(self, path: str, count: int | None) -> None:
        self._path, self._fixed = path, count

    def read(self, data: Bytes, at: int, order: Order, fields: Fields) -> int:
        count, at = _read_count(data, at, order, self._fixed)
        texts = []
        for _ in range(count):
            text, at = _read_text(data, at, order)
            texts.append(text)
        fields[self._path] = texts
        return at


class _Array:
    def __init__(self, path: str, dtype: np.dtype[Any], count: int | None) -> None:
        self._path, self._dtype, self._fixed = path, dtype, count

    def read(self, data: Bytes, at: int, order: Order, fields: Fields) -> int:
        size = self._dtype.itemsize
        count, at = _read_count(data, at, order, self._fixed)
        if count:
            at += -(at - 4) % size
        end = at + count * size
        if end > len(data):
            raise struct.error(f"{self._path} would end at byte {end} of {len(data)}")
        if self._dtype == np.uint8:
            fields[self._path] = slice(at, end)
        else:
            fields[self._path] = np.frombuffer(data, self._dtype.newbyteorder(order), count, at)
        return end


class _Messages:
    def __init__(self, path: str, kind: MessageType, count: int | None) -> None:
        self._path, self._kind, self._fixed = path, kind, count

    def read(self, data: Bytes, at: int, order: Order, fields: Fields) -> int:
        count, at = _read_count(data, at, order, self._fixed)
        messages: list[Fields] = []
        for _ in range(count):
            messages.append({})
            at = self._kind.read(data, at, order, messages[-1])
        fields[self._path] = messages
        return at


def _read_count(data: Bytes, at: int, order: Order, fixed: int | None) -> tuple[int, int]:
    """How many elements follow, each of which takes at least one byte."""
    count = fixed
    if count is None:
        at += -at % 4
        (count,) = struct.unpack_from(order + "I", data, at)
        at += 4
    if count > len(data) - at:
        raise struct.error(f"{count} elements in the {len(data) - at} bytes that are left")
    return count, at


def _read_text(data: Bytes, at: int, order: Order) -> tuple[str, int]:
    length, at = _read_count(data, at, order, None)
    return bytes(data[at : at + length]).rstrip(b"\0").decode(errors="replace"), at + length
