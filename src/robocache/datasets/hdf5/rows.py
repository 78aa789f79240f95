"""Samples of one dataset of an open HDF5 file: straight from the file's bytes where they lie there
as numpy keeps them, else through the library."""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError
from robocache.core.optional import require
from robocache.datasets.hdf5.files import OPEN_FILES, check_numbers, child, native_errors, opened

KEPT_OPEN = 8
"""Compressed datasets of a file that stay open, each with the chunks it read last."""

_known: OrderedDict[Path, OpenRows] = OrderedDict()


@contextmanager
def opened_rows(path: Path) -> Iterator[OpenRows]:
    """The datasets of a file, which is opened as `opened` does; found once while it stays open."""
    with opened(path) as file:
        rows = _known.pop(path, None)
        if rows is None or rows.file is not file:
            rows = OpenRows(file, path)
        _known[path] = rows
        while len(_known) > OPEN_FILES:
            _known.popitem(last=False)
        yield rows


class OpenRows:
    """The datasets of one open file that were read, found and checked once.

    Args:
        file: the open `h5py.File`.
        path: where it lies.
    """

    def __init__(self, file: Any, path: Path) -> None:
        self.file, self._path = file, path
        self._plain: dict[tuple[str, ...], Plain] = {}
        self._packed: OrderedDict[tuple[str, ...], Any] = OrderedDict()

    def read(self, place: tuple[str, ...], first: int, out: NDArray[Any]) -> None:
        """Fill `out` (n, ...) with the samples from `first` on.

        Raises:
            CorruptFileError: the dataset is not there, is of another shape, or cannot be read.
        """
        if place not in self._plain and place not in self._packed:
            self._find(place)
        last = first + len(out) - 1
        with native_errors(self._path, f"frames {first}..{last} cannot be read"):
            if place in self._plain:
                self._plain[place].read(first, out)
                return
            self._packed.move_to_end(place)
            out[...] = self._packed[place][first : last + 1]

    def _find(self, place: tuple[str, ...]) -> None:
        dataset = self.file
        for name in place:
            dataset = child(dataset, name, self._path)
            if dataset is None:
                raise CorruptFileError(f"{name!r} is gone", file=self._path)
        check_numbers(dataset, self._path)
        with native_errors(self._path):
            plain = plain_rows(self.file, dataset)
        if plain is not None:
            self._plain[place] = plain
            return
        self._packed[place] = dataset
        while len(self._packed) > KEPT_OPEN:
            self._packed.popitem(last=False)


class Plain:
    """Samples that lie one after another in a file, in the order of bytes of this machine.

    Args:
        handle: descriptor of the open file.
        start: first byte.
        shape, dtype: of all samples.
    """

    def __init__(
        self, handle: int, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._handle, self._start, self._shape, self._dtype = handle, start, shape, dtype
        self._bytes = math.prod(shape[1:]) * dtype.itemsize

    def read(self, first: int, out: NDArray[Any]) -> None:
        """Raises ValueError or OSError: another shape or dtype, or the file is too short."""
        if out.shape[1:] != self._shape[1:] or out.dtype != self._dtype:
            raise ValueError(f"stored are {self._shape} {self._dtype}")
        if first + len(out) > self._shape[0]:
            raise ValueError(f"{self._shape[0]} of them are stored")
        if not out.size:
            return
        rest = out.data.cast("B")
        at = self._start + first * self._bytes
        while rest:
            count = os.preadv(self._handle, [rest], at)
            if count == 0:
                raise OSError(f"the file ends at byte {at}")
            rest, at = rest[count:], at + count


def plain_rows(file: Any, dataset: Any) -> Plain | None:
    """Where the samples of a dataset lie; None: they are packed, or the library must convert."""
    h5py = require("h5py", "hdf5")
    start, dtype = dataset.id.get_offset(), dataset.dtype
    if start is None or dataset.chunks is not None or not dtype.isnative or file.driver != "sec2":
        return None
    if dataset.id.get_type() != h5py.h5t.py_create(dtype):
        return None
    if dataset.id.get_storage_size() != dataset.nbytes:
        return None
    return Plain(file.id.get_vfd_handle(), start, dataset.shape, dtype)
