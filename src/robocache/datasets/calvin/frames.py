"""Frames of CALVIN: one `.npz` file each, opened when they are asked for."""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, DataError, ShapeError, StorageError
from robocache.datasets.calvin.arrays import Header, frame_headers, read_frame
from robocache.datasets.calvin.split import Segment, Split
from robocache.runs import atomic_write, home

WORTH_KEEPING = 256
"""Frames; the vectors of a shorter segment are read again faster than they are found."""


class CalvinFrames:
    """One array of each frame of a segment, as a read-only array (T, ...).

    Takes whatever indexes the first axis of a numpy array; a frame's file is opened only when the
    frame is asked for.

    Args:
        split, segment: which frames.
        name: of the array, e.g. "rgb_static".
        shape, dtype: of one array, as in the first frame.
    """

    def __init__(
        self, split: Split, segment: Segment, name: str, shape: tuple[int, ...], dtype: Any
    ) -> None:
        self.split, self.segment, self.name = split, segment, name
        self.shape: tuple[int, ...] = (len(segment), *shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        """Raises CorruptFileError or ShapeError: a frame is missing, damaged or another size."""
        numbers = np.asarray(np.arange(len(self))[index])
        wanted, where = np.unique(numbers.ravel(), return_inverse=True)
        frames = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        for at, number in enumerate(wanted.tolist()):
            path = self.split.frame(self.segment.first + number)
            array = read_frame(path, [self.name])[self.name]
            check_alike(array, self.shape[1:], self.dtype, path, self.name)
            frames[at] = array
        return frames[where].reshape(*numbers.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def __repr__(self) -> str:
        last = self.segment.last
        return f"CalvinFrames({self.name!r}, {self.segment.first}..{last}, shape={self.shape})"


def check_alike(
    array: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any], path: Path, name: str
) -> None:
    """Raise ShapeError unless an array is as in the first frame of its segment."""
    if array.shape != shape or array.dtype != dtype:
        raise ShapeError(
            f"{array.shape} {array.dtype}, in the first frame {shape} {dtype}",
            file=path,
            stream=name,
        )


def read_vectors(split: Split, segment: Segment) -> dict[str, NDArray[Any]]:
    """Arrays of at most one axis, of all frames of a segment: name -> (T, ...).

    Those of long segments are kept under the store's home while size and time of each frame's file
    agree.

    Raises:
        DataError: a frame is missing or damaged, or is not like the first.
    """
    headers = segment_headers(split, segment)
    vectors = [name for name, header in headers.items() if len(header.shape) <= 1]
    kept = _kept_path(split, segment)
    found = None if len(segment) < WORTH_KEEPING else _kept(kept, vectors, len(segment))
    if found is not None:
        return found
    arrays = {
        name: np.empty((len(segment), *headers[name].shape), np.dtype(headers[name].kind).name)
        for name in vectors
    }
    for at in range(len(segment)):
        path = split.frame(segment.first + at)
        for name, array in read_frame(path, vectors).items():
            whole = arrays[name]
            check_alike(array, whole.shape[1:], whole.dtype, path, name)
            whole[at] = array
    if len(segment) >= WORTH_KEEPING:
        _keep(kept, arrays)
    return arrays


def segment_headers(split: Split, segment: Segment) -> dict[str, Header]:
    """Arrays of the first frame of a segment; their data are not read."""
    return frame_headers(split.frame(segment.first))


def _kept_path(split: Split, segment: Segment) -> Path:
    """Where the vectors of a segment are kept; raises CorruptFileError if a frame is missing."""
    mark = hashlib.sha256(f"{split.folder.absolute()}\n".encode())
    for number in range(segment.first, segment.last + 1):
        path = split.frame(number)
        try:
            stat = path.stat()
        except OSError as error:
            raise CorruptFileError("the frame is missing", file=path) from error
        mark.update(f"{number} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return home() / "cache" / "indexes" / f"{mark.hexdigest()}.npz"


def _kept(path: Path, names: list[str], steps: int) -> dict[str, NDArray[Any]] | None:
    """Vectors that were kept; None: there are none, or not these."""
    if not path.is_file():
        return None
    try:
        arrays = read_frame(path, names)
    except DataError:
        return None
    return arrays if all(len(array) == steps for array in arrays.values()) else None


def _keep(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    with suppress(StorageError):  # a home that cannot be written to only costs time
        atomic_write(path, content.getvalue())
