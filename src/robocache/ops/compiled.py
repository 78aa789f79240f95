"""Functions that numba compiles, and the threads that run them.

numba is asked for by `robocache[kernels]`. What is compiled runs without Python's lock, and divides
as numpy does: by zero there are infinities and NaN, no exception.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch
from numba import njit

BYTES_PER_THREAD = 2**19
"""Less than so much for each is not worth another thread."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled on its first call, kept on disk where there is a place to write to."""
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        return njit(nogil=True, error_model="numpy")(function)


def in_threads(run: Callable[[int, int], None], rows: int, size: int) -> None:
    """Run rows begin to end in parts, as many as torch has threads, for `size` bytes of results."""
    count = min(torch.get_num_threads(), rows, max(1, size // BYTES_PER_THREAD))
    if count <= 1:
        run(0, rows)
        return
    edges = [rows * part // count for part in range(count + 1)]
    list(_pool(os.getpid(), count).map(run, edges[:-1], edges[1:]))


@lru_cache(maxsize=1)
def _pool(process: int, count: int) -> ThreadPoolExecutor:
    """Threads of this process; a forked one has none of its parent's."""
    return ThreadPoolExecutor(count, thread_name_prefix="robocache-ops")
