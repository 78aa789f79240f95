"""The same in one pass over memory, compiled by numba.

The arithmetic is that of the reference, operation by operation, so results are equal to the bit.
Letters: B rows, S samples, T targets, D values a sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from robocache.core.stream import Method
from robocache.ops.compiled import compiled, in_threads
from robocache.ops.memory import ALIGNED, LARGE, empty
from robocache.ops.vectors import (
    LANES,
    fence,
    has_halves,
    store_between,
    store_line,
    store_one_between,
)

WORDS = {torch.float16: torch.uint16, torch.bfloat16: torch.int16}
HALVES = tuple(WORDS)
BLENDED = (torch.float32, torch.float64, torch.uint8, torch.int16, torch.int32, torch.int64)
"""What `linear` is compiled for, besides halves."""
PREVIOUS, NEAREST, LINEAR = 0, 1, 2
LONG = 2**10
"""Bytes from which on a sample is copied that way."""
STEPS = 8
"""Samples that are looked at in turn before a search by halves."""
CODES = {"previous": PREVIOUS, "nearest": NEAREST, "linear": LINEAR}


def can_resample(dtype: torch.dtype, method: Method) -> bool:
    """Whether there is a kernel for this."""
    if dtype == torch.float16 and not has_halves():
        return False
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
    values = empty(shape, data.dtype) if out is None else out
    valid = torch.empty(shape[:2], dtype=torch.bool)
    if samples == 0:
        return values.zero_(), valid.fill_(False)
    plan = empty_plan(*shape[:2])
    clock = clock_of(source, target, counts)
    limit = np.inf if max_gap_s is None else max_gap_s
    mask = valid.numpy()
    if method == "linear":
        given, kernel = blended_from(data, values)
        answer = (clock.counts, plan.left, plan.right, plan.weight)
        write = partial(kernel, given, *answer, flat(values), 0)
    else:
        past = is_large(values) and values[0, 0].nbytes >= LONG
        write = partial(_copy, _bytes(data), clock.counts, plan.left, _bytes(values), past)

    def run(begin: int, end: int) -> None:
        plan_rows(*clock, CODES[method], limit, *plan, mask, begin, end)
        write(begin, end)

    if values.numel():
        in_threads(run, batch, values.nbytes)
    else:
        plan_rows(*clock, CODES[method], limit, *plan, mask, 0, batch)
    return values, valid


class Clock(NamedTuple):
    """Times (B, S) and (B, T), and (B,) counts."""

    source: NDArray[np.float64]
    target: NDArray[np.float64]
    counts: NDArray[np.int64]


class Plan(NamedTuple):
    """Which samples answer each target, each (B, T); see `ResamplePlan`."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    weight: NDArray[np.float64]
    age: NDArray[np.float64]


def clock_of(source: Tensor, target: Tensor, counts: Tensor) -> Clock:
    """The same as contiguous arrays."""
    return Clock(*(np.ascontiguousarray(one.detach().numpy()) for one in (source, target, counts)))


def empty_plan(batch: int, targets: int) -> Plan:
    """Room for a plan."""
    left, right = np.empty((batch, targets), np.int64), np.empty((batch, targets), np.int64)
    return Plan(left, right, np.empty((batch, targets)), np.empty((batch, targets)))


def blended_from(data: Tensor, out: Tensor) -> tuple[NDArray[Any], Callable[..., None]]:
    """(B, S, D) values to blend as `flat` has them, and the kernel that does, into `out`."""
    vectors = data.dtype in HALVES or (data.dtype == torch.float32 and is_large(out))
    kernel = _blend_vectors if vectors else partial(_blend, not data.dtype.is_floating_point)
    return np.ascontiguousarray(flat(data)), kernel


def is_large(out: Tensor) -> bool:
    """Whether to store past the cache."""
    return out.nbytes >= LARGE and out.data_ptr() % ALIGNED == 0


def _bytes(tensor: Tensor) -> NDArray[np.uint8]:
    """(B, T, bytes of a sample), a view of contiguous memory."""
    return np.ascontiguousarray(flat(tensor)).view(np.uint8)


def is_sound(source: Tensor, target: Tensor, counts: Tensor) -> bool:
    """Whether lengths are possible, times finite, and samples in order."""
    return bool(_is_sound(*clock_of(source, target, counts)))


def flat(tensor: Tensor) -> NDArray[Any]:
    """(B, T, D), a view of contiguous memory; float16 as uint16, bfloat16 as int16."""
    plain = tensor.detach().reshape(*tensor.shape[:2], math.prod(tensor.shape[2:]))
    return plain.view(WORDS.get(tensor.dtype, tensor.dtype)).numpy()


@compiled
def _is_sound(source, target, counts):  # type: ignore[no-untyped-def]
    """The inner loops have no exit, so that they become vector instructions."""
    for b in range(len(counts)):
        count = counts[b]
        if count < 0 or count > source.shape[1]:
            return False
        row, at = source[b], target[b]
        if count and not (row[0] > -np.inf and row[count - 1] < np.inf):
            return False
        wrong = 0
        for s in range(count - 1):
            wrong += not row[s] < row[s + 1]
        for t in range(len(at)):
            wrong += not np.abs(at[t]) < np.inf
        if wrong:
            return False
    return True


@njit(inline="always")
def _first_after(row, count, at, guess):  # type: ignore[no-untyped-def]
    """Number of the first of `count` samples after `at`; `count` where there is none.

    From where it would be if the clock were even a few steps on foot, then by halves. Indices have
    no sign, because numba would look whether they are below 0.
    """
    one, few = np.uintp(1), np.uintp(STEPS)
    most = np.float64(count)
    low = np.uintp((guess if guess < most else most) if guess > 0 else 0.0)
    high, walked = low, np.uintp(0)
    while low > 0 and walked < few and not row[low - one] <= at:
        low -= one
        walked += one
    if walked == 0:
        while high < count and walked < few and row[high] <= at:
            high += one
            walked += one
        low = high
        high = count if walked == few else high
    else:
        high = low
        low = np.uintp(0) if walked == few else low
    while low < high:
        middle = (low + high) >> one
        if row[middle] <= at:
            low = middle + one
        else:
            high = middle
    return low


@compiled
def plan_rows(source, target, counts, method, max_gap, left, right, weight, age, valid, begin, end):  # type: ignore[no-untyped-def]
    """Rows `begin` to `end` of the plan; see `plan_batched`."""
    for b in range(begin, end):
        count = counts[b]
        row = source[b]
        per_second = 0.0
        if count > 1:
            per_second = (count - 1) / (row[count - 1] - row[0])
        for t in range(target.shape[1]):
            at = target[b, t]
            guess = (at - row[0]) * per_second if count else 0.0
            low = np.int64(_first_after(row, np.uintp(count), at, guess))
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
                age[b, t] = at - source[b, held] if has_left or has_right else np.inf
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
                age[b, t] = at - source[b, index] if exists else np.inf
                valid[b, t] = exists and abs(age[b, t]) <= max_gap


@compiled
def _blend(whole, data, counts, left, right, weight, out, first, begin, end):  # type: ignore[no-untyped-def]
    """Into the columns of `out` (B, T, N) from `first` on; of a row without samples zeros.

    `whole` numbers are blended in float64 and rounded. Indices without a sign into flat memory: the
    loops over d become vector instructions.
    """
    samples, width = data.shape[1], data.shape[2]
    targets, columns = out.shape[1], out.shape[2]
    given, into = data.reshape(-1), out.reshape(-1)
    for b in range(begin, end):
        for t in range(targets):
            low = np.uintp((b * samples + left[b, t]) * width)
            high = np.uintp((b * samples + right[b, t]) * width)
            at = np.uintp((b * targets + t) * columns + first)
            if counts[b] == 0:
                for d in range(np.uintp(width)):
                    into[at + d] = 0
            elif low == high:
                for d in range(np.uintp(width)):
                    into[at + d] = given[low + d]
            elif whole:
                for d in range(np.uintp(width)):
                    start = np.float64(given[low + d])
                    blended = start + weight[b, t] * (np.float64(given[high + d]) - start)
                    into[at + d] = np.rint(blended)
            else:
                share = given.dtype.type(weight[b, t])
                for d in range(np.uintp(width)):
                    into[at + d] = given[low + d] + share * (given[high + d] - given[low + d])


@compiled
def _copy(data, counts, left, out, past, begin, end):  # type: ignore[no-untyped-def]
    """Whole samples, bytes; `past` the cache or not."""
    samples, width = data.shape[1], np.uintp(data.shape[2])
    targets = out.shape[1]
    given, into = data.reshape(-1), out.reshape(-1)
    line = np.uintp(ALIGNED)
    for b in range(begin, end):
        for t in range(targets):
            low = np.uintp((b * samples + left[b, t]) * data.shape[2])
            at = np.uintp((b * targets + t) * out.shape[2])
            if counts[b] == 0:
                for d in range(width):
                    into[at + d] = 0
            elif past:
                head = min(width, (line - at % line) % line)
                whole = head + (width - head) // line * line
                for d in range(head):
                    into[at + d] = given[low + d]
                for d in range(head, whole, line):
                    store_line(given, low + d, into, at + d)  # type: ignore[call-arg]
                for d in range(whole, width):
                    into[at + d] = given[low + d]
            else:
                for d in range(width):
                    into[at + d] = given[low + d]
    fence()  # type: ignore[call-arg]


@compiled
def _blend_vectors(data, counts, left, right, weight, out, first, begin, end):  # type: ignore[no-untyped-def]
    """As `_blend`, by `store_between`; for what that takes."""
    samples, width = data.shape[1], np.uintp(data.shape[2])
    targets, columns = out.shape[1], out.shape[2]
    given, into = data.reshape(-1), out.reshape(-1)
    lanes = np.uintp(LANES)
    for b in range(begin, end):
        for t in range(targets):
            low = np.uintp((b * samples + left[b, t]) * data.shape[2])
            high = np.uintp((b * samples + right[b, t]) * data.shape[2])
            at = np.uintp((b * targets + t) * columns + first)
            if counts[b] == 0:
                for d in range(width):
                    into[at + d] = 0
            elif low == high:
                for d in range(width):
                    into[at + d] = given[low + d]
            else:
                share = np.float32(weight[b, t])
                head = min(width, (lanes - at % lanes) % lanes)
                whole = head + (width - head) // lanes * lanes
                for d in range(head):
                    store_one_between(given, low + d, high + d, share, into, at + d)  # type: ignore[call-arg]
                for d in range(head, whole, lanes):
                    store_between(given, low + d, high + d, share, into, at + d)  # type: ignore[call-arg]
                for d in range(whole, width):
                    store_one_between(given, low + d, high + d, share, into, at + d)  # type: ignore[call-arg]
    fence()  # type: ignore[call-arg]
