"""`align`: any number of streams, each by its own clock and policy, brought to one set of times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, DataError, ShapeError, unknown_name
from robocache.core.stream import AlignmentPolicy, Method
from robocache.ops.align import operator  # noqa: F401 registers it
from robocache.ops.align.reference import Aligned, Part, ages_s, clamped
from robocache.ops.arguments import described, require_tensors
from robocache.ops.resample.op import (
    batched_times,
    counts_of,
    gap_of,
    on_one_clock,
    resample_trajectories,
)
from robocache.ops.resample.plan import check_method
from robocache.ops.resample.reference import check_data, fill_value

Values = Tensor | dict[str, Tensor]


def align(
    streams: Mapping[str, tuple[Tensor, Tensor]],
    target_times: Tensor,
    policies: Mapping[str, AlignmentPolicy] | Method = "linear",
    *,
    lengths: Mapping[str, Tensor] | None = None,
    periods: Mapping[str, float] | None = None,
    fill: Literal["hold", "nan"] | float = "hold",
    return_dict: bool = False,
    return_mask: bool = False,
    return_age: bool = False,
    out: Tensor | None = None,
    backend: str | None = None,
    check_times: bool | None = None,
) -> Any:
    """Bring every stream of a batch to `target_times` by its own policy.

    Letters: B rows, S samples (of each stream its own), T targets, N streams, D numbers in all.

    Args:
        streams: name -> (values (B, S, ...), times (B, S) or (S,)), times as in
            `resample_trajectories`.
        target_times: (B, T) or (T,).
        policies: name -> policy, one for each stream; or a method for all.
        lengths: name -> (B,) integers, how many leading samples count; all of the others.
        periods: name -> period of the angles that a stream holds, as in `resample_trajectories`;
            for linear streams.
        fill: value of invalid entries: "hold" the nearest sample, "nan", or a number.
        return_dict: name -> (B, T, ...) in the stream's own dtype and shape; needed where dtypes
            differ, and for pictures.
        return_mask: also return which entries are valid, (B, T, N) bool.
        return_age: also return (B, T, N) float64, target time minus capture time of the sample
            used (of two, the earlier), in seconds; +inf where there is none.
        out: contiguous (B, T, D) to write into, without `return_dict`.
        backend, check_times: as in `resample_trajectories`, see `available_backends("align")`.

    Returns:
        (B, T, D), the streams' numbers one after the other in the order of `streams`, or the dict;
        then the mask, then the ages, as far as asked for.

    Raises:
        ConfigError: a stream without a policy; a policy, lengths or a period without a stream; a
            wrong method, period, fill or backend.
        DataError: bad times, shapes, dtypes or devices; names the stream.
    """
    if not isinstance(streams, Mapping) or not streams:
        raise ConfigError("align needs at least one stream: name -> (values, times)")
    for name, pair in streams.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ConfigError(f"stream {name!r} must be (values, times), got {described(pair)}")
    chosen = _policies(streams, policies)
    lengths, periods = lengths or {}, periods or {}
    for name in (*lengths, *periods):
        if name not in streams:
            raise unknown_name("stream", name, streams)
    parts: dict[str, Part] = {}
    units: dict[str, float] = {}
    first = next(iter(streams.values()))[0]
    for name, (values, times) in streams.items():
        try:
            require_tensors(values=values)
            if values.device != first.device:
                raise ShapeError(f"on {values.device}, other streams on {first.device}")
            given = (chosen[name], lengths.get(name), periods.get(name))
            parts[name], units[name] = _part(values, times, target_times, *given)
        except DataError as error:
            raise error.located(stream=name) from error
    batch, targets = next(iter(parts.values())).target.shape
    for name, part in parts.items():
        if part.target.shape != (batch, targets):
            raise ShapeError(f"{len(part.target)} rows, other streams have {batch}", stream=name)
    check = first.device.type == "cpu" if check_times is None else check_times
    mask: Tensor
    ages: Tensor | None
    if return_dict:
        if out is not None:
            raise ConfigError("out is for one tensor: leave return_dict out")
        found = _each(parts, fill, backend, check)
        values_of: Values = {name: values for name, (values, _) in found.items()}
        mask = torch.stack([valid for _, valid in found.values()], dim=2)
        ages = ages_s(clamped(parts.values())) if return_age else None
    else:
        values_of, mask, ages = _joined(parts, fill, out, backend, check)
    if ages is not None and set(units.values()) != {1.0}:
        ages = torch.stack([ages[..., n] / unit for n, unit in enumerate(units.values())], dim=2)
    returned = [values_of, *([mask] if return_mask else []), *([ages] if return_age else [])]
    return tuple(returned) if len(returned) > 1 else values_of


def fused_multimodal_alignment(
    vision_data: Tensor,
    vision_times: Tensor,
    proprio_data: Tensor,
    proprio_times: Tensor,
    force_data: Tensor | None,
    force_times: Tensor | None,
    target_times: Tensor,
    **options: Any,
) -> Any:
    """Vision features, proprioception and force at the same times, linearly, side by side.

    Args:
        vision_data, proprio_data, force_data: (B, S, D), each with its own S and D; force may be
            None.
        vision_times, proprio_times, force_times: (B, S) or (S,).
        target_times: (B, T) or (T,).
        options: of `align`.

    Returns:
        (B, T, sum of D), or as `align` does with these options.
    """
    streams = {"vision": (vision_data, vision_times), "proprio": (proprio_data, proprio_times)}
    if (force_data is None) != (force_times is None):
        raise ConfigError("force_data and force_times belong together: give both or neither")
    if force_data is not None and force_times is not None:
        streams["force"] = (force_data, force_times)
    return align(streams, target_times, "linear", **options)


def _policies(
    streams: Mapping[str, Any], policies: Mapping[str, AlignmentPolicy] | Method
) -> dict[str, AlignmentPolicy]:
    if isinstance(policies, str):
        check_method(policies)
        return {name: AlignmentPolicy(policies) for name in streams}
    for name in policies:
        if name not in streams:
            raise unknown_name("stream", name, streams)
    for name in streams:
        if name not in policies:
            raise ConfigError(f"stream {name!r} has no alignment policy; add policies[{name!r}]")
        if not isinstance(policies[name], AlignmentPolicy):
            raise ConfigError(
                f"policies[{name!r}] must be an AlignmentPolicy, got {described(policies[name])}"
            )
    return dict(policies)


def _part(
    values: Tensor,
    times: Tensor,
    target: Tensor,
    policy: AlignmentPolicy,
    lengths: Tensor | None,
    period: float | None,
) -> tuple[Part, float]:
    """The stream, and how many units of its clock are a second."""
    require_tensors(values=values, times=times, target_times=target)
    if values.ndim < 2:
        raise ShapeError(f"values must be (B, S, ...), got {tuple(values.shape)}")
    batch, samples = values.shape[:2]
    check_data(values[0] if batch else values.new_zeros(0, 4), policy.method, period)
    sources = batched_times("times", times, values, samples)
    targets = batched_times("target_times", target, values, None)
    source, at, per_second = on_one_clock(sources, targets)
    gap = gap_of(policy.max_gap_s, per_second)
    counts = counts_of(lengths, batch, samples, values.device)
    return Part(values, source, at, counts, policy.method, gap, period), per_second


def _joined(
    parts: Mapping[str, Part],
    fill: Literal["hold", "nan"] | float,
    out: Tensor | None,
    backend: str | None,
    check: bool,
) -> Aligned:
    dtype = next(iter(parts.values())).data.dtype
    for name, part in parts.items():
        if part.data.dtype != dtype or not dtype.is_floating_point:
            raise ShapeError(
                f"{part.data.dtype} beside {dtype}: one tensor holds floats of one dtype; ask "
                f"for return_dict=True",
                stream=name,
            )
    every = list(parts.values())
    constant = fill_value(fill, dtype)
    tensors = [[part[field] for part in every] for field in range(4)]
    methods = [part.method for part in every]
    gaps = [torch.inf if part.max_gap_s is None else part.max_gap_s for part in every]
    periods = [part.period or 0.0 for part in every]
    given = (*tensors, methods, gaps, periods, list(parts), backend, check)
    if out is None:
        found = Aligned(*torch.ops.robocache.align(*given))
    else:
        _check_out(out, every)
        found = Aligned(out, *torch.ops.robocache.align_out(*given, out))
    if constant is None:
        return found
    invalid = torch.cat(
        [~found.valid[..., n, None].expand(-1, -1, part.width) for n, part in enumerate(every)], 2
    )
    write = found.values.masked_fill_ if out is not None else found.values.masked_fill
    return found._replace(values=write(invalid, constant))


def _check_out(out: Tensor, parts: Sequence[Part]) -> None:
    require_tensors(out=out)
    first = parts[0]
    wanted = (*first.target.shape, sum(part.width for part in parts))
    if (
        tuple(out.shape) != wanted
        or (out.dtype, out.device) != (first.data.dtype, first.data.device)
        or not out.is_contiguous()
    ):
        raise ShapeError(
            f"out must be contiguous {wanted} {first.data.dtype} on {first.data.device}, got "
            f"{tuple(out.shape)} {out.dtype} on {out.device}"
        )
    inputs = [one for part in parts for one in (part.data, part.source, part.target)]
    if out.requires_grad or (torch.is_grad_enabled() and any(one.requires_grad for one in inputs)):
        raise ConfigError("out cannot be written to where gradients are asked for")


def _each(
    parts: Mapping[str, Part],
    fill: Literal["hold", "nan"] | float,
    backend: str | None,
    check: bool,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Name -> values and mask, each stream resampled by itself."""
    found = {}
    for name, part in parts.items():
        try:
            answer = resample_trajectories(
                part.data,
                part.source,
                part.target,
                method=part.method,
                max_gap_s=part.max_gap_s,
                period=part.period,
                lengths=part.counts,
                fill=fill,
                return_mask=True,
                backend=backend,
                check_times=check,
            )
        except DataError as error:
            raise error.located(stream=name) from error
        assert isinstance(answer, tuple)
        found[name] = answer
    return found
