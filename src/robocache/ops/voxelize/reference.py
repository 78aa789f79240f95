"""What a voxel grid means in this project: which voxel a point is in, and what is kept of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import psutil
import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError, unknown_name

Reduce = Literal["occupancy", "count", "mean", "max", "sum"]
WHOLE_NUMBERS = 2**24
"""Up to here float32 holds every whole number."""


def voxelize(
    points: Tensor,
    voxel_size: float | Sequence[float],
    grid_dims: Sequence[int],
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    reduce: Reduce = "occupancy",
    features: Tensor | None = None,
    *,
    return_dropped: bool = False,
    max_bytes: int | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Sort points into a dense grid; deterministic, differentiable in `features`.

    A point p is in voxel i = floor((p - origin) / voxel_size), axis by axis. The subtraction and
    the division are IEEE operations in the dtype of the points (float16 and bfloat16 in float32),
    with `origin` and `voxel_size` rounded to it first: a voxel holds its lower faces and not its
    upper ones, [lo, hi). Points outside the grid and points with a NaN or infinite coordinate are
    dropped and counted. Sums run over the points of a voxel in their order.

    Args:
        points: (..., N, 3) floating, metres.
        voxel_size: edge of a voxel in metres, or one edge for each axis.
        grid_dims: voxels along each axis, (X, Y, Z).
        origin: outer corner of voxel (0, 0, 0) in metres, the corner with the least coordinates
            (not its centre).
        reduce: `occupancy` (is there a point) and `count` take no features; `mean`, `max` and `sum`
            are of the features of the points in a voxel, 0 in an empty one.
        features: (..., N, C) floating, for `mean`, `max` and `sum`.
        return_dropped: also return how many points were dropped.
        max_bytes: largest grid to allocate; None: the memory that is free now.

    Returns:
        (..., X, Y, Z) bool for `occupancy`, int32 for `count`; (..., C, X, Y, Z) of the features'
        dtype for the others. With `return_dropped` also (...,) int64.

    Raises:
        ShapeError: points or features of the wrong shape or dtype.
        ConfigError: a setting that makes no grid, or a grid above `max_bytes`, before it is made.
    """
    _check_points(points, features, reduce)
    lead, count = points.shape[:-2], points.shape[-2]
    dims, size = _check_grid(voxel_size, grid_dims, origin)
    channels = 1 if features is None else features.shape[-1]
    cells, clouds = math.prod(dims), math.prod(lead)
    wanted = clouds * channels * cells * _out_dtype(reduce, features).itemsize
    require_memory(wanted, points.device, max_bytes)

    inside, index = _cells(points.detach().reshape(clouds, count, 3), size, dims, origin)
    first = torch.arange(clouds, device=points.device)[:, None] * cells
    voxel = torch.where(inside, index, 0).long().add_(first)

    if features is None:
        voxel = torch.where(
            inside, voxel, clouds * cells
        )  # one voxel more, for all that is outside
        grid = _counted(voxel.flatten(), clouds * cells + 1, reduce)[:-1].reshape(*lead, *dims)
    else:
        grid = features.new_zeros((clouds, channels, cells))
        inner = features.reshape(clouds, count, channels)[inside]
        occupied, values = _reduced(inner, voxel[inside], reduce)
        grid[occupied // cells, :, occupied % cells] = values
        grid = grid.reshape(*lead, channels, *dims)
    if not return_dropped:
        return grid
    return grid, count - inside.sum(dim=-1).reshape(lead)


def _cells(
    points: Tensor, size: Sequence[float], dims: Sequence[int], origin: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Which of the points (clouds, N, 3) are inside, and the number of each one's voxel there."""
    compute = torch.promote_types(points.dtype, torch.float32)
    exact = compute if math.prod(dims) <= WHOLE_NUMBERS else torch.float64
    inside = torch.ones(points.shape[:-1], dtype=torch.bool, device=points.device)
    index = torch.zeros((), dtype=exact, device=points.device)
    lower, edges = points.new_tensor([origin, size], dtype=compute)
    for axis, dim in enumerate(dims):
        cell = (points[..., axis].to(compute) - lower[axis]).div_(edges[axis]).floor_()
        inside &= cell >= 0  # NaN is not
        inside &= cell < dim
        index = cell.to(exact).add_(index, alpha=dim)
    return inside, index


def _counted(voxel: Tensor, voxels: int, reduce: Reduce) -> Tensor:
    """(voxels,): whether there are points, or how many."""
    if reduce == "occupancy":
        return torch.zeros(voxels, dtype=torch.bool, device=voxel.device).index_fill(0, voxel, True)
    occupied, lengths = torch.unique(voxel, return_counts=True)
    grid = torch.zeros(voxels, dtype=torch.int32, device=voxel.device)
    return grid.index_copy(0, occupied, lengths.int())


def _reduced(features: Tensor, voxel: Tensor, reduce: Reduce) -> tuple[Tensor, Tensor]:
    """Occupied voxels (S,), and the features (M, C) of each one's points made one, in their order.

    Computed in float32 at least; returned in the dtype of the features, (S, C).
    """
    order = torch.argsort(voxel, stable=True)
    occupied, lengths = torch.unique_consecutive(voxel[order], return_counts=True)
    compute = torch.promote_types(features.dtype, torch.float32)
    parts = features[order].to(compute)
    if parts.numel():
        parts = torch.segment_reduce(parts, reduce, lengths=lengths, axis=0)
    return occupied, parts.to(features.dtype)


def _out_dtype(reduce: Reduce, features: Tensor | None) -> torch.dtype:
    if features is not None:
        return features.dtype
    return torch.bool if reduce == "occupancy" else torch.int32


def _check_points(points: Tensor, features: Tensor | None, reduce: Reduce) -> None:
    if reduce not in get_args(Reduce):
        raise unknown_name("reduction", reduce, get_args(Reduce))
    if points.ndim < 2 or points.shape[-1] != 3 or not points.is_floating_point():
        raise ShapeError(
            f"points must be (..., N, 3) floating, got {tuple(points.shape)} {points.dtype}"
        )
    if (features is None) != (reduce in ("occupancy", "count")):
        takes = "needs features" if features is None else "takes no features"
        raise ConfigError(f"reduce={reduce!r} {takes}")
    if features is None:
        return
    if features.shape[:-1] != points.shape[:-1] or not features.is_floating_point():
        raise ShapeError(
            f"features must be {(*points.shape[:-1], 'C')} floating as the points are, "
            f"got {tuple(features.shape)} {features.dtype}"
        )


def _check_grid(
    voxel_size: float | Sequence[float], grid_dims: Sequence[int], origin: Sequence[float]
) -> tuple[tuple[int, ...], list[float]]:
    """Voxels along each axis and their edges."""
    edges = [voxel_size] * 3 if isinstance(voxel_size, int | float) else list(voxel_size)
    if len(edges) != 3 or not all(math.isfinite(edge) and edge > 0 for edge in edges):
        raise ConfigError(f"voxel_size must be one or three lengths above 0, got {voxel_size}")
    if len(grid_dims) != 3 or any(int(dim) != dim or dim < 1 for dim in grid_dims):
        raise ConfigError(f"grid_dims must be three whole numbers above 0, got {grid_dims}")
    if len(origin) != 3 or not all(math.isfinite(value) for value in origin):
        raise ConfigError(f"origin must be three finite coordinates, got {origin}")
    return tuple(int(dim) for dim in grid_dims), [float(edge) for edge in edges]


def require_memory(wanted: int, device: torch.device, max_bytes: int | None = None) -> None:
    """Refuse a grid of so many bytes while nothing of it has been allocated.

    Raises:
        ConfigError: above `max_bytes`; None: above the memory that is free now.
    """
    limit, whose = max_bytes, "max_bytes"
    if limit is None:
        limit, whose = _free_bytes(device), f"free memory of {device}"
    if wanted > limit:
        raise ConfigError(
            f"the voxel grid would take {wanted} bytes ({wanted / 2**30:.2f} GiB), above "
            f"{limit} ({whose}); use larger voxels, smaller grid_dims or smaller batches"
        )


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
