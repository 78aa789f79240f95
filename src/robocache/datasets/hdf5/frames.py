"""Pictures in an HDF5 dataset, read when they are asked for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import DataError
from robocache.datasets.hdf5.rows import opened_rows


class Hdf5Frames:
    """One dataset (T, H, W, ...) of a file, as a read-only array.

    Takes whatever indexes the first axis of a numpy array. Holds no open file, so it may be pickled
    and used after a fork.

    Args:
        path: the file.
        place: group names from the root to the dataset, e.g. ("data", "demo_0", "obs", "rgb").
        shape, dtype: of the dataset.
        reverse_rows: turn each picture upside down when it is read.
    """

    def __init__(
        self,
        path: Path,
        place: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        reverse_rows: bool = False,
    ) -> None:
        self.path, self.place, self.reverse_rows = path, place, reverse_rows
        self.shape = shape
        self.dtype: np.dtype[Any] = dtype.newbyteorder("=")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        """Raises CorruptFileError: the file has changed or the pictures cannot be read."""
        numbers = np.asarray(np.arange(len(self))[index])
        wanted, where = np.unique(numbers.ravel(), return_inverse=True)
        frames = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        try:
            self._read(wanted, frames)
        except DataError as error:
            raise error.located(episode=self.place[1], stream="/".join(self.place[2:])) from error
        if self.reverse_rows:
            frames = frames[:, ::-1]
        if not np.array_equal(where, np.arange(len(wanted))):
            frames = frames[where]
        return frames.reshape(*numbers.shape, *self.shape[1:])

    def _read(self, wanted: NDArray[np.int64], frames: NDArray[Any]) -> None:
        """Frames with numbers one after another are read at once."""
        first = [0, *(np.flatnonzero(np.diff(wanted) != 1) + 1).tolist(), len(wanted)]
        with opened_rows(self.path) as rows:
            for start, stop in pairwise(first):
                if stop > start:
                    rows.read(self.place, int(wanted[start]), frames[start:stop])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def __repr__(self) -> str:
        return f"Hdf5Frames({str(self.path)!r}, {'/'.join(self.place)!r}, shape={self.shape})"
