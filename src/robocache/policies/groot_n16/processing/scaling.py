"""The scale of numbers: by their range, or by mean and standard deviation.

Letters: H horizon, D dimensions of a group.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Scaling:
    """An affine map to the network's numbers, and back.

    By range, of n = (x - low) / (high - low), computed in float64 and rounded to the dtype of x,
    the network sees 2 n - 1.

    Attributes:
        kind: "range": `low`..`high` to -1..1. "z": subtract `low`, the mean, and divide by `high`,
            the standard deviation. Dimensions that never changed become 0, and `low` again.
        low, high: (D,) or (H, D) float64.
        clip: whether the result is cut to -1..1.
        clip_back: whether that is done before the way back.
    """

    kind: Literal["range", "z"]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    clip: bool
    clip_back: bool

    @property
    def width(self) -> int:
        """D."""
        return int(self.low.shape[-1])

    @cached_property
    def constant(self) -> NDArray[np.bool_]:
        """Dimensions that never changed."""
        return np.isclose(self.low, self.high) if self.kind == "range" else self.high == 0

    @cached_property
    def _divisor(self) -> NDArray[np.float64]:
        span = self.high - self.low if self.kind == "range" else self.high
        return np.where(self.constant, 1, span)

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """(..., D) in, the same shape and dtype out."""
        scaled = ((values - self.low) / self._divisor).astype(values.dtype)
        if self.kind == "range":
            scaled = 2 * scaled - 1
        scaled[np.broadcast_to(self.constant, scaled.shape)] = 0
        return np.clip(scaled, -1, 1) if self.clip else scaled

    def undo(self, scaled: NDArray[Any]) -> NDArray[np.float64]:
        """The inverse; float64, but (y + 1) / 2 in the dtype of y, float32 or float64."""
        numbers = np.clip(scaled, -1, 1) if self.clip_back else scaled
        if self.kind == "range":
            return (numbers + 1) / 2 * (self.high - self.low) + self.low
        return numbers * self.high + self.low
