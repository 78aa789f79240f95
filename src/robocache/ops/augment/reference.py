"""What augmentation means in this project: plain PyTorch, on any device.

float32 throughout, operation by operation as written, so that faster versions can match the bits.
Letters: N pictures, H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robocache.ops.augment.parameters import CURVE_STEPS
from robocache.ops.augment.tables import ImageTables
from robocache.ops.philox import bell, philox

BYTE = 1 / 255


def augment_reference(images: Tensor, tables: ImageTables) -> Tensor:
    """Pictures (N, H, W, 3) uint8, or float32 in [0, 1], as float32 in [0, 1]."""
    height, width = images.shape[1:3]
    x = images.float() * BYTE if images.dtype == torch.uint8 else _within(images, 1)
    x = _cropped(_blurred(x, tables.taps), tables.crop)
    rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    down = (rows.float() + 0.5) * (2 / height) - 1
    right = (columns.float() + 0.5) * (2 / width) - 1
    light = (1 + tables.gradient[:, :1, None] * down[:, None]) + tables.gradient[
        :, 1:, None
    ] * right
    x = x * light[..., None]
    x = _curved(_within(_coloured(x, tables.colour), 1), tables.curve)
    x = _covered(x, tables)
    return _within(x + tables.noise[:, None, None, None] * _noise(x, tables), 1)


def to_dtype(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Values in [0, 1] as they are, or as bytes."""
    return (x * 255 + 0.5).floor().to(dtype) if dtype == torch.uint8 else x.to(dtype)


def _within(x: Tensor, most: float) -> Tensor:
    """In [0, most]; what is no number is 0."""
    return torch.where(x > 0, x, 0.0).clamp(max=most)


def _blurred(x: Tensor, taps: Tensor) -> Tensor:
    reach = taps.shape[1] // 2
    if reach == 0:
        return x
    height, width = x.shape[1:3]
    rows = torch.arange(-reach, height + reach, device=x.device).clamp(0, height - 1)
    columns = torch.arange(-reach, width + reach, device=x.device).clamp(0, width - 1)
    padded = x[:, rows][:, :, columns]
    total = torch.zeros_like(x)
    for dy in range(2 * reach + 1):
        for dx in range(2 * reach + 1):
            weight = taps[:, dy, dx, None, None, None]
            total = total + weight * padded[:, dy : dy + height, dx : dx + width]
    return total


def _cropped(x: Tensor, crop: Tensor) -> Tensor:
    """Bilinear."""
    y, x_ = (positions(crop[:, axis], crop[:, 2], x.shape[1 + axis]) for axis in (0, 1))
    n = torch.arange(len(x), device=x.device)[:, None, None]
    upper = _mixed(x, n, y[0][:, :, None], x_)
    lower = _mixed(x, n, y[1][:, :, None], x_)
    return upper + y[2][:, :, None, None] * (lower - upper)


def positions(start: Tensor, step: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """(N, size) the two samples around each place, and the share of the second."""
    place = start[:, None] + torch.arange(size, device=start.device).float() * step[:, None]
    place = _within(place, size - 1)
    low = place.floor()
    return low.long(), (low.long() + 1).clamp(max=size - 1), place - low


def _mixed(x: Tensor, n: Tensor, row: Tensor, columns: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    left, right, share = (one[:, None, :] for one in columns)
    first = x[n, row, left]
    return first + share[..., None] * (x[n, row, right] - first)


def _coloured(x: Tensor, colour: Tensor) -> Tensor:
    matrix = colour.reshape(-1, 1, 1, 3, 4)
    red, green, blue = x.unsqueeze(-2).unbind(-1)
    return ((matrix[..., 0] * red + matrix[..., 1] * green) + matrix[..., 2] * blue) + matrix[
        ..., 3
    ]


def _curved(x: Tensor, curve: Tensor) -> Tensor:
    place = x * CURVE_STEPS
    low = place.long().clamp(max=CURVE_STEPS - 1)
    flat = low.flatten(1)
    first, second = curve.gather(1, flat), curve.gather(1, flat + 1)
    share = (place - low.float()).flatten(1)
    return (first + share * (second - first)).reshape(x.shape)


def _covered(x: Tensor, tables: ImageTables) -> Tensor:
    for box, colour in zip(tables.boxes.unbind(1), tables.box_colours.unbind(1), strict=True):
        inside = inside_box(box, x.shape[1], x.shape[2])
        x = torch.where(inside[..., None], colour[:, None, None], x)
    return x


def inside_box(box: Tensor, height: int, width: int) -> Tensor:
    """(N, H, W) which pixels lie in the box (N, 4) of their picture."""
    rows = torch.arange(height, device=box.device)[:, None]
    columns = torch.arange(width, device=box.device)
    top, left, bottom, right = box[..., None, None].unbind(1)
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def _noise(x: Tensor, tables: ImageTables) -> Tensor:
    number = torch.arange(x[0].numel(), device=x.device) if len(x) else tables.key[:0]
    words = philox(tables.key[:, None], number, tables.frame[:, None])
    return bell(words).reshape(x.shape)
