"""TFRecord files: framed records, each with two checksums, read at random.

A record is `u64 length, u32 masked CRC of the length, data, u32 masked CRC of the data`, all little
endian. The file has no index; `index_records` makes one by reading 16 bytes per record. Large
indexes are kept under the store's home and used while the file is unchanged (`file_state`).
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, DataError, StorageError
from robocache.datasets.episode_files import file_state
from robocache.datasets.pointer import LFS_POINTER
from robocache.runs import atomic_write, home

HEADER_BYTES, FOOTER_BYTES = 12, 4
WORTH_KEEPING = 1000
"""Records; the index of a smaller file is made again faster than it is found."""


def masked_crc32c(data: bytes) -> int:
    """CRC-32C of `data`, rotated and offset as TFRecord stores it."""
    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class RecordIndex:
    """Where the records of a file lie.

    Attributes:
        offsets: (N,) int64, first byte of each record's data.
        lengths: (N,) int64, bytes of data.
        crcs: (N,) uint32, the stored masked CRC of each record's data.
        trouble: why the file could not be followed to its end; None when it could.
    """

    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    crcs: NDArray[np.uint32]
    trouble: DataError | None = None


class TFRecordShard:
    """The records of one TFRecord file. Nothing is opened before the first question."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return len(self.index.offsets)

    @cached_property
    def index(self) -> RecordIndex:
        """Where the records lie; made, or taken from the store's home, once."""
        try:
            state = file_state(self.path)  # before it is read
            index = _kept_index(state) if state else None
            if index is None:
                index = index_records(self.path)
                if state and len(index.offsets) >= WORTH_KEEPING and index.trouble is None:
                    _keep_index(state, index)
        except OSError as error:
            nothing = np.empty(0, np.int64)
            unreadable = CorruptFileError(f"cannot be read ({error})", file=self.path)
            return RecordIndex(nothing, nothing, np.empty(0, np.uint32), unreadable)
        return index

    @property
    def trouble(self) -> DataError | None:
        """Why the file could not be followed to its end."""
        return self.index.trouble

    def checksums(self) -> list[int]:
        """One number per record that changes with its content."""
        return [int(crc) for crc in self.index.crcs]

    def position(self, number: int) -> int:
        """First byte of a record's data in the file."""
        return int(self.index.offsets[number])

    def read(self, number: int) -> bytes:
        """The data of a record.

        Raises:
            CorruptFileError: shorter than it says, or its checksum does not agree.
        """
        offset, length = self.position(number), int(self.index.lengths[number])
        data = read_bytes(self.path, offset, length)
        if masked_crc32c(data) != int(self.index.crcs[number]):
            raise CorruptFileError(
                f"record {number} at byte {offset}: its content does not match its checksum "
                f"(CRC-32C); the file was altered or damaged",
                file=self.path,
            )
        return data

    def read_part(self, number: int, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a record's data, without their checksum."""
        return read_bytes(self.path, self.position(number) + start, stop - start)


def read_bytes(path: Path, offset: int, length: int) -> bytes:
    """`length` bytes of a file.

    Raises:
        CorruptFileError: the file ends before, or cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            data = os.pread(handle, length, offset)
        finally:
            os.close(handle)
    except OSError as error:
        raise CorruptFileError(f"cannot be read ({error})", file=path) from error
    if len(data) != length:
        raise CorruptFileError(
            f"ends after byte {offset + len(data)}, inside a record that goes to {offset + length}",
            file=path,
        )
    return data


def index_records(path: Path) -> RecordIndex:
    """Follow a file from header to header; lengths are believed only with a right checksum.

    Raises:
        OSError: it cannot be opened.
    """
    offsets: list[int] = []
    lengths: list[int] = []
    crcs: list[int] = []
    trouble: str | None = None
    with path.open("rb", buffering=0) as file:
        handle, size = file.fileno(), os.fstat(file.fileno()).st_size
        position, header = 0, os.pread(file.fileno(), HEADER_BYTES, 0)
        if header.startswith(LFS_POINTER[:HEADER_BYTES]):
            trouble, size = "a Git LFS pointer, not the data: run `git lfs pull`", 0
        while position < size:
            trouble = _header_trouble(header, position, size, len(offsets))
            if trouble:
                break
            length = int(struct.unpack_from("<Q", header)[0])
            end = position + HEADER_BYTES + length
            footer = os.pread(handle, FOOTER_BYTES + HEADER_BYTES, end)
            offsets.append(position + HEADER_BYTES)
            lengths.append(length)
            crcs.append(int(struct.unpack_from("<I", footer)[0]))
            position, header = end + FOOTER_BYTES, footer[FOOTER_BYTES:]
    return RecordIndex(
        offsets=np.array(offsets, np.int64),
        lengths=np.array(lengths, np.int64),
        crcs=np.array(crcs, np.uint32),
        trouble=CorruptFileError(trouble, file=path) if trouble else None,
    )


def _header_trouble(header: bytes, position: int, size: int, number: int) -> str | None:
    """What is wrong with the record header at `position`; None: nothing."""
    place = f"record {number} at byte {position}"
    if len(header) < HEADER_BYTES:
        return f"{place}: truncated, {len(header)} of {HEADER_BYTES} header bytes are there"
    length, crc = struct.unpack("<QI", header)
    if masked_crc32c(header[:8]) != crc:
        return f"{place}: its length does not match its checksum; what follows cannot be read"
    rest = size - position - HEADER_BYTES - FOOTER_BYTES
    if length > rest:
        return f"{place}: truncated, it says {length} bytes, {max(rest, 0)} are there"
    return None


def _index_file(state: str) -> Path:
    """Where the index of a file in this state is kept."""
    digest = hashlib.sha256(state.encode()).hexdigest()
    return home() / "cache" / "indexes" / f"tfrecord-{digest}.index"


def _keep_index(state: str, index: RecordIndex) -> None:
    """Write the index, behind its sha256."""
    table = io.BytesIO()
    np.save(table, np.stack([index.offsets, index.lengths, index.crcs.astype(np.int64)]))
    with suppress(StorageError):  # a home that cannot be written to only costs time
        digest = hashlib.sha256(table.getvalue()).digest()
        atomic_write(_index_file(state), digest + table.getvalue())


def _kept_index(state: str) -> RecordIndex | None:
    """The index that was kept; None: there is none, or it is damaged."""
    try:
        kept = _index_file(state).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(kept[32:]).digest() != kept[:32]:
        return None
    offsets, lengths, crcs = np.load(io.BytesIO(kept[32:]), allow_pickle=False)
    return RecordIndex(offsets, lengths, crcs.astype(np.uint32))
