"""`align`: any number of streams, each by its own clock and policy, brought to one set of times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, DataError, ShapeError, unknown_name
from robocache.core.stream import AlignmentPolicy, Method
from robocache.ops.align.reference import Aligned, Part, align_reference
from robocache.ops.backends import preferred, require_backend
from robocache.ops.resample.op import (
    batched_times,
    check_values,
    counts_of,
    resample_trajectories,
    seconds_of,
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
        ConfigError: a stream without a policy, a policy or lengths without a stream, a wrong
            method, fill or backend.
        DataError: bad times, shapes or dtypes; names the stream.
    """
    if not streams:
        raise ConfigError("align needs at least one stream")
    chosen = _policies(streams, policies)
    for name in lengths or {}:
        if name not in streams:
            raise unknown_name("stream", name, streams)
    parts: dict[str, Part] = {}
    for name, (values, times) in streams.items():
        try:
            given = None if lengths is None else lengths.get(name)
            parts[name] = _part(values, times, target_times, chosen[name], given, check_times)
        except DataError as error:
            raise error.located(stream=name) from error
    batch, targets = next(iter(parts.values())).target.shape
    for name, part in parts.items():
        if part.target.shape != (batch, targets):
            raise ShapeError(f"{len(part.target)} rows, other streams have {batch}", stream=name)
    if return_dict:
        if out is not None:
            raise ConfigError("out is for one tensor: leave return_dict out")
        found = _each(streams, target_times, chosen, lengths, fill, backend)
        values_of: Values = {name: values for name, (values, _) in found.items()}
        mask = torch.stack([valid for _, valid in found.values()], dim=2)
        ages = align_reference([_bare(p) for p in parts.values()]).age_s if return_age else None
    else:
        values_of, mask, ages = _joined(parts, fill, out, backend)
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
    return dict(policies)


def _part(
    values: Tensor,
    times: Tensor,
    target: Tensor,
    policy: AlignmentPolicy,
    lengths: Tensor | None,
    check: bool | None,
) -> Part:
    if values.ndim < 2:
        raise ShapeError(f"values must be (B, S, ...), got {tuple(values.shape)}")
    batch, samples = values.shape[:2]
    check_data(values[0] if batch else values.new_zeros(0, 4), policy.method)
    sources = batched_times("times", times, batch, samples)
    targets = batched_times("target_times", target, batch, None)
    source_s, target_s = seconds_of(sources, targets)
    counts = counts_of(lengths, batch, samples, values.device)
    if values.device.type == "cpu" if check is None else check:
        check_values(source_s, target_s, counts, samples)
    counts = counts.clamp(0, samples)
    return Part(values, source_s, target_s, counts, policy.method, policy.max_gap_s)


def _joined(
    parts: Mapping[str, Part],
    fill: Literal["hold", "nan"] | float,
    out: Tensor | None,
    backend: str | None,
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
    grads = torch.is_grad_enabled() and any(one.requires_grad for part in every for one in part[:3])
    fused = _chosen(backend, every) == "numba" and not grads
    if out is not None:
        _check_out(out, every, grads)
    if fused:
        from robocache.ops.align.cpu import align_cpu

        found = align_cpu(every, out)
    else:
        found = align_reference(every)
        if out is not None:
            found = found._replace(values=out.copy_(found.values))
    if constant is None:
        return found
    widths = torch.tensor([part.width for part in every])
    invalid = (~found.valid).repeat_interleave(widths.to(found.valid.device), dim=2)
    write = found.values.masked_fill_ if out is not None else found.values.masked_fill
    return found._replace(values=write(invalid, constant))


def _chosen(backend: str | None, parts: Sequence[Part]) -> str:
    device = parts[0].data.device
    possible = all(part.method != "slerp" for part in parts)
    if backend is None:
        best = preferred("align", device)
        return best if best != "numba" or possible else "torch"
    require_backend("align", backend, device)
    if backend == "numba" and not possible:
        raise ConfigError("backend='numba' of align has no slerp: leave backend out")
    return backend


def _check_out(out: Tensor, parts: Sequence[Part], grads: bool) -> None:
    first = parts[0]
    width = sum(part.width for part in parts)
    wanted = (*first.target.shape, width)
    if tuple(out.shape) != wanted or out.dtype != first.data.dtype or not out.is_contiguous():
        raise ShapeError(
            f"out must be contiguous {wanted} {first.data.dtype}, got {tuple(out.shape)} "
            f"{out.dtype}"
        )
    if grads or out.requires_grad:
        raise ConfigError("out cannot be written to where gradients are asked for")


def _each(
    streams: Mapping[str, tuple[Tensor, Tensor]],
    target: Tensor,
    policies: Mapping[str, AlignmentPolicy],
    lengths: Mapping[str, Tensor] | None,
    fill: Literal["hold", "nan"] | float,
    backend: str | None,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Name -> values and mask, each stream resampled by itself."""
    found = {}
    for name, (values, times) in streams.items():
        answer = resample_trajectories(
            values,
            times,
            target,
            method=policies[name].method,
            max_gap_s=policies[name].max_gap_s,
            lengths=None if lengths is None else lengths.get(name),
            fill=fill,
            return_mask=True,
            backend=backend,
            check_times=False,
        )
        assert isinstance(answer, tuple)
        found[name] = answer
    return found


def _bare(part: Part) -> Part:
    """The part with no values, of which only mask and ages are asked."""
    return part._replace(data=part.data.new_zeros(*part.data.shape[:2], 0), method=part.method)
