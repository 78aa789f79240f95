"""Columns of a Parquet table as arrays of samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, NonFiniteError, ShapeError


def read_columns(path: Path, names: list[str] | None = None) -> pa.Table:
    """The named columns of a file (those it has); None: all.

    Raises:
        CorruptFileError: missing, unreadable or truncated.
    """
    try:
        with pq.ParquetFile(path) as file:
            have = file.schema_arrow.names
            return file.read(have if names is None else [name for name in names if name in have])
    except (pa.ArrowException, OSError) as error:
        raise CorruptFileError(f"not a readable Parquet file ({error})", file=path) from error


def column_types(path: Path) -> dict[str, str]:
    """Name and Arrow type of the columns of a file.

    Raises:
        CorruptFileError: missing, unreadable or truncated.
    """
    try:
        return {field.name: str(field.type) for field in pq.read_schema(path)}
    except (pa.ArrowException, OSError) as error:
        raise CorruptFileError(f"not a readable Parquet file ({error})", file=path) from error


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
    with np.errstate(over="ignore"):
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
