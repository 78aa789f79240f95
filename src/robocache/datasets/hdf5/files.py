"""HDF5 files from anywhere: opened once per process, and read only as far as they can be trusted.

Only what lies in the file itself is read: no link to another file, no external or virtual storage.
Sizes that a header promises are compared with the bytes that are there before memory is taken.
The HDF5 library itself can still crash or hang on damaged bytes: see `datasets.guarded`.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, ShapeError, StorageError
from robocache.core.optional import require
from robocache.datasets.native import reading
from robocache.datasets.pointer import LFS_POINTER
from robocache.runs import atomic_write, home

OPEN_FILES = 16  # kept open per process; the one unused for longest is closed
CHUNKS_HELD = 2**21
"""Bytes of decompressed chunks that an open dataset holds."""
LARGEST_RATIO = 1032
"""deflate cannot make data smaller than this; a larger promise is a lie."""
SMALL = 2**20
"""Bytes that may be promised without being there (fill values)."""
LARGEST_ARRAY = 2**31
LARGEST_CHUNK = 2**28
"""Bytes of a chunk, and of one picture."""
LARGEST_TEXT = 2**26
DEEPEST = 5
MOST_MEMBERS = 10_000
_NATIVE = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError)

Stamp = tuple[int, int]  # size and modification time
_opened: dict[int, OrderedDict[Path, tuple[Stamp, Any]]] = {}  # by process: nothing is shared
_lock = threading.RLock()
os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.RLock()))


@contextmanager
def native_errors(path: Path, doing: str = "not a readable HDF5 file") -> Iterator[None]:
    """Errors of h5py as CorruptFileError with the file's name."""
    try:
        yield
    except _NATIVE as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise CorruptFileError(f"{doing} ({text})", file=path) from error


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The open `h5py.File` of a path, used by one thread at a time.

    May be called in any process: after a fork, and in a worker, a file is opened again.

    Raises:
        CorruptFileError: missing, not HDF5, truncated, or a Git LFS pointer.
    """
    with _lock, reading(path):
        yield _handle(path)


def _handle(path: Path) -> Any:
    h5py = require("h5py", "hdf5")
    try:
        stat = path.stat()
    except OSError as error:
        raise CorruptFileError(f"cannot be opened: {error.strerror}", file=path) from error
    if not path.is_file():
        raise CorruptFileError("is not a file", file=path)
    files = _opened.setdefault(os.getpid(), OrderedDict())
    key, stamp = path.absolute(), (stat.st_size, stat.st_mtime_ns)
    known, file = files.pop(key, (stamp, None))
    if file is not None and known != stamp:  # HDF5 would go on with what it remembers
        file.close()
        file = None
    if not file:
        _refuse_pointer(path)
        with native_errors(path):
            file = _open(h5py, path)
    files[key] = (stamp, file)
    while len(files) > OPEN_FILES:
        files.popitem(last=False)[1][1].close()
    return file


def _open(h5py: Any, path: Path) -> Any:
    try:
        return h5py.File(path, "r", rdcc_nbytes=CHUNKS_HELD)
    except OSError as error:
        being_written = f"errno = {errno.EAGAIN}"
        if "lock" not in str(error) or being_written in str(error):
            raise
    return h5py.File(path, "r", rdcc_nbytes=CHUNKS_HELD, locking=False)  # no locks on this disk


def close_files() -> None:
    """Close every file this process holds open, so that HDF5 lets it be opened for writing."""
    with _lock:
        for _, file in _opened.pop(os.getpid(), OrderedDict()).values():
            file.close()


def _refuse_pointer(path: Path) -> None:
    try:
        with path.open("rb") as content:
            head = content.read(len(LFS_POINTER))
    except OSError as error:
        raise CorruptFileError(f"cannot be opened: {error.strerror}", file=path) from error
    if head == LFS_POINTER:
        raise CorruptFileError(
            "a Git LFS pointer, not the data; run: git lfs pull (or download the file)", file=path
        )


def child(group: Any, name: str, path: Path) -> Any:
    """The member `name` of a group; None: there is none.

    Raises:
        CorruptFileError: a link that leads elsewhere, or an object that cannot be read.
    """
    h5py = require("h5py", "hdf5")
    with native_errors(path, f"{name!r} cannot be read"):
        link = group.get(name, getlink=True) if name in group.keys() else None  # noqa: SIM118
        found = group[name] if isinstance(link, h5py.HardLink) else None
    if link is not None and not isinstance(link, h5py.HardLink):
        raise CorruptFileError(
            f"{group.name}/{name} is a link ({type(link).__name__}); only what lies in the file "
            f"itself is read",
            file=path,
        )
    return found


def names(group: Any, path: Path) -> list[str]:
    """Names of the members of a group, sorted."""
    with native_errors(path):
        found = sorted(group.keys())
    for name in found:
        if not name.isprintable():
            raise CorruptFileError(f"{group.name} has a member called {name!r}", file=path)
    return found


def datasets(group: Any, path: Path, prefix: str = "") -> list[tuple[str, Any]]:
    """Name and dataset of everything below a group, in order of names.

    Raises:
        CorruptFileError: as `child`; or more groups, or deeper ones, than any known layout has.
    """
    h5py = require("h5py", "hdf5")
    found: list[tuple[str, Any]] = []
    waiting, seen = [(prefix, group)], 0
    while waiting:
        above, inner = waiting.pop()
        for name in names(inner, path):
            member, seen = child(inner, name, path), seen + 1
            if isinstance(member, h5py.Group):
                waiting.append((f"{above}{name}/", member))
            elif isinstance(member, h5py.Dataset):
                found.append((above + name, member))
        if above.count("/") > DEEPEST or seen > MOST_MEMBERS:
            raise CorruptFileError(
                f"more than {DEEPEST} groups deep, or more than {MOST_MEMBERS} members", file=path
            )
    return sorted(found, key=lambda item: item[0])


def check_numbers(dataset: Any, path: Path) -> None:
    """Refuse a dataset of anything but numbers, or one that promises more than the file holds."""
    with native_errors(path):
        kind, shape = dataset.dtype.kind, dataset.shape
        elsewhere = bool(dataset.external) or dataset.is_virtual
        stored, chunks = int(dataset.id.get_storage_size()), dataset.chunks
        size = path.stat().st_size
    if kind not in "biuf" or shape is None or len(shape) == 0:
        raise ShapeError(f"expected an array of numbers, got {dataset.dtype} {shape}", file=path)
    if elsewhere:
        raise CorruptFileError("its values are kept in other files, which are not read", file=path)
    promised = math.prod(shape) * dataset.dtype.itemsize
    chunk = max(math.prod(chunks or ()), math.prod(shape[1:])) * dataset.dtype.itemsize
    there = min(stored, size)
    if promised > LARGEST_RATIO * there + SMALL or chunk > LARGEST_CHUNK:
        raise CorruptFileError(
            f"promises {promised} bytes as {shape} {dataset.dtype} in pieces of {chunk} bytes, "
            f"but {there} are stored",
            file=path,
        )


def read_numbers(dataset: Any, path: Path) -> NDArray[Any]:
    """All values of a dataset, in native byte order.

    Raises:
        ShapeError, CorruptFileError: as `check_numbers`; or the values cannot be read.
    """
    check_numbers(dataset, path)
    with native_errors(path, "values cannot be read"):
        if dataset.nbytes > LARGEST_ARRAY:
            raise MemoryError(f"{dataset.nbytes} bytes in one array")
        values = dataset[()]
        return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def attribute(item: Any, name: str, path: Path) -> Any:
    """An attribute as text, number or array; None: there is none."""
    with native_errors(path, f"attribute {name!r} cannot be read"):
        if name not in item.attrs:
            return None
        if item.attrs.get_id(name).get_storage_size() > LARGEST_TEXT:
            raise ValueError("too large")
        value = item.attrs[name]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value


def file_digest(path: Path) -> str:
    """sha256 of a file, kept under the store's home while size and time of the file agree."""
    stat = path.stat()
    mark = f"{path.absolute()}\x00{stat.st_size}\x00{stat.st_mtime_ns}"
    kept = home() / "cache" / "indexes" / f"{hashlib.sha256(mark.encode()).hexdigest()}.sha256"
    with suppress(OSError):
        text = kept.read_text()
        if len(text) == 64:
            return text
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    with suppress(StorageError):  # a home that cannot be written to only costs time
        atomic_write(kept, digest.encode())
    return digest
