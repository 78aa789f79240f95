"""Which file is being read by a library that damaged bytes can crash: HDF5, FFmpeg, Arrow, SQLite.

Readers hold `reading(path)` around their calls into such a library. Where a parent watches the
process, the path lies in memory that outlives it, and the parent names the file.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

from robocache.core.errors import CorruptFileError

_LONGEST_PATH = 4096


class Mark(ctypes.Structure):
    """What a process reads, as its parent sees it.

    Attributes:
        entered: how often a file was begun; it stands still where a library does not come back.
        path: absolute path of the file; empty where none is being read.
    """

    _fields_ = (("entered", ctypes.c_uint64), ("path", ctypes.c_char * _LONGEST_PATH))


_mark: Any = None  # of this process, once somebody watches
_refused: dict[str, str] = {}  # absolute path -> why


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Held while a library reads a file.

    Raises:
        CorruptFileError: the file is refused, or more memory was asked for than there is.
    """
    if _mark is None and not _refused:
        with _enough_memory(path):
            yield
        return
    absolute = os.path.abspath(path)
    if absolute in _refused:
        raise CorruptFileError(_refused[absolute], file=path)
    before = _enter(os.fsencode(absolute)[: _LONGEST_PATH - 1])
    try:
        with _enough_memory(path):
            yield
    finally:
        _enter(before)


def refuse(path: str, why: str) -> None:
    """Never give this file to a library again in this process; `reading` raises instead."""
    _refused[os.path.abspath(path)] = why


def refused() -> dict[str, str]:
    """Absolute path -> why, of the files that are refused."""
    return dict(_refused)


def new_mark() -> Any:
    """A `Mark` to be given to a new process, which calls `watch` with it."""
    return RawValue(Mark)


def watch(mark: Any) -> None:
    """From now on, tell in `mark` what this process reads."""
    global _mark
    _mark = mark


class Marks:
    """A mark for each process of a pool; given to the function that begins them.

    Args:
        count: how many processes.
    """

    def __init__(self, count: int) -> None:
        self._marks = [new_mark() for _ in range(count)]
        self._taken = get_context("spawn").Value("i", 0)

    def watch_this_process(self) -> None:
        """Called once in each process."""
        with self._taken.get_lock():
            number, self._taken.value = self._taken.value, self._taken.value + 1
        watch(self._marks[number])

    def files(self) -> list[str]:
        """What is being read, or was when the pool broke: one of them ended its process."""
        paths = {mark.path.decode(errors="surrogateescape") for mark in self._marks}
        return sorted(paths - {""})


def _enter(path: bytes) -> bytes:
    """Set the path that is being read; returns the one before."""
    if _mark is None:
        return b""
    before: bytes = _mark.path
    _mark.path = path
    _mark.entered += 1
    return before


@contextmanager
def _enough_memory(path: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise CorruptFileError(
            "cannot be read: it needs more memory than there is; damaged, or too large", file=path
        ) from error
