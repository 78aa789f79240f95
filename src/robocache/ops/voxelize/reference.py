"""What a voxel grid means in this project: which voxel a point is in, and what is kept of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Reduce = Literal["occupancy", "count", "mean", "max", "sum"]
WHOLE_NUMBERS = 2**24
"""Up to here float32 holds every whole number."""


def voxelize_reference(
    points: Tensor,
    features: Tensor | None,
    edges: Sequence[float],
    dims: Sequence[int],
    origin: Sequence[float],
    reduce: str,
) -> tuple[Tensor, Tensor]:
    """Grid and dropped points of `voxelize`, which says what they are.

    Deterministic on any device and differentiable in `features`.

    Args:
        points: (..., N, 3).
        features: (..., N, C) for `mean`, `max` and `sum`, None for the others.
        edges: of a voxel along each axis, metres.
        dims: voxels along each axis, (X, Y, Z).
        origin: outer corner of voxel (0, 0, 0), metres.
        reduce: as in `voxelize`.
    """
    lead, count = points.shape[:-2], points.shape[-2]
    cells, clouds = math.prod(dims), math.prod(lead)
    inside, index = voxels_of(points.detach().reshape(clouds, count, 3), edges, dims, origin)
    voxel = index + torch.arange(clouds, device=points.device)[:, None] * cells
    if features is None:
        voxel = torch.where(
            inside, voxel, clouds * cells
        )  # one voxel more, for all that is outside
        grid = _counted(voxel.flatten(), clouds * cells + 1, reduce)[:-1].reshape(*lead, *dims)
    else:
        channels = features.shape[-1]
        grid = features.new_zeros((clouds, channels, cells))
        inner = features.reshape(clouds, count, channels)[inside]
        occupied, values = _reduced(inner, voxel[inside], reduce)
        grid[occupied // cells, :, occupied % cells] = values
        grid = grid.reshape(*lead, channels, *dims)
    return grid, (count - inside.sum(dim=-1)).reshape(lead)


def voxels_of(
    points: Tensor, edges: Sequence[float], dims: Sequence[int], origin: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Which of the points (clouds, N, 3) are inside, and the number of each one's voxel in its own
    grid, 0 outside; both (clouds, N)."""
    compute = torch.promote_types(points.dtype, torch.float32)
    exact = compute if math.prod(dims) <= WHOLE_NUMBERS else torch.float64
    inside = torch.ones(points.shape[:-1], dtype=torch.bool, device=points.device)
    index = torch.zeros((), dtype=exact, device=points.device)
    for axis, dim in enumerate(dims):
        lower, edge = (
            torch.full((), value[axis], dtype=torch.float64, device=points.device).to(compute)
            for value in (origin, edges)
        )  # tensors: by a number torch may multiply with its reciprocal
        cell = (points[..., axis].to(compute) - lower).div_(edge).floor_()
        inside &= cell >= 0  # NaN is not
        inside &= cell < dim
        index = cell.to(exact).add_(index, alpha=dim)
    return inside, torch.where(inside, index, 0).long()


def _counted(voxel: Tensor, voxels: int, reduce: str) -> Tensor:
    """(voxels,): whether there are points, or how many."""
    if reduce == "occupancy":
        return torch.zeros(voxels, dtype=torch.bool, device=voxel.device).index_fill(0, voxel, True)
    occupied, lengths = torch.unique(voxel, return_counts=True)
    grid = torch.zeros(voxels, dtype=torch.int32, device=voxel.device)
    return grid.index_copy(0, occupied, lengths.int())


def _reduced(features: Tensor, voxel: Tensor, reduce: str) -> tuple[Tensor, Tensor]:
    """Occupied voxels (S,), and the features (M, C) of each one's points made one, in their order.

    Computed in float32 at least; returned in the dtype of the features, (S, C).
    """
    order = torch.argsort(voxel, stable=True)
    occupied, lengths = torch.unique_consecutive(voxel[order], return_counts=True)
    compute = torch.promote_types(features.dtype, torch.float32)
    parts = features[order].to(compute)
    if parts.numel():
        parts = torch.segment_reduce(parts, reduce, lengths=lengths, axis=0)
    else:
        parts = parts[: len(occupied)]
    return occupied, parts.to(features.dtype)
