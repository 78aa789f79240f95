"""The same in one pass over the points of a cloud, compiled by numba.

The arithmetic is that of the reference, operation by operation, and in the order of the points, so
grids are equal to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robocache.ops.compiled import compiled, in_threads
from robocache.ops.memory import zeros
from robocache.ops.voxelize.checks import grid_like

HALVES = (torch.float16, torch.bfloat16)
SUM, MEAN, MAX = 0, 1, 2
CODES = {"sum": SUM, "mean": MEAN, "max": MAX}
TOGETHER = 512
"""Points whose voxels are found at once: they stay in the nearest cache."""
OUTSIDE = -1


def voxelize_cpu(
    points: Tensor,
    features: Tensor | None,
    edges: Sequence[float],
    dims: Sequence[int],
    origin: Sequence[float],
    reduce: str,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As `voxelize_reference`; into contiguous `out` where given."""
    shape, dtype = grid_like(points, features, dims, reduce)
    grid = zeros(shape, dtype) if out is None else out
    lead, count = points.shape[:-2], points.shape[-2]
    clouds, cells = math.prod(lead), math.prod(dims)
    dropped = torch.empty(lead, dtype=torch.int64)
    compute = torch.promote_types(points.dtype, torch.float32)
    lower, size = (torch.tensor(one, dtype=torch.float64).to(compute) for one in (origin, edges))
    place = (lower.numpy(), size.numpy(), np.array(dims, _whole(cells)))
    given = points.detach().reshape(clouds, count * 3)
    lost, clear = dropped.reshape(clouds).numpy(), out is not None

    if features is None:
        kernel = _occupied if reduce == "occupancy" else _counted
        into = grid.reshape(clouds, cells).numpy()

        def run(begin: int, end: int) -> None:
            step = 1 if points.dtype in HALVES else end - begin  # what is converted stays cached
            for first in range(begin, end, step):
                part = slice(first, first + step)
                kernel(_array(given[part]), *place, into[part], clear, lost[part])

    else:
        channels = features.shape[-1]
        values = features.detach().reshape(clouds, count, channels)
        cloud_grids = grid.reshape(clouds, channels, cells)

        def run(begin: int, end: int) -> None:
            slots = np.zeros(cells, _whole(count))
            for cloud in range(begin, end):
                one = (_array(given[cloud]), *place, _array(values[cloud]), CODES[reduce])
                voxels, rows = _reduced(*one, slots, lost[cloud : cloud + 1])
                if clear:
                    cloud_grids[cloud].zero_()
                kept = torch.from_numpy(rows).to(dtype)
                _placed(_plain(kept), voxels, _plain(cloud_grids[cloud]))

    if clouds:
        in_threads(run, clouds, points.nbytes + grid.nbytes)
    return grid, dropped


def _whole(numbers: int) -> type[np.int32] | type[np.int64]:
    """A kind of whole numbers that reaches so far; the shorter is faster."""
    return np.int32 if numbers < 2**31 else np.int64


def _array(values: Tensor) -> NDArray[Any]:
    """Contiguous, halves as float32."""
    return np.ascontiguousarray(values.to(torch.promote_types(values.dtype, torch.float32)).numpy())


def _plain(values: Tensor) -> NDArray[Any]:
    """A view for copies of the values, of which numba need not know the dtype."""
    return (values.view(torch.int16) if values.dtype in HALVES else values).numpy()


@compiled
def _find(points, first, count, lower, edges, dims, voxel):  # type: ignore[no-untyped-def]
    """Write the voxels of `count` points from number `first` on, OUTSIDE where there is none.

    Without a branch and with indices without a sign: these are vector instructions.
    """
    real, whole = points.dtype.type, dims.dtype.type
    x0, y0, z0 = lower[0], lower[1], lower[2]
    dx, dy, dz = edges[0], edges[1], edges[2]
    columns, layers = dims[1], dims[2]
    x1, y1, z1 = real(dims[0]), real(columns), real(layers)
    zero, outside = real(0), whole(OUTSIDE)
    start = np.uintp(3 * first)
    for number in range(np.uintp(count)):
        at = start + np.uintp(3) * number
        x = (points[at] - x0) / dx
        y = (points[at + np.uintp(1)] - y0) / dy
        z = (points[at + np.uintp(2)] - z0) / dz
        inside = (x >= zero) & (x < x1) & (y >= zero) & (y < y1) & (z >= zero) & (z < z1)
        index = (whole(x) * columns + whole(y)) * layers + whole(z)
        voxel[number] = index if inside else outside


@compiled
def _find_inside(points, first, count, lower, edges, dims, voxel):  # type: ignore[no-untyped-def]
    """The same without points outside; how many are left."""
    _find(points, first, count, lower, edges, dims, voxel)
    kept = np.uintp(0)
    for number in range(np.uintp(count)):
        index = voxel[number]
        voxel[kept] = index
        kept += np.uintp(index >= 0)
    return kept


@compiled
def _occupied(points, lower, edges, dims, grid, clear, lost):  # type: ignore[no-untyped-def]
    voxel = np.empty(TOGETHER, dims.dtype)
    count = points.shape[1] // 3
    for cloud in range(len(points)):
        cells = grid[cloud]
        if clear:
            cells[:] = False
        lost[cloud] = count
        for first in range(0, count, TOGETHER):
            part = min(TOGETHER, count - first)
            kept = _find_inside(points[cloud], first, part, lower, edges, dims, voxel)
            for number in range(kept):
                cells[np.uintp(voxel[number])] = True
            lost[cloud] -= kept


@compiled
def _counted(points, lower, edges, dims, grid, clear, lost):  # type: ignore[no-untyped-def]
    voxel = np.empty(TOGETHER, dims.dtype)
    count = points.shape[1] // 3
    for cloud in range(len(points)):
        cells = grid[cloud]
        if clear:
            cells[:] = 0
        lost[cloud] = count
        for first in range(0, count, TOGETHER):
            part = min(TOGETHER, count - first)
            kept = _find_inside(points[cloud], first, part, lower, edges, dims, voxel)
            for number in range(kept):
                cells[np.uintp(voxel[number])] += 1
            lost[cloud] -= kept


@compiled
def _reduced(points, lower, edges, dims, features, reduce, slots, lost):  # type: ignore[no-untyped-def]
    """Occupied voxels (S,) as they first appear, and what is kept of the features (N, C) of each.

    `slots` (cells,) are zero before and after; between them they hold 1 + a voxel's place.
    """
    count, channels = features.shape
    most = min(count, len(slots))
    voxel = np.empty(TOGETHER, dims.dtype)
    voxels, held = np.empty(most, dims.dtype), np.zeros(most, np.int64)
    rows = np.empty((most, channels), features.dtype)
    given, kept = features.reshape(-1), rows.reshape(-1)
    occupied = 0
    lost[0] = 0
    for first in range(0, count, TOGETHER):
        part = min(TOGETHER, count - first)
        _find(points, first, part, lower, edges, dims, voxel)
        for number in range(part):
            index = voxel[number]
            if index < 0:
                lost[0] += 1
                continue
            slot = slots[index] - 1
            new = slot < 0
            if new:
                slot = occupied
                occupied += 1
                slots[index] = occupied
                voxels[slot] = index
            held[slot] += 1
            source = np.uintp((first + number) * channels)
            target = np.uintp(slot * channels)
            if reduce == MAX:
                for c in range(np.uintp(channels)):
                    value = given[source + c]
                    if new or value != value or kept[target + c] < value:
                        kept[target + c] = value
            else:
                if new:
                    for c in range(np.uintp(channels)):
                        kept[target + c] = 0
                for c in range(np.uintp(channels)):
                    kept[target + c] += given[source + c]
    for slot in range(occupied):
        slots[voxels[slot]] = 0
        if reduce == MEAN:
            points_held = rows.dtype.type(held[slot])
            for c in range(channels):
                rows[slot, c] /= points_held
    return voxels[:occupied], rows[:occupied]


@compiled
def _placed(rows, voxels, grid):  # type: ignore[no-untyped-def]
    """Write the rows (S, C) to their voxels in the grid (C, cells)."""
    for c in range(len(grid)):
        cells = grid[c]
        for slot in range(len(voxels)):
            cells[np.uintp(voxels[slot])] = rows[slot, c]
