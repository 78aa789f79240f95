"""The Parquet files of a LeRobot v3.0 folder, with the schemas that the lerobot package writes."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from robocache.datasets.lerobot.listing_v3 import KEY_COLUMN, RECORD_COLUMN
from robocache.datasets.lerobot.summary import QUANTILES, Numbers

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
STATISTICS = ("min", "max", "mean", "std", "count", *QUANTILES)
ROWS_KEPT = 500  # rows of meta/episodes that wait to be written together


class ParquetFiles:
    """Tables written as row groups of one file after another.

    Args:
        path: number of a file -> its path.
        megabytes: a file that would grow beyond this is followed by the next.
    """

    def __init__(self, path: Callable[[int], Path], schema: pa.Schema, megabytes: float) -> None:
        self.schema, self.number = schema, 0
        self._path, self._limit = path, megabytes * 2**20
        self._file: io.BufferedWriter | None = None
        self._writer: pq.ParquetWriter | None = None
        self._last_bytes = 0

    def turn(self) -> int:
        """The number of the file that the next table goes to."""
        if self._file is not None and self._file.tell() + self._last_bytes > self._limit:
            self.close()
            self.number += 1
        return self.number

    def write(self, table: pa.Table) -> None:
        self.turn()
        if self._file is None or self._writer is None:
            path = self._path(self.number)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")  # ours, so that a full disk is an OSError
            self._writer = pq.ParquetWriter(self._file, self.schema, compression="snappy")
        before = self._file.tell()
        self._writer.write_table(table)
        self._last_bytes = self._file.tell() - before

    def close(self) -> None:
        """Finish the file that is being written."""
        if self._writer is not None and self._file is not None:
            self._writer.close()
            self._file.close()
            self._writer = self._file = None

    def abandon(self) -> None:
        """Let go of the file that is being written, whatever is in it."""
        for opened in (self._writer, self._file):
            with contextlib.suppress(OSError, ValueError, pa.ArrowException):
                if opened is not None:
                    opened.close()
        self._writer = self._file = None


def data_schema(features: Mapping[str, Mapping[str, Any]]) -> pa.Schema:
    """Schema of the data files, with the metadata by which `datasets` knows its types."""
    stored = {name: f for name, f in features.items() if f["dtype"] != "video"}
    told = {"info": {"features": {name: _hub_type(f) for name, f in stored.items()}}}
    return pa.schema(
        [(name, arrow_type(feature)) for name, feature in stored.items()],
        metadata={"huggingface": json.dumps(told)},
    )


def arrow_type(feature: Mapping[str, Any]) -> pa.DataType:
    """Arrow type of a column: a number, a list of fixed size, or nested lists."""
    if feature["dtype"] == "image":
        return IMAGE
    number = pa.from_numpy_dtype(np.dtype(feature["dtype"]))
    shape = feature["shape"]
    if tuple(shape) == (1,):
        return number
    if len(shape) == 1:
        return pa.list_(number, shape[0])
    for _ in shape:
        number = pa.list_(number)
    return number


def _hub_type(feature: Mapping[str, Any]) -> dict[str, Any]:
    shape = list(feature["shape"])
    if feature["dtype"] == "image":
        return {"_type": "Image"}
    value = {"dtype": feature["dtype"], "_type": "Value"}
    if shape == [1]:
        return value
    if len(shape) == 1:
        return {"feature": value, "length": shape[0], "_type": "Sequence"}
    return {"shape": shape, "dtype": feature["dtype"], "_type": f"Array{len(shape)}D"}


def column(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """(T, ...) samples as a column."""
    rows = len(values)
    array = pa.array(np.ascontiguousarray(values).reshape(-1))
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(array, kind.list_size)
    if not pa.types.is_list(kind):
        return array
    for size in reversed(values.shape[1:]):
        offsets = np.arange(0, len(array) + 1, size, dtype=np.int32)
        array = pa.ListArray.from_arrays(pa.array(offsets), array)
    assert len(array) == rows
    return array


class EpisodeTable:
    """meta/episodes: a row for each episode, with its files and statistics."""

    def __init__(
        self,
        path: Callable[[int], Path],
        features: Mapping[str, Mapping[str, Any]],
        chunks_size: int,
        megabytes: float,
    ) -> None:
        self._files = ParquetFiles(path, _episode_schema(features), megabytes)
        self._rows: list[dict[str, Any]] = []
        self._chunks_size = chunks_size

    def add(self, row: Mapping[str, Any], statistics: Mapping[str, Numbers]) -> None:
        flat = {
            f"stats/{name}/{kind}": numbers[kind].tolist()
            for name, numbers in statistics.items()
            for kind in STATISTICS
        }
        self._rows.append({**row, **flat})
        if len(self._rows) >= ROWS_KEPT:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._files.close()

    def abandon(self) -> None:
        self._files.abandon()

    def _flush(self) -> None:
        if not self._rows:
            return
        chunk, file = divmod(self._files.turn(), self._chunks_size)
        at = {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file}
        rows = [{**row, **at} for row in self._rows]
        self._files.write(pa.Table.from_pylist(rows, schema=self._files.schema))
        self._rows = []


def _episode_schema(features: Mapping[str, Mapping[str, Any]]) -> pa.Schema:
    fields: list[tuple[str, pa.DataType]] = [
        ("episode_index", pa.int64()),
        ("tasks", pa.list_(pa.string())),
        ("length", pa.int64()),
        ("data/chunk_index", pa.int64()),
        ("data/file_index", pa.int64()),
        ("dataset_from_index", pa.int64()),
        ("dataset_to_index", pa.int64()),
    ]
    for name, feature in features.items():
        if feature["dtype"] == "video":
            fields += [
                (f"videos/{name}/chunk_index", pa.int64()),
                (f"videos/{name}/file_index", pa.int64()),
                (f"videos/{name}/from_timestamp", pa.float64()),
                (f"videos/{name}/to_timestamp", pa.float64()),
            ]
    for name, feature in features.items():
        for kind in STATISTICS:
            fields.append((f"stats/{name}/{kind}", _statistic_type(feature["dtype"], kind)))
    fields += [
        ("meta/episodes/chunk_index", pa.int64()),
        ("meta/episodes/file_index", pa.int64()),
        (KEY_COLUMN, pa.string()),
        (RECORD_COLUMN, pa.string()),
    ]
    return pa.schema(fields)


def _statistic_type(dtype: str, kind: str) -> pa.DataType:
    if kind == "count":
        return pa.list_(pa.int64())
    if dtype in ("video", "image"):
        return pa.list_(pa.list_(pa.list_(pa.float64())))
    whole = kind in ("min", "max") and np.dtype(dtype).kind in "iub"
    return pa.list_(pa.int64() if whole else pa.float64())


def tasks_table(tasks: Sequence[str]) -> pa.Table:
    """meta/tasks.parquet: what pandas reads as a table whose index is the words."""
    index = "__index_level_0__"
    told = {
        "index_columns": [index],
        "column_indexes": [
            {
                "name": None,
                "field_name": None,
                "pandas_type": "unicode",
                "numpy_type": "object",
                "metadata": {"encoding": "UTF-8"},
            }
        ],
        "columns": [
            _pandas_column("task_index", "task_index", "int64", "int64"),
            _pandas_column(None, index, "unicode", "object"),
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    return pa.table(
        {"task_index": pa.array(range(len(tasks)), pa.int64()), index: pa.array(tasks, pa.string())}
    ).replace_schema_metadata({"pandas": json.dumps(told)})


def _pandas_column(name: str | None, field: str, kind: str, numpy_type: str) -> dict[str, Any]:
    return {
        "name": name,
        "field_name": field,
        "pandas_type": kind,
        "numpy_type": numpy_type,
        "metadata": None,
    }
