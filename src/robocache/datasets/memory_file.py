"""Tensors from one process to another through a file in memory that is written again and again.

Memory that is new to a process costs several times the copy into it, so none is made per batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.reduction import DupFd
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray


class Place(NamedTuple):
    """Where a tensor lies in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class MemoryFile:
    """A file without a name in main memory; may be given to a process when that is started."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = os.memfd_create("frames") if descriptor is None else descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self._descriptor),)

    def __del__(self) -> None:
        os.close(self._descriptor)

    def write(self, tensors: Any) -> Any:
        """Write nested dicts and lists of tensors over what was there; returns their places.

        Raises:
            OSError: memory is short.
        """
        end = 0

        def put(tensor: torch.Tensor) -> Place:
            nonlocal end
            array = np.ascontiguousarray(tensor.numpy())
            place = Place(end, array.shape, array.dtype)
            _through(os.pwrite, self._descriptor, array, end)
            end += array.nbytes
            return place

        return _each(tensors, torch.Tensor, put)

    def read(self, places: Any) -> Any:
        """The tensors at these places, in memory of this process."""

        def get(place: Place) -> torch.Tensor:
            array = np.empty(place.shape, place.dtype)
            _through(_read_into, self._descriptor, array, place.offset)
            return torch.from_numpy(array)

        return _each(places, Place, get)


def _received(sent: Any) -> MemoryFile:
    return MemoryFile(sent.detach())


def _each(nested: Any, leaf: type, change: Callable[[Any], Any]) -> Any:
    """Nested dicts and lists with every leaf changed."""
    if isinstance(nested, leaf):
        return change(nested)
    if isinstance(nested, dict):
        return {name: _each(value, leaf, change) for name, value in nested.items()}
    return [_each(value, leaf, change) for value in nested]


def _read_into(descriptor: int, data: NDArray[np.uint8], at: int) -> int:
    return os.preadv(descriptor, [data.data], at)


def _through(
    move: Callable[[int, Any, int], int], descriptor: int, array: NDArray[Any], at: int
) -> None:
    """Move all bytes of an array; the system takes at most 2 GiB at once."""
    data = array.reshape(-1).view(np.uint8)
    while data.size:
        moved = move(descriptor, data, at)
        if not moved:
            raise OSError(f"the file in memory ends at {at}")
        data, at = data[moved:], at + moved
