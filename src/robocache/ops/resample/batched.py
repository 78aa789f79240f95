"""The reference's definition for a whole batch at once: PyTorch on any device, differentiable in
values and times.

Letters: B rows, S samples, T targets. The plan is gathered for all rows together, then
`apply_plan` reads the rows of all trajectories as one long list, so its results are the
reference's to the bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robocache.core.stream import Method
from robocache.ops.resample.plan import ResamplePlan
from robocache.ops.resample.reference import apply_plan, filled


def resample_batched(
    data: Tensor,
    source: Tensor,
    target: Tensor,
    counts: Tensor,
    method: Method,
    max_gap_s: float | None,
    period: float | None,
    *,
    some_empty: bool = True,
) -> tuple[Tensor, Tensor]:
    """(B, T, ...) values, zero where a row has no sample, and the (B, T) mask of valid ones.

    Args:
        data: (B, S, ...).
        source, target: (B, S) and (B, T) float64 seconds.
        counts: (B,) int64, how many leading samples of each row count.
        method, max_gap_s: as in `plan_resample`.
        period: as in `apply_plan`.
        some_empty: False: no count is 0, which saves a pass.
    """
    batch, samples = data.shape[:2]
    if samples == 0 or batch == 0:
        shape = (batch, target.shape[1])
        return data.new_zeros(*shape, *data.shape[2:]), counts.new_zeros(shape, dtype=torch.bool)
    plan = plan_batched(source, target, counts, method, max_gap_s)
    first = samples * torch.arange(batch, device=data.device)[:, None]
    flat = ResamplePlan(plan.left + first, plan.right + first, plan.weight, plan.valid, plan.age_s)
    values = apply_plan(data.flatten(0, 1), flat, method=method, period=period)
    if some_empty:
        values = filled(values, (counts == 0)[:, None], 0)
    return values, plan.valid


def plan_batched(
    source: Tensor, target: Tensor, counts: Tensor, method: Method, max_gap_s: float | None
) -> ResamplePlan:
    """`plan_resample` of every row; of a row without samples index 0, invalid, of infinite age."""
    count = counts[:, None]
    numbers = torch.arange(source.shape[1], device=source.device)
    source = torch.where(numbers < count, source, torch.inf)
    times, at = source.detach().contiguous(), target.detach().contiguous()
    left = torch.searchsorted(times, at, right=True) - 1
    has_left = left >= 0
    before = left.clamp_min(0)
    if method == "previous":
        return _one_sample(source, target, before, has_left, max_gap_s)
    right = torch.searchsorted(times, at)
    has_right = right < count
    after = torch.where(has_right, right, before)
    if method == "nearest":
        nearer = source.gather(1, after) - target < target - source.gather(1, before)
        index = torch.where(has_right & (~has_left | nearer), after, before)
        return _one_sample(source, target, index, has_left | has_right, max_gap_s)
    held = torch.where(has_left, before, after)
    right = torch.where(has_left, after, held)
    gap = source.gather(1, right) - source.gather(1, held)
    valid = has_left & has_right
    if max_gap_s is not None:
        valid = valid & (gap <= max_gap_s)
    right = torch.where(valid, right, held)
    since = target - source.gather(1, held)
    apart = valid & (gap > 0)
    weight = torch.where(apart, since / torch.where(apart, gap, 1.0), 0.0)
    age = torch.where(has_left | has_right, since, torch.inf)
    return ResamplePlan(held, right, weight, valid, age)


def _one_sample(
    source: Tensor, target: Tensor, index: Tensor, exists: Tensor, max_gap_s: float | None
) -> ResamplePlan:
    age = torch.where(exists, target - source.gather(1, index), torch.inf)
    valid = exists if max_gap_s is None else exists & (age.abs() <= max_gap_s)
    return ResamplePlan(index, index, torch.zeros_like(target), valid, age)
