"""How the gradient of a grid reaches the features, as through the reference, without a sort.

Letters: C channels, N points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from robocache.ops.voxelize.reference import voxels_of


def gradient_of_features(
    gradient: Tensor,
    points: Tensor,
    features: Tensor,
    grid: Tensor | None,
    edges: Sequence[float],
    dims: Sequence[int],
    origin: Sequence[float],
    reduce: str,
) -> Tensor:
    """(..., N, C) from the gradient (..., C, X, Y, Z); equal maxima share theirs evenly.

    Args:
        gradient: of the grid.
        points, edges, dims, origin, reduce: what the grid was made from.
        features: (..., N, C); their values matter to `max` alone.
        grid: (..., C, X, Y, Z) values, of which `max` has need.
    """
    clouds, count = math.prod(points.shape[:-2]), points.shape[-2]
    channels, cells = features.shape[-1], math.prod(dims)
    inside, voxel = voxels_of(points.reshape(clouds, count, 3), edges, dims, origin)
    compute = torch.promote_types(features.dtype, torch.float32)
    wide = voxel[:, None].expand(clouds, channels, count)

    def at_points(values: Tensor) -> Tensor:
        """(clouds, C, N) of what is in the voxels (clouds, C, cells)."""
        return values.reshape(clouds, channels, cells).gather(2, wide).to(compute)

    found = at_points(gradient)
    if reduce == "mean":
        held = voxel.new_zeros(clouds, cells).scatter_add_(1, voxel, inside.long())
        found = found / held.gather(1, voxel).clamp_min_(1)[:, None]
    chosen = inside[:, None]
    if reduce == "max":
        assert grid is not None
        values = features.reshape(clouds, count, channels).mT.to(compute)
        chosen = chosen & ((values == at_points(grid)) | values.isnan())
        ties = voxel.new_zeros(clouds, channels, cells).scatter_add_(2, wide, chosen.long())
        found = found / ties.gather(2, wide).clamp_min_(1)
    return torch.where(chosen, found, 0).mT.reshape(features.shape).to(features.dtype)
