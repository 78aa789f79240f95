"""What interpolation means in this project: the definition that every faster version matches.

`plan_resample` chooses the samples from the times, `apply_plan` blends their values.
Slerp: K. Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError, TimesError, unknown_name
from robocache.core.stream import Method
from robocache.ops.resample.plan import (
    ResamplePlan,
    check_increasing,
    check_method,
    plan_resample,
)

__all__ = ["ResamplePlan", "apply_plan", "plan_resample", "resample_trajectories"]

# Above this cosine two quaternions are blended linearly: the angle between them is under 0.17
# degrees as rotations, where the two formulas differ by less than 1e-9 rad.
NEARLY_PARALLEL = 1.0 - 1e-6


def apply_plan(source_data: Tensor, plan: ResamplePlan, *, method: Method) -> Tensor:
    """Values at the target times of `plan`; where it is invalid, the held sample.

    `previous` and `nearest` copy samples. `linear` and `slerp` are computed in the dtype of the
    data, float16 and bfloat16 in float32, integers in float64 and rounded to the nearest (halves to
    even); differentiable in `source_data`. Without any sample the result is zero.

    Args:
        source_data: (S, ...); for `slerp` floating, last axis a unit quaternion of length 4.

    Returns:
        (*target shape, ...) of the dtype and device of `source_data`.

    Raises:
        ConfigError: unknown method.
        ShapeError: data that the method cannot take.
    """
    check_method(method)
    if source_data.ndim == 0:
        raise ShapeError("source_data must have a first axis of samples, got a scalar")
    _check_data(source_data, method)
    if len(source_data) == 0:
        return source_data.new_zeros((*plan.left.shape, *source_data.shape[1:]))
    left = source_data[plan.left.to(source_data.device)]
    if method in ("previous", "nearest"):
        return left
    right = source_data[plan.right.to(source_data.device)]

    compute = _compute_dtype(source_data.dtype)
    per_sample = (...,) + (None,) * (source_data.ndim - 1)
    weight = plan.weight.to(source_data.device)[per_sample].to(compute)
    blend = _slerp if method == "slerp" else _lerp
    blended = blend(left.to(compute), right.to(compute), weight)
    if not source_data.is_floating_point():
        blended = blended.round()
    alone = (plan.left == plan.right).to(source_data.device)[per_sample]
    return torch.where(alone, left, blended.to(source_data.dtype))


def resample_trajectories(
    source_data: Tensor,
    source_times: Tensor,
    target_times: Tensor,
    *,
    method: Method = "linear",
    lengths: Tensor | None = None,
    max_gap_s: float | None = None,
    fill: Literal["hold", "nan"] | float = "hold",
    return_mask: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Bring a batch of trajectories to other times; differentiable in `source_data`.

    Times are floating seconds or int64 nanoseconds (both of them the same kind). Differences are
    taken before any precision is lost, so absolute nanoseconds since 1970 are fine.

    Args:
        source_data: (B, S, ...).
        source_times: (B, S), or (S,) shared by the batch; strictly increasing.
        target_times: (B, T), or (T,) shared by the batch.
        method: as in `plan_resample`.
        lengths: (B,) integers, how many leading samples of each trajectory count; None: all.
        max_gap_s: seconds, as in `plan_resample`.
        fill: value of invalid entries: "hold" the nearest sample, "nan", or a number.
        return_mask: also return the (B, T) bool mask of valid entries.

    Returns:
        (B, T, ...) of the dtype of `source_data`, and the mask if asked for.

    Raises:
        TimesError: times not finite, not strictly increasing, or of mixed or unsupported dtype.
        ShapeError: shapes that do not belong together, or data that the method cannot take.
        ConfigError: unknown method, or a fill that the dtype cannot hold.
    """
    if source_data.ndim < 2:
        raise ShapeError(f"source_data must be (B, S, ...), got {tuple(source_data.shape)}")
    check_method(method)
    _check_data(source_data[0] if len(source_data) else source_data.new_zeros(0, 4), method)
    constant = _fill_value(fill, source_data.dtype)
    batch, samples = source_data.shape[:2]
    sources = _batched("source_times", source_times, batch, samples)
    targets = _batched("target_times", target_times, batch, None)
    counts = _counts(lengths, batch, samples)

    rows, masks = [], []
    for data, source, target, count in zip(source_data, sources, targets, counts, strict=True):
        source_s, target_s = _seconds(source[:count], target)
        check_increasing(source_s)
        plan = plan_resample(source_s, target_s, method=method, max_gap_s=max_gap_s)
        rows.append(apply_plan(data[:count], plan, method=method))
        masks.append(plan.valid.to(data.device))
    shape = (batch, targets.shape[1])
    values = torch.stack(rows) if rows else source_data.new_zeros((*shape, *source_data.shape[2:]))
    valid = torch.stack(masks) if masks else source_data.new_zeros(shape, dtype=torch.bool)
    if constant is not None:
        values = values.masked_fill(~valid[(...,) + (None,) * (source_data.ndim - 2)], constant)
    return (values, valid) if return_mask else values


def _lerp(left: Tensor, right: Tensor, weight: Tensor) -> Tensor:
    return left + weight * (right - left)


def _slerp(left: Tensor, right: Tensor, weight: Tensor) -> Tensor:
    """Along the shortest arc between quaternions (..., 4); `weight` has a last axis of 1."""
    left = torch.nn.functional.normalize(left, dim=-1)
    right = torch.nn.functional.normalize(right, dim=-1)
    cosine = (left * right).sum(dim=-1, keepdim=True)
    right = torch.where(cosine < 0, -right, right)
    cosine = cosine.abs()
    near = cosine > NEARLY_PARALLEL
    angle = torch.acos(torch.where(near, 0.0, cosine))
    along = torch.sin((1 - weight) * angle) * left + torch.sin(weight * angle) * right
    blended = torch.where(near, _lerp(left, right, weight), along / torch.sin(angle))
    return torch.nn.functional.normalize(blended, dim=-1)


def _compute_dtype(dtype: torch.dtype) -> torch.dtype:
    if dtype in (torch.float16, torch.bfloat16):
        return torch.float32
    return dtype if dtype.is_floating_point else torch.float64


def _check_data(data: Tensor, method: Method) -> None:
    if method == "linear" and (data.dtype == torch.bool or data.is_complex()):
        raise ShapeError(
            f"{data.dtype} cannot be interpolated; use `previous` or `nearest` for this stream"
        )
    if method == "slerp" and not (
        data.ndim >= 2 and data.shape[-1] == 4 and data.is_floating_point()
    ):
        raise ShapeError(
            f"slerp needs floating quaternions on a last axis of length 4, got {data.dtype} of "
            f"shape {tuple(data.shape)}"
        )


def _batched(name: str, times: Tensor, batch: int, count: int | None) -> Tensor:
    """Times as (B, n), from (B, n) or (n,)."""
    if times.ndim == 1:
        times = times.expand(batch, -1)
    if times.ndim != 2 or len(times) != batch or count not in (None, times.shape[1]):
        size = "T" if count is None else count
        raise ShapeError(f"{name} must be ({batch}, {size}) or ({size},), got {tuple(times.shape)}")
    return times


def _counts(lengths: Tensor | None, batch: int, samples: int) -> list[int]:
    if lengths is None:
        return [samples] * batch
    if tuple(lengths.shape) != (batch,) or lengths.is_floating_point():
        raise ShapeError(
            f"lengths must be ({batch},) integers, got {tuple(lengths.shape)} {lengths.dtype}"
        )
    counts = [int(n) for n in lengths]
    if any(n < 0 or n > samples for n in counts):
        raise ShapeError(f"lengths must lie in 0..{samples}, got {counts}")
    return counts


def _seconds(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float64 seconds; int64 nanoseconds are first taken relative to the first sample."""
    kinds = {source.dtype, target.dtype}
    if kinds == {torch.int64}:
        start = source[0] if len(source) else torch.zeros((), dtype=torch.int64)
        return (source - start).double() / 1e9, (target - start.to(target.device)).double() / 1e9
    if not all(kind.is_floating_point for kind in kinds):
        raise TimesError(
            "times must be floating seconds or int64 nanoseconds, both of the same kind; got "
            f"source_times {source.dtype} and target_times {target.dtype}"
        )
    return source.double(), target.double()


def _fill_value(fill: str | float, dtype: torch.dtype) -> float | None:
    """The number for invalid entries; None: keep the held sample."""
    if fill == "hold":
        return None
    if isinstance(fill, str) and fill != "nan":
        raise unknown_name("fill", fill, ("hold", "nan"))
    number = float(fill)
    if dtype.is_floating_point or dtype.is_complex:
        return number
    low, high = (0, 1) if dtype == torch.bool else _limits(dtype)
    if not number.is_integer() or not low <= number <= high:
        raise ConfigError(f"{dtype} data cannot hold the fill {fill}; use 'hold' or {low}..{high}")
    return int(number)


def _limits(dtype: torch.dtype) -> tuple[int, int]:
    info = torch.iinfo(dtype)
    return info.min, info.max
