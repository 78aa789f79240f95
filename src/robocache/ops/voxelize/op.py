"""`voxelize`: checks, the choice of an implementation, and the operator of torch.

The operator `robocache::voxelize` looks like one step to autograd, `torch.compile` and tracing. Its
gradient is `gradient.py`, whatever computed the grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError
from robocache.ops.arguments import require_tensors
from robocache.ops.backends import preferred, require_backend
from robocache.ops.deproject import Convention, deproject
from robocache.ops.memory import check_apart, written
from robocache.ops.voxelize.checks import (
    check_grid,
    check_out,
    check_points,
    grid_like,
    require_memory,
)
from robocache.ops.voxelize.gradient import gradient_of_features
from robocache.ops.voxelize.reference import Reduce, voxelize_reference


def voxelize(
    points: Tensor,
    voxel_size: float | Sequence[float],
    grid_dims: Sequence[int],
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    reduce: Reduce = "occupancy",
    features: Tensor | None = None,
    deterministic: bool = False,
    *,
    return_dropped: bool = False,
    out: Tensor | None = None,
    backend: str | None = None,
    max_bytes: int | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Sort points into a dense grid; differentiable in `features`.

    A point p is in voxel i = floor((p - origin) / voxel_size), axis by axis. The subtraction and
    the division are IEEE operations in the dtype of the points (float16 and bfloat16 in float32),
    with `origin` and `voxel_size` rounded to it first: a voxel holds its lower faces and not its
    upper ones, [lo, hi). Points outside the grid and points with a NaN or infinite coordinate are
    dropped and counted. Sums run over the points of a voxel in their order, in float32 at least.

    Args:
        points: (..., N, 3) floating, metres.
        voxel_size: edge of a voxel in metres, or one edge for each axis.
        grid_dims: voxels along each axis, (X, Y, Z).
        origin: outer corner of voxel (0, 0, 0) in metres, the corner with the least coordinates
            (not its centre).
        reduce: `occupancy` (is there a point) and `count` take no features; `mean`, `max` and `sum`
            are of the features of the points in a voxel, 0 in an empty one.
        features: (..., N, C) floating, for `mean`, `max` and `sum`.
        deterministic: False: `mean` and `sum` may add in any order on a graphics card, so that
            last bits differ from run to run. Everything else is the same each time anyway.
        return_dropped: also return how many points were dropped.
        out: contiguous grid to write into, and to return; new memory costs more than the rest
            where it is large.
        backend: see `available_backends("voxelize")`; None: chosen by device, dtype and shape.
        max_bytes: largest grid to allocate; None: the memory that is free now.

    Returns:
        (..., X, Y, Z) bool for `occupancy`, int32 for `count`; (..., C, X, Y, Z) of the features'
        dtype for the others. With `return_dropped` also (...,) int64.

    Raises:
        ShapeError: points, features or out of the wrong shape, dtype or device.
        ConfigError: a setting that makes no grid, an unknown backend, or a grid above `max_bytes`,
            before it is made.
    """
    check_points(points, features, reduce)
    edges, dims, corner = check_grid(voxel_size, grid_dims, origin)
    asked = (points.detach(), features, edges, dims, corner, reduce, deterministic, backend)
    if out is None:
        grid, dropped = torch.ops.robocache.voxelize(*asked, max_bytes)
    else:
        check_out(out, points, features, dims, reduce)
        dropped = torch.ops.robocache.voxelize_out(*asked, max_bytes, out)
        grid = out
    return (grid, dropped) if return_dropped else grid


def voxelize_occupancy(
    depth_or_points: Tensor,
    voxel_size: float | Sequence[float],
    grid_dims: Sequence[int],
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    intrinsics: Tensor | None = None,
    extrinsics: Tensor | None = None,
    *,
    convention: Convention = "opencv",
    return_dropped: bool = False,
    out: Tensor | None = None,
    backend: str | None = None,
    max_bytes: int | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Which voxels there are points in, of points or of depth images.

    Args:
        depth_or_points: with `intrinsics` depth (..., H, W) in metres, as `deproject` takes it;
            without, points (..., N, 3).
        intrinsics, extrinsics, convention: of the cameras, as `deproject` takes them.
        voxel_size, grid_dims, origin, return_dropped, out, backend, max_bytes: as `voxelize` takes
            them. Pixels without a measurement are dropped.

    Returns:
        (..., X, Y, Z) bool. With `return_dropped` also (...,) int64.

    Raises:
        ShapeError, ConfigError: as `deproject` and `voxelize`; extrinsics without intrinsics.
    """
    require_tensors(depth_or_points=depth_or_points)
    points = depth_or_points
    if intrinsics is not None:
        points = deproject(points.detach(), intrinsics, extrinsics, convention).flatten(-3, -2)
    elif extrinsics is not None:
        raise ConfigError("extrinsics without intrinsics: depth needs both, points neither")
    elif points.ndim < 2 or points.shape[-1] != 3:
        raise ShapeError(
            f"points must be (..., N, 3), got {tuple(points.shape)}; depth needs intrinsics"
        )
    return voxelize(
        points,
        voxel_size,
        grid_dims,
        origin,
        return_dropped=return_dropped,
        out=out,
        backend=backend,
        max_bytes=max_bytes,
    )


def _chosen(backend: str | None, device: torch.device, reduce: str, deterministic: bool) -> str:
    """The implementation to use: what was asked for, else by device and determinism alone."""
    ordered = deterministic and reduce in ("sum", "mean")
    if backend is None:
        best = preferred("voxelize", device)
        return "torch" if best == "triton" and ordered else best
    require_backend("voxelize", backend, device)
    if backend == "triton" and ordered:
        raise ConfigError(
            f"backend='triton' of voxelize has no deterministic {reduce}: leave backend out"
        )
    return backend


def _compute(
    points: Tensor,
    features: Tensor | None,
    edges: list[float],
    dims: list[int],
    origin: list[float],
    reduce: str,
    deterministic: bool,
    backend: str | None,
    max_bytes: int | None,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    backend = _chosen(backend, points.device, reduce, deterministic)
    if out is None or backend == "torch":  # which writes to memory of its own first
        shape, dtype = grid_like(points, features, dims, reduce)
        require_memory(math.prod(shape) * dtype.itemsize, points.device, max_bytes)
    asked = (points, features, edges, dims, origin, reduce)
    if backend == "numba":
        from robocache.ops.voxelize.cpu import voxelize_cpu  # takes half a second to import

        return voxelize_cpu(*asked, out)
    if backend == "triton":
        from robocache.ops.voxelize.triton import voxelize_triton

        return voxelize_triton(*asked, out)
    grid, dropped = voxelize_reference(*asked)
    return (grid if out is None else out.copy_(grid)), dropped


_ARGUMENTS = (
    "Tensor points, Tensor? features, float[] edges, int[] dims, float[] origin, str reduce, "
    "bool deterministic, str? backend, int? max_bytes"
)


def _voxelize(*asked: Any) -> tuple[Tensor, Tensor]:
    return _compute(*asked)


def _voxelize_out(*asked: Any) -> Tensor:
    points, features, *_, out = asked
    check_apart(out, points=points, features=features)
    dropped = _compute(*asked)[1]
    written(out)
    return dropped


def _fake(
    points: Tensor,
    features: Tensor | None,
    edges: Any,
    dims: list[int],
    origin: Any,
    reduce: str,
    *rest: Any,
) -> tuple[Tensor, Tensor]:
    shape, dtype = grid_like(points, features, dims, reduce)
    return points.new_empty(shape, dtype=dtype), _fake_out(points)


def _fake_out(points: Tensor, *rest: Any) -> Tensor:
    return points.new_empty(points.shape[:-2], dtype=torch.int64)


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    points, features, *ctx.grid = inputs[:6]
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(points, features, output[0] if "max" in ctx.grid else None)


def _gradients(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    points, features, grid = ctx.saved_tensors
    found = gradient_of_features(gradient, points, features, grid, *ctx.grid)
    return None, found, *[None] * 7


_LIBRARY: Any = torch.library.Library("robocache", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define(f"voxelize({_ARGUMENTS}) -> (Tensor, Tensor)")
_LIBRARY.define(f"voxelize_out({_ARGUMENTS}, Tensor(a!) out) -> Tensor")
_LIBRARY.impl("voxelize", _voxelize, "CompositeExplicitAutograd")
_LIBRARY.impl("voxelize_out", _voxelize_out, "CompositeExplicitAutograd")
torch.library.register_fake("robocache::voxelize", _fake, lib=_LIBRARY)
torch.library.register_fake("robocache::voxelize_out", _fake_out, lib=_LIBRARY)
torch.library.register_autograd(
    "robocache::voxelize", _gradients, setup_context=_keep_inputs, lib=_LIBRARY
)
