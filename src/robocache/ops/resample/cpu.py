"""The same in one pass over memory, compiled by numba, which is asked for by `robocache[kernels]`.

The arithmetic is that of the reference, operation by operation, so results are equal to the bit.
Kernels run without Python's lock; rows are divided among as many threads as torch has.
Letters: B rows, S samples, T targets, D values a sample.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from robocache.core.stream import Method

HALVES = (torch.float16, torch.bfloat16)
BLENDED = (torch.float32, torch.float64, torch.uint8, torch.int16, torch.int32, torch.int64)
"""What `linear` is compiled for; halves become float32 on the way."""
PREVIOUS, NEAREST, LINEAR = 0, 1, 2
CODES = {"previous": PREVIOUS, "nearest": NEAREST, "linear": LINEAR}
BYTES_PER_THREAD = 2**19
"""Less than so much for each is not worth another thread."""


def can_resample(dtype: torch.dtype, method: Method) -> bool:
    """Whether there is a kernel for this."""
    return method in ("previous", "nearest") or (
        method == "linear" and dtype in (*BLENDED, *HALVES)
    )


def resample_cpu(
    data: Tensor,
    source: Tensor,
    target: Tensor,
    counts: Tensor,
    method: Method,
    max_gap_s: float | None,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As `resample_batched`, for `can_resample`; into contiguous `out` (B, T, ...) where given."""
    batch, samples = data.shape[:2]
    shape = (batch, target.shape[1], *data.shape[2:])
    values = torch.empty(shape, dtype=data.dtype) if out is None else out
    valid = torch.empty(shape[:2], dtype=torch.bool)
    if samples == 0:
        return values.zero_(), valid.fill_(False)
    left, right = np.empty(shape[:2], np.int64), np.empty(shape[:2], np.int64)
    weight = np.empty(shape[:2], np.float64)
    clock = (_array(source), _array(target), _array(counts))
    gap = np.inf if max_gap_s is None else float(max_gap_s)
    plan = (left, right, weight)
    if method != "linear":
        _plan(*clock, CODES[method], gap, *plan, valid.numpy(), 0, batch)
        left += samples * np.arange(batch)[:, None]
        flat, rows = data.detach().flatten(0, 1), values.detach().flatten(0, 1)
        torch.index_select(flat, 0, torch.from_numpy(left).flatten(), out=rows)
        for row in np.flatnonzero(clock[2] == 0):
            values[row] = 0
        return values, valid
    whole = data.detach().float() if data.dtype in HALVES else data.detach()
    blended = torch.empty(shape, dtype=torch.float32) if data.dtype in HALVES else values
    kernel = _blend if whole.dtype.is_floating_point else _blend_integers
    given, into = np.ascontiguousarray(_flat(whole)), _flat(blended)

    def run(begin: int, end: int) -> None:
        _plan(*clock, LINEAR, gap, *plan, valid.numpy(), begin, end)
        kernel(given, clock[2], *plan, into, begin, end)

    _in_threads(run, batch, into.nbytes)
    return (values if blended is values else values.copy_(blended)), valid


def is_sound(source: Tensor, target: Tensor, counts: Tensor) -> bool:
    """Whether lengths are possible, times finite, and samples in order."""
    return bool(_is_sound(_array(source), _array(target), _array(counts)))


def _in_threads(run: Callable[[int, int], None], rows: int, size: int) -> None:
    count = min(torch.get_num_threads(), rows, max(1, size // BYTES_PER_THREAD))
    if count <= 1:
        run(0, rows)
        return
    edges = [rows * part // count for part in range(count + 1)]
    list(_pool(os.getpid(), count).map(run, edges[:-1], edges[1:]))


@lru_cache(maxsize=1)
def _pool(process: int, count: int) -> ThreadPoolExecutor:
    """Threads of this process; a forked one has none of its parent's."""
    return ThreadPoolExecutor(count, thread_name_prefix="robocache-resample")


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.ascontiguousarray(tensor.detach().numpy())


def _flat(tensor: Tensor) -> NDArray[Any]:
    """(B, T, D), a view of contiguous memory."""
    return tensor.reshape(*tensor.shape[:2], math.prod(tensor.shape[2:])).numpy()


@njit(cache=True, nogil=True)
def _is_sound(source, target, counts):  # type: ignore[no-untyped-def]
    for b in range(len(counts)):
        if counts[b] < 0 or counts[b] > source.shape[1]:
            return False
        last = -np.inf
        for s in range(counts[b]):
            if not last < source[b, s] < np.inf:
                return False
            last = source[b, s]
        for t in range(target.shape[1]):
            if not np.isfinite(target[b, t]):
                return False
    return True


@njit(cache=True, nogil=True)
def _plan(source, target, counts, method, max_gap, left, right, weight, valid, begin, end):  # type: ignore[no-untyped-def]
    """Rows `begin` to `end` of the plan; see `plan_batched`."""
    for b in range(begin, end):
        count = counts[b]
        low = 0
        for t in range(target.shape[1]):
            at = target[b, t]
            if t == 0 or at < target[b, t - 1]:
                low = 0
            high = count  # the first sample after `at` lies in low..count
            step = 1
            while low + step < count and source[b, low + step] <= at:
                step *= 2
            if low + step < high:
                high = low + step
            while low < high:
                middle = (low + high) // 2
                if source[b, middle] <= at:
                    low = middle + 1
                else:
                    high = middle
            before = low - 1
            exact = before >= 0 and source[b, before] == at
            after = before if exact else low
            has_left, has_right = before >= 0, after < count
            weight[b, t] = 0.0
            if method == LINEAR:
                held = before if has_left else (after if has_right else 0)
                other = after if has_left and has_right else held
                valid[b, t] = False
                if has_left and has_right:
                    gap = source[b, other] - source[b, held]
                    valid[b, t] = gap <= max_gap
                    if gap > 0 and valid[b, t]:
                        weight[b, t] = (at - source[b, held]) / gap
                left[b, t] = held
                right[b, t] = other if valid[b, t] else held
            else:
                index = before if has_left else 0
                exists = has_left
                if method == NEAREST:
                    exists = has_left or has_right
                    if has_right and (
                        not has_left or source[b, after] - at < at - source[b, before]
                    ):
                        index = after
                left[b, t] = right[b, t] = index
                valid[b, t] = exists and abs(at - source[b, index]) <= max_gap


@njit(cache=True, nogil=True)
def _blend(data, counts, left, right, weight, out, begin, end):  # type: ignore[no-untyped-def]
    for b in range(begin, end):
        for t in range(out.shape[1]):
            one, two = left[b, t], right[b, t]
            if counts[b] == 0:
                out[b, t, :] = 0
            elif one == two:
                out[b, t, :] = data[b, one, :]
            else:
                share = data.dtype.type(weight[b, t])
                for d in range(out.shape[2]):
                    first = data[b, one, d]
                    out[b, t, d] = first + share * (data[b, two, d] - first)


@njit(cache=True, nogil=True)
def _blend_integers(data, counts, left, right, weight, out, begin, end):  # type: ignore[no-untyped-def]
    for b in range(begin, end):
        for t in range(out.shape[1]):
            one, two = left[b, t], right[b, t]
            if counts[b] == 0:
                out[b, t, :] = 0
            elif one == two:
                out[b, t, :] = data[b, one, :]
            else:
                share = weight[b, t]
                for d in range(out.shape[2]):
                    first = np.float64(data[b, one, d])
                    blended = first + share * (np.float64(data[b, two, d]) - first)
                    out[b, t, d] = np.rint(blended)
