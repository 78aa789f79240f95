"""What it means to bring several streams to one clock: each resampled, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from robocache.core.stream import Method
from robocache.ops.resample.batched import plan_batched, resample_batched


class Aligned(NamedTuple):
    """Streams at the target times; N streams whose values have D numbers in all.

    Attributes:
        values: (B, T, D), stream after stream.
        valid: (B, T, N) bool.
        age_s: (B, T, N) float64, target time minus capture time of the (left) sample used; +inf
            where there is none.
    """

    values: Tensor
    valid: Tensor
    age_s: Tensor


class Part(NamedTuple):
    """A stream of a batch and its policy.

    Attributes:
        data: (B, S, ...).
        source, target: (B, S), (B, T) float64 seconds.
        counts: (B,) int64, how many leading samples count.
        method, max_gap_s: as in `plan_resample`.
    """

    data: Tensor
    source: Tensor
    target: Tensor
    counts: Tensor
    method: Method
    max_gap_s: float | None

    @property
    def width(self) -> int:
        """How many numbers a sample has."""
        return math.prod(self.data.shape[2:])


def align_reference(parts: Sequence[Part]) -> Aligned:
    """The definition that a fused version matches; differentiable in values and times."""
    found = [resample_batched(*part) for part in parts]
    ages = []
    for part in parts:
        if part.data.shape[1]:
            with torch.no_grad():
                age = plan_batched(*part[1:]).age_s
        else:
            age = torch.full_like(part.target, torch.inf)
        ages.append(age)
    return Aligned(
        torch.cat([_flat(values) for values, _ in found], dim=2),
        torch.stack([valid for _, valid in found], dim=2),
        torch.stack(ages, dim=2),
    )


def _flat(values: Tensor) -> Tensor:
    """(B, T, D) of (B, T, ...)."""
    return values[..., None] if values.ndim == 2 else values.flatten(2)
