"""Frames kept as encoded images in a column of a Parquet file."""

from __future__ import annotations

import io
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, ShapeError
from robocache.datasets.columns import read_columns


class ImageColumn:
    """A column struct<bytes, path> of PNG or JPEG images, as (T, H, W, 3) uint8 RGB.

    The first image gives the size; the column stays in memory in its encoded form.

    Raises:
        CorruptFileError: the file or an image cannot be read.
        ShapeError: an image of another size than the first, or no image column.
    """

    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(self, path: Path, column: str, rows: int, root: Path) -> None:
        self.path, self.column, self.rows, self.root = path, column, rows, root
        self.shape: tuple[int, ...] = (rows, *self._decode(0).shape) if rows else (0, 0, 0, 3)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        numbers = np.asarray(np.arange(self.rows)[index])
        frames = np.empty((numbers.size, *self.shape[1:]), np.uint8)
        for at, number in enumerate(numbers.ravel().tolist()):
            frame = self._decode(number)
            if frame.shape != self.shape[1:]:
                raise ShapeError(
                    f"image {number} has shape {frame.shape}, the first {self.shape[1:]}",
                    file=self.path,
                )
            frames[at] = frame
        return frames.reshape(*numbers.shape, *self.shape[1:])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_cells"}

    @cached_property
    def _cells(self) -> list[Any]:
        cells: list[Any] = read_columns(self.path, [self.column])[self.column].to_pylist()
        return cells

    def _decode(self, number: int) -> NDArray[np.uint8]:
        cell = self._cells[number]
        if not isinstance(cell, dict) or not (cell.get("bytes") or cell.get("path")):
            raise ShapeError(f"row {number} is not an encoded image", file=self.path)
        try:
            data = cell.get("bytes") or (self.root / cell["path"]).read_bytes()
            with av.open(io.BytesIO(data), "r") as container:
                frame: Any = next(container.decode(video=0))
                pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
        except (av.FFmpegError, OSError, StopIteration, IndexError) as error:
            raise CorruptFileError(
                f"image {number} cannot be decoded ({error})", file=self.path
            ) from error
        return pixels
