"""Epochs of aligned windows over a dataset, with the origin of each sample; resumed exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError
from robocache.core.window import Window
from robocache.datasets.windows import Batch, WindowSampler, WindowTable


@dataclass(frozen=True)
class Origin:
    """Where a sample comes from.

    Attributes:
        episode: key of the episode.
        source: file of the episode, within the dataset.
        step: number of the action at which the sample was taken.
        now_s: time of that action on the episode's clock, seconds.
    """

    episode: str
    source: str
    step: int
    now_s: float


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
        self._sources: list[str] = []
        self.table = WindowTable(self._noted(episodes), window)
        self.sampler = WindowSampler(self.table, batch_size, seed, shuffle)
        self._first_row = np.searchsorted(self.table.episode_of, np.arange(len(self.table.keys)))

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.table) // self.sampler.batch_size

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self._left() or len(self)):
            yield next(self.sampler)

    def origins(self, rows: NDArray[np.int64]) -> list[Origin]:
        """Where the windows in these rows of the table come from."""
        origins = []
        for row in rows.tolist():
            episode = int(self.table.episode_of[row])
            origins.append(
                Origin(
                    episode=self.table.keys[episode],
                    source=self._sources[episode],
                    step=row - int(self._first_row[episode]),
                    now_s=float(self.table.now_s[row]),
                )
            )
        return origins

    def state_dict(self) -> dict[str, Any]:
        """Where the epochs stand, as JSON, with what they must be loaded into."""
        return {
            **self.sampler.state_dict(),
            "shuffle": self.sampler.shuffle,
            "samples": self._samples_digest(),
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

    def _noted(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        for episode in episodes:
            self._sources.append(episode.provenance.source)
            yield episode

    def _left(self) -> int:
        """Batches left in the epoch under way."""
        position = int(self.sampler.state_dict()["position"])
        return (len(self.table) - position) // self.sampler.batch_size

    def _samples_digest(self) -> str:
        """sha256 over which samples there are: episodes, times and the window."""
        digest = hashlib.sha256(repr(self.table.window).encode())
        digest.update("\n".join(self.table.keys).encode())
        digest.update(self.table.episode_of.tobytes())
        digest.update(self.table.now_s.tobytes())
        return digest.hexdigest()
