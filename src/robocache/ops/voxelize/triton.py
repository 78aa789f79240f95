"""The same on NVIDIA cards: a program places a block of points of one cloud.

Nothing waits for the device, and shapes follow from those that are given. Counts, dropped points
and maxima are the same in any order; sums are added in the order in which programs come.
Letters: C channels, N points; x0, y0, z0 the origin, dx, dy, dz the edges of a voxel, X, Y, Z
voxels along each axis. Lengths come as the bits of float64, which reach a kernel unchanged.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from robocache.ops.voxelize.checks import grid_like

POINTS, FEATURE_POINTS, VALUES = 256, 64, 1024
"""What one program handles: points, points with features, values of a grid."""
CHANNELS = (1, 4, 16)
"""Of which a program handles at most so many, the least of these that do."""
EMPTY = {torch.int32: -(2**31), torch.int64: -(2**63)}
"""Below every key of a maximum."""
LENGTHS = ("x0", "y0", "z0", "dx", "dy", "dz")
VARYING = ("count", *LENGTHS, "X", "Y", "Z")
"""Arguments for whose values nothing is compiled anew."""


def voxelize_triton(
    points: Tensor,
    features: Tensor | None,
    edges: Sequence[float],
    dims: Sequence[int],
    origin: Sequence[float],
    reduce: str,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As `voxelize_reference`, but for the order in which sums are added; into `out` if given."""
    with torch.cuda.device_of(points):
        shape, dtype = grid_like(points, features, dims, reduce)
        grid = points.new_empty(shape, dtype=dtype) if out is None else out
        dropped = torch.zeros(points.shape[:-2], dtype=torch.int64, device=points.device)
        place = (points.shape[-2], *map(_bits, origin), *map(_bits, edges), *dims)
        if features is None:
            _set_points(points.contiguous(), grid.zero_(), dropped, place, reduce == "count")
        else:
            _set_features(points.contiguous(), features.contiguous(), grid, dropped, place, reduce)
    return grid, dropped


def _bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def _programs(points: Tensor, block: int) -> int:
    return math.prod(points.shape[:-2]) * -(-points.shape[-2] // block)


def _set_points(
    points: Tensor, grid: Tensor, dropped: Tensor, place: tuple[int, ...], count: bool
) -> None:
    programs = _programs(points, POINTS)
    if programs:
        cells = grid if count else grid.view(torch.uint8)
        double = points.dtype == torch.float64
        _place[(programs,)](points, cells, dropped, *place, count, double, POINTS)


def _set_features(
    points: Tensor,
    features: Tensor,
    grid: Tensor,
    dropped: Tensor,
    place: tuple[int, ...],
    reduce: str,
) -> None:
    """Reduce in float32 at least, in the grid's memory where that is its dtype."""
    channels, cells = features.shape[-1], math.prod(place[-3:])
    parts = grid if grid.element_size() > 2 else torch.empty_like(grid, dtype=torch.float32)
    held = dropped.new_zeros(dropped.numel() * cells if reduce == "mean" else 0, dtype=torch.int32)
    if reduce == "max":
        parts = parts.view(torch.int64 if grid.dtype == torch.float64 else torch.int32)
        parts.fill_(EMPTY[parts.dtype])
    else:
        parts.zero_()
    programs = _programs(points, FEATURE_POINTS)
    if programs:
        together = next((most for most in CHANNELS if most >= channels), CHANNELS[-1])
        launch = (programs, max(1, -(-channels // together)))
        double = points.dtype == torch.float64
        given = (points, features, parts, held, dropped, channels, *place)
        _reduce[launch](*given, reduce, double, FEATURE_POINTS, together)
    if grid.numel() and (reduce != "sum" or parts is not grid):
        programs = dropped.numel() * channels * -(-cells // VALUES)
        _finish[(programs,)](parts, held, grid, channels, cells, reduce, VALUES)


@triton.jit
def _length(bits, DOUBLE: tl.constexpr):
    value = bits.to(tl.int64).to(tl.float64, bitcast=True)
    return value if DOUBLE else value.to(tl.float32)


@triton.jit
def _along(at, exists, lower, edge, dim, DOUBLE: tl.constexpr):
    """Number of the voxel along one axis, and whether there is one."""
    point = tl.load(at, mask=exists, other=0)
    if DOUBLE:
        steps = (point - _length(lower, DOUBLE)) / _length(edge, DOUBLE)
    else:
        steps = tl.div_rn(point.to(tl.float32) - _length(lower, DOUBLE), _length(edge, DOUBLE))
    inside = exists & (steps >= 0) & (steps < dim)  # NaN is not
    return tl.where(inside, steps, 0.0).to(tl.int64), inside


# fmt: off
@triton.jit
def _locate(
    points, count, x0, y0, z0, dx, dy, dz, X, Y, Z, DOUBLE: tl.constexpr, BLOCK: tl.constexpr
):
    """Of this program the cloud, the points' rows, where their voxels are in a list of those of
    all clouds, which are inside, and how many are not."""
    blocks = tl.cdiv(count, BLOCK)
    cloud = (tl.program_id(0) // blocks).to(tl.int64)
    number = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    exists = number < count
    row = cloud * count + number
    x, in_x = _along(points + row * 3, exists, x0, dx, X, DOUBLE)
    y, in_y = _along(points + row * 3 + 1, exists, y0, dy, Y, DOUBLE)
    z, in_z = _along(points + row * 3 + 2, exists, z0, dz, Z, DOUBLE)
    inside = in_x & in_y & in_z
    lost = tl.sum((exists & ~inside).to(tl.int64), axis=0)
    return cloud, row, (x * Y + y) * Z + z, inside, lost


@triton.jit(do_not_specialize=VARYING)
def _place(
    points, grid, dropped, count,
    x0: tl.int64, y0: tl.int64, z0: tl.int64, dx: tl.int64, dy: tl.int64, dz: tl.int64, X, Y, Z,
    COUNT: tl.constexpr, DOUBLE: tl.constexpr, BLOCK: tl.constexpr,
):
    """Mark or count points in the grid (clouds, X, Y, Z)."""
    cloud, _row, voxel, inside, lost = _locate(
        points, count, x0, y0, z0, dx, dy, dz, X, Y, Z, DOUBLE, BLOCK
    )
    at = grid + cloud * X * Y * Z + voxel
    if COUNT:
        tl.atomic_add(at, 1, mask=inside, sem="relaxed")
    else:
        tl.store(at, 1, mask=inside)
    tl.atomic_add(dropped + cloud, lost, mask=lost > 0, sem="relaxed")


@triton.jit(do_not_specialize=VARYING)
def _reduce(
    points, features, parts, held, dropped, channels, count,
    x0: tl.int64, y0: tl.int64, z0: tl.int64, dx: tl.int64, dy: tl.int64, dz: tl.int64, X, Y, Z,
    REDUCE: tl.constexpr, DOUBLE: tl.constexpr, BLOCK: tl.constexpr, CHANNELS: tl.constexpr,
):
    """Add to the parts (clouds, C, X, Y, Z), or raise the keys of maxima there."""
    cloud, row, voxel, inside, lost = _locate(
        points, count, x0, y0, z0, dx, dy, dz, X, Y, Z, DOUBLE, BLOCK
    )
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    mask = inside[:, None] & (channel < channels)[None, :]
    value = tl.load(features + row[:, None] * channels + channel[None, :], mask=mask, other=0)
    at = parts + (cloud * channels + channel[None, :]) * X * Y * Z + voxel[:, None]
    if REDUCE == "max":
        tl.atomic_max(at, _key(value), mask=mask, sem="relaxed")
    else:
        tl.atomic_add(at, value.to(parts.dtype.element_ty), mask=mask, sem="relaxed")
    if tl.program_id(1) == 0:
        if REDUCE == "mean":
            tl.atomic_add(held + cloud * X * Y * Z + voxel, 1, mask=inside, sem="relaxed")
        tl.atomic_add(dropped + cloud, lost, mask=lost > 0, sem="relaxed")
# fmt: on


@triton.jit
def _key(value):
    """Whole numbers in the order of the values, NaN above all."""
    if value.dtype == tl.float64:
        bits = value.to(tl.int64, bitcast=True)
        key = tl.where(
            value == value, bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF), 0x7FF8000000000000
        )
    else:
        value = value.to(tl.float32)
        bits = value.to(tl.int32, bitcast=True)
        key = tl.where(value == value, bits ^ ((bits >> 31) & 0x7FFFFFFF), 0x7FC00000)
    return key


@triton.jit
def _value(key):
    """The value of a key, 0 where there is none."""
    if key.dtype == tl.int64:
        bits = key ^ ((key >> 63) & 0x7FFFFFFFFFFFFFFF)
        value = tl.where(key == -0x8000000000000000, 0.0, bits.to(tl.float64, bitcast=True))
    else:
        bits = key ^ ((key >> 31) & 0x7FFFFFFF)
        value = tl.where(key == -0x80000000, 0.0, bits.to(tl.float32, bitcast=True))
    return value


@triton.jit(do_not_specialize=["channels", "cells"])
def _finish(parts, held, grid, channels, cells, REDUCE: tl.constexpr, BLOCK: tl.constexpr):
    """Write what the parts say to the grid (clouds, C, cells), which may be in their memory."""
    blocks = tl.cdiv(cells, BLOCK)
    row = (tl.program_id(0) // blocks).to(tl.int64)
    cell = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    exists = cell < cells
    found = tl.load(parts + row * cells + cell, mask=exists, other=0)
    if REDUCE == "max":
        found = _value(found)
    if REDUCE == "mean":
        points = tl.load(held + row // channels * cells + cell, mask=exists, other=1)
        points = tl.maximum(points, 1).to(found.dtype)
        found = found / points if found.dtype == tl.float64 else tl.div_rn(found, points)
    tl.store(grid + row * cells + cell, found.to(grid.dtype.element_ty), mask=exists)


def _variants() -> list[tuple[str, Any, dict[str, str], dict[str, Any]]]:
    """Name, kernel, types of its arguments and its constants, of every kind that is launched."""
    floats = ("fp32", "fp64", "fp16", "bf16")
    place = {"count": "i32", **dict.fromkeys(LENGTHS, "i64"), "X": "i32", "Y": "i32", "Z": "i32"}
    found = []

    def add(name: str, kernel: Any, types: dict[str, str], constants: dict[str, Any]) -> None:
        found.append((name, kernel, {**types, **dict.fromkeys(constants, "constexpr")}, constants))

    for kind in floats:
        for count in (False, True):
            types = {"points": f"*{kind}", "grid": "*i32" if count else "*u8", "dropped": "*i64"}
            constants: dict[str, Any]
            constants = {"COUNT": count, "DOUBLE": kind == "fp64", "BLOCK": POINTS}
            name = "count" if count else "occupancy"
            add(f"{name} {kind}", _place, {**types, **place}, constants)
    for kind in floats:
        double = kind == "fp64"
        for reduce in ("sum", "mean", "max"):
            whole = "i64" if double else "i32"
            parts = whole if reduce == "max" else "fp64" if double else "fp32"
            for points in dict.fromkeys(("fp32", "fp64", kind)):
                for channels in CHANNELS:
                    types = {"points": points, "features": kind, "parts": parts, "held": "i32"}
                    types = {name: f"*{of}" for name, of in {**types, "dropped": "i64"}.items()}
                    constants = {
                        "REDUCE": reduce,
                        "DOUBLE": points == "fp64",
                        "BLOCK": FEATURE_POINTS,
                        "CHANNELS": channels,
                    }
                    name = f"{reduce} {kind} of {points} C{channels}"
                    add(name, _reduce, {**types, "channels": "i32", **place}, constants)
            if reduce != "sum" or kind in ("fp16", "bf16"):
                types = {"parts": f"*{parts}", "held": "*i32", "grid": f"*{kind}"}
                sizes = {"channels": "i32", "cells": "i32"}
                constants = {"REDUCE": reduce, "BLOCK": VALUES}
                add(f"finish {reduce} {kind}", _finish, {**types, **sizes}, constants)
    return found


VARIANTS = _variants()
"""What can be compiled without a card."""
