"""Which samples answer which target times: the part of interpolation that looks at times only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, TimesError, unknown_name
from robocache.core.stream import METHODS, Method


@dataclass(frozen=True, eq=False)
class ResamplePlan:
    """Which samples answer each target time. All tensors have the shape of the target times.

    Attributes:
        left: int64, index of the sample before or at the target.
        right: int64, index of the sample after or at it; equal to `left` where one sample answers.
        weight: float64 in [0, 1], share of the right sample.
        valid: bool; where False, `left` and `right` are the held sample and `weight` is 0.
        age_s: float64, target time minus capture time of the left sample (negative when the sample
            is later than the target), +inf where no sample can be used.
    """

    left: Tensor
    right: Tensor
    weight: Tensor
    valid: Tensor
    age_s: Tensor


def plan_resample(
    source_times: Tensor,
    target_times: Tensor,
    *,
    method: Method,
    max_gap_s: float | None = None,
    available_times: Tensor | None = None,
    now: Tensor | None = None,
) -> ResamplePlan:
    """Choose the samples that answer each target time.

    - `previous`: the latest usable sample at or before the target; valid if it is at most
      `max_gap_s` old. Where there is none, sample 0 is held.
    - `nearest`: the nearest usable sample, the earlier one of two equally near; valid if it is at
      most `max_gap_s` away.
    - `linear`, `slerp`: between the usable samples on both sides, valid if these are at most
      `max_gap_s` apart; a sample exactly at the target answers alone. Outside the usable samples
      the nearest of them is held, across too wide a gap the left one.

    A sample is usable when `available_times <= now`; deliveries may be out of order.

    Args:
        source_times: (S,) float64 seconds, strictly increasing.
        target_times: any shape, float64 seconds, finite.
        method: one of `previous`, `nearest`, `linear`, `slerp`.
        max_gap_s: seconds; None: no limit.
        available_times: (S,) float64, when each sample can first be used, never before its
            source time; +inf for a sample that never arrived.
        now: float64, broadcastable to `target_times`: when each question is asked. Needed with
            `available_times`, refused without.

    Raises:
        ConfigError: unknown method, or only one of `available_times` and `now`.
        TimesError: times of the wrong shape or dtype, or target times not finite.
    """
    _check_plan_arguments(source_times, target_times, method, available_times, now)
    source = source_times.contiguous()
    if available_times is not None and now is not None:
        usable = _Usable(source, available_times, now.expand(target_times.shape).contiguous())
    else:
        usable = None

    left = _at_or_before(source, target_times.contiguous(), usable)
    if method == "previous":
        return _one_sample(source, target_times, left, left >= 0, max_gap_s)
    right = _at_or_after(source, target_times.contiguous(), usable)
    if method == "nearest":
        chosen = _nearer(source, target_times, left, right)
        return _one_sample(source, target_times, chosen, chosen >= 0, max_gap_s)
    return _between(source, target_times, left, right, max_gap_s)


def check_increasing(times: Tensor) -> None:
    """Raise TimesError unless (S,) times are finite and strictly increasing."""
    if not bool(torch.isfinite(times).all()):
        at = int(torch.isfinite(times).to(torch.uint8).argmin())
        raise TimesError(f"source time {at} is not finite: {float(times[at])}")
    stuck = times.diff() <= 0
    if bool(stuck.any()):
        at = int(stuck.to(torch.uint8).argmax())
        raise TimesError(
            f"source times must increase strictly: sample {at} at {float(times[at])!r} s is "
            f"followed by {float(times[at + 1])!r} s"
        )


def check_method(method: str) -> None:
    if method not in METHODS:
        raise unknown_name("alignment method", str(method), METHODS)


class _Usable:
    """Which samples of `source` may answer a question asked at `now` (shape of the targets)."""

    def __init__(self, source: Tensor, available: Tensor, now: Tensor) -> None:
        self.available = available
        self.now = now
        # A sample is never available before its capture, so those from here on are not.
        self.stop = torch.searchsorted(source, now, right=True)

    def waits_for(self, index: Tensor) -> Tensor:
        """Where the sample at `index` exists but is not yet available."""
        exists = (index >= 0) & (index < len(self.available))
        inside = index.clamp(0, len(self.available) - 1)
        return exists & ~(self.available[inside] <= self.now)


def _at_or_before(source: Tensor, target: Tensor, usable: _Usable | None) -> Tensor:
    """Index of the latest usable sample at or before each target; -1: none."""
    index = torch.searchsorted(source, target, right=True) - 1
    if usable is None or len(source) == 0:
        return index
    index = torch.minimum(index, usable.stop - 1)
    while bool((waiting := usable.waits_for(index)).any()):
        index = index - waiting.to(index.dtype)
    return index


def _at_or_after(source: Tensor, target: Tensor, usable: _Usable | None) -> Tensor:
    """Index of the first usable sample at or after each target; S: none."""
    index = torch.searchsorted(source, target)
    if usable is None or len(source) == 0:
        return index
    missing = torch.full_like(index, len(source))
    index = torch.where(index < usable.stop, index, missing)
    while bool((waiting := usable.waits_for(index)).any()):
        index = index + waiting.to(index.dtype)
        index = torch.where(index < usable.stop, index, missing)
    return index


def _nearer(source: Tensor, target: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Index of the nearer of two neighbours, the left one if equal; -1: neither exists."""
    has_left, has_right = left >= 0, right < len(source)
    if len(source) == 0:
        return left
    to_left = target - source[left.clamp_min(0)]
    to_right = source[right.clamp_max(len(source) - 1)] - target
    take_right = has_right & (~has_left | (to_right < to_left))
    return torch.where(take_right, right, left)


def _one_sample(
    source: Tensor, target: Tensor, index: Tensor, exists: Tensor, max_gap_s: float | None
) -> ResamplePlan:
    """The plan in which one sample answers each target."""
    index = index.clamp_min(0)
    age = torch.full_like(target, torch.inf)
    if len(source):
        age = torch.where(exists, target - source[index], age)
    valid = exists if max_gap_s is None else exists & (age.abs() <= max_gap_s)
    return ResamplePlan(index, index, torch.zeros_like(target), valid, age)


def _between(
    source: Tensor, target: Tensor, left: Tensor, right: Tensor, max_gap_s: float | None
) -> ResamplePlan:
    """The plan in which the samples on both sides answer each target."""
    has_left, has_right = left >= 0, right < len(source)
    if len(source) == 0:
        return _one_sample(source, target, left, has_left, max_gap_s)
    inside = has_left & has_right
    held = torch.where(has_left, left, torch.where(has_right, right, torch.zeros_like(right)))
    right = torch.where(inside, right, held)
    gap = source[right] - source[held]
    valid = inside if max_gap_s is None else inside & (gap <= max_gap_s)
    right = torch.where(valid, right, held)
    since = target - source[held]
    apart = valid & (gap > 0)
    weight = torch.where(apart, since / torch.where(apart, gap, 1.0), 0.0)
    age = torch.where(has_left | has_right, since, torch.inf)
    return ResamplePlan(held, right, weight, valid, age)


def _check_plan_arguments(
    source: Tensor, target: Tensor, method: str, available: Tensor | None, now: Tensor | None
) -> None:
    check_method(method)
    if source.ndim != 1 or source.dtype != torch.float64:
        raise TimesError(
            f"source_times must be (S,) float64 seconds, got {tuple(source.shape)} {source.dtype}"
        )
    if target.dtype != torch.float64:
        raise TimesError(f"target_times must be float64 seconds, got {target.dtype}")
    if not bool(torch.isfinite(target).all()):
        raise TimesError("target_times must be finite")
    if (available is None) != (now is None):
        raise ConfigError("available_times and now belong together: give both or neither")
    if available is not None and available.shape != source.shape:
        raise TimesError(
            f"available_times must have the shape of source_times {tuple(source.shape)}, "
            f"got {tuple(available.shape)}"
        )
