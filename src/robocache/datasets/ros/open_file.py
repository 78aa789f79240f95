"""A storage file opened by what is in it, whatever its name; .zstd files are unpacked once."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from robocache.core.errors import CorruptFileError, StorageError
from robocache.datasets.native import reading
from robocache.datasets.pointer import LFS_POINTER
from robocache.datasets.ros import mcap_file, sqlite_file
from robocache.datasets.ros.mcap_file import McapFile
from robocache.datasets.ros.sqlite_file import SqliteFile
from robocache.datasets.ros.storage import ZSTD_MAGIC, Storage
from robocache.runs import home, make_directory

UNPACKED_RATIO = 1000
"""A compressed file that unpacks to more than this many times its size (and 64 MiB) is refused."""
_BLOCK = 2**22


def open_storage(path: Path) -> Storage:
    """The storage file at `path`.

    Raises:
        CorruptFileError: unreadable, a Git LFS pointer, or neither MCAP nor SQLite.
        StorageError: no room to unpack a compressed file.
    """
    begin = _begin(path)
    if begin.startswith(ZSTD_MAGIC):
        unpacked = _unpacked(path)
        return _storage(unpacked, _begin(unpacked), path)
    return _storage(path, begin, path)


def _storage(path: Path, begin: bytes, named: Path) -> Storage:
    if begin.startswith(mcap_file.MAGIC):
        return McapFile(path)
    if begin.startswith(sqlite_file.MAGIC):
        return SqliteFile(path)
    if begin.startswith(LFS_POINTER):
        raise CorruptFileError(
            "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`", file=named
        )
    if begin.startswith(b"#ROSBAG V"):
        raise CorruptFileError("a ROS 1 bag: convert it with `rosbags-convert` first", file=named)
    raise CorruptFileError(
        f"neither MCAP nor SQLite (begins with {begin[:8].hex() or 'nothing'})", file=named
    )


def _begin(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise CorruptFileError(f"cannot be read ({error})", file=path) from error


def _unpacked(path: Path) -> Path:
    """The unpacked copy of a .zstd file, kept in the cache until the file changes."""
    about = path.stat()
    name = f"{path.resolve()} {about.st_size} {about.st_mtime_ns}"
    folder = home() / "cache" / "bags"
    copy = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.bag"
    if copy.is_file():
        return copy
    make_directory(folder)
    limit = max(about.st_size * UNPACKED_RATIO, 2**26)
    descriptor, temporary = tempfile.mkstemp(prefix=".bag.tmp-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as out:
            _unpack(path, out, min(limit, shutil.disk_usage(folder).free // 10 * 9))
        os.replace(temporary, copy)
    except OSError as error:
        raise StorageError(f"{path} cannot be unpacked into {folder} ({error})") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return copy


def _unpack(path: Path, out: BinaryIO, limit: int) -> None:
    total = 0
    with path.open("rb") as packed, pa.input_stream(packed, compression="zstd") as stream:
        while True:
            try:
                with reading(path):
                    block = stream.read(_BLOCK)
            except (OSError, pa.ArrowException) as error:
                raise CorruptFileError(f"does not unpack ({error})", file=path) from error
            if not block:
                return
            total += len(block)
            if total > limit:
                raise CorruptFileError(
                    f"unpacks to more than {limit} bytes, of which there is no room, or no end",
                    file=path,
                )
            out.write(block)
