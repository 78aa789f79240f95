"""Features of a frozen backbone on disk: one row for each training window, whole or not there.

Rows lie one after the other in files that are mapped into memory and have their whole size from the
beginning. A row counts once its mark is written, and its mark holds a checksum, so that what a
killed process left half-written is not there.

Letters: N rows, S tokens of a row, D width of a feature.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robocache.core.errors import CorruptFileError, ShapeError, StorageError
from robocache.datasets.cache.key import ABOUT, COMPLETE
from robocache.datasets.cache.key import FEATURES as KIND
from robocache.datasets.cache.space import IN_USE
from robocache.datasets.cache.table import DAMAGED
from robocache.runs import FileLock, atomic_write
from robocache.runs.files import storage_errors

FEATURES, IMAGE_MASK, MARKS = "features.bin", "image_mask.bin", "marks.bin"
_THERE = 1 << 32
"""Set in the mark of a row that is there; the bits below are its checksum."""


class FeatureStore:
    """Features and image masks of N rows; every token of a row is a real one.

    It is not removed while this object lives.

    Args:
        folder: where it lies; made if it is not there.
        about: what decides the content, for people and for the list of caches.
        lengths: (N,) S of each row.
        width: D.
        dtype: of the features.

    Raises:
        StorageError: there is no room for it, or it cannot be written.
        CorruptFileError: a file is missing or too small.
    """

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, Any],
        lengths: NDArray[np.int64],
        width: int,
        dtype: torch.dtype,
    ) -> None:
        self.folder, self.width, self.dtype = folder, width, dtype
        self._ends = np.cumsum(lengths)
        self._lengths = lengths
        self._lock = FileLock(folder / IN_USE, shared=True)
        self._lock.acquire(wait=True)
        os.utime(folder / IN_USE)
        sizes = self._sizes()
        with FileLock(folder / "making.lock"):
            if not (folder / ABOUT).exists():
                self._reserve(sizes)
                text = {**about, "rows": len(lengths), "bytes": self.bytes}
                atomic_write(folder / ABOUT, json.dumps(text).encode())
        self._features, self._image_mask, marks = (
            _mapped(folder / name, size) for name, size in sizes.items()
        )
        self._marks = np.frombuffer(marks, np.uint64)
        self.note_complete()

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def bytes(self) -> int:
        """What it takes on disk, from the beginning."""
        return sum(self._sizes().values())

    @property
    def filled(self) -> int:
        """How many rows are there."""
        return int((self._marks >= _THERE).sum())

    def get(self, row: int) -> tuple[Tensor, Tensor] | None:
        """Features (S, D) and image mask (S,) bool of a row; None: it is not there."""
        mark = int(self._marks[row])
        if mark < _THERE:
            return None
        features, image_mask = (part[place] for part, place in self._places(row))
        if _mark(features, image_mask) != mark:
            return None
        return (
            torch.frombuffer(bytearray(features), dtype=self.dtype).reshape(-1, self.width),
            torch.frombuffer(bytearray(image_mask), dtype=torch.bool),
        )

    def put(self, row: int, features_SD: Tensor, image_mask_S: Tensor) -> None:
        """Keep a row.

        Raises:
            ShapeError: it has not the length that was announced, or another width or dtype.
        """
        expected = (int(self._lengths[row]), self.width)
        if features_SD.shape != expected or features_SD.dtype != self.dtype:
            raise ShapeError(
                f"the features of window {row} are {features_SD.dtype} "
                f"{tuple(features_SD.shape)}, expected {self.dtype} {expected}"
            )
        kept = (features_SD.contiguous().view(torch.uint8), image_mask_S.to(torch.uint8))
        data = [part.cpu().numpy().tobytes() for part in kept]
        self._marks[row] = 0
        for (part, place), content in zip(self._places(row), data, strict=True):
            part[place] = content
        self._marks[row] = _mark(*data)

    def close(self) -> None:
        """Let others remove it; it is not read afterwards."""
        self.note_complete()
        self._lock.release()

    def note_complete(self) -> None:
        """Say on disk whether every row is there."""
        if self.filled == len(self):
            (self.folder / COMPLETE[KIND]).touch()

    def _sizes(self) -> dict[str, int]:
        tokens = int(self._ends[-1])
        features = tokens * self.width * self.dtype.itemsize
        return {FEATURES: features, IMAGE_MASK: tokens, MARKS: 8 * len(self)}

    def _reserve(self, sizes: Mapping[str, int]) -> None:
        """Take the room for all rows, so that none is missing in the middle of a training."""
        for name in sizes:
            (self.folder / name).unlink(missing_ok=True)
        free = shutil.disk_usage(self.folder).free
        if free < self.bytes:
            raise StorageError(
                f"features of {len(self)} windows take {self.bytes / 1e9:.2f} GB, "
                f"{self.bytes // len(self):,} bytes each; {self.folder} has {free / 1e9:.2f} GB "
                f"left: free some, set ROBOCACHE_HOME to a folder on another disk, or train with "
                f"policy.network.feature_cache=false"
            )
        for name, size in sizes.items():
            path = self.folder / name
            with storage_errors(path), path.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, size)

    def _places(self, row: int) -> list[tuple[mmap.mmap, slice]]:
        end = int(self._ends[row])
        start, one = end - int(self._lengths[row]), self.width * self.dtype.itemsize
        return [
            (self._features, slice(start * one, end * one)),
            (self._image_mask, slice(start, end)),
        ]


def _mapped(path: Path, size: int) -> mmap.mmap:
    try:
        with storage_errors(path), path.open("r+b") as file:
            return mmap.mmap(file.fileno(), size)
    except (FileNotFoundError, ValueError) as error:
        raise CorruptFileError(DAMAGED, file=path) from error


def _mark(features: bytes, image_mask: bytes) -> int:
    return _THERE | zlib.crc32(image_mask, zlib.crc32(features))
