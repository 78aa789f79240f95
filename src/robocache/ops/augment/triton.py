"""The same in one launch a batch. Products and sums are not contracted: the bits are the CPU's."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from robocache.ops.augment.parameters import CURVE_STEPS
from robocache.ops.augment.ranges import FARTHEST_MM, METRES, MILLIMETRES, SHARE, RangeTables
from robocache.ops.augment.reference import BYTE
from robocache.ops.augment.tables import ImageTables
from robocache.ops.philox import BELL_MIDDLE, BELL_SCALE

PIXELS = 256
"""Pixels, or ranges, of one program."""

_BYTE, _STEPS, _LAST = (
    tl.constexpr(BYTE),
    tl.constexpr(float(CURVE_STEPS)),
    tl.constexpr(CURVE_STEPS - 1),
)
_MIDDLE, _SCALE = tl.constexpr(BELL_MIDDLE), tl.constexpr(BELL_SCALE)
_METRES, _MILLIMETRES = tl.constexpr(METRES), tl.constexpr(MILLIMETRES)
_SHARE, _FARTHEST = tl.constexpr(SHARE), tl.constexpr(FARTHEST_MM)


def augment_triton(images: Tensor, tables: ImageTables, out: Tensor) -> None:
    """As `augment_reference`, into contiguous `out`."""
    count, height, width, _ = images.shape
    if count == 0:
        return
    grid = (triton.cdiv(height * width, PIXELS), count)
    _augment[grid](
        images.contiguous(),
        *tables,
        out,
        height,
        width,
        2 / height,
        2 / width,
        tables.taps.shape[1] // 2,
        tables.boxes.shape[1],
        BYTES_IN=images.dtype == torch.uint8,
        BYTES_OUT=out.dtype == torch.uint8,
        BLUR=tables.taps.shape[1] > 1,
        BLOCK=PIXELS,
        enable_fp_fusion=False,
    )


def ranges_triton(values: Tensor, tables: RangeTables, points: bool, out: Tensor) -> None:
    """As `ranges_reference`, into contiguous `out`."""
    if out.numel() == 0:
        return
    given, into = values.contiguous(), out
    if values.dtype == torch.uint16:
        given, into = given.view(torch.int16), out.view(torch.int16)
    each = values[0].numel() // (3 if points else 1)
    _ranges[(triton.cdiv(each, PIXELS), len(values))](
        given,
        *tables,
        into,
        each,
        POINTS=points,
        WHOLE=values.dtype == torch.uint16,
        BLOCK=PIXELS,
        enable_fp_fusion=False,
    )


@triton.jit
def _augment(
    images, crop, gradient, colour, curve, taps, radius, boxes, box_colours, noise, key, frame, out,
    height, width, per_row, per_column, reach, covers,
    BYTES_IN: tl.constexpr, BYTES_OUT: tl.constexpr, BLUR: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < height * width
    y, x = pixel // width, pixel % width
    source = images + n * height * width * 3

    side = tl.load(crop + 3 * n + 2)
    place_y = tl.load(crop + 3 * n) + y.to(tl.float32) * side
    place_x = tl.load(crop + 3 * n + 1) + x.to(tl.float32) * side
    place_y = _within(place_y, (height - 1).to(tl.float32))
    place_x = _within(place_x, (width - 1).to(tl.float32))
    top, left = place_y.to(tl.int32), place_x.to(tl.int32)
    bottom, right = tl.minimum(top + 1, height - 1), tl.minimum(left + 1, width - 1)
    down, along = place_y - top.to(tl.float32), place_x - left.to(tl.float32)

    down_y = (y.to(tl.float32) + 0.5) * per_row - 1.0
    right_x = (x.to(tl.float32) + 0.5) * per_column - 1.0
    light = (1.0 + tl.load(gradient + 2 * n) * down_y) + tl.load(gradient + 2 * n + 1) * right_x

    wide = 2 * reach + 1
    weights = taps + n * wide * wide
    around = tl.load(radius + n)
    a0, a1, a2 = _seen(
        source, weights, around, reach, top, left, height, width, inside, BYTES_IN, BLUR
    )
    b0, b1, b2 = _seen(
        source, weights, around, reach, top, right, height, width, inside, BYTES_IN, BLUR
    )
    c0, c1, c2 = _seen(
        source, weights, around, reach, bottom, left, height, width, inside, BYTES_IN, BLUR
    )
    d0, d1, d2 = _seen(
        source, weights, around, reach, bottom, right, height, width, inside, BYTES_IN, BLUR
    )
    red = _between(a0, b0, c0, d0, along, down) * light
    green = _between(a1, b1, c1, d1, along, down) * light
    blue = _between(a2, b2, c2, d2, along, down) * light

    strength = tl.load(noise + n)
    sample_key, number = tl.load(key + n), tl.load(frame + n)
    tones = curve + n * (_LAST + 2)
    for c in tl.static_range(3):
        row = colour + 12 * n + 4 * c
        value = (tl.load(row) * red + tl.load(row + 1) * green) + tl.load(row + 2) * blue
        value = _within(value + tl.load(row + 3), 1.0)
        place = value * _STEPS
        low = tl.minimum(place.to(tl.int32), _LAST)
        first = tl.load(tones + low, mask=inside, other=0.0)
        second = tl.load(tones + low + 1, mask=inside, other=0.0)
        value = first + (place - low.to(tl.float32)) * (second - first)
        for k in range(covers):
            box = boxes + (n * covers + k) * 4
            covered = (y >= tl.load(box)) & (y < tl.load(box + 2))
            covered = covered & (x >= tl.load(box + 1)) & (x < tl.load(box + 3))
            value = tl.where(covered, tl.load(box_colours + (n * covers + k) * 3 + c), value)
        if strength != 0:
            value = value + strength * _bell(sample_key, pixel * 3 + c, number, 0)
        value = _within(value, 1.0)
        at = out + n * height * width * 3 + pixel * 3 + c
        if BYTES_OUT:
            tl.store(at, tl.floor(value * 255.0 + 0.5).to(tl.uint8), mask=inside)
        else:
            tl.store(at, value, mask=inside)


@triton.jit
def _seen(
    source, weights, around, reach, row, column, height, width, inside,
    BYTES: tl.constexpr, BLUR: tl.constexpr,
):  # fmt: skip
    """The three values of pixels, blurred."""
    if BLUR:
        red, green, blue = row * 0.0, row * 0.0, row * 0.0
        wide = 2 * reach + 1
        for dy in range(-around, around + 1):
            line = tl.minimum(tl.maximum(row + dy, 0), height - 1)
            for dx in range(-around, around + 1):
                weight = tl.load(weights + (reach + dy) * wide + reach + dx)
                there = tl.minimum(tl.maximum(column + dx, 0), width - 1)
                r, g, b = _pixel(source, line, there, width, inside, BYTES)
                red, green, blue = red + weight * r, green + weight * g, blue + weight * b
        return red, green, blue
    else:
        return _pixel(source, row, column, width, inside, BYTES)


@triton.jit
def _pixel(source, row, column, width, inside, BYTES: tl.constexpr):
    at = source + (row * width + column) * 3
    red = tl.load(at, mask=inside, other=0).to(tl.float32)
    green = tl.load(at + 1, mask=inside, other=0).to(tl.float32)
    blue = tl.load(at + 2, mask=inside, other=0).to(tl.float32)
    if BYTES:
        return red * _BYTE, green * _BYTE, blue * _BYTE
    else:
        return _within(red, 1.0), _within(green, 1.0), _within(blue, 1.0)


@triton.jit
def _within(value, most):
    """In [0, most]; what is no number is 0."""
    return tl.minimum(tl.where(value > 0, value, 0.0), most)


@triton.jit
def _between(a, b, c, d, along, down):
    upper, lower = a + along * (b - a), c + along * (d - c)
    return upper + down * (lower - upper)


@triton.jit
def _bell(key, c0, c1, c2):
    """As `bell`."""
    a, b, c, d = _words(key, c0, c1, c2)
    total = (a & 0xFFFF) + (a >> 16) + (b & 0xFFFF) + (b >> 16)
    total += (c & 0xFFFF) + (c >> 16) + (d & 0xFFFF) + (d >> 16)
    return (total.to(tl.int32) - _MIDDLE).to(tl.float32) * _SCALE


@triton.jit
def _words(key, c0, c1, c2):
    """As `philox`."""
    number = c0.to(tl.uint32)
    none = number * 0
    return tl.philox(key, number, none + c1.to(tl.uint32), none + c2, none)


@triton.jit
def _ranges(
    values, numbers, limits, key, frame, out, each,
    POINTS: tl.constexpr, WHOLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(1).to(tl.int64)
    number = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = number < each
    place = n * each + number
    if POINTS:
        x = tl.load(values + 3 * place, mask=inside, other=0.0)
        y = tl.load(values + 3 * place + 1, mask=inside, other=0.0)
        z = tl.load(values + 3 * place + 2, mask=inside, other=0.0)
        distance = tl.sqrt_rn((x * x + y * y) + z * z)
    elif WHOLE:
        distance = (tl.load(values + place, mask=inside, other=0).to(tl.int32) & 0xFFFF).to(
            tl.float32
        )
        distance = distance * _METRES
    else:
        distance = tl.load(values + place, mask=inside, other=0.0)

    own, time = tl.load(key + n), tl.load(frame + n)
    seen = (distance > 0) & (distance < float("inf"))
    finite = tl.where(seen, distance, 0.0)
    noise = tl.load(numbers + 4 * n) + tl.load(numbers + 4 * n + 1) * finite
    noisy = finite + noise * _bell(own, number, time, 1)
    lost, odd, where, _ = _words(own, number, time, 2)
    new = tl.where(noisy > 0, noisy, 0.0)
    far = (where >> 8).to(tl.float32) * _SHARE * tl.load(numbers + 4 * n + 3)
    far = tl.load(numbers + 4 * n + 2) + far
    new = tl.where(odd.to(tl.int64) < tl.load(limits + 2 * n + 1), far, new)
    new = tl.where(lost.to(tl.int64) < tl.load(limits + 2 * n), 0.0, new)

    if POINTS:
        factor = tl.where(seen, tl.div_rn(new, tl.where(seen, distance, 1.0)), 1.0)
        factor = tl.where(seen & (new == 0), float("nan"), factor)
        tl.store(out + 3 * place, x * factor, mask=inside)
        tl.store(out + 3 * place + 1, y * factor, mask=inside)
        tl.store(out + 3 * place + 2, z * factor, mask=inside)
    elif WHOLE:
        millimetres = tl.floor(tl.where(seen, new, distance) * _MILLIMETRES + 0.5)
        tl.store(
            out + place, tl.minimum(millimetres, _FARTHEST).to(tl.int32).to(tl.int16), mask=inside
        )
    else:
        tl.store(out + place, tl.where(seen, new, distance), mask=inside)


def _variants() -> list[tuple[str, Any, dict[str, str], dict[str, Any]]]:
    table = dict.fromkeys(("crop", "gradient", "colour", "curve", "taps"), "*fp32")
    table |= {"radius": "*i32", "boxes": "*i32", "box_colours": "*fp32", "noise": "*fp32"}
    table |= {"key": "*i64", "frame": "*i64"}
    sizes = {"height": "i32", "width": "i32", "per_row": "fp32", "per_column": "fp32"}
    sizes |= {"reach": "i32", "covers": "i32"}
    found: list[tuple[str, Any, dict[str, str], dict[str, Any]]] = []
    kind = {True: "*u8", False: "*fp32"}
    for given, made, blur in ((True, True, True), (True, False, False), (False, False, True)):
        constants = {"BYTES_IN": given, "BYTES_OUT": made, "BLUR": blur, "BLOCK": PIXELS}
        signature = {"images": kind[given], **table, "out": kind[made], **sizes}
        name = f"augment {kind[given]} {kind[made]}{' blurred' * blur}"
        found.append((name, _augment, signature | dict.fromkeys(constants, "constexpr"), constants))
    for points, whole in ((True, False), (False, True), (False, False)):
        values = "*i16" if whole else "*fp32"
        constants = {"POINTS": points, "WHOLE": whole, "BLOCK": PIXELS}
        signature = {"values": values, "numbers": "*fp32", "limits": "*i64", "key": "*i64"}
        signature |= {"frame": "*i64", "out": values, "each": "i32"}
        name = f"ranges {'points' if points else values}"
        found.append((name, _ranges, signature | dict.fromkeys(constants, "constexpr"), constants))
    return found


VARIANTS = _variants()
"""Name, kernel, signature and constants of what is launched."""
