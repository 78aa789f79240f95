"""Epochs of aligned windows over a dataset, with the origin of each sample; resumed exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError
from robocache.core.window import Window
from robocache.datasets.origin import Origin
from robocache.datasets.sampler import WindowSampler
from robocache.datasets.windows import Batch, WindowTable


class Epochs:
    """The windows of a dataset in batches; each `for` goes through one epoch.

    The order of an epoch follows from (seed, number of the epoch) alone. An epoch's last, smaller
    batch is left out unless there are fewer windows than one batch. After `load_state_dict` the
    next `for` ends the epoch that was under way.

    Args:
        episodes: read once; pictures stay on disk.
        window: what a sample sees and predicts.
        batch_size: windows per batch.
        seed: root seed of the order.
        shuffle: False: in the order of the episodes.

    Raises:
        DataError, ConfigError: as `WindowTable` does.
    """

    def __init__(
        self,
        episodes: Iterable[Episode],
        window: Window,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
    ) -> None:
        self.table = WindowTable(episodes, window)
        self.sampler = WindowSampler(self.table, batch_size, seed, shuffle)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.table) // self.sampler.batch_size

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self._left() or len(self)):
            yield next(self.sampler)

    def origins(self, rows: NDArray[np.int64]) -> list[Origin]:
        """Where the windows in these rows of the table come from."""
        return self.table.origins(rows)

    def state_dict(self) -> dict[str, Any]:
        """Where the epochs stand, as JSON, with what they must be loaded into."""
        return {
            **self.sampler.state_dict(),
            "shuffle": self.sampler.shuffle,
            "samples": self.table.digest(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ConfigError: the state belongs to other samples, or another seed, order or batch size.
        """
        here = self.state_dict()
        for name in ("shuffle", "samples"):
            if state.get(name) != here[name]:
                raise ConfigError(f"cannot resume: {name} was {state.get(name)}, is {here[name]}")
        self.sampler.load_state_dict(state)

    def _left(self) -> int:
        """Batches left in the epoch under way."""
        position = int(self.sampler.state_dict()["position"])
        return (len(self.table) - position) // self.sampler.batch_size
