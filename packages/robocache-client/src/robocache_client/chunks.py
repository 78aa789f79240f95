"""Plays action chunks by time: a plan made from an older observation never replaces a newer one.

Letters: H horizon, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AT_END = ("hold", "stop")
_ROUNDING = 1e-6  # of a step


@dataclass(frozen=True)
class Chunk:
    """A plan: action k is due from `observed_s + k / rate_hz` for one step.

    Attributes:
        actions: (H, D) float32.
        observed_s: when the observation was made that it answers.
        rate_hz: actions per second.
    """

    actions: NDArray[np.float32]
    observed_s: float
    rate_hz: float

    @property
    def end_s(self) -> float:
        """When its last action has been played."""
        return self.observed_s + len(self.actions) / self.rate_hz

    def at(self, now_s: float) -> NDArray[np.float32]:
        """(D,) the action due at a moment; before the first and after the last: that one."""
        step = int(np.floor((now_s - self.observed_s) * self.rate_hz + _ROUNDING))
        action: NDArray[np.float32] = self.actions[min(max(step, 0), len(self.actions) - 1)]
        return action


class ChunkPlayer:
    """What to do now, from the latest chunk.

    A chunk that comes late is entered at the action that is due, what was due before is left out.
    One that answers an older observation than the chunk being played, or that is over already, is
    dropped.

    Args:
        rate_hz: actions per second of the chunks.
        at_end: after the last action of a chunk: `hold` repeats it, `stop` gives nothing.
        blend_s: what a new chunk would change at once it changes linearly within so many seconds,
            from the action given last; 0 switches at once.
    """

    def __init__(self, rate_hz: float, *, at_end: str = "hold", blend_s: float = 0.0) -> None:
        if at_end not in AT_END:
            raise ValueError(f"at_end must be one of {AT_END}, got {at_end!r}")
        if not rate_hz > 0 or not blend_s >= 0:
            raise ValueError(f"rate_hz > 0 and blend_s >= 0, got {rate_hz} and {blend_s}")
        self.rate_hz, self.at_end, self.blend_s = rate_hz, at_end, blend_s
        self._playing: Chunk | None = None
        self._given: NDArray[np.float32] | None = None
        self._jump: NDArray[np.float32] | None = None
        self._since_s = 0.0

    def put(self, actions: NDArray[np.float32], observed_s: float, now_s: float) -> bool:
        """Take a chunk; False: it is stale and was dropped.

        Args:
            actions: (H, D), all finite.
            observed_s: when its observation was made.
            now_s: on the same clock.

        Raises:
            ValueError: actions are not (H, D) finite numbers.
        """
        actions = np.asarray(actions, np.float32)
        if actions.ndim != 2 or not len(actions) or not np.isfinite(actions).all():
            raise ValueError(f"a chunk must be (H, D) finite numbers, got {actions.shape}")
        chunk = Chunk(actions, observed_s, self.rate_hz)
        older = self._playing is not None and observed_s <= self._playing.observed_s
        if older or chunk.end_s <= now_s:
            return False
        self._playing, self._since_s = chunk, now_s
        self._jump = None if self._given is None else self._given - chunk.at(now_s)
        return True

    def action(self, now_s: float) -> NDArray[np.float32] | None:
        """(D,) what to do now; None: nothing yet, or at the end of a chunk with `stop`."""
        if self._playing is None or (self.over(now_s) and self.at_end == "stop"):
            self._given = None
            return None
        action = self._playing.at(now_s)
        share = (now_s - self._since_s) / self.blend_s if self.blend_s else 1.0
        if self._jump is not None and share < 1:
            action = (action + (1 - share) * self._jump).astype(np.float32)
        self._given = action
        return action

    def over(self, now_s: float) -> bool:
        """Whether there is no chunk, or its last action has been played."""
        return self._playing is None or now_s >= self._playing.end_s - _ROUNDING / self.rate_hz

    def clear(self) -> None:
        """Forget all chunks."""
        self._playing = self._given = self._jump = None
