"""Random numbers of the rows of a batch, the same however the batch is shared out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draws:
    """Draws for some rows of a batch: those of the whole batch are drawn, and its rows are kept.

    Attributes:
        random: CPU generator in the state in which each batch begins.
        first: number of the first of these rows in the whole batch.
        total: rows of the whole batch; None: these rows are all of it.
    """

    random: torch.Generator
    first: int = 0
    total: int | None = None

    @staticmethod
    def seeded(seed: int, first: int = 0, total: int | None = None) -> Draws:
        """Draws that follow from a seed."""
        return Draws(torch.Generator().manual_seed(seed), first, total)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """(rows, ...) float32, mean 0 and standard deviation 1."""
        return self._rows(torch.randn(self._whole(shape), generator=self.random), shape)

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """(rows, ...) float32 in [0, 1)."""
        return self._rows(torch.rand(self._whole(shape), generator=self.random), shape)

    def beta(self, alpha: float, beta: float, rows: int) -> Tensor:
        """(rows,) float32 of a Beta distribution: the first of two Dirichlet numbers."""
        shape = torch.tensor([alpha, beta]).expand(*self._whole([rows]), 2)
        return self._rows(torch._sample_dirichlet(shape, self.random)[:, 0], [rows])

    def seeds(self, rows: int) -> list[int]:
        """One seed for each row, for other generators."""
        drawn = torch.randint(2**62, self._whole([rows]), generator=self.random)
        return self._rows(drawn, [rows]).tolist()

    def _whole(self, shape: Sequence[int]) -> list[int]:
        return [shape[0] if self.total is None else self.total, *shape[1:]]

    def _rows(self, drawn: Tensor, shape: Sequence[int]) -> Tensor:
        return drawn[self.first : self.first + shape[0]]
