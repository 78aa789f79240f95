"""Numpy's files from anywhere: `.npy` and the `.npz` of one frame, without unpickling.

What a header promises is compared with the bytes that are there before memory is taken.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, ShapeError
from robocache.datasets.calvin.pickles import read_pickle
from robocache.datasets.pointer import LFS_POINTER

LARGEST_FILE = 2**28
LARGEST_MEMBER = 2**26
"""Bytes of one array of a frame; CALVIN's largest has 240 kB."""
HEADER_BYTES = 4096
_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    r"\{'descr': '([<>|=]?[a-zA-Z?]\d{0,4})', 'fortran_order': (True|False), "
    r"'shape': \(([\d, L]*)\), \}\s*"
)
_DAMAGED = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, OSError, EOFError, ValueError, KeyError,
    RuntimeError, struct.error, OverflowError, IndexError,
)  # fmt: skip


class Header(NamedTuple):
    """What an `.npy` header says.

    Attributes:
        kind: dtype as text, e.g. "<f8"; "|O" for pickled objects.
        fortran: column-major.
        shape: of the array.
        start: first byte of the data.
    """

    kind: str
    fortran: bool
    shape: tuple[int, ...]
    start: int


def read_file(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """The bytes of a small file.

    Raises:
        CorruptFileError: missing, too large, or a Git LFS pointer.
    """
    try:
        size = path.stat().st_size
        if size > largest or not path.is_file():
            raise CorruptFileError(f"{size} bytes, at most {largest} are expected", file=path)
        data = path.read_bytes()
    except OSError as error:
        raise CorruptFileError(f"cannot be opened: {error.strerror}", file=path) from error
    refuse_pointer(data, path)
    return data


def refuse_pointer(data: bytes, path: Path) -> None:
    if data.startswith(LFS_POINTER):
        raise CorruptFileError(
            "a Git LFS pointer, not the data; run: git lfs pull (or download the file)", file=path
        )


def read_npy(path: Path) -> Any:
    """The array of an `.npy` file; plain data when it was pickled (see `read_pickle`).

    Raises:
        CorruptFileError: damaged, or a pickle of anything but plain data.
    """
    data = read_file(path)
    header = _located(read_header, data, path)
    if header.kind.endswith("O"):
        return read_pickle(data[header.start :], path)
    return _located(lambda held: array_of(held, header), data, path)


def _located(read: Any, data: bytes, path: Path) -> Any:
    try:
        return read(data)
    except ValueError as error:
        raise CorruptFileError(f"not a readable .npy file ({error})", file=path) from error


def read_header(data: bytes) -> Header:
    """The header at the beginning of `data`; raises ValueError."""
    if data[:6] != _MAGIC or len(data) < 12:
        raise ValueError("no .npy header")
    long = data[6] > 1
    size = int.from_bytes(data[8 : 12 if long else 10], "little")
    start = (12 if long else 10) + size
    match = _HEADER.fullmatch(data[12 if long else 10 : start].decode("latin-1"))
    if match is None or start > min(len(data), HEADER_BYTES):
        raise ValueError("the .npy header is damaged")
    shape = tuple(int(size) for size in match[3].replace("L", "").split(",") if size.strip())
    return Header(match[1], match[2] == "True", shape, start)


def check_size(header: Header, size: int) -> None:
    """Raise ValueError unless header and numbers take exactly `size` bytes."""
    try:
        dtype = np.dtype(header.kind)
    except TypeError as error:
        raise ValueError(f"unknown dtype {header.kind}") from error
    if dtype.kind not in "biuf":
        raise ValueError(f"holds {header.kind}, not numbers")
    if math.prod(header.shape) * dtype.itemsize != size - header.start:
        raise ValueError(f"{size - header.start} bytes of data for {header.shape} {header.kind}")


def array_of(data: bytes, header: Header) -> NDArray[Any]:
    """The array after a header; raises ValueError."""
    check_size(header, len(data))
    dtype = np.dtype(header.kind)
    values = np.frombuffer(data, dtype, offset=header.start)
    shaped = values.reshape(header.shape, order="F" if header.fortran else "C")
    return np.array(shaped, dtype.newbyteorder("="), order="C")


def read_frame(path: Path, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """Arrays of an `.npz` file; only these are read from it. None: all.

    Raises:
        CorruptFileError: missing, damaged, not a zip of plain arrays, or without one of them.
    """
    try:
        with _archive(path) as archive:
            members = _members(archive, path)
            wanted = list(members) if names is None else list(names)
            return {name: _member(archive, members, name, path) for name in wanted}
    except _DAMAGED as error:
        raise CorruptFileError(f"not a readable .npz file ({error})", file=path) from error


def frame_headers(path: Path) -> dict[str, Header]:
    """Headers of the arrays of an `.npz` file, without their data; raises as `read_frame`."""
    try:
        with _archive(path) as archive:
            headers = {}
            for name, info in _members(archive, path).items():
                with archive.open(info) as content:
                    headers[name] = read_header(content.read(HEADER_BYTES))
                check_size(headers[name], info.file_size)
            return headers
    except _DAMAGED as error:
        raise CorruptFileError(f"not a readable .npz file ({error})", file=path) from error


def frame_checksums(path: Path) -> Mapping[str, int]:
    """CRC-32 of each array as the zip directory gives it; raises as `read_frame`."""
    try:
        with _archive(path) as archive:
            return {name: info.CRC for name, info in _members(archive, path).items()}
    except _DAMAGED as error:
        raise CorruptFileError(f"not a readable .npz file ({error})", file=path) from error


def _archive(path: Path) -> zipfile.ZipFile:
    size = path.stat().st_size
    if size > LARGEST_FILE or not path.is_file():
        raise CorruptFileError(f"{size} bytes, at most {LARGEST_FILE} are expected", file=path)
    if size < 1024:
        refuse_pointer(path.read_bytes(), path)
    return zipfile.ZipFile(path)


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Array name -> member, of those that numpy would have written."""
    members = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name == info.filename or name in members or not name.isidentifier():
            raise CorruptFileError(f"holds {info.filename!a}, not one array of a name", file=path)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CorruptFileError(f"{name} is compressed in an unknown way", file=path)
        if info.file_size > LARGEST_MEMBER:
            raise CorruptFileError(
                f"{name} promises {info.file_size} bytes, at most {LARGEST_MEMBER} are expected",
                file=path,
            )
        members[name] = info
    return members


def _member(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str, path: Path
) -> NDArray[Any]:
    if name not in members:
        have = ", ".join(sorted(members)) or "nothing"
        raise CorruptFileError(f"has no array {name!r} (has: {have})", file=path)
    data = archive.read(members[name])
    try:
        return array_of(data, read_header(data))
    except ValueError as error:
        raise ShapeError(f"{error}", file=path, stream=name) from error
