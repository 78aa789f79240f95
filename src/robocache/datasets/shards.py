"""One Parquet shard: a row and a row group per episode, readable with any Parquet tool.

Columns: `key`, `episode` (JSON: words, outcome, provenance, specification and sha256 of each
stream), and for every stream `<name>/values` (flattened), `<name>/times_s`, `<name>/available_s`
(null when each sample was usable at its capture).
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robocache.core.episode import Episode, episode_hash, stream_hash
from robocache.core.errors import CorruptFileError, ShapeError
from robocache.core.stream import Stream, StreamSpec
from robocache.datasets.episode_record import parse_history, parse_record, parse_spec
from robocache.datasets.native import reading
from robocache.datasets.pointer import is_lfs_pointer
from robocache.runs.files import atomic_write

SUFFIX = ".episodes.parquet"
FORMAT_VERSION = 1
_UNREADABLE = (
    *(OSError, pa.ArrowException, ValueError, KeyError, IndexError, TypeError, AttributeError),
    *(OverflowError, RecursionError),
)


def write_shard(path: Path, episodes: Sequence[Episode]) -> list[str]:
    """Write episodes to a new shard, durably (temporary file, fsync, rename).

    Returns:
        The content hash of each episode.

    Raises:
        DataError: an episode fails its own check, or its dtypes differ from those of another;
            nothing is written.
        StorageError: the disk is full or read-only; nothing is left behind.
    """
    for episode in episodes:
        episode.check()
    records = [_record(episode) for episode in episodes]
    schema = _schema(episodes)
    buffer = io.BytesIO()
    with pq.ParquetWriter(
        buffer,
        schema,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,  # they would hold every JSON record twice more
        write_page_checksum=True,
    ) as writer:
        for episode, record in zip(episodes, records, strict=True):
            writer.write_table(_table(episode, record, schema))
    atomic_write(path, buffer.getvalue())
    return [str(record["sha256"]) for record in records]


def read_index(path: Path) -> list[dict[str, Any]]:
    """The JSON record of every episode in a shard, without its samples.

    Raises:
        CorruptFileError: the shard is missing, truncated or altered.
    """
    with _decoding(path, "unreadable index"), _open(path) as file:
        texts = file.read(columns=["episode"]).column("episode").to_pylist()
        return [parse_record(text) for text in texts]


def read_episode(path: Path, row: int) -> Episode:
    """The episode in row `row`, each stream checked against its recorded hash.

    Raises:
        CorruptFileError: the shard is missing, truncated or altered; names file, episode and
            stream.
        ShapeError: a stream's numbers do not fit its declared shape.
    """
    with _decoding(path, f"row group {row} is damaged"), _open(path) as file:
        table = file.read_row_group(row, use_threads=False)
        record = parse_record(table.column("episode")[0].as_py())
        outcome, provenance = parse_history(record)
        streams = {
            name: _stream(table, name, parse_spec(spec)) for name, spec in record["specs"].items()
        }
    for name, stream in streams.items():
        place: dict[str, Any] = {"file": path, "episode": record["key"], "stream": name}
        if stream.values.shape[1:] != stream.spec.shape:
            raise ShapeError(
                f"its numbers do not make {len(stream)} samples of shape {stream.spec.shape}",
                **place,
            )
        if stream_hash(stream) != record["streams"][name]:
            raise CorruptFileError("content differs from its recorded sha256", **place)
    return Episode(
        key=record["key"],
        streams=streams,
        instruction=record["instruction"],
        outcome=outcome,
        provenance=provenance,
        start_ns=record["start_ns"],
    )


@contextmanager
def _decoding(path: Path, what: str) -> Iterator[None]:
    """Whatever Arrow or JSON make of altered bytes, as one error that names the file."""
    try:
        with reading(path):
            yield
    except _UNREADABLE as error:
        raise CorruptFileError(f"{what} ({error})", file=path) from error


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise CorruptFileError("the file is missing", file=path) from None
    except (OSError, pa.ArrowException) as error:
        if is_lfs_pointer(path):
            text = "a Git LFS pointer, not the data: run `git lfs pull`"
            raise CorruptFileError(text, file=path) from error
        raise CorruptFileError(
            f"not a readable Parquet file, truncated or damaged ({error})", file=path
        ) from error


def _stream(table: pa.Table, name: str, spec: StreamSpec) -> Stream:
    times = _column(table, f"{name}/times_s")
    values = _column(table, f"{name}/values")
    if values.size == len(times) * math.prod(spec.shape):
        values = values.reshape(len(times), *spec.shape)
    if table.column(f"{name}/available_s").null_count:
        return Stream(values, times, spec)
    return Stream(values, times, spec, _column(table, f"{name}/available_s"))


def _record(episode: Episode) -> dict[str, Any]:
    hashes = {name: stream_hash(stream) for name, stream in sorted(episode.streams.items())}
    return {
        "version": FORMAT_VERSION,
        "key": episode.key,
        "instruction": episode.instruction,
        "outcome": asdict(episode.outcome),
        "provenance": asdict(episode.provenance),
        "start_ns": episode.start_ns,
        "specs": {name: stream.spec.to_json() for name, stream in episode.streams.items()},
        "streams": hashes,
        "sha256": episode_hash(episode, hashes),
    }


def _schema(episodes: Sequence[Episode]) -> pa.Schema:
    fields = {"key": pa.string(), "episode": pa.string()}
    for episode in episodes:
        for name, stream in sorted(episode.streams.items()):
            kind = pa.list_(pa.from_numpy_dtype(np.dtype(stream.spec.dtype)))
            if fields.setdefault(f"{name}/values", kind) != kind:
                raise ShapeError(
                    f"{stream.spec.dtype} values, but another dtype in an episode before it; "
                    f"write them to different shards",
                    episode=episode.key,
                    stream=name,
                )
            fields[f"{name}/times_s"] = pa.list_(pa.float64())
            fields[f"{name}/available_s"] = pa.list_(pa.float64())
    return pa.schema([pa.field(name, kind) for name, kind in fields.items()])


def _table(episode: Episode, record: dict[str, Any], schema: pa.Schema) -> pa.Table:
    row: dict[str, Any] = {"key": episode.key, "episode": json.dumps(record, sort_keys=True)}
    for name, stream in episode.streams.items():
        row[f"{name}/values"] = np.ascontiguousarray(stream.values[:]).reshape(-1)
        row[f"{name}/times_s"] = stream.times_s
        row[f"{name}/available_s"] = stream.available_s
    return pa.Table.from_arrays(
        [_cell(row.get(field.name), field.type) for field in schema], schema=schema
    )


def _cell(value: Any, kind: pa.DataType) -> pa.Array:
    if not isinstance(value, np.ndarray):
        return pa.array([value], kind)
    return pa.ListArray.from_arrays(
        pa.array([0, len(value)], pa.int32()), pa.array(value, kind.value_type)
    )


def _column(table: pa.Table, name: str) -> np.ndarray:
    column = table.column(name)
    if not pa.types.is_list(column.type):
        raise TypeError(f"column {name} holds {column.type}")
    values = column.combine_chunks().values
    return np.array(values.to_numpy(zero_copy_only=False))
