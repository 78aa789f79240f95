"""One Parquet shard: a row and a row group per episode, readable with any Parquet tool.

Columns: `key`, `episode` (JSON: words, outcome, provenance, specification and sha256 of each
stream), and for every stream `<name>/values` (flattened), `<name>/times_s`, `<name>/available_s`
(null when each sample was usable at its capture).
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robocache.core.episode import Episode, Outcome, Provenance, episode_hash, stream_hash
from robocache.core.errors import CorruptFileError
from robocache.core.stream import Stream, StreamSpec
from robocache.runs.files import atomic_write

SUFFIX = ".episodes.parquet"
FORMAT_VERSION = 1


def write_shard(path: Path, episodes: Sequence[Episode]) -> list[str]:
    """Write episodes to a new shard, durably (temporary file, fsync, rename).

    Returns:
        The content hash of each episode.

    Raises:
        DataError: an episode fails its own check; nothing is written.
        StorageError: the disk is full or read-only; nothing is left behind.
    """
    for episode in episodes:
        episode.check()
    records = [_record(episode) for episode in episodes]
    schema = _schema(episodes)
    buffer = io.BytesIO()
    with pq.ParquetWriter(
        buffer, schema, compression="zstd", use_dictionary=False, write_page_checksum=True
    ) as writer:
        for episode, record in zip(episodes, records, strict=True):
            writer.write_table(_table(episode, record, schema))
    atomic_write(path, buffer.getvalue())
    return [str(record["sha256"]) for record in records]


def read_index(path: Path) -> list[dict[str, Any]]:
    """The JSON record of every episode in a shard, without its samples."""
    with _open(path) as file:
        try:
            table = file.read(columns=["key", "episode"])
        except (OSError, pa.ArrowInvalid, KeyError) as error:
            raise CorruptFileError(f"unreadable index ({error})", file=path) from error
    return [json.loads(text) for text in table.column("episode").to_pylist()]


def read_episode(path: Path, row: int) -> Episode:
    """The episode in row `row`, each stream checked against its recorded hash.

    Raises:
        CorruptFileError: the shard is truncated or altered; names file, episode and stream.
    """
    with _open(path) as file:
        try:
            table = file.read_row_group(row, use_threads=False)
        except (OSError, pa.ArrowInvalid) as error:
            raise CorruptFileError(f"row group {row} is damaged ({error})", file=path) from error
    record = json.loads(table.column("episode")[0].as_py())
    streams = {}
    for name, spec_json in record["specs"].items():
        spec = StreamSpec.from_json(spec_json)
        values = _column(table, f"{name}/values").reshape(-1, *spec.shape)
        times = _column(table, f"{name}/times_s")
        has_available = table.column(f"{name}/available_s")[0].is_valid
        available = _column(table, f"{name}/available_s") if has_available else None
        stream = Stream(values, times, spec, available)
        if stream_hash(stream) != record["streams"][name]:
            raise CorruptFileError(
                "content differs from its recorded sha256",
                file=path,
                episode=record["key"],
                stream=name,
            )
        streams[name] = stream
    return Episode(
        key=record["key"],
        streams=streams,
        instruction=record["instruction"],
        outcome=Outcome(**record["outcome"]),
        provenance=Provenance(**record["provenance"]),
        start_ns=record["start_ns"],
    )


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise CorruptFileError("the file is missing", file=path) from None
    except (OSError, pa.ArrowInvalid) as error:
        raise CorruptFileError(
            f"not a readable Parquet file, truncated or damaged ({error})", file=path
        ) from error


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
            fields[f"{name}/values"] = pa.list_(pa.from_numpy_dtype(np.dtype(stream.spec.dtype)))
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
    values = table.column(name).combine_chunks().values
    return np.array(values.to_numpy(zero_copy_only=False))
