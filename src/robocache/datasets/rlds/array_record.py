"""ArrayRecord files: the other container that TFDS writes. Needs the package `array-record`."""

from __future__ import annotations

import hashlib
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from robocache.core.errors import CorruptFileError, DataError
from robocache.core.optional import require
from robocache.datasets.native import reading
from robocache.datasets.pointer import LFS_POINTER

BLOCK_BYTES = 65536  # a whole file is a multiple of this
_last = threading.local()


class ArrayRecordShard:
    """The records of one ArrayRecord file; the file has its own index and checksums."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __len__(self) -> int:
        return 0 if isinstance(self._opened, DataError) else int(self._opened.num_records())

    @cached_property
    def _opened(self) -> Any:
        """The package's reader, or why there is none."""
        package = require("array_record.python.array_record_module", "array-record")
        try:
            with self.path.open("rb") as file:
                if file.read(len(LFS_POINTER)) == LFS_POINTER:
                    text = "a Git LFS pointer, not the data: run `git lfs pull`"
                    return CorruptFileError(text, file=self.path)
            size = self.path.stat().st_size
            if size == 0 or size % BLOCK_BYTES:
                text = f"truncated: {size} bytes, not a multiple of {BLOCK_BYTES}"
                return CorruptFileError(text, file=self.path)
            with reading(self.path):
                return package.ArrayRecordReader(str(self.path))
        except (OSError, RuntimeError, ValueError) as error:
            return CorruptFileError(f"not a readable ArrayRecord file ({error})", file=self.path)

    @property
    def trouble(self) -> DataError | None:
        """Why the file cannot be read."""
        return self._opened if isinstance(self._opened, DataError) else None

    def checksums(self) -> list[int]:
        """One number per record that changes with its content; reads every record."""
        digests = (hashlib.sha256(self.read(number)).digest() for number in range(len(self)))
        return [int.from_bytes(digest[:8], "little") for digest in digests]

    def read(self, number: int) -> bytes:
        """The data of a record.

        Raises:
            CorruptFileError: it cannot be read.
        """
        if isinstance(self._opened, DataError):
            raise self._opened
        try:
            with reading(self.path):
                return bytes(self._opened.read([number])[0])
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            raise CorruptFileError(
                f"record {number} cannot be read ({error})", file=self.path
            ) from error

    def read_part(self, number: int, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a record's data.

        The container reads all of a record, so each thread keeps the last one.
        """
        shard, kept, data = getattr(_last, "read", (None, -1, b""))
        if shard is not self or kept != number:
            data = self.read(number)
            _last.read = self, number, data
        return data[start:stop]
