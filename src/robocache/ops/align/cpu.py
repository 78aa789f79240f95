"""All streams in one pass, compiled by numba: every value is written once, to where it belongs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from robocache.ops.align.reference import Aligned, Part
from robocache.ops.compiled import in_threads
from robocache.ops.memory import empty
from robocache.ops.resample.cpu import (
    CODES,
    blended_from,
    clock_of,
    empty_plan,
    flat,
    plan_rows,
)


def align_cpu(parts: Sequence[Part], out: Tensor | None = None) -> Aligned:
    """As `align_reference`, for floats without `slerp`; into contiguous `out` where given."""
    batch, targets = parts[0].target.shape
    widths = [part.width for part in parts]
    dtype = parts[0].data.dtype
    shape = (batch, targets, sum(widths))
    values = empty(shape, dtype) if out is None else out
    into = flat(values)
    valid = np.empty((len(parts), batch, targets), np.bool_)
    plans = [empty_plan(batch, targets) for _ in parts]
    clocks = [clock_of(part.source, part.target, part.counts) for part in parts]
    given = [blended_from(part.data, values) for part in parts]
    firsts = np.cumsum([0, *widths])

    def run(begin: int, end: int) -> None:
        for number, part in enumerate(parts):
            data, kernel = given[number]
            clock, plan, first = clocks[number], plans[number], firsts[number]
            if data.shape[1] == 0:
                into[begin:end, :, first : first + widths[number]] = 0
                plan.age[begin:end] = np.inf
                valid[number, begin:end] = False
                continue
            limit = np.inf if part.max_gap_s is None else part.max_gap_s
            plan_rows(*clock, CODES[part.method], limit, *plan, valid[number], begin, end)
            answer = (plan.left, plan.right, plan.weight)
            kernel(data, clock.counts, *answer, into, first, begin, end)

    in_threads(run, batch, into.nbytes)
    ages = np.stack([plan.age for plan in plans], axis=2)
    mask = np.moveaxis(valid, 0, 2).copy()
    return Aligned(values, torch.from_numpy(mask), torch.from_numpy(ages))
