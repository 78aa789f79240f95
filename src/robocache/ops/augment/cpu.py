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
from robocache.ops.compiled import compiled, in_threads
from robocache.ops.philox import BELL_MIDDLE, BELL_SCALE, MULTIPLIERS, ROUNDS, WEYL

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
            line, into = images[n, y].reshape(3 * width), picture[y]
            for i in range(3 * width):
                into[i] = _within(np.float32(line[i]) * unit, _ONE)
        source = picture
        if radius[n] > 0:
            _blur(picture, taps[n], radius[n], blurred)
            source = blurred
        _develop(
            source, crop[n], gradient[n], colour[n], curve[n], boxes[n], box_colours[n], noise[n],
            np.uint64(key[n]), np.uint64(frame[n]), out[n],
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
    source, crop, gradient, colour, curve, boxes, box_colours, noise, key, frame, out, to_bytes,
):  # fmt: skip
    """Row by row, each step over the whole row, so that most become vector instructions."""
    height, width = out.shape[0], out.shape[1]
    left, right, along, light = _columns(width, crop, gradient)
    tall, per_row = np.float32(height - 1), np.float32(2 / height)
    straight = crop[2] == 1 and crop[1] == np.floor(crop[1])
    bends = curve[1] != _ONE / _STEPS
    row = np.empty(3 * width, np.float32)
    for y in range(height):
        place = _within(crop[0] + np.float32(y) * crop[2], tall)
        top = int(place)
        down = place - np.float32(top)
        upper, lower = source[top], source[min(top + 1, height - 1)]
        if straight and down == 0:
            for x in range(width):
                for c in range(3):
                    row[3 * x + c] = upper[3 * left[x] + c]
        else:
            _mix(upper, lower, down, left, right, along, row)
        lit = _ONE + gradient[0] * ((np.float32(y) + _HALF) * per_row - _ONE)
        for x in range(width):
            share = lit + light[x]
            red, green, blue = row[3 * x] * share, row[3 * x + 1] * share, row[3 * x + 2] * share
            for c in range(3):
                value = (colour[4 * c] * red + colour[4 * c + 1] * green) + colour[4 * c + 2] * blue
                row[3 * x + c] = _within(value + colour[4 * c + 3], _ONE)
        if bends:
            for i in range(3 * width):
                place = row[i] * _STEPS
                low = min(int(place), _LAST)
                first = curve[low]
                row[i] = first + (place - np.float32(low)) * (curve[low + 1] - first)
        for k in range(len(boxes)):
            if boxes[k, 0] <= y < boxes[k, 2]:
                for x in range(max(boxes[k, 1], 0), min(boxes[k, 3], width)):
                    row[3 * x : 3 * x + 3] = box_colours[k]
        if noise != 0:
            _shake(row, noise, key, frame, y * 3 * width)
        into = out[y].reshape(3 * width)
        if to_bytes:
            for i in range(3 * width):
                into[i] = np.int32(_within(row[i], _ONE) * _FULL + _HALF)
        else:
            for i in range(3 * width):
                into[i] = _within(row[i], _ONE)


@compiled
def _columns(width, crop, gradient):  # type: ignore[no-untyped-def]
    """Of each column: the two of the source around it, the share of the second, and its light."""
    left, right = np.empty(width, np.int64), np.empty(width, np.int64)
    along, light = np.empty(width, np.float32), np.empty(width, np.float32)
    wide, per_column = np.float32(width - 1), np.float32(2 / width)
    for x in range(width):
        place = _within(crop[1] + np.float32(x) * crop[2], wide)
        left[x] = int(place)
        right[x] = min(left[x] + 1, width - 1)
        along[x] = place - np.float32(left[x])
        light[x] = gradient[1] * ((np.float32(x) + _HALF) * per_column - _ONE)
    return left, right, along, light


@compiled
def _mix(upper, lower, down, left, right, along, row):  # type: ignore[no-untyped-def]
    for x in range(len(left)):
        share, one, two = along[x], 3 * left[x], 3 * right[x]
        for c in range(3):
            above, below = upper[one + c], lower[one + c]
            above = above + share * (upper[two + c] - above)
            below = below + share * (lower[two + c] - below)
            row[3 * x + c] = above + down * (below - above)


@compiled
def _shake(row, noise, key, frame, first):  # type: ignore[no-untyped-def]
    for i in range(len(row)):
        row[i] += noise * bell_at(key, np.uint64(first + i), frame, np.uint64(0))


@njit(inline="always")
def _within(value, most):  # type: ignore[no-untyped-def]
    """In [0, most]; what is no number is 0."""
    value = value if value > _ZERO else _ZERO
    return value if value < most else most


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
