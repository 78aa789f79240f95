"""The order in which training windows are read; its state is two numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError
from robocache.datasets.windows import Batch, Windows


class WindowSampler:
    """An endless stream of shuffled batches whose state is two numbers.

    The order of epoch e is a permutation drawn from (seed, e) alone, so the batch after any state
    is the same in every process, after any restart.

    Args:
        table: the windows.
        batch_size: windows per batch; an epoch's last, smaller batch is left out unless the table
            is smaller than one batch.
        seed: root seed of the order.
        shuffle: False: in the order of the table, every epoch.
    """

    def __init__(self, table: Windows, batch_size: int, seed: int, shuffle: bool = True) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
        self.table = table
        self.batch_size = min(batch_size, len(table))
        self.seed = seed
        self.shuffle = shuffle
        self._epoch = 0
        self._position = 0
        self._order = self._shuffled()

    def __iter__(self) -> WindowSampler:
        return self

    def __next__(self) -> Batch:
        return self.table.batch(self.next_rows())

    def next_rows(self) -> NDArray[np.int64]:
        """Row numbers of the next batch."""
        if self._position + self.batch_size > len(self._order):
            self._epoch += 1
            self._position = 0
            self._order = self._shuffled()
        rows = self._order[self._position : self._position + self.batch_size]
        self._position += self.batch_size
        return rows

    def state_dict(self) -> dict[str, Any]:
        """Where the sampler stands, with what it must be loaded into."""
        return {
            "epoch": self._epoch,
            "position": self._position,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "windows": len(self.table),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ConfigError: the state belongs to other data, another seed or another batch size.
        """
        here = self.state_dict()
        for name in ("seed", "batch_size", "windows"):
            if state.get(name) != here[name]:
                raise ConfigError(
                    f"cannot resume the sampler: {name} was {state.get(name)}, is {here[name]}"
                )
        self._epoch = int(state["epoch"])
        self._position = int(state["position"])
        self._order = self._shuffled()

    def _shuffled(self) -> NDArray[np.int64]:
        if not self.shuffle:
            return np.arange(len(self.table))
        return self.table.order(self.seed, self._epoch)
