"""What interpolation means in this project: the definition that every faster version matches.

`plan_resample` chooses the samples from the times, `apply_plan` blends their values.
Slerp: K. Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985.
"""

from __future__ import annotations

import math
from numbers import Real
from operator import index
from typing import Any

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError, unknown_name
from robocache.core.stream import Method
from robocache.ops.arguments import described
from robocache.ops.resample.plan import ResamplePlan, check_method, plan_resample

# Above this cosine two quaternions are blended linearly: the angle between them is under 0.17
# degrees as rotations, where the two formulas differ by less than 1e-9 rad.
NEARLY_PARALLEL = 1.0 - 1e-6

SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
"""Whole numbers that torch neither picks nor fills, and those of the same size that it does."""
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, *SIGNED)
DTYPES = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.bool, *WHOLE, torch.complex64, torch.complex128),
)
"""Of values."""


def apply_plan(
    source_data: Tensor, plan: ResamplePlan, *, method: Method, period: float | None = None
) -> Tensor:
    """Values at the target times of `plan`; where it is invalid, the held sample.

    `previous` and `nearest` copy samples. `linear` and `slerp` are computed in the dtype of the
    data, float16 and bfloat16 in float32, integers in float64 and rounded to the nearest (halves to
    even); differentiable in `source_data`. Without any sample the result is zero.

    `slerp` goes along the shorter arc. xyzw and wxyz give the same numbers in their own order; the
    result is normalised and has the sign of the earlier sample, whatever that of the later one.

    With `period` the values are angles: `linear` goes from the earlier sample along the shorter
    arc, downwards if both are half a period long. The result is not wrapped: it starts at the
    earlier sample, and may lie up to half a period beyond the range of the samples.

    Args:
        source_data: (S, ...); for `slerp` floating, last axis a unit quaternion of length 4.
        period: of angles, in the unit of the data, for `linear` and floating data alone.

    Returns:
        (*target shape, ...) of the dtype and device of `source_data`.

    Raises:
        ConfigError: unknown method, or a period that is not positive or has another method.
        ShapeError: data that the method, or angles, cannot be.
    """
    check_method(method)
    if source_data.ndim == 0:
        raise ShapeError("source_data must have a first axis of samples, got a scalar")
    check_data(source_data, method, period)
    if len(source_data) == 0:
        return source_data.new_zeros((*plan.left.shape, *source_data.shape[1:]))
    left = _rows(source_data, plan.left)
    if method in ("previous", "nearest"):
        return left
    right = _rows(source_data, plan.right)

    compute = _compute_dtype(source_data.dtype)
    per_sample = (...,) + (None,) * (source_data.ndim - 1)
    weight = plan.weight.to(source_data.device)[per_sample].to(compute)
    left_c, right_c = left.to(compute), right.to(compute)
    if method == "slerp":
        blended = _slerp(left_c, right_c, weight)
    else:
        blended = _lerp(left_c, right_c, weight, period)
    if not source_data.is_floating_point():
        blended = blended.round()
    alone = (plan.left == plan.right).to(source_data.device)[per_sample]
    return torch.where(alone, left, blended.to(source_data.dtype))


def _rows(data: Tensor, numbers: Tensor) -> Tensor:
    """(*index shape, ...)"""
    at = numbers.to(data.device).reshape(-1)
    if data.dtype in SIGNED:
        picked = data.view(SIGNED[data.dtype]).index_select(0, at).view(data.dtype)
    else:
        picked = data.index_select(0, at)
    return picked.reshape(*numbers.shape, *data.shape[1:])


def resample_reference(
    data: Tensor,
    source: Tensor,
    target: Tensor,
    counts: Tensor,
    method: Method,
    max_gap_s: float | None,
    period: float | None,
) -> tuple[Tensor, Tensor]:
    """What `resample_batched` gives, row by row; the definition of it."""
    rows, masks = [], []
    for row, count in enumerate(counts.tolist()):
        plan = plan_resample(source[row, :count], target[row], method=method, max_gap_s=max_gap_s)
        rows.append(apply_plan(data[row, :count], plan, method=method, period=period))
        masks.append(plan.valid.to(data.device))
    shape = (len(data), target.shape[1])
    values = torch.stack(rows) if rows else data.new_zeros((*shape, *data.shape[2:]))
    return values, torch.stack(masks) if masks else data.new_zeros(shape, dtype=torch.bool)


def _lerp(left: Tensor, right: Tensor, weight: Tensor, period: float | None = None) -> Tensor:
    difference = right - left
    if period is not None:
        difference = difference - period * torch.floor(difference * (1 / period) + 0.5)
    return left + weight * difference


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


def check_data(data: Tensor, method: Method, period: float | None = None) -> None:
    if data.dtype not in DTYPES:
        raise ShapeError(
            f"values must be float16, 32 or 64, bfloat16, whole numbers, bool or complex, got "
            f"{data.dtype}"
        )
    if period is not None:
        if method != "linear":
            raise ConfigError(f"a period is for 'linear', not for {method!r}: leave period out")
        if not isinstance(period, Real) or not 0 < period < math.inf:
            raise ConfigError(f"period must be positive and finite, got {period!r}")
        if not data.is_floating_point():
            raise ShapeError(f"angles with a period are floats, got {data.dtype}")
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


def fill_value(fill: str | float, dtype: torch.dtype) -> float | None:
    """The number for invalid entries; None: keep the held sample."""
    if isinstance(fill, str):
        if fill == "hold":
            return None
        if fill != "nan":
            raise unknown_name("fill", fill, ("hold", "nan"))
    number = _number(fill)
    if dtype.is_floating_point or dtype.is_complex:
        most = torch.finfo(dtype).max
        if most < abs(number) < math.inf:
            raise ConfigError(
                f"{dtype} data cannot hold the fill {fill}: its numbers end at {most}"
            )
        return number
    low, high = (0, 1) if dtype == torch.bool else _limits(dtype)
    if not low <= number <= high or number != int(number):
        raise ConfigError(f"{dtype} data cannot hold the fill {fill}; use 'hold' or {low}..{high}")
    return int(number)


def _number(fill: Any) -> float:
    try:
        return index(fill)  # integers above 2**53 as they are
    except TypeError:
        pass
    try:
        return float(fill)
    except (TypeError, ValueError):
        raise ConfigError(
            f"fill must be 'hold', 'nan' or a number, got {described(fill)}"
        ) from None


def filled(values: Tensor, where: Tensor, number: float, *, into: bool = False) -> Tensor:
    """Values (B, T, ...) with a number `where` (B, T); `into` their own memory."""
    mask = where[(...,) + (None,) * (values.ndim - 2)]
    if values.dtype in SIGNED:  # torch fills none of these
        constant = torch.full((), number, dtype=values.dtype, device=values.device)
        chosen = torch.where(mask, constant, values)
        return values.copy_(chosen) if into else chosen
    return values.masked_fill_(mask, number) if into else values.masked_fill(mask, number)


def _limits(dtype: torch.dtype) -> tuple[int, int]:
    info = torch.iinfo(dtype)
    return info.min, info.max
