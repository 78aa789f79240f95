"""Several streams, each by its own clock and policy, brought to one set of times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from robocache.core.errors import ConfigError, DataError, ShapeError, unknown_name
from robocache.core.stream import AlignmentPolicy
from robocache.ops.resample.plan import check_increasing, plan_resample
from robocache.ops.resample.reference import apply_plan


class Aligned(NamedTuple):
    """One stream at the target times.

    Attributes:
        values: (T, ...), zero where invalid.
        valid: (T,) bool.
        age_s: (T,) float64, target time minus capture time of the (left) sample used; +inf where
            there is none.
    """

    values: Tensor
    valid: Tensor
    age_s: Tensor


def align(
    streams: Mapping[str, tuple[Tensor, Tensor]],
    target_times: Tensor,
    policies: Mapping[str, AlignmentPolicy],
) -> dict[str, Aligned]:
    """Bring every stream to `target_times` by its own policy.

    Args:
        streams: name -> (values (S, ...), times (S,) float64 seconds, strictly increasing).
        target_times: (T,) float64 seconds.
        policies: name -> policy, one for each stream.

    Raises:
        ConfigError: a stream without a policy, or a policy without a stream.
        DataError: a stream with bad times or values; names the stream.
    """
    for name in policies:
        if name not in streams:
            raise unknown_name("stream", name, streams)
    aligned = {}
    for name, (values, times) in streams.items():
        if name not in policies:
            raise ConfigError(f"stream {name!r} has no alignment policy; add policies[{name!r}]")
        try:
            aligned[name] = _align_one(values, times, target_times, policies[name])
        except DataError as error:
            raise error.located(stream=name) from error
    return aligned


def _align_one(values: Tensor, times: Tensor, target: Tensor, policy: AlignmentPolicy) -> Aligned:
    if len(values) != len(times):
        raise ShapeError(f"{len(values)} samples but {len(times)} times")
    check_increasing(times)
    plan = plan_resample(times, target, method=policy.method, max_gap_s=policy.max_gap_s)
    held = apply_plan(values, plan, method=policy.method)
    invalid = ~plan.valid.to(values.device)[(...,) + (None,) * (values.ndim - 1)]
    return Aligned(held.masked_fill(invalid, 0), plan.valid, plan.age_s)
