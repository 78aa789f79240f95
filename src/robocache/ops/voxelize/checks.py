"""What can be asked for: points, features and grids that belong together and fit into memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, get_args

import psutil
import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError, unknown_name
from robocache.ops.arguments import require_tensors
from robocache.ops.voxelize.reference import Reduce

REDUCTIONS = get_args(Reduce)
NEGLIGIBLE = 2**20
"""For so few bytes the system is not asked what is free, which takes longer than a small grid."""


def check_points(points: Tensor, features: Tensor | None, reduce: str) -> None:
    """Raise unless the points are points and the features theirs, where there must be some."""
    if reduce not in REDUCTIONS:
        raise unknown_name("reduction", str(reduce), REDUCTIONS)
    require_tensors(points=points, **({} if features is None else {"features": features}))
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
    if features.device != points.device:
        raise ShapeError(f"features are on {features.device}, points on {points.device}")


def check_grid(
    voxel_size: float | Sequence[float], grid_dims: Sequence[int], origin: Sequence[float]
) -> tuple[list[float], list[int], list[float]]:
    """Edges of a voxel, voxels along each axis, and the outer corner; raises where it is none."""
    edges = _floats(voxel_size)
    edges = edges * 3 if len(edges) == 1 else edges
    if len(edges) != 3 or not all(math.isfinite(edge) and edge > 0 for edge in edges):
        raise ConfigError(f"voxel_size must be one or three lengths above 0, got {voxel_size!r}")
    dims = _floats(grid_dims)
    if len(dims) != 3 or not all(1 <= dim < 2**62 and dim.is_integer() for dim in dims):
        raise ConfigError(f"grid_dims must be three whole numbers above 0, got {grid_dims!r}")
    corner = _floats(origin)
    if len(corner) != 3 or not all(math.isfinite(value) for value in corner):
        raise ConfigError(f"origin must be three finite coordinates, got {origin!r}")
    return edges, [int(dim) for dim in dims], corner


def _floats(given: Any) -> list[float]:
    """Numbers one after the other, of one or several of any kind; none where they are none."""
    try:
        several = getattr(given, "ndim", hasattr(given, "__len__"))
        return [float(one) for one in (given if several else [given])]
    except (TypeError, ValueError, OverflowError):
        return []


def grid_like(
    points: Tensor, features: Tensor | None, dims: Sequence[int], reduce: str
) -> tuple[tuple[int, ...], torch.dtype]:
    """Shape and dtype of the grid of (..., N, 3) points."""
    lead = points.shape[:-2]
    if features is not None:
        return (*lead, features.shape[-1], *dims), features.dtype
    return (*lead, *dims), torch.bool if reduce == "occupancy" else torch.int32


def check_out(
    out: Tensor, points: Tensor, features: Tensor | None, dims: Sequence[int], reduce: str
) -> None:
    """Raise unless the grid can be written to `out`."""
    require_tensors(out=out)
    shape, dtype = grid_like(points, features, dims, reduce)
    if tuple(out.shape) != shape or out.dtype != dtype or out.device != points.device:
        raise ShapeError(
            f"out must be {shape} {dtype} on {points.device}, got {tuple(out.shape)} "
            f"{out.dtype} on {out.device}"
        )
    if not out.is_contiguous():
        raise ShapeError("out must be contiguous")
    wanted = features is not None and features.requires_grad and torch.is_grad_enabled()
    if out.requires_grad or wanted:
        raise ConfigError("out cannot be written to where gradients are asked for")


def require_memory(wanted: int, device: torch.device, max_bytes: int | None = None) -> None:
    """Refuse a grid of so many bytes while nothing of it has been allocated.

    Raises:
        ConfigError: above `max_bytes`; None: above the memory that is free now.
    """
    limit, whose = max_bytes, "max_bytes"
    if limit is None:
        if wanted <= NEGLIGIBLE:
            return
        limit, whose = _free_bytes(device), f"free memory of {device}"
    if wanted > limit:
        raise ConfigError(
            f"the voxel grid would take {wanted} bytes ({wanted / 2**30:.2f} GiB), above "
            f"{limit} ({whose}); use larger voxels, smaller grid_dims or smaller batches"
        )


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return int(psutil.virtual_memory().available)
