"""One compared stage of a parity check."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stage:
    """How far one stage is from what was stored.

    Attributes:
        name: file and stage, e.g. "full/vision".
        error: max |ours - stored| / max |stored|; infinity where it could not be computed.
        bound: the largest error that passes.
        detail: why it could not be computed; empty otherwise.
    """

    name: str
    error: float
    bound: float
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether the error is a number within the bound."""
        return self.error <= self.bound


def relative_error(ours: Tensor, stored: Tensor) -> float:
    """max |ours - stored| / max |stored| in float64; infinity for other shapes or NaN.

    Booleans and integers count as equal (0) or not (infinity).
    """
    if ours.shape != stored.shape:
        return float("inf")
    if not stored.is_floating_point():
        return 0.0 if torch.equal(ours.to(stored.dtype), stored) else float("inf")
    ours, stored = ours.double(), stored.double()
    if not (ours.isfinite().all() and stored.isfinite().all()):
        return float("inf")
    scale = float(stored.abs().max()) if stored.numel() else 0.0
    difference = float((ours - stored).abs().max()) if stored.numel() else 0.0
    if difference == 0.0:
        return 0.0
    return difference / scale if scale > 0 else float("inf")
