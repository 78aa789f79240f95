"""MCAP files, read record by record: needs no index, so files that were cut off are read too.

Format: https://mcap.dev/spec. Lengths are checked against the file before anything is allocated;
CRCs of chunks, data section and summary are checked where the file has them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from robocache.core.errors import CorruptFileError
from robocache.datasets.native import reading
from robocache.datasets.ros.storage import (
    LARGEST_UNPACKED,
    LATEST_NS,
    ZSTD_LARGEST_RATIO,
    Findings,
    Message,
    Topic,
    Where,
)

MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 0x02, 0x03, 0x04, 0x05, 0x06
_STATISTICS, _DATA_END = 0x0B, 0x0F
_HEAD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_LARGEST_RATIO = {"": 1, "zstd": ZSTD_LARGEST_RATIO, "lz4": 255}
_BLOCK = 2**20
_BROKEN = (struct.error, UnicodeDecodeError)


class McapFile:
    """One MCAP file; holds the chunk that was read last, so that neighbours are cheap."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._chunk: tuple[int, memoryview] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_chunk": None}

    def messages(self, found: Findings) -> Iterator[Message]:
        try:
            with self.path.open("rb") as file:
                yield from _Scan(self.path, file, found).run()
        except OSError as error:
            found.damage.append(CorruptFileError(f"cannot be read ({error})", file=self.path))

    def read(self, where: Where) -> bytes:
        chunk_at, offset, length = where
        try:
            if chunk_at < 0:
                with self.path.open("rb") as file:
                    file.seek(offset)
                    data = file.read(length)
            else:
                data = bytes(self._records(chunk_at)[offset : offset + length])
        except OSError as error:
            raise CorruptFileError(f"cannot be read ({error})", file=self.path) from error
        if len(data) != length:
            raise CorruptFileError("the file changed while it was in use", file=self.path)
        return data

    def _records(self, at: int) -> memoryview:
        if self._chunk is None or self._chunk[0] != at:
            with self.path.open("rb") as file:
                left = file.seek(0, 2) - at - _HEAD.size
                file.seek(at)
                head = file.read(_HEAD.size)
                if left < 0 or head[:1] != bytes([_CHUNK]) or _HEAD.unpack(head)[1] > left:
                    raise CorruptFileError("the file changed while it was in use", file=self.path)
                content = file.read(_HEAD.unpack(head)[1])
            try:
                with reading(self.path):
                    self._chunk = (at, chunk_records(content))
            except CorruptFileError as error:
                raise error.located(file=self.path) from error
        return self._chunk[1]


def chunk_records(content: bytes) -> memoryview:
    """The records inside a chunk.

    Raises:
        CorruptFileError: sizes that cannot be, data that do not unpack, or a wrong CRC.
    """
    try:
        _, _, size, crc = struct.unpack_from("<QQQI", content)
        compression, at = _text(content, 28)
        (stored,) = struct.unpack_from("<Q", content, at)
    except _BROKEN as error:
        raise CorruptFileError(f"a chunk has no readable head ({error})") from error
    packed = memoryview(content)[at + 8 :]
    if compression not in _LARGEST_RATIO:
        raise CorruptFileError(f"compression {compression!r} of a chunk is not '', zstd or lz4")
    most = min(LARGEST_UNPACKED, (stored + 16) * _LARGEST_RATIO[compression])
    if stored != len(packed) or size > most or (not compression and size != stored):
        raise CorruptFileError(
            f"a chunk of {len(packed)} bytes says it holds {stored} that unpack to {size}"
        )
    records = packed
    if compression and size:
        try:
            records = memoryview(pa.decompress(packed, size, codec=compression, asbytes=True))
        except (OSError, pa.ArrowException) as error:
            raise CorruptFileError(f"a chunk does not unpack ({error})") from error
    if len(records) != size:
        raise CorruptFileError(f"a chunk unpacks to {len(records)} bytes, not {size}")
    if crc and zlib.crc32(records) != crc:
        raise CorruptFileError("the CRC of a chunk does not match its content")
    return records


class _Scan:
    """One pass over a file."""

    def __init__(self, path: Path, file: BinaryIO, found: Findings) -> None:
        self._path, self._file, self._found = path, file, found
        self._size = file.seek(0, 2)
        self._schemas: dict[int, tuple[str, str, bytes]] = {}
        self._channels: dict[int, Topic] = {}
        self._count = 0
        self._crc = zlib.crc32(MAGIC)
        self._in_data = True
        self._summary_at = 0

    def run(self) -> Iterator[Message]:
        self._file.seek(0)
        if self._file.read(len(MAGIC)) != MAGIC:
            self._damage("does not begin as an MCAP file", 0)
            return
        complete = self._ends_well()
        while (at := self._file.tell()) < self._size:
            head = self._file.read(_HEAD.size)
            opcode, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
            left = self._size - at - len(head)
            if opcode == 0 or length > left:
                self._broken_off(at, complete)
                return
            if opcode == _FOOTER:
                self._footer(at, length)
                return
            if opcode == _DATA_END:
                self._data_end(at, length)
            elif opcode in (_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _STATISTICS):
                content = self._file.read(length)
                self._crc = zlib.crc32(content, zlib.crc32(head, self._crc))
                yield from self._record(opcode, content, at)
            else:
                self._skip(head, length)
        self._notice("has no footer: the recording was cut off, or is still going on", self._size)

    def _ends_well(self) -> bool:
        self._file.seek(-len(MAGIC), 2)
        ending = self._file.read()
        self._file.seek(len(MAGIC))
        return ending == MAGIC and self._size > len(MAGIC)

    def _broken_off(self, at: int, complete: bool) -> None:
        if complete:
            self._damage("a record does not fit into the file: what follows is unreadable", at)
        else:
            self._notice("truncated: read up to here, the rest is lost", at)

    def _record(self, opcode: int, content: bytes, at: int) -> Iterator[Message]:
        try:
            if opcode == _CHUNK and self._in_data:
                with reading(self._path):
                    records = chunk_records(content)
                yield from self._chunk(records, at)
            elif opcode == _MESSAGE and self._in_data:
                yield from self._message(memoryview(content), (-1, at + _HEAD.size, len(content)))
            elif opcode == _STATISTICS:
                self._statistics(content)
            else:
                self._declare(opcode, content)
        except CorruptFileError as error:
            self._damage(error.problem, at)
        except _BROKEN as error:
            self._damage(f"a record cannot be read ({error})", at)

    def _chunk(self, records: memoryview, at: int) -> Iterator[Message]:
        position = 0
        while position < len(records):
            if len(records) - position < _HEAD.size:
                raise CorruptFileError("a chunk ends inside a record")
            opcode, length = _HEAD.unpack_from(records, position)
            position += _HEAD.size
            if length > len(records) - position:
                raise CorruptFileError("a record does not fit into its chunk")
            content = records[position : position + length]
            if opcode == _MESSAGE:
                yield from self._message(content, (at, position, length))
            elif opcode in (_SCHEMA, _CHANNEL):
                self._declare(opcode, bytes(content))
            position += length

    def _message(self, content: memoryview, where: Where) -> Iterator[Message]:
        channel, _, log_ns, publish_ns = _MESSAGE_HEAD.unpack_from(content)
        topic = self._channels.get(channel)
        if topic is None:
            raise CorruptFileError(f"a message names channel {channel}, which is not declared")
        if max(log_ns, publish_ns) >= LATEST_NS:
            raise CorruptFileError(
                f"a message of {topic.name} says it is of {max(log_ns, publish_ns)} ns"
            )
        self._count += 1
        head, (chunk_at, offset, length) = _MESSAGE_HEAD.size, where
        place = (chunk_at, offset + head, length - head)
        yield Message(topic, log_ns, publish_ns, content[head:], place)

    def _declare(self, opcode: int, content: bytes) -> None:
        (number,) = struct.unpack_from("<H", content)
        if opcode == _SCHEMA:
            name, at = _text(content, 2)
            encoding, at = _text(content, at)
            (length,) = struct.unpack_from("<I", content, at)
            definition = content[at + 4 :]
            if length != len(definition):
                raise CorruptFileError(f"the schema of {name} has {len(definition)} bytes")
            self._once(self._schemas, number, (name, encoding, definition), "schema")
        elif opcode == _CHANNEL:
            (schema,) = struct.unpack_from("<H", content, 2)
            name, at = _text(content, 4)
            encoding, _ = _text(content, at)
            if schema and schema not in self._schemas:
                raise CorruptFileError(f"topic {name} names schema {schema}, which is not declared")
            kind, form, text = self._schemas.get(schema, ("", "", b""))
            topic = Topic(name, kind, text.decode(), form, encoding)
            if number not in self._channels:
                self._found.topics.append(topic)
            self._once(self._channels, number, topic, "channel")

    def _once(self, known: dict[int, Any], number: int, value: Any, kind: str) -> None:
        if known.setdefault(number, value) != value:
            raise CorruptFileError(f"{kind} {number} is declared twice, differently")

    def _statistics(self, content: bytes) -> None:
        (count,) = struct.unpack_from("<Q", content)
        if count != self._count:
            notice = f"the summary counts {count} messages, the file holds {self._count}"
            self._found.notices.append(CorruptFileError(notice, file=self._path))

    def _data_end(self, at: int, length: int) -> None:
        content = self._file.read(length)
        expected = int.from_bytes(content[:4], "little")
        if expected and expected != self._crc:
            self._damage("the CRC of the data section does not match its content", at)
        self._in_data = False
        self._summary_at = self._file.tell()

    def _footer(self, at: int, length: int) -> None:
        content = self._file.read(length)
        if length < 20:
            self._damage("the footer is too short", at)
            return
        start, _, crc = struct.unpack_from("<QQI", content)
        if start == 0:
            self._notice("has no summary", at)
        elif crc and start == self._summary_at:
            self._file.seek(start)
            if _crc32(self._file, at + _HEAD.size + 16 - start) != crc:
                self._damage("the CRC of the summary does not match its content", start)
            self._file.seek(at + _HEAD.size + length)
        if self._file.read(len(MAGIC)) != MAGIC:
            self._notice("does not end as an MCAP file", at)

    def _skip(self, head: bytes, length: int) -> None:
        self._crc = _crc32(self._file, length, zlib.crc32(head, self._crc))

    def _damage(self, problem: str, at: int) -> None:
        self._found.damage.append(CorruptFileError(f"byte {at}: {problem}", file=self._path))

    def _notice(self, problem: str, at: int) -> None:
        self._found.notices.append(CorruptFileError(f"byte {at}: {problem}", file=self._path))


def _text(content: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", content, at)
    if length > len(content) - at - 4:
        raise CorruptFileError("a text does not fit into its record")
    return content[at + 4 : at + 4 + length].decode(), at + 4 + length


def _crc32(file: BinaryIO, length: int, crc: int = 0) -> int:
    while length > 0 and (block := file.read(min(length, _BLOCK))):
        crc = zlib.crc32(block, crc)
        length -= len(block)
    return crc
