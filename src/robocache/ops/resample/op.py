"""`resample_trajectories`: checks, the choice of an implementation, and the operator of torch.

The operator `robocache::resample` looks like one step to autograd, `torch.compile` and tracing. Its
gradients are those of the batched PyTorch version, whatever computed the values.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError, TimesError
from robocache.core.stream import Method
from robocache.ops.arguments import described, require_tensors
from robocache.ops.backends import preferred, require_backend
from robocache.ops.memory import check_apart, written
from robocache.ops.resample.batched import resample_batched
from robocache.ops.resample.plan import check_method
from robocache.ops.resample.reference import (
    WHOLE,
    check_data,
    fill_value,
    filled,
    resample_reference,
)

NANOSECONDS = 1e9
"""Of a second."""


def resample_trajectories(
    source_data: Tensor,
    source_times: Tensor,
    target_times: Tensor,
    *,
    method: Method = "linear",
    lengths: Tensor | None = None,
    max_gap_s: float | None = None,
    period: float | None = None,
    fill: Literal["hold", "nan"] | float = "hold",
    return_mask: bool = False,
    out: Tensor | None = None,
    backend: str | None = None,
    check_times: bool | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Bring a batch of trajectories to other times; differentiable in values and floating times.

    Times are floating seconds or int64 nanoseconds (both of them the same kind). Nanoseconds stay
    whole numbers, counted from a row's first sample: since 1970 is fine, and what is as long as
    `max_gap_s`, or equally near, is so exactly.

    Args:
        source_data: (B, S, ...).
        source_times: (B, S), or (S,) shared by the batch; strictly increasing.
        target_times: (B, T), or (T,) shared by the batch.
        method: as in `plan_resample`; `slerp` takes unit quaternions (..., 4), xyzw or wxyz, along
            the shorter arc; the result is normalised, with the sign of the earlier sample.
        lengths: (B,) integers, how many leading samples of each trajectory count; None: all.
        max_gap_s: seconds, as in `plan_resample`.
        period: the values are angles with this period (2 * math.pi, 360), and `linear` goes along
            the shorter arc from the earlier sample, without wrapping the result; see `apply_plan`.
        fill: value of invalid entries: "hold" the nearest sample, "nan", or a number.
        return_mask: also return the (B, T) bool mask of valid entries.
        out: contiguous (B, T, ...) of the dtype and device of `source_data` to write into, and to
            return; new memory costs more than the rest where it is large.
        backend: see `available_backends("resample")`; None: chosen by device, dtype and method.
            All give the same bits on the CPU, but `triton` for `slerp`, which is equal to rounding.
        check_times: whether times and lengths are looked at; None: on the CPU. Elsewhere that
            waits for the device; unsorted times that are not looked at give undefined values.

    Returns:
        (B, T, ...) of the dtype of `source_data`, zero where there is no sample at all; and the
        mask if asked for.

    Raises:
        TimesError: times not finite, not strictly increasing, or of mixed or unsupported dtype;
            names the row.
        ShapeError: shapes or devices that do not belong together, or data that the method cannot
            take.
        ConfigError: unknown method or backend, a fill that the dtype cannot hold, or a period that
            is not positive or has another method than `linear`.
    """
    require_tensors(source_data=source_data, source_times=source_times, target_times=target_times)
    if source_data.ndim < 2:
        raise ShapeError(f"source_data must be (B, S, ...), got {tuple(source_data.shape)}")
    check_method(method)
    check_data(source_data[0] if len(source_data) else source_data.new_zeros(0, 4), method, period)
    constant = fill_value(fill, source_data.dtype)
    batch, samples = source_data.shape[:2]
    sources = batched_times("source_times", source_times, source_data, samples)
    targets = batched_times("target_times", target_times, source_data, None)
    source, target, per_second = on_one_clock(sources, targets)
    counts = counts_of(lengths, batch, samples, source_data.device)
    check = source_data.device.type == "cpu" if check_times is None else check_times
    gap = gap_of(max_gap_s, per_second)
    given = (source_data, source, target, counts, method, gap, period, backend, check)
    if out is None:
        values, valid = torch.ops.robocache.resample(*given)
    else:
        _check_out(out, source_data, source, target)
        valid = torch.ops.robocache.resample_out(*given, out)
        values = out
    if constant is not None:
        values = filled(values, ~valid, constant, into=out is not None)
    return (values, valid) if return_mask else values


def _chosen(backend: str | None, data: Tensor, method: Method, period: float | None) -> str:
    """The implementation to use: what was asked for, else by device, dtype and method alone."""
    if backend is None:
        best = preferred("resample", data.device)
        return best if has_kernel(best, data.dtype, method, period) else "torch"
    require_backend("resample", backend, data.device)
    if not has_kernel(backend, data.dtype, method, period):
        what = f"{method!r} of {data.dtype}" + ("" if period is None else " with a period")
        raise ConfigError(f"backend={backend!r} has no {what}: leave backend out")
    return backend


def has_kernel(backend: str, dtype: torch.dtype, method: Method, period: float | None) -> bool:
    """Whether an implementation can do this; numba and Triton are imported when they are asked."""
    if backend == "numba":
        from robocache.ops.resample import cpu

        return period is None and cpu.can_resample(dtype, method)
    if backend == "triton":
        from robocache.ops.resample import triton

        return triton.can_resample(dtype, method)
    return True


def _compute(
    data: Tensor,
    source: Tensor,
    target: Tensor,
    counts: Tensor,
    method: Any,
    max_gap_s: float | None,
    period: float | None,
    backend: str | None,
    check: bool,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    backend = _chosen(backend, data, method, period)
    if backend == "numba":
        from robocache.ops.resample.cpu import is_sound, resample_cpu

        check = check and not is_sound(source, target, counts)
    if check:
        check_values(source, target, counts, data.shape[1])
    counts = counts.clamp(0, data.shape[1])
    if backend == "numba":
        return resample_cpu(data, source, target, counts, method, max_gap_s, out)
    given = (data, source, target, counts, method, max_gap_s, period)
    if backend == "triton":
        from robocache.ops.resample.triton import resample_triton

        return resample_triton(*given, out)
    if backend == "reference":
        values, valid = resample_reference(*given)
    else:
        some_empty = data.device.type != "cpu" or bool((counts == 0).any())
        values, valid = resample_batched(*given, some_empty=some_empty)
    return (values if out is None else out.copy_(values)), valid


_ARGUMENTS = (
    "Tensor data, Tensor source, Tensor target, Tensor counts, str method, float? max_gap_s, "
    "float? period, str? backend, bool check"
)


def _resample(*given: Any) -> tuple[Tensor, Tensor]:
    return _compute(*given)


def _resample_out(*given: Any) -> Tensor:
    data, source, target, *_, out = given
    check_apart(out, source_data=data, source_times=source, target_times=target)
    valid = _compute(*given)[1]
    written(out)
    return valid


def _fake(data: Tensor, source: Tensor, target: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    shape = (data.shape[0], target.shape[1])
    return data.new_empty(*shape, *data.shape[2:]), data.new_empty(shape, dtype=torch.bool)


def _fake_out(*given: Any) -> Tensor:
    return _fake(*given)[1]


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    data, source, target, counts, *ctx.options = inputs[:7]
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(data, source, target, counts)


def _gradients(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    *saved, counts = ctx.saved_tensors
    wanted = ctx.needs_input_grad[:3]
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = [differentiable(one, w, again) for one, w in zip(saved, wanted, strict=True)]
        data, source, target = inputs
        counts = counts.clamp(0, data.shape[1])
        values, _valid = resample_batched(data, source, target, counts, *ctx.options)
        asked = [one for one, w in zip(inputs, wanted, strict=True) if w]
        given = iter(gradients(values, asked, gradient, again))
    return (*(next(given) if w else None for w in wanted), *[None] * 6)


def differentiable(saved: Tensor, wanted: bool, again: bool) -> Tensor:
    """An input of the forward pass; with its history where gradients are differentiated `again`."""
    return saved.view_as(saved) if again else saved.detach().requires_grad_(wanted)


def gradients(
    values: Tensor, inputs: list[Tensor], gradient: Tensor, again: bool
) -> tuple[Tensor | None, ...]:
    """Of inputs by the gradient of values; None where values do not follow from them."""
    if not values.requires_grad:  # copies do not follow from times
        return (None,) * len(inputs)
    return torch.autograd.grad(values, inputs, gradient, allow_unused=True, create_graph=again)


_LIBRARY: Any = torch.library.Library("robocache", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define(f"resample({_ARGUMENTS}) -> (Tensor, Tensor)")
_LIBRARY.define(f"resample_out({_ARGUMENTS}, Tensor(a!) out) -> Tensor")
_LIBRARY.impl("resample", _resample, "CompositeExplicitAutograd")
_LIBRARY.impl("resample_out", _resample_out, "CompositeExplicitAutograd")
torch.library.register_fake("robocache::resample", _fake, lib=_LIBRARY)
torch.library.register_fake("robocache::resample_out", _fake_out, lib=_LIBRARY)
torch.library.register_autograd(
    "robocache::resample", _gradients, setup_context=_keep_inputs, lib=_LIBRARY
)


def batched_times(name: str, times: Tensor, data: Tensor, count: int | None) -> Tensor:
    """Times as (B, n), from (B, n) or (n,), beside data (B, ...)."""
    batch = len(data)
    if times.device != data.device:
        raise ShapeError(f"{name} are on {times.device}, the values on {data.device}")
    if times.ndim == 1:
        times = times.expand(batch, -1)
    if times.ndim != 2 or len(times) != batch or count not in (None, times.shape[1]):
        size = "T" if count is None else count
        raise ShapeError(f"{name} must be ({batch}, {size}) or ({size},), got {tuple(times.shape)}")
    return times


def counts_of(lengths: Tensor | None, batch: int, samples: int, device: torch.device) -> Tensor:
    if lengths is None:
        return torch.full((batch,), samples, dtype=torch.int64, device=device)
    require_tensors(lengths=lengths)
    if tuple(lengths.shape) != (batch,) or lengths.dtype not in WHOLE:
        raise ShapeError(f"lengths must be ({batch},) integers, got {described(lengths)}")
    return lengths.to(device, torch.int64)


def on_one_clock(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, float]:
    """Both as float64 of some unit, and how many of these are a second: seconds as they are, int64
    nanoseconds since the first sample, which up to 104 days are exact."""
    kinds = {source.dtype, target.dtype}
    if kinds == {torch.int64}:
        start = source[:, :1] if source.shape[1] else source.new_zeros(len(source), 1)
        return (source - start).double(), (target - start).double(), NANOSECONDS
    if not all(kind.is_floating_point for kind in kinds):
        raise TimesError(
            "times must be floating seconds or int64 nanoseconds, both of the same kind; got "
            f"source_times {source.dtype} and target_times {target.dtype}"
        )
    return source.double(), target.double(), 1.0


def gap_of(max_gap_s: float | None, per_second: float) -> float | None:
    """The limit in the unit of the clock; raises ConfigError where it is none."""
    if max_gap_s is None:
        return None
    try:
        gap = float(max_gap_s)
    except (TypeError, ValueError):
        gap = math.nan
    if not gap >= 0:
        raise ConfigError(f"max_gap_s must be None or seconds of at least 0, got {max_gap_s!r}")
    return gap if per_second == 1 else round(gap * per_second, 3)


def check_values(source: Tensor, target: Tensor, counts: Tensor, samples: int) -> None:
    """Raise ShapeError where a length is not possible, TimesError where times are not finite or
    not in order; names the first."""
    if bool(((counts < 0) | (counts > samples)).any()):
        raise ShapeError(f"lengths must lie in 0..{samples}, got {counts.tolist()}")
    known = torch.arange(samples, device=source.device) < counts[:, None]
    wrong = known & ~torch.isfinite(source)
    if bool(wrong.any()):
        row, at = _first(wrong)
        raise TimesError(f"row {row}: source time {at} is not finite: {float(source[row, at])}")
    stuck = known[:, 1:] & (source.diff(dim=1) <= 0)
    if bool(stuck.any()):
        row, at = _first(stuck)
        raise TimesError(
            f"row {row}: source times must increase strictly: sample {at} at "
            f"{float(source[row, at])!r} is followed by {float(source[row, at + 1])!r}"
        )
    endless = ~torch.isfinite(target)
    if bool(endless.any()):
        row, at = _first(endless)
        raise TimesError(f"row {row}: target time {at} is not finite: {float(target[row, at])}")


def _first(mask: Tensor) -> tuple[int, int]:
    row, at = mask.nonzero()[0].tolist()
    return row, at


def _check_out(out: Tensor, data: Tensor, source: Tensor, target: Tensor) -> None:
    require_tensors(out=out)
    wanted = (*target.shape, *data.shape[2:])
    if tuple(out.shape) != wanted or out.dtype != data.dtype or out.device != data.device:
        raise ShapeError(
            f"out must be {wanted} {data.dtype} on {data.device}, got {tuple(out.shape)} "
            f"{out.dtype} on {out.device}"
        )
    if not out.is_contiguous():
        raise ShapeError("out must be contiguous")
    asked = any(one.requires_grad for one in (data, source, target))
    if out.requires_grad or (torch.is_grad_enabled() and asked):
        raise ConfigError("out cannot be written to where gradients are asked for")
