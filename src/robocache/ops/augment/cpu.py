"""The same compiled by numba: each picture once through the cache, in as many threads as torch has.

The arithmetic is that of the reference, operation by operation, so results are equal to the bit.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

from robocache.ops.augment.parameters import CURVE_STEPS
from robocache.ops.augment.reference import BYTE
from robocache.ops.augment.tables import ImageTables
from robocache.ops.philox import BELL_MIDDLE, BELL_SCALE, MULTIPLIERS, ROUNDS, WEYL
from robocache.ops.resample.cpu import compiled, in_threads

_BYTE = np.float32(BYTE)
_STEPS = np.float32(CURVE_STEPS)
_LAST = CURVE_STEPS - 1
_SCALE = np.float32(BELL_SCALE)
_MIDDLE = np.int64(BELL_MIDDLE)
_ZERO, _HALF, _ONE, _FULL = (np.float32(value) for value in (0, 0.5, 1, 255))


def augment_cpu(images: Tensor, tables: ImageTables, out: Tensor) -> None:
    """As `augment_reference`, into contiguous `out`."""
    given = images.contiguous().numpy()
    arrays = tuple(table.numpy() for table in tables)
    into = out.numpy()
    unit = _BYTE if images.dtype == torch.uint8 else _ONE
    to_bytes = out.dtype == torch.uint8

    def run(begin: int, end: int) -> None:
        _augment(given, unit, *arrays, into, to_bytes, begin, end)

    in_threads(run, len(images), 4 * out.numel())


@compiled
def _augment(  # type: ignore[no-untyped-def]
    images, unit, crop, gradient, colour, curve, taps, radius, boxes, box_colours, noise, key,
    frame, out, to_bytes, begin, end,
):  # fmt: skip
    height, width = images.shape[1], images.shape[2]
    picture = np.empty((height, width * 3), np.float32)
    blurred = np.empty((height, width * 3), np.float32)
    for n in range(begin, end):
        for y in range(height):
            for x in range(width):
                for c in range(3):
                    picture[y, 3 * x + c] = np.float32(images[n, y, x, c]) * unit
        source = picture
        if radius[n] > 0:
            _blur(picture, taps[n], radius[n], blurred)
            source = blurred
        _develop(
            source, crop[n], gradient[n], colour[n], curve[n], boxes[n], box_colours[n], noise[n],
            np.uint64(key[n]), np.uint32(frame[n]), out[n],
            to_bytes,
        )  # fmt: skip


@compiled
def _blur(picture, taps, radius, blurred):  # type: ignore[no-untyped-def]
    height, wide = picture.shape
    middle = taps.shape[0] // 2
    row = np.empty(wide + 6 * radius, np.float32)
    for y in range(height):
        into = blurred[y]
        into[:] = _ZERO
        for dy in range(-radius, radius + 1):
            line = picture[min(max(y + dy, 0), height - 1)]
            row[3 * radius : 3 * radius + wide] = line
            for r in range(radius):
                for c in range(3):
                    row[3 * r + c] = line[c]
                    row[3 * radius + wide + 3 * r + c] = line[wide - 3 + c]
            for dx in range(2 * radius + 1):
                weight = taps[middle + dy, middle - radius + dx]
                part = row[3 * dx : 3 * dx + wide]
                for i in range(wide):
                    into[i] += weight * part[i]


@compiled
def _develop(  # type: ignore[no-untyped-def]
    source, crop, gradient, colour, curve, boxes, box_colours, noise, key, frame, out,
    to_bytes,
):  # fmt: skip
    height, width = out.shape[0], out.shape[1]
    tall, wide = np.float32(height - 1), np.float32(width - 1)
    per_row, per_column = np.float32(2 / height), np.float32(2 / width)
    values = np.empty((width, 3), np.float32)
    for y in range(height):
        place = min(max(crop[0] + np.float32(y) * crop[2], _ZERO), tall)
        top = int(place)
        bottom = min(top + 1, height - 1)
        down = place - np.float32(top)
        gradient_y = _ONE + gradient[0] * ((np.float32(y) + _HALF) * per_row - _ONE)
        for x in range(width):
            place = min(max(crop[1] + np.float32(x) * crop[2], _ZERO), wide)
            left = int(place)
            right = min(left + 1, width - 1)
            along = place - np.float32(left)
            light = gradient_y + gradient[1] * ((np.float32(x) + _HALF) * per_column - _ONE)
            for c in range(3):
                upper, lower = source[top, 3 * left + c], source[bottom, 3 * left + c]
                upper = upper + along * (source[top, 3 * right + c] - upper)
                lower = lower + along * (source[bottom, 3 * right + c] - lower)
                values[x, c] = (upper + down * (lower - upper)) * light
            red, green, blue = values[x, 0], values[x, 1], values[x, 2]
            for c in range(3):
                value = (colour[4 * c] * red + colour[4 * c + 1] * green) + colour[4 * c + 2] * blue
                value = min(max(value + colour[4 * c + 3], _ZERO), _ONE)
                place = value * _STEPS
                low = min(int(place), _LAST)
                share = place - np.float32(low)
                values[x, c] = curve[low] + share * (curve[low + 1] - curve[low])
        for k in range(len(boxes)):
            if boxes[k, 0] <= y < boxes[k, 2]:
                for x in range(max(boxes[k, 1], 0), min(boxes[k, 3], width)):
                    values[x] = box_colours[k]
        for x in range(width):
            for c in range(3):
                value = values[x, c]
                if noise != 0:
                    number = np.uint32((y * width + x) * 3 + c)
                    value = value + noise * bell_at(key, number, frame, np.uint32(0))
                value = min(max(value, _ZERO), _ONE)
                out[y, x, c] = np.floor(value * _FULL + _HALF) if to_bytes else value


@njit(inline="always")
def words_at(key, c0, c1, c2):  # type: ignore[no-untyped-def]
    """As `philox`."""
    word = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    k0, k1 = key & word, key >> shift
    x0, x1, x2, x3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(0)
    for _ in range(ROUNDS):
        low, high = x0 * np.uint64(MULTIPLIERS[0]), x2 * np.uint64(MULTIPLIERS[1])
        x0 = (high >> shift) ^ x1 ^ k0
        x2 = (low >> shift) ^ x3 ^ k1
        x1, x3 = high & word, low & word
        k0, k1 = (k0 + np.uint64(WEYL[0])) & word, (k1 + np.uint64(WEYL[1])) & word
    return x0, x1, x2, x3


@njit(inline="always")
def bell_at(key, c0, c1, c2):  # type: ignore[no-untyped-def]
    """As `bell`."""
    half = np.uint64(0xFFFF)
    shift = np.uint64(16)
    a, b, c, d = words_at(key, c0, c1, c2)
    total = (a & half) + (a >> shift) + (b & half) + (b >> shift)
    total += (c & half) + (c >> shift) + (d & half) + (d >> shift)
    return np.float32(np.int64(total) - _MIDDLE) * _SCALE
