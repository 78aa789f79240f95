"""Memory for results: large ones in large pages, which cost less than the rest to make."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

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
    raw = torch.from_numpy(np.empty(size + ALIGNED, np.uint8))
    start = -raw.data_ptr() % ALIGNED
    return raw[start : start + size].view(dtype).reshape(shape)


def zeros(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """As `torch.zeros`, on the CPU; memory that is not touched before it is used."""
    return torch.from_numpy(np.zeros(shape, f"i{dtype.itemsize}")).view(dtype)
