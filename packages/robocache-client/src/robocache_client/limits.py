"""Limits of a robot: where its joints may be sent, and how fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Limited:
    """An action within the limits.

    Attributes:
        action: (D,) float32.
        range_clipped: (D,) bool, where it was beyond `low` or `high`.
        rate_clipped: (D,) bool, where it would have changed too fast.
    """

    action: NDArray[np.float32]
    range_clipped: NDArray[np.bool_]
    rate_clipped: NDArray[np.bool_]


class Limits:
    """Clips actions, first to their range, then to how far they may be from the last one.

    Args:
        low, high: (D,) or a number, inclusive.
        max_change_per_s: (D,) or a number, in units of the action per second; None: as fast as it
            likes.
        start: (D,) where the robot is before the first action; None: the first action is limited
            in range only.
    """

    def __init__(
        self,
        low: ArrayLike,
        high: ArrayLike,
        max_change_per_s: ArrayLike | None = None,
        *,
        start: ArrayLike | None = None,
    ) -> None:
        self._low, self._high = np.asarray(low, np.float32), np.asarray(high, np.float32)
        if not (self._low <= self._high).all():
            raise ValueError(f"low must not be above high, got {self._low} and {self._high}")
        speed = np.inf if max_change_per_s is None else max_change_per_s
        self._speed = np.asarray(speed, np.float32)
        if not (self._speed > 0).all():
            raise ValueError(f"max_change_per_s must be above 0, got {self._speed}")
        self._last = None if start is None else np.asarray(start, np.float32)

    def apply(self, action: NDArray[np.float32], elapsed_s: float) -> Limited:
        """The nearest allowed action, which is remembered as the last one.

        Args:
            action: (D,).
            elapsed_s: since the last one.

        Raises:
            ValueError: it is not finite, or of another shape than the last.
        """
        if not np.isfinite(action).all():
            raise ValueError("an action must be finite")
        within = np.clip(action, self._low, self._high)
        kept = within
        if self._last is not None:
            if self._last.shape != action.shape:
                raise ValueError(f"expected actions {self._last.shape}, got {action.shape}")
            reach = self._speed * np.float32(elapsed_s)
            kept = np.clip(within, self._last - reach, self._last + reach)
        self._last = kept.astype(np.float32)
        return Limited(self._last, within != action, kept != within)
