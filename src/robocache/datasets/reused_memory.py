"""Arrays in memory that is written again once nobody refers to it.

Memory that is new to a process costs: the system clears every page of it before it is written.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

SMALLEST_BYTES = 2**20
"""Arrays below this are left to `np.empty`, whose memory is reused anyway."""
LARGEST_SHARE = 2
"""Memory up to so many times as large as an array may serve it."""
ROOM = 1.25
"""New memory is so many times as large as was asked, to serve somewhat larger arrays as well; the
system provides only what is written to."""


class ReusedMemory:
    """Gives uninitialised arrays; their memory comes back when the last reference is dropped.

    Views, tensors and whatever else shares an array's memory count as references.

    Args:
        spare: at most so many pieces wait to be used again; others are freed.
    """

    def __init__(self, spare: int) -> None:
        self._spare = spare
        self._free: list[NDArray[np.uint8]] = []
        self._taking = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return ReusedMemory, (self._spare,)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array as `np.empty` makes it."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size < SMALLEST_BYTES:
            return np.empty(shape, dtype)
        lent = np.asarray(_Lent(self._piece(size), self))
        return lent[:size].view(dtype).reshape(shape)

    def take_back(self, memory: NDArray[np.uint8]) -> None:
        """Keep a piece. Takes no lock: objects may be collected while `_piece` holds it."""
        if len(self._free) < self._spare:
            self._free.append(memory)

    def _piece(self, size: int) -> NDArray[np.uint8]:
        """The smallest piece that is free and fits; where none does, the oldest makes room."""
        with self._taking:
            fitting = [
                (piece.nbytes, number)
                for number, piece in enumerate(self._free)
                if size <= piece.nbytes <= LARGEST_SHARE * size
            ]
            if fitting:
                return self._free.pop(min(fitting)[1])
            if self._free:
                del self._free[0]
        return np.empty(int(ROOM * size), np.uint8)


class _Lent:
    """What an array's memory belongs to as long as anyone refers to it."""

    def __init__(self, memory: NDArray[np.uint8], owner: ReusedMemory) -> None:
        self._memory, self._owner = memory, owner
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        self._owner.take_back(self._memory)
