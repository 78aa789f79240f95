"""All streams in one launch on NVIDIA cards: every value is written once, to where it belongs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robocache.core.stream import Method
from robocache.ops.align.reference import Aligned, Part
from robocache.ops.resample.triton import KINDS, Lane, variant, write_lanes


def align_triton(parts: Sequence[Part], out: Tensor | None = None) -> Aligned:
    """As `align_reference`, for floats of one dtype; into contiguous `out` where given."""
    batch, targets = parts[0].target.shape
    shape = (batch, targets, sum(part.width for part in parts))
    first = parts[0].data
    values = first.new_empty(shape) if out is None else out
    valid = torch.empty(batch, targets, len(parts), dtype=torch.bool, device=first.device)
    ages = torch.empty_like(valid, dtype=torch.float64)
    lanes = []
    for part in parts:
        data = part.data.detach().contiguous().reshape(*part.data.shape[:2], part.width)
        lanes.append(Lane(data, *part[1:]))
    write_lanes(lanes, values.detach(), valid, ages)
    return Aligned(values, valid, ages)


_METHODS: tuple[Method, ...] = ("linear", "previous", "linear", "nearest")
_PERIODIC = (False, False, True, False)
VARIANTS = [
    *((f"align {kind}", *variant([kind] * 4, _METHODS, _PERIODIC, ages=True)) for kind in KINDS),
    ("rotations", *variant(["fp32"] * 2, ["linear", "slerp"], [False] * 2, ages=True)),
]
"""What is launched: name, kernel, signature and constants."""
