"""Arrays as .npy bytes, read without evaluating anything and without trusting the header."""

from __future__ import annotations

import io
import math
import re
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ProtocolError

_HEADER = re.compile(
    rb"\{'descr': ?'([<>|=]?[biuf][1248])', ?'fortran_order': ?(True|False), ?"
    rb"'shape': ?\(((?:\d{1,12}, ?){0,15}\d{0,12},?)\),? ?\} *\n?"
)
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}
"""Version -> bytes of the length of the header."""


def to_npy(array: NDArray[Any]) -> bytes:
    """The .npy form of an array of numbers.

    Raises:
        ProtocolError: its dtype is not one of numbers.
    """
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise ProtocolError(f"an array of dtype {array.dtype} cannot be sent; numbers can")
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    return _header(array.dtype.str, array.shape, fortran) + array.tobytes("F" if fortran else "C")


def from_npy(data: bytes) -> NDArray[Any]:
    """The array in .npy bytes, read-only, in this machine's byte order; shares their memory.

    Raises:
        ProtocolError: not .npy of numbers, or as many bytes as its shape says are not there.
    """
    length_bytes = _LENGTH_BYTES.get(data[6:8]) if data[:6] == b"\x93NUMPY" else None
    if length_bytes is None:
        raise ProtocolError("an array that is not in .npy form (versions 1 to 3)")
    begin = 8 + length_bytes
    end = begin + int.from_bytes(data[8:begin], "little")
    dtype, fortran, shape = _parsed(data[begin:end] if end - begin < 10_000 else b"")
    if len(data) - end != math.prod(shape) * dtype.itemsize:
        raise ProtocolError(
            f"an array of {dtype} {shape} needs {math.prod(shape) * dtype.itemsize} bytes, "
            f"{max(len(data) - end, 0)} came"
        )
    try:
        values = np.frombuffer(data, dtype, offset=end).reshape(
            shape, order="F" if fortran else "C"
        )
    except ValueError as error:
        raise ProtocolError(f"an array of shape {shape} cannot be made ({error})") from None
    return values.astype(dtype.newbyteorder("="), copy=False)


@lru_cache(maxsize=256)
def _header(dtype: str, shape: tuple[int, ...], fortran: bool) -> bytes:
    file = io.BytesIO()
    fields = {"descr": dtype, "fortran_order": fortran, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


@lru_cache(maxsize=256)
def _parsed(text: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """dtype, whether in Fortran's order, and shape that a header tells."""
    header = _HEADER.fullmatch(text)
    if header is None:
        raise ProtocolError("the header of an array is not one of numbers in .npy form")
    try:
        dtype = np.dtype(header[1].decode())
    except TypeError:
        raise ProtocolError(f"an array of dtype {header[1].decode()!r}") from None
    return dtype, header[2] == b"True", tuple(int(n) for n in header[3].split(b",") if n.strip())
