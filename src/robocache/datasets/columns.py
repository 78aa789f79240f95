"""Columns of a Parquet table as arrays of samples."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, NonFiniteError, ShapeError
from robocache.datasets.native import reading

UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, TypeError)
"""What Arrow makes of altered bytes."""


def read_columns(path: Path, names: list[str] | None = None) -> pa.Table:
    """The named columns of a file (those it has); None: all.

    Raises:
        CorruptFileError: missing, unreadable or truncated.
    """
    try:
        with reading(path), pq.ParquetFile(path) as file:
            have = file.schema_arrow.names
            return file.read(have if names is None else [name for name in names if name in have])
    except UNREADABLE as error:
        raise CorruptFileError(f"not a readable Parquet file ({error})", file=path) from error


KEPT_BYTES = 2**26
"""Row groups up to this size, decoded, are kept in case their next rows are asked for."""


def read_rows(path: Path, names: list[str], start: int, stop: int) -> pa.Table:
    """Rows [start, stop) of the named columns of a file (those it has).

    Reads only the row groups that hold them; large ones piece by piece, never as a whole.

    Raises:
        CorruptFileError: missing, unreadable, truncated, or has fewer rows.
    """
    try:
        stat = path.stat()
        metadata = _metadata(path, stat.st_size, stat.st_mtime_ns)
        ends = _row_ends(path, stat.st_size, stat.st_mtime_ns)
        if not 0 <= start <= stop <= metadata.num_rows:
            raise CorruptFileError(
                f"rows {start}..{stop} were asked for, the file has {metadata.num_rows}", file=path
            )
        first, last = np.searchsorted(ends, [start, stop - 1], side="right").tolist()
        groups = list(range(first, last + 1)) if start < stop else []
        before = int(ends[groups[0] - 1]) if groups and groups[0] else 0
        have = _types(path, stat.st_size, stat.st_mtime_ns)
        columns = tuple(name for name in names if name in have)
        if _decoded_bytes(metadata, groups, columns) <= KEPT_BYTES:
            table = _groups(path, stat.st_size, stat.st_mtime_ns, tuple(groups), columns)
            return table.slice(start - before, stop - start)
        return _streamed(path, metadata, groups, columns, start - before, stop - before)
    except UNREADABLE as error:
        raise CorruptFileError(f"not a readable Parquet file ({error})", file=path) from error


def row_count(path: Path) -> int:
    """Number of rows of a file.

    Raises:
        CorruptFileError: missing, unreadable or truncated.
    """
    try:
        stat = path.stat()
        return int(_metadata(path, stat.st_size, stat.st_mtime_ns).num_rows)
    except UNREADABLE as error:
        raise CorruptFileError(f"not a readable Parquet file ({error})", file=path) from error


@lru_cache(maxsize=64)
def _metadata(path: Path, size: int, mtime_ns: int) -> pq.FileMetaData:
    with reading(path):
        return pq.read_metadata(path)


@lru_cache(maxsize=4)
def _groups(
    path: Path, size: int, mtime_ns: int, groups: tuple[int, ...], columns: tuple[str, ...]
) -> pa.Table:
    metadata = _metadata(path, size, mtime_ns)
    with reading(path), pq.ParquetFile(path, metadata=metadata) as file:
        return file.read_row_groups(list(groups), columns=list(columns))


def _decoded_bytes(metadata: pq.FileMetaData, groups: list[int], columns: tuple[str, ...]) -> int:
    total = 0
    for number in groups:
        group = metadata.row_group(number)
        parts = (group.column(k) for k in range(group.num_columns))
        total += sum(
            part.total_uncompressed_size
            for part in parts
            if part.path_in_schema.startswith(columns)
        )
    return total


def _streamed(
    path: Path,
    metadata: pq.FileMetaData,
    groups: list[int],
    columns: tuple[str, ...],
    start: int,
    stop: int,
) -> pa.Table:
    """Rows [start, stop), counted from the first of these row groups, in small batches."""
    kept, at = [], 0
    with reading(path), pq.ParquetFile(path, metadata=metadata) as file:
        for batch in file.iter_batches(64, row_groups=groups, columns=list(columns)):
            low, high = max(start - at, 0), min(stop - at, batch.num_rows)
            if low < high:
                kept.append(batch.slice(low, high - low))
            at += batch.num_rows
            if at >= stop:
                break
    return pa.Table.from_batches(kept)


def column_types(path: Path) -> dict[str, str]:
    """Name and Arrow type of the columns of a file.

    Raises:
        CorruptFileError: missing, unreadable or truncated.
    """
    try:
        stat = path.stat()
        return dict(_types(path, stat.st_size, stat.st_mtime_ns))
    except UNREADABLE as error:
        raise CorruptFileError(f"not a readable Parquet file ({error})", file=path) from error


@lru_cache(maxsize=64)
def _row_ends(path: Path, size: int, mtime_ns: int) -> NDArray[np.int64]:
    """(G,) number of rows up to the end of each row group."""
    metadata = _metadata(path, size, mtime_ns)
    counts = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
    return np.cumsum(counts, dtype=np.int64)


@lru_cache(maxsize=64)
def _types(path: Path, size: int, mtime_ns: int) -> dict[str, str]:
    schema = _metadata(path, size, mtime_ns).schema.to_arrow_schema()
    return {field.name: str(field.type) for field in schema}


def samples(
    column: pa.ChunkedArray[Any], shape: tuple[int, ...], floating: type[np.floating] = np.float32
) -> NDArray[Any]:
    """A numeric or boolean column, flat or of (nested) lists, as (T, *shape).

    Floating values become `floating`, others keep their dtype. Scalars serve for shape (1,).

    Raises:
        ShapeError: rows of another length, or values that are not numbers.
        NonFiniteError: missing, NaN or infinite values; names the first row.
    """
    rows = len(column)
    array: Any = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    while pa.types.is_nested(array.type):
        array = _flatten(array, rows, shape)
    _no_nulls(array, rows)
    kind = array.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise ShapeError(f"expected numbers, got {kind}")
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    if values.size != rows * int(np.prod(shape)):
        raise ShapeError(
            f"expected samples of shape {shape}, got {values.size // max(rows, 1)} values in each"
        )
    values = values.reshape(rows, *shape)
    if values.dtype.kind != "f":
        return np.array(values)
    with np.errstate(over="ignore", invalid="ignore"):
        values = values.astype(floating)
    finite = np.isfinite(values).reshape(rows, -1).all(axis=1)
    if not finite.all():
        raise NonFiniteError(f"row {int(np.argmin(finite))} is NaN or infinite")
    return values


def _flatten(array: Any, rows: int, shape: tuple[int, ...]) -> Any:
    """One level of lists taken off, all of them of one length."""
    if not hasattr(array, "flatten") or pa.types.is_struct(array.type):
        raise ShapeError(f"expected numbers, got {array.type}")
    _no_nulls(array, rows)
    lengths = array.value_lengths().to_numpy(zero_copy_only=False)
    odd = lengths != (lengths[0] if len(lengths) else 0)
    if odd.any():
        at = int(np.argmax(odd))
        raise ShapeError(
            f"row {at * rows // len(lengths)} holds {lengths[at]} values, the first {lengths[0]} "
            f"(declared: {shape})"
        )
    return array.flatten()


def _no_nulls(array: Any, rows: int) -> None:
    if array.null_count:
        at = int(np.argmax(array.is_null().to_numpy(zero_copy_only=False)))
        raise NonFiniteError(f"row {at * rows // len(array)} has no value")
