"""`augment_depth`, `augment_points`: ranges as another sensor would have measured them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError
from robocache.ops.arguments import require_tensors
from robocache.ops.augment.parameters import RangeParameters
from robocache.ops.augment.tables import check_rows
from robocache.ops.backends import chosen
from robocache.ops.memory import check_apart, empty, written
from robocache.ops.philox import bell, philox

METRES, MILLIMETRES = 0.001, 1000.0
SHARE = 2.0**-24
FARTHEST_MM = 65535.0


class RangeTables(NamedTuple):
    """Parameters of N samples on one device; made once, they can be used again in a CUDA graph.

    Attributes:
        numbers: (N, 4) float32: noise_m, noise_share, outlier_low_m, and the width above it.
        limits: (N, 2) int64, dropout and outliers in units of 2**-32.
        key, frame: (N,) int64.
    """

    numbers: Tensor
    limits: Tensor
    key: Tensor
    frame: Tensor


def range_tables(parameters: RangeParameters, device: torch.device | str = "cpu") -> RangeTables:
    """Parameters made ready for a device.

    Raises:
        ShapeError: a parameter has no row for each sample.
        ConfigError: a parameter is not finite.
    """
    parameters.check_rows()
    p = parameters
    width = p.outlier_high_m - p.outlier_low_m
    numbers = torch.stack([p.noise_m, p.noise_share, p.outlier_low_m, width], dim=1).float()
    shares = torch.stack([p.dropout, p.outliers], dim=1).double()
    compiling = torch.compiler.is_compiling()  # a graph cannot ask
    if not compiling and not bool(torch.isfinite(torch.cat([numbers, shares], dim=1)).all()):
        parameters.check_finite()
    limits = (shares * 2.0**32).round().long()
    return RangeTables(*(t.to(device).contiguous() for t in (numbers, limits, p.key, p.frame)))


def augment_depth(
    depth: Tensor,
    parameters: RangeParameters | RangeTables,
    *,
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Depth images with lost returns, noise and outliers; see `RangeParameters`.

    Args:
        depth: (N, H, W) uint16 millimetres or float32 metres; what is 0, negative or not finite is
            no return and stays as it is.
        parameters: of N images, or what `range_tables` made of them for this device.
        out: contiguous (N, H, W) of the dtype of `depth`, to write into and to return.
        backend: see `available_backends("augment")`; None: chosen by the device.

    Returns:
        (N, H, W) of the dtype of `depth`, 0 where a return is lost.

    Raises:
        ShapeError: depth of another shape or dtype, or parameters of another number of images.
        ConfigError: an unknown backend, parameters of pictures; or a gradient is asked for.
    """
    require_tensors(depth=depth)
    if depth.ndim != 3 or depth.dtype not in (torch.uint16, torch.float32):
        raise ShapeError(
            f"depth must be (N, H, W) uint16 millimetres or float32 metres; got "
            f"{tuple(depth.shape)} {depth.dtype}"
        )
    return _changed(depth, parameters, out, backend, points=False)


def augment_points(
    points: Tensor,
    parameters: RangeParameters | RangeTables,
    *,
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """LiDAR scans with lost returns, and noise and outliers along the rays.

    Args:
        points: (N, M, 3) float32 metres, the sensor at the origin.
        parameters, out, backend: as in `augment_depth`.

    Returns:
        (N, M, 3) float32, NaN where a return is lost; `voxelize` drops these.

    Raises:
        ShapeError, ConfigError: as in `augment_depth`.
    """
    require_tensors(points=points)
    if points.ndim != 3 or points.shape[2] != 3 or points.dtype != torch.float32:
        raise ShapeError(
            f"points must be (N, M, 3) float32 metres; got {tuple(points.shape)} {points.dtype}"
        )
    return _changed(points, parameters, out, backend, points=True)


def _changed(
    values: Tensor,
    parameters: RangeParameters | RangeTables,
    out: Tensor | None,
    backend: str | None,
    *,
    points: bool,
) -> Tensor:
    if isinstance(parameters, RangeTables):
        tables = parameters
    elif isinstance(parameters, RangeParameters):
        tables = range_tables(parameters, values.device)
    else:
        raise ConfigError(
            "parameters must be RangeParameters, or what range_tables made of them; got "
            f"{type(parameters).__name__}"
        )
    check_rows(tables._asdict(), values, "of points" if points else "of depth")
    if torch.is_grad_enabled() and any(one.requires_grad for one in (values, *tables)):
        raise ConfigError("augmentation has no gradient: call it under torch.no_grad()")
    if out is None:
        found: Tensor = torch.ops.robocache.augment_ranges(values, *tables, points, backend)
        return found
    require_tensors(out=out)
    if (out.shape, out.dtype, out.device) != (values.shape, values.dtype, values.device):
        raise ShapeError(
            f"out must be {tuple(values.shape)} {values.dtype} on {values.device}, got "
            f"{tuple(out.shape)} {out.dtype} on {out.device}"
        )
    if not out.is_contiguous():
        raise ShapeError("out must be contiguous")
    if out.requires_grad:
        raise ConfigError("out cannot be written to where gradients are asked for")
    torch.ops.robocache.augment_ranges_out(values, *tables, points, backend, out)
    return out


def ranges_reference(values: Tensor, tables: RangeTables, points: bool) -> Tensor:
    """The definition: depth (N, H, W) or points (N, M, 3) with lost returns, noise, outliers."""
    if points:
        x, y, z = values.unbind(2)
        distance = ((x * x + y * y) + z * z).double().sqrt().float()  # rounds correctly
        new = _measured(distance, tables)
        seen = torch.isfinite(distance) & (distance > 0)
        factor = torch.where(seen, new / torch.where(seen, distance, 1.0), 1.0)
        factor = torch.where(seen & (new == 0), torch.nan, factor)
        return values * factor[..., None]
    if values.dtype == torch.float32:
        return _measured(values.flatten(1), tables).reshape(values.shape)
    metres = values.float() * METRES
    new = _measured(metres.flatten(1), tables).reshape(values.shape) * MILLIMETRES
    return (new + 0.5).floor().clamp(max=FARTHEST_MM).to(torch.uint16)


def _measured(distance: Tensor, tables: RangeTables) -> Tensor:
    """(N, M) metres as measured, 0 where a return is lost; what is no return stays."""
    number = torch.arange(distance.shape[1], device=distance.device)
    key, frame = tables.key[:, None], tables.frame[:, None]
    noise_m, noise_share, low, width = tables.numbers[:, :, None].unbind(1)
    noisy = distance + (noise_m + noise_share * distance) * bell(philox(key, number, frame, 1))
    lost, odd, where, _ = philox(key, number, frame, 2)
    new = torch.where(noisy > 0, noisy, 0.0)
    new = torch.where(odd < tables.limits[:, 1:], low + (where >> 8).float() * SHARE * width, new)
    new = torch.where(lost < tables.limits[:, :1], 0.0, new)
    return torch.where(torch.isfinite(distance) & (distance > 0), new, distance)


def _augment_ranges(values: Tensor, *given: Any) -> Tensor:
    out = empty(values.shape, values.dtype, values.device)
    _write(values, *given, out)
    return out


def _augment_ranges_out(values: Tensor, *given: Any) -> None:
    points, _backend, out = given[-3:]
    if out.data_ptr() != values.data_ptr() or not values.is_contiguous():  # each by itself
        check_apart(out, **{"points" if points else "depth": values})
    _write(values, *given)
    written(out)


def _write(values: Tensor, *given: Any) -> None:
    *parts, points, backend, out = given
    tables = RangeTables(*parts)
    backend = chosen("augment", backend, values.device)
    if backend == "numba":
        from robocache.ops.augment.ranges_cpu import ranges_cpu  # numba takes a while to import

        ranges_cpu(values, tables, points, out)
    elif backend == "triton":
        from robocache.ops.augment.triton import ranges_triton

        ranges_triton(values, tables, points, out)
    else:
        out.copy_(ranges_reference(values, tables, points))


def _fake(values: Tensor, *given: Any) -> Tensor:
    return values.new_empty(values.shape)


_TABLES = ", ".join(f"Tensor {name}" for name in RangeTables._fields)
_ARGUMENTS = f"Tensor values, {_TABLES}, bool points, str? backend"
_LIBRARY: Any = torch.library.Library("robocache", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define(f"augment_ranges({_ARGUMENTS}) -> Tensor")
_LIBRARY.define(f"augment_ranges_out({_ARGUMENTS}, Tensor(a!) out) -> ()")
_LIBRARY.impl("augment_ranges", _augment_ranges, "CompositeExplicitAutograd")
_LIBRARY.impl("augment_ranges_out", _augment_ranges_out, "CompositeExplicitAutograd")
torch.library.register_fake("robocache::augment_ranges", _fake, lib=_LIBRARY)
torch.library.register_fake("robocache::augment_ranges_out", lambda *_: None, lib=_LIBRARY)
