"""`robocache::align`, which looks like one step to autograd, `torch.compile` and tracing. Its
gradients are those of the reference, whatever computed the values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, DataError
from robocache.ops.align.reference import Aligned, Part, align_reference, clamped
from robocache.ops.backends import preferred, require_backend
from robocache.ops.memory import check_apart, written
from robocache.ops.resample.op import check_values, differentiable, gradients, has_kernel


def _chosen(backend: str | None, parts: Mapping[str, Part]) -> str:
    """The implementation to use: what was asked for, else by device, dtypes and methods alone."""
    device = next(iter(parts.values())).data.device
    name = preferred("align", device) if backend is None else backend
    require_backend("align", name, device)
    for stream, (data, *_, method, _gap, period) in parts.items():
        if not has_kernel(name, data.dtype, method, period):
            if backend is None:
                return "torch"
            what = f"{method!r} of {data.dtype}" + ("" if period is None else " with a period")
            raise ConfigError(
                f"backend={backend!r} has no {what}, asked for by stream {stream!r}: leave backend "
                f"out"
            )
    return name


def _parts(*lists: Any) -> list[Part]:
    """Of one list for each field; no limit is infinite, no period 0."""
    parts = [Part._make(fields) for fields in zip(*lists, strict=True)]
    return [
        part._replace(
            max_gap_s=None if part.max_gap_s == math.inf else part.max_gap_s,
            period=part.period or None,
        )
        for part in parts
    ]


def _compute(*given: Any) -> Aligned:
    *streams, names, backend, check = given[:10]
    out = given[10] if len(given) > 10 else None
    parts = _parts(*streams)
    backend = _chosen(backend, dict(zip(names, parts, strict=True)))
    if check:
        for name, part in zip(names, parts, strict=True):
            try:
                check_times(backend, part)
            except DataError as error:
                raise error.located(stream=name) from error
    parts = clamped(parts)
    if backend == "triton":
        from robocache.ops.align.triton import align_triton

        return align_triton(parts, out)
    if backend == "numba":
        from robocache.ops.align.cpu import align_cpu

        return align_cpu(parts, out)
    found = align_reference(parts)
    return found if out is None else found._replace(values=out.copy_(found.values))


def check_times(backend: str, part: Part) -> None:
    """Raise TimesError or ShapeError where times or lengths are not sound."""
    if backend == "numba":
        from robocache.ops.resample.cpu import is_sound

        if is_sound(part.source, part.target, part.counts):
            return
    check_values(part.source, part.target, part.counts, part.data.shape[1])


_ARGUMENTS = (
    "Tensor[] data, Tensor[] source, Tensor[] target, Tensor[] counts, str[] methods, "
    "float[] gaps, float[] periods, str[] names, str? backend, bool check"
)


def _align(*given: Any) -> tuple[Tensor, ...]:
    return tuple(_compute(*given))


def _align_out(*given: Any) -> tuple[Tensor, ...]:
    *_, names, _backend, _check, out = given
    for name, data, source, target in zip(names, *given[:3], strict=True):
        read = {f"values of {name!r}": data, f"times of {name!r}": source, "target_times": target}
        check_apart(out, **read)
    found = _compute(*given)[1:]
    written(out)
    return tuple(found)


def _fake(data: list[Tensor], _: Any, target: list[Tensor], *rest: Any) -> tuple[Tensor, ...]:
    shape = target[0].shape
    width = sum(math.prod(one.shape[2:]) for one in data)
    valid = data[0].new_empty(*shape, len(data), dtype=torch.bool)
    return data[0].new_empty(*shape, width), valid, torch.empty_like(valid, dtype=torch.float64)


def _fake_out(*given: Any) -> tuple[Tensor, ...]:
    return _fake(*given)[1:]


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.options = inputs[4:7]
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*(one for some in inputs[:4] for one in some))


def _gradients(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Any, ...]:
    count = len(ctx.saved_tensors) // 4
    saved = [list(ctx.saved_tensors[n * count : n * count + count]) for n in range(4)]
    wanted = ctx.needs_input_grad[:3]
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = [
            [differentiable(one, w, again) for one, w in zip(some, asked, strict=True)]
            for some, asked in zip(saved, wanted, strict=False)
        ]
        values = align_reference(clamped(_parts(*inputs, saved[3], *ctx.options))).values
        asked_for = [one for some in inputs for one in some if one.requires_grad]
        found = iter(gradients(values, asked_for, gradient, again))
    listed = [[next(found) if one.requires_grad else None for one in some] for some in inputs]
    return (*listed, [None] * count, *[None] * 6)


_LIBRARY: Any = torch.library.Library("robocache", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define(f"align({_ARGUMENTS}) -> (Tensor, Tensor, Tensor)")
_LIBRARY.define(f"align_out({_ARGUMENTS}, Tensor(a!) out) -> (Tensor, Tensor)")
_LIBRARY.impl("align", _align, "CompositeExplicitAutograd")
_LIBRARY.impl("align_out", _align_out, "CompositeExplicitAutograd")
torch.library.register_fake("robocache::align", _fake, lib=_LIBRARY)
torch.library.register_fake("robocache::align_out", _fake_out, lib=_LIBRARY)
torch.library.register_autograd(
    "robocache::align", _gradients, setup_context=_keep_inputs, lib=_LIBRARY
)
