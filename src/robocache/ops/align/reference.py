"""What it means to bring several streams to one clock: each resampled, one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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
        source, target: (B, S), (B, T) float64, in a unit of the stream's own, as `max_gap_s` then
            is.
        counts: (B,) int64, how many leading samples count.
        method, max_gap_s, period: as in `resample_trajectories`.
    """

    data: Tensor
    source: Tensor
    target: Tensor
    counts: Tensor
    method: Method
    max_gap_s: float | None
    period: float | None

    @property
    def width(self) -> int:
        """How many numbers a sample has."""
        return math.prod(self.data.shape[2:])


def align_reference(parts: Sequence[Part]) -> Aligned:
    """The definition that a fused version matches; differentiable in values and times."""
    found = [resample_batched(*part) for part in parts]
    return Aligned(
        torch.cat([_flat(values) for values, _ in found], dim=2),
        torch.stack([valid for _, valid in found], dim=2),
        ages_s(parts),
    )


def clamped(parts: Iterable[Part]) -> list[Part]:
    """The same with counts that are possible."""
    return [part._replace(counts=part.counts.clamp(0, part.data.shape[1])) for part in parts]


@torch.no_grad()
def ages_s(parts: Sequence[Part]) -> Tensor:
    """(B, T, N) as in `Aligned`."""
    return torch.stack([_age(part) for part in parts], dim=2)


def _age(part: Part) -> Tensor:
    if part.data.shape[1] == 0:
        return torch.full_like(part.target, torch.inf)
    return plan_batched(part.source, part.target, part.counts, part.method, part.max_gap_s).age_s


def _flat(values: Tensor) -> Tensor:
    """(B, T, D) of (B, T, ...)."""
    return values[..., None] if values.ndim == 2 else values.flatten(2)
