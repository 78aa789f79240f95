"""Training windows in batches, resumed exactly.

All alignment was planned before; a batch is a gather, and pictures are decoded when one asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.seeding import generator
from robocache.core.stream import StreamSpec
from robocache.core.window import Observation, Window
from robocache.datasets.aligned import AlignedEpisodes, align_episodes
from robocache.datasets.origin import Origin
from robocache.datasets.window_column import FrameColumns


@dataclass(frozen=True, eq=False)
class Batch:
    """B training windows.

    Attributes:
        values: input name -> (B, O, ...) aligned samples, zeros where invalid.
        valid: input name -> (B, O) bool.
        age_s: input name -> (B, O) float64.
        instructions: B texts.
        actions: (B, H, A) float32.
        action_valid: (B, H) bool, False past the end of the episode.
        index: (B,) int64 row numbers in the table.
        embodiments: B names of robots, in a mixture; empty where there is one dataset.
        rows: of a mixture of unlike robots, each window as a batch of one; `values`, `valid` and
            `age_s` are empty then, and actions (B, 0, 0). See `windows`.
    """

    values: Mapping[str, torch.Tensor]
    valid: Mapping[str, torch.Tensor]
    age_s: Mapping[str, torch.Tensor]
    instructions: list[str]
    actions: torch.Tensor
    action_valid: torch.Tensor
    index: NDArray[np.int64]
    embodiments: list[str] = field(default_factory=list)
    rows: tuple[Batch, ...] = ()

    @staticmethod
    def of_unlike(rows: Sequence[Batch]) -> Batch:
        """A batch of windows, each a batch of one, whose streams may differ."""
        return Batch(
            values={},
            valid={},
            age_s={},
            instructions=[text for row in rows for text in row.instructions],
            actions=torch.empty(len(rows), 0, 0),
            action_valid=torch.empty(len(rows), 0, dtype=torch.bool),
            index=np.concatenate([row.index for row in rows]),
            embodiments=[tag for row in rows for tag in row.embodiments],
            rows=tuple(rows),
        )

    def windows(self) -> Sequence[Batch]:
        """Each window as a batch of one."""
        return self.rows or [self._rows(slice(n, n + 1)) for n in range(len(self.index))]

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        if device.type == "cpu":
            return self
        return self._each(lambda tensor: tensor.to(device))

    def split(self, parts: int) -> list[Batch]:
        """The batch in so many parts, in order; they differ by one window at most."""
        places = np.array_split(np.arange(len(self.index)), parts)
        return [self] if parts == 1 else [self._rows(slice(p[0], p[-1] + 1)) for p in places]

    def _rows(self, rows: slice) -> Batch:
        part = self._each(lambda tensor: tensor[rows])
        return replace(
            part,
            instructions=self.instructions[rows],
            index=self.index[rows],
            embodiments=self.embodiments[rows],
            rows=self.rows[rows],
        )

    def pinned(self) -> Batch:
        """The same batch in page-locked memory, from where it goes faster to a CUDA device."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        return replace(
            self,
            values={name: change(value) for name, value in self.values.items()},
            valid={name: change(value) for name, value in self.valid.items()},
            age_s={name: change(value) for name, value in self.age_s.items()},
            actions=change(self.actions),
            action_valid=change(self.action_valid),
            rows=tuple(row._each(change) for row in self.rows),
        )


class FrameReader(Protocol):
    """Reads the frames of windows, here or in another process."""

    def read(self, rows: NDArray[np.int64], /) -> Any: ...


class Windows(Protocol):
    """What training samples are drawn from: a `WindowTable`, or several as a `Mixture`."""

    @property
    def window(self) -> Window: ...
    @property
    def specs(self) -> Mapping[str, StreamSpec]: ...
    def __len__(self) -> int: ...

    def batch(self, rows: NDArray[np.int64], /, frames: Any = None) -> Batch:
        """The windows in these rows; `frames`: what `frame_reader` read for the same rows."""
        ...

    def frame_reader(self) -> FrameReader | None:
        """Decodes what is not in memory; None: everything is."""
        ...

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Row numbers of one shuffled epoch; a function of (seed, epoch) alone."""
        ...

    def origins(self, rows: NDArray[np.int64]) -> list[Origin]:
        """Where the windows in these rows come from."""
        ...

    def digest(self) -> str:
        """sha256 over which samples there are."""
        ...


class WindowTable:
    """Every window of a set of episodes.

    A window starts at each time of the action stream. Streams in which an episode has no sample are
    invalid there; a stream that an episode lacks altogether is an error.

    Args:
        episodes: checked one by one as they are read; or what a cache keeps of them.
        window: what a sample sees and predicts.

    Raises:
        DataError: a missing or malformed stream, NaN in actions; names episode and stream.
        ConfigError: no episodes, or a stream is read by two inputs.
    """

    def __init__(self, episodes: Iterable[Episode] | AlignedEpisodes, window: Window) -> None:
        if not isinstance(episodes, AlignedEpisodes):
            episodes = align_episodes(episodes, window)
        self.window = window
        self.aligned = episodes
        self.keys, self.specs = episodes.keys, episodes.specs
        self.now_s, self.episode_of = episodes.now_s, episodes.episode_of

    def __len__(self) -> int:
        return len(self.now_s)

    def batch(
        self, rows: NDArray[np.int64], /, frames: Mapping[str, torch.Tensor] | None = None
    ) -> Batch:
        """The windows in these rows; `frames`: what `frame_reader` read for the same rows."""
        index = torch.from_numpy(rows)
        read, columns = frames or {}, self.aligned.inputs
        actions, action_valid = self.actions(rows)
        return Batch(
            values={
                name: read[name] if name in read else column.read(index)
                for name, column in columns.items()
            },
            valid={name: column.plan.valid[index] for name, column in columns.items()},
            age_s={name: column.plan.age_s[index] for name, column in columns.items()},
            instructions=[self.aligned.instructions[self.episode_of[row]] for row in rows],
            actions=actions,
            action_valid=action_valid,
            index=rows,
        )

    def actions(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """What `batch` has as `actions` and `action_valid`; decodes no pictures."""
        index = torch.from_numpy(rows)
        column = self.aligned.actions
        return column.read(index).float(), column.plan.valid[index]

    def observation(self, row: int) -> Observation:
        """What the policy would have been given at this moment, exactly."""
        batch = self.batch(np.array([row]))
        return Observation(
            values={name: value[0].numpy() for name, value in batch.values.items()},
            valid={name: value[0].numpy() for name, value in batch.valid.items()},
            age_s={name: value[0].numpy() for name, value in batch.age_s.items()},
            instruction=batch.instructions[0],
            now_s=float(self.now_s[row]),
        )

    def frame_reader(self) -> FrameColumns | None:
        """Decodes the streams that are not in memory; None: all are."""
        columns = {
            name: column.frames
            for name, column in self.aligned.inputs.items()
            if column.frames is not None and column.frames.decodes
        }
        return FrameColumns(columns) if columns else None

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Row numbers of one shuffled epoch; a function of (seed, epoch) alone."""
        return generator(seed, "window-order", epoch).permutation(len(self))

    def origins(self, rows: NDArray[np.int64]) -> list[Origin]:
        """Where the windows in these rows come from."""
        first = np.searchsorted(self.episode_of, np.arange(len(self.keys)))
        return [
            Origin(
                episode=self.keys[episode],
                source=self.aligned.sources[episode],
                step=row - int(first[episode]),
                now_s=float(self.now_s[row]),
            )
            for row, episode in zip(rows.tolist(), self.episode_of[rows].tolist(), strict=True)
        ]

    def digest(self) -> str:
        """sha256 over which samples there are: episodes, times, the window, and a cache's loss."""
        return self.aligned.digest(self.window)

    def rows_of(self, key: str) -> NDArray[np.int64]:
        """Row numbers of one episode's windows, in time order."""
        return np.flatnonzero(self.episode_of == self.keys.index(key))
