"""Aligned training windows: episodes in, batches out, resumed exactly.

All alignment is planned once, when the table is built; a batch is then a gather. Low-dimensional
streams are held in memory, lazy frames (video) are decoded when a batch asks for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, DataError, ShapeError
from robocache.core.seeding import generator
from robocache.core.stream import Stream, StreamSpec
from robocache.core.window import Observation, Window
from robocache.datasets.alignment import (
    action_alignment,
    check_inputs,
    plan_actions,
    plan_input,
)
from robocache.datasets.origin import Origin
from robocache.datasets.window_column import Column, FrameColumns


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
    """

    values: Mapping[str, torch.Tensor]
    valid: Mapping[str, torch.Tensor]
    age_s: Mapping[str, torch.Tensor]
    instructions: list[str]
    actions: torch.Tensor
    action_valid: torch.Tensor
    index: NDArray[np.int64]
    embodiments: list[str] = field(default_factory=list)

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        if device.type == "cpu":
            return self
        return self._each(lambda tensor: tensor.to(device))

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
        episodes: checked one by one as they are read.
        window: what a sample sees and predicts.

    Raises:
        DataError: a missing or malformed stream, NaN in actions; names episode and stream.
        ConfigError: no episodes, or a stream is read by two inputs.
    """

    def __init__(self, episodes: Iterable[Episode], window: Window) -> None:
        check_inputs(window.inputs)
        self.window = window
        self.keys: list[str] = []
        self.instructions: list[str] = []
        self.sources: list[str] = []
        names = [view.stream for view in window.inputs]
        streams: dict[str, list[Stream]] = {name: [] for name in [*names, window.action]}
        moments: list[NDArray[np.float64]] = []
        for episode in episodes:
            for name, kept in streams.items():
                kept.append(checked_stream(episode, name, like=kept[0].spec if kept else None))
            moments.append(streams[window.action][-1].times_s)
            self.keys.append(episode.key)
            self.instructions.append(episode.instruction)
            self.sources.append(episode.provenance.source)
        if not self.keys:
            raise ConfigError("no episodes to take windows from (were all filtered out?)")
        self.specs: dict[str, StreamSpec] = {name: kept[0].spec for name, kept in streams.items()}
        self.now_s = np.concatenate(moments)
        self.episode_of = np.repeat(np.arange(len(moments)), [len(m) for m in moments])
        self._columns = {
            view.stream: Column(
                streams[view.stream],
                [
                    plan_input(view, self.specs[view.stream], s.times_s, s.usable_s(), now)
                    for s, now in zip(streams[view.stream], moments, strict=True)
                ],
                (view.alignment or self.specs[view.stream].alignment).method,
            )
            for view in window.inputs
        }
        self._actions = Column(
            streams[window.action],
            [
                plan_actions(window, s, now)
                for s, now in zip(streams[window.action], moments, strict=True)
            ],
            action_alignment(window).method,
        )

    def __len__(self) -> int:
        return len(self.now_s)

    def batch(
        self, rows: NDArray[np.int64], /, frames: Mapping[str, torch.Tensor] | None = None
    ) -> Batch:
        """The windows in these rows; `frames`: what `frame_reader` read for the same rows."""
        index = torch.from_numpy(rows)
        read = frames or {}
        return Batch(
            values={
                name: read[name] if name in read else column.read(index)
                for name, column in self._columns.items()
            },
            valid={name: column.valid[index] for name, column in self._columns.items()},
            age_s={name: column.age_s[index] for name, column in self._columns.items()},
            instructions=[self.instructions[self.episode_of[row]] for row in rows],
            actions=self._actions.read(index).float(),
            action_valid=self._actions.valid[index],
            index=rows,
        )

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
        columns = {n: c.frames for n, c in self._columns.items() if c.frames is not None}
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
                source=self.sources[episode],
                step=row - int(first[episode]),
                now_s=float(self.now_s[row]),
            )
            for row, episode in zip(rows.tolist(), self.episode_of[rows].tolist(), strict=True)
        ]

    def digest(self) -> str:
        """sha256 over which samples there are: episodes, times and the window."""
        digest = hashlib.sha256(repr(self.window).encode())
        digest.update("\n".join(self.keys).encode())
        digest.update(self.episode_of.tobytes())
        digest.update(self.now_s.tobytes())
        return digest.hexdigest()

    def rows_of(self, key: str) -> NDArray[np.int64]:
        """Row numbers of one episode's windows, in time order."""
        return np.flatnonzero(self.episode_of == self.keys.index(key))


def checked_stream(episode: Episode, name: str, like: StreamSpec | None) -> Stream:
    """A stream of an episode that is sound and has the same shape and dtype as in the others."""
    stream = episode.stream(name)
    try:
        stream.check(finite=isinstance(stream.values, np.ndarray))
        if like is not None and (stream.spec.shape, stream.spec.dtype) != (like.shape, like.dtype):
            raise ShapeError(
                f"expected {like.dtype} samples of shape {like.shape} as in the other episodes, "
                f"got {stream.spec.dtype} {stream.spec.shape}"
            )
    except DataError as error:
        recorded = episode.provenance.seed is None  # a simulated one comes from no file
        file = episode.provenance.source if recorded else ""
        raise error.located(episode=episode.key, stream=name, file=file or None) from None
    return stream
