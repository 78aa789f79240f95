"""One line of a parity check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """How far our result of one stage is from a stored one.

    Attributes:
        name: of the stage.
        error: max |ours - stored| / max |stored|; NaN or infinity where they cannot be compared.
        bound: the largest error that passes.
    """

    name: str
    error: float
    bound: float

    @property
    def passed(self) -> bool:
        return self.error <= self.bound
