"""`augment`: pictures changed as another camera, light and lens would have; one pass a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError
from robocache.ops.arguments import require_tensors
from robocache.ops.augment.parameters import ImageParameters
from robocache.ops.augment.reference import augment_reference, to_dtype
from robocache.ops.augment.tables import ImageTables, check_rows, tables_for
from robocache.ops.backends import chosen
from robocache.ops.memory import check_apart, empty, written

DTYPES = (torch.uint8, torch.float32)


def augment(
    images: Tensor,
    parameters: ImageParameters | ImageTables,
    *,
    dtype: torch.dtype | None = None,
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Pictures changed as the parameters say, each by its own; see `ImageParameters`.

    The same bits on every backend of a CPU. Parameters can be kept and used again, on the same
    pictures or on another camera's.

    Args:
        images: (N, H, W, 3) uint8, or float32 in [0, 1]: what lies outside counts as the nearest of
            these, what is no number as 0.
        parameters: of N pictures; or what `tables_for` made of them for this size and device, which
            a CUDA graph or a compiled function needs.
        dtype: uint8 or float32 (in [0, 1]) of the result; None: as `images`.
        out: contiguous (N, H, W, 3) of that dtype, to write into and to return.
        backend: see `available_backends("augment")`; None: chosen by the device.

    Returns:
        (N, H, W, 3); there is no gradient.

    Raises:
        ShapeError: pictures of another shape or dtype, or parameters of another number of them.
        ConfigError: an unknown backend, parameters of ranges; or a gradient is asked for.
    """
    _check(images, dtype, out)
    tables = (
        parameters
        if isinstance(parameters, ImageTables)
        else tables_for(parameters, images.shape[1], images.shape[2], images.device)
    )
    check_rows(tables._asdict(), images, "images")
    if torch.is_grad_enabled() and any(one.requires_grad for one in (images, *tables)):
        raise ConfigError("augment has no gradient: call it under torch.no_grad()")
    given = (images, *tables, images.dtype if dtype is None else dtype, backend)
    if out is None:
        found: Tensor = torch.ops.robocache.augment(*given)
        return found
    torch.ops.robocache.augment_out(*given, out)
    return out


def _check(images: Tensor, dtype: torch.dtype | None, out: Tensor | None) -> None:
    require_tensors(images=images, **({} if out is None else {"out": out}))
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype not in DTYPES:
        raise ShapeError(
            f"images must be (N, H, W, 3) uint8, or float32 in [0, 1]; got {tuple(images.shape)} "
            f"{images.dtype}"
        )
    if min(images.shape[1:3]) < 1:
        raise ShapeError(f"images have no pixels: {tuple(images.shape)}")
    if dtype not in (None, *DTYPES):
        raise ShapeError(f"dtype must be uint8 or float32, got {dtype}")
    wanted = dtype or images.dtype
    if out is not None and (
        out.shape != images.shape
        or out.dtype != wanted
        or out.device != images.device
        or not out.is_contiguous()
    ):
        raise ShapeError(
            f"out must be contiguous {tuple(images.shape)} {wanted} on {images.device}, got "
            f"{tuple(out.shape)} {out.dtype} on {out.device}"
        )
    if out is not None and out.requires_grad:
        raise ConfigError("out cannot be written to where gradients are asked for")


def _augment(images: Tensor, *given: Any) -> Tensor:
    *tables, dtype, backend = given
    out = empty(images.shape, dtype, images.device)
    _write(images, *tables, dtype, backend, out)
    return out


def _augment_out(images: Tensor, *given: Any) -> None:
    check_apart(given[-1], images=images)
    _write(images, *given)
    written(given[-1])


def _write(images: Tensor, *given: Any) -> None:
    *parts, dtype, backend, out = given
    tables = ImageTables(*parts)
    backend = chosen("augment", backend, images.device)
    if backend == "numba":
        from robocache.ops.augment.cpu import augment_cpu  # numba takes half a second to import

        augment_cpu(images, tables, out)
    elif backend == "triton":
        from robocache.ops.augment.triton import augment_triton

        augment_triton(images, tables, out)
    else:
        out.copy_(to_dtype(augment_reference(images, tables), dtype))


def _fake(images: Tensor, *given: Any) -> Tensor:
    return images.new_empty(images.shape, dtype=given[-2])


_TABLES = ", ".join(f"Tensor {name}" for name in ImageTables._fields)
_ARGUMENTS = f"Tensor images, {_TABLES}, ScalarType dtype, str? backend"
_LIBRARY: Any = torch.library.Library("robocache", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define(f"augment({_ARGUMENTS}) -> Tensor")
_LIBRARY.define(f"augment_out({_ARGUMENTS}, Tensor(a!) out) -> ()")
_LIBRARY.impl("augment", _augment, "CompositeExplicitAutograd")
_LIBRARY.impl("augment_out", _augment_out, "CompositeExplicitAutograd")
torch.library.register_fake("robocache::augment", _fake, lib=_LIBRARY)
torch.library.register_fake("robocache::augment_out", lambda *_: None, lib=_LIBRARY)
