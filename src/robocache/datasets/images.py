"""Pictures kept as encoded images in a column struct<bytes, path> of a Parquet file."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from robocache.core.errors import CorruptFileError, DataError, ShapeError
from robocache.datasets.columns import read_rows
from robocache.datasets.frames import EncodedFrames

KEPT_BYTES = 2**28
"""Encoded pictures kept in memory per process; those unused for longest are dropped first."""


def image_column(path: Path, column: str, start: int, stop: int, root: Path) -> EncodedFrames:
    """Rows [start, stop) of a column as frames that are decoded when they are asked for.

    A picture lies in the cell, or in a file below `root` that the cell names.

    Raises:
        CorruptFileError: the first picture cannot be read.
        ShapeError: the column does not hold pictures.
    """
    cells = ImageCells(path, column, start, stop, root)
    return EncodedFrames(cast(Sequence[bytes], cells), place=cells.located)


@dataclass(frozen=True)
class ImageCells:
    """The encoded pictures of an episode, read from the file when the first is asked for."""

    path: Path
    column: str
    start: int
    stop: int
    root: Path

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, number: int) -> bytes:
        cell = _kept(self)[number].as_py()
        if not isinstance(cell, dict) or not (cell.get("bytes") or cell.get("path")):
            raise ShapeError(f"row {number} is not an encoded image", file=self.path)
        if cell.get("bytes"):
            return bytes(cell["bytes"])
        relative = Path(cell["path"])
        if relative.is_absolute() or ".." in relative.parts:
            raise CorruptFileError(
                f"row {number} names {cell['path']!r}, which is outside the dataset", file=self.path
            )
        try:
            return (self.root / relative).read_bytes()
        except (OSError, ValueError) as error:
            raise CorruptFileError(
                f"the picture of row {number} cannot be read ({error})", file=self.path
            ) from error

    def located(self, error: DataError, number: int) -> DataError:
        """The error with the row and the file in it."""
        told = error if error.file else type(error)(f"row {number}: {error.problem}")
        return told.located(file=self.path, stream=self.column)


_cache: OrderedDict[tuple[Any, ...], pa.Array] = OrderedDict()
_cache_lock = threading.Lock()


def _kept(cells: ImageCells) -> Any:
    try:
        stat = cells.path.stat()
    except OSError as error:
        raise CorruptFileError(f"cannot be opened: {error.strerror}", file=cells.path) from error
    key = (cells, stat.st_size, stat.st_mtime_ns)
    with _cache_lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    table = read_rows(cells.path, [cells.column], cells.start, cells.stop)
    # Taking rows copies them: a slice would hold on to all that was read around it.
    column = table[cells.column].take(pa.array(range(len(cells)), pa.int64()))
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    with _cache_lock:
        _cache[key] = array
        while len(_cache) > 1 and sum(kept.nbytes for kept in _cache.values()) > KEPT_BYTES:
            _cache.popitem(last=False)
    return array
