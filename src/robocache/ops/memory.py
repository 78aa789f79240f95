"""Memory for results: large ones in large pages, which cost less than the rest to make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robocache.core.errors import ConfigError

CPU = torch.device("cpu")
LARGE = 2**22
"""Bytes from which on numpy asks the system for large pages."""
ALIGNED = 64
"""Bytes of a line of the cache, at which large results begin."""


def empty(shape: Sequence[int], dtype: torch.dtype, device: torch.device = CPU) -> Tensor:
    """As `torch.empty`."""
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE or device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    raw = np.empty(size + ALIGNED, np.uint8)
    return _tensor(raw, -raw.ctypes.data % ALIGNED, shape, dtype)


def zeros(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """As `torch.zeros`, on the CPU; memory that is not touched before it is used."""
    return _tensor(np.zeros(math.prod(shape) * dtype.itemsize, np.uint8), 0, shape, dtype)


def _tensor(raw: NDArray[np.uint8], start: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Of the memory from byte `start` on; no view of another, which autograd would not let change
    in place."""
    storage = torch.from_numpy(raw).untyped_storage()
    none: Any = torch.empty(0, dtype=dtype)
    tensor: Tensor = none.set_(storage, start // dtype.itemsize, tuple(shape))
    return tensor


def written(out: Tensor) -> None:
    """Tell autograd of values that were written where it did not look."""
    if not out.is_inference():
        torch.autograd.graph.increment_version(out)


def check_apart(out: Tensor, **given: Tensor | None) -> None:
    """Raise ConfigError where writing to contiguous `out` would change what is still to be read."""
    for name, one in given.items():
        if one is not None and _overlap(out, one):
            raise ConfigError(f"out shares memory with {name}: give it memory of its own")


def _overlap(out: Tensor, given: Tensor) -> bool:
    if out.numel() == 0 or given.numel() == 0:
        return False
    last = sum((size - 1) * step for size, step in zip(given.shape, given.stride(), strict=True))
    begin, end = given.data_ptr(), given.data_ptr() + (last + 1) * given.element_size()
    return begin < out.data_ptr() + out.nbytes and out.data_ptr() < end
