"""The records of a folder's shards, kept together so that only changed shards are opened again.

Kept under the store's home, one file a folder: a line with the sha256 of the rest, then two lines a
shard: its state with the keys and hashes of its episodes, and their whole records. The samples
themselves are always read from the shard, and checked against its own record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from robocache.core.errors import CorruptFileError, StorageError
from robocache.datasets.episode_files import file_state
from robocache.datasets.shards import read_index
from robocache.runs.files import atomic_write
from robocache.runs.home import home

WORTH_KEEPING = 1000
"""Episodes; the records of fewer are read about as fast as they are found."""
_VERSION = b"records 1 "


class ShardRecords:
    """What a shard tells of its episodes.

    Args:
        keys: of its episodes, by row.
        hashes: content hash of each.
        whole: their JSON records, or the text of these, which is parsed when one is asked for.
    """

    def __init__(
        self, keys: list[str], hashes: list[str], whole: list[dict[str, Any]] | bytes
    ) -> None:
        self.keys, self.hashes, self._whole = keys, hashes, whole

    def __getitem__(self, row: int) -> dict[str, Any]:
        if isinstance(self._whole, bytes):
            parsed: list[dict[str, Any]] = json.loads(self._whole)
            self._whole = parsed
        return self._whole[row]

    def text(self) -> bytes:
        """The records as one line of JSON."""
        return self._whole if isinstance(self._whole, bytes) else json.dumps(self._whole).encode()


def read_shard_records(
    folder: Path, shards: Sequence[Path]
) -> Iterator[tuple[Path, ShardRecords | CorruptFileError]]:
    """Each of these shards of a folder with its records, or why they cannot be read.

    A shard counts as unchanged while its path, inode, size, time of modification and time of change
    are; the last cannot be set by hand. One that changed a moment ago is not kept.
    """
    place = _place(folder)
    known = _load(place)
    keep: dict[str, ShardRecords] = {}
    for shard in shards:
        state = file_state(shard)  # before it is read
        found = known.get(state) if state else None
        try:
            found = found or _read(shard)
        except CorruptFileError as error:
            yield shard, error
            continue
        if state:
            keep[state] = found
        yield shard, found
    enough = sum(len(found.keys) for found in keep.values()) >= WORTH_KEEPING
    if enough and keep.keys() != known.keys():
        with suppress(StorageError):  # a home that cannot be written to only costs time
            _save(place, keep)


def _read(shard: Path) -> ShardRecords:
    records = read_index(shard)
    return ShardRecords([r["key"] for r in records], [r["sha256"] for r in records], records)


def _place(folder: Path) -> Path:
    name = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:32]
    return home() / "cache" / "indexes" / f"episodes-{name}.records"


def _save(place: Path, kept: dict[str, ShardRecords]) -> None:
    lines = [
        line
        for state, found in kept.items()
        for line in (json.dumps([state, found.keys, found.hashes]).encode(), found.text())
    ]
    body = b"\n".join(lines)
    atomic_write(place, _VERSION + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def _load(place: Path) -> dict[str, ShardRecords]:
    """State of a shard -> its records; nothing where that was not kept or is damaged."""
    try:
        head, _, body = place.read_bytes().partition(b"\n")
    except OSError:
        return {}
    if head != _VERSION + hashlib.sha256(body).hexdigest().encode():
        return {}
    lines = body.split(b"\n")
    found = {}
    for first, whole in zip(lines[::2], lines[1::2], strict=True):
        state, keys, hashes = json.loads(first)
        found[state] = ShardRecords(keys, hashes, whole)
    return found
