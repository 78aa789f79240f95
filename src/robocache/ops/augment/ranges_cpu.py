"""The same for ranges, compiled by numba; equal to the reference to the bit."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from robocache.ops.augment.cpu import bell_at, words_at
from robocache.ops.augment.ranges import FARTHEST_MM, METRES, MILLIMETRES, SHARE, RangeTables
from robocache.ops.compiled import compiled, in_threads

_METRES, _MILLIMETRES, _FARTHEST = (np.float32(v) for v in (METRES, MILLIMETRES, FARTHEST_MM))
_SHARE, _ZERO, _HALF = np.float32(SHARE), np.float32(0), np.float32(0.5)


def ranges_cpu(values: Tensor, tables: RangeTables, points: bool, out: Tensor) -> None:
    """As `ranges_reference`, into contiguous `out`."""
    shape = (len(values), -1, 3) if points else (len(values), -1)
    given = values.contiguous().numpy().reshape(shape) if values.numel() else values.numpy()
    into = out.numpy().reshape(shape) if out.numel() else out.numpy()
    arrays = tuple(table.numpy() for table in tables)
    kernel = _points if points else _depth if out.dtype == torch.float32 else _millimetres

    def run(begin: int, end: int) -> None:
        if out.numel():
            kernel(given, *arrays, into, begin, end)

    in_threads(run, len(values), 8 * out.numel())


@compiled
def _depth(values, numbers, limits, key, frame, out, begin, end):  # type: ignore[no-untyped-def]
    for n in range(begin, end):
        for m in range(values.shape[1]):
            out[n, m] = _measured(values[n, m], numbers[n], limits[n], key[n], frame[n], m)


@compiled
def _millimetres(values, numbers, limits, key, frame, out, begin, end):  # type: ignore[no-untyped-def]
    for n in range(begin, end):
        for m in range(values.shape[1]):
            metres = np.float32(values[n, m]) * _METRES
            new = _measured(metres, numbers[n], limits[n], key[n], frame[n], m) * _MILLIMETRES
            out[n, m] = np.uint16(min(np.floor(new + _HALF), _FARTHEST))


@compiled
def _points(values, numbers, limits, key, frame, out, begin, end):  # type: ignore[no-untyped-def]
    for n in range(begin, end):
        for m in range(values.shape[1]):
            x, y, z = values[n, m]
            distance = np.sqrt((x * x + y * y) + z * z)
            factor = np.float32(1)
            if np.isfinite(distance) and distance > 0:
                new = _measured(distance, numbers[n], limits[n], key[n], frame[n], m)
                factor = new / distance if new != 0 else np.float32(np.nan)
            for c in range(3):
                out[n, m, c] = values[n, m, c] * factor


@compiled
def _measured(distance, numbers, limits, key, frame, number):  # type: ignore[no-untyped-def]
    if not (np.isfinite(distance) and distance > 0):
        return distance
    lost, odd, where, _ = words_at(
        np.uint64(key), np.uint32(number), np.uint32(frame), np.uint32(2)
    )
    if np.int64(lost) < limits[0]:
        return _ZERO
    if np.int64(odd) < limits[1]:
        return numbers[2] + np.float32(where >> np.uint64(8)) * _SHARE * numbers[3]
    noise = bell_at(np.uint64(key), np.uint32(number), np.uint32(frame), np.uint32(1))
    noisy = distance + (numbers[0] + numbers[1] * distance) * noise
    return noisy if noisy > 0 else _ZERO
