"""Aligned training windows: episodes in, batches out, resumed exactly.

All alignment is planned once, when the table is built; a batch is then a gather. Low-dimensional
streams are held in memory, lazy frames (video) are decoded when a batch asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, DataError, ShapeError
from robocache.core.seeding import generator
from robocache.core.stream import Method, Stream, StreamSpec
from robocache.core.window import Observation, Window
from robocache.datasets.alignment import (
    action_alignment,
    check_inputs,
    mask_invalid,
    plan_actions,
    plan_input,
)
from robocache.ops.resample import ResamplePlan, apply_plan


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
    """

    values: Mapping[str, torch.Tensor]
    valid: Mapping[str, torch.Tensor]
    age_s: Mapping[str, torch.Tensor]
    instructions: list[str]
    actions: torch.Tensor
    action_valid: torch.Tensor
    index: NDArray[np.int64]

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        if device.type == "cpu":
            return self
        return replace(
            self,
            values={name: value.to(device) for name, value in self.values.items()},
            valid={name: value.to(device) for name, value in self.valid.items()},
            age_s={name: value.to(device) for name, value in self.age_s.items()},
            actions=self.actions.to(device),
            action_valid=self.action_valid.to(device),
        )


class _Column:
    """One input over all windows: the samples of every episode, and which of them are read."""

    def __init__(self, streams: list[Stream], plans: list[ResamplePlan], method: Method) -> None:
        self.spec = streams[0].spec
        self.method = method
        starts = np.cumsum([0, *(len(stream) for stream in streams)])
        self.left, self.right, self.weight, self.valid, self.age_s = (
            torch.cat(parts)
            for parts in zip(
                *(
                    (p.left + int(start), p.right + int(start), p.weight, p.valid, p.age_s)
                    for p, start in zip(plans, starts[:-1], strict=True)
                ),
                strict=True,
            )
        )
        self._starts = starts
        self._lazy = [s.values for s in streams if not isinstance(s.values, np.ndarray)]
        if self._lazy:
            if method not in ("previous", "nearest"):
                raise ConfigError(f"frames cannot be interpolated; {method!r} was asked for")
            self._lazy = [stream.values for stream in streams]
            return
        # One spare row of zeros: an empty last stream still has a row to point at.
        spare = np.zeros((1, *self.spec.shape), self.spec.dtype)
        arrays = [np.asarray(stream.values) for stream in streams]
        self._values = torch.from_numpy(np.concatenate([*arrays, spare]))

    def read(self, rows: torch.Tensor) -> torch.Tensor:
        """(B, O, ...) aligned values of these windows, zeros where invalid."""
        valid = self.valid[rows]
        if self._lazy:
            return mask_invalid(self._frames(self.left[rows]), valid)
        plan = ResamplePlan(
            self.left[rows], self.right[rows], self.weight[rows], valid, self.age_s[rows]
        )
        return mask_invalid(apply_plan(self._values, plan, method=self.method), valid)

    def _frames(self, rows: torch.Tensor) -> torch.Tensor:
        wanted = rows.reshape(-1).numpy()
        episodes = np.searchsorted(self._starts, wanted, side="right") - 1
        out = np.empty((len(wanted), *self.spec.shape), self.spec.dtype)
        for episode in np.unique(episodes):
            mine = np.flatnonzero(episodes == episode)
            if episode < len(self._lazy) and len(self._lazy[episode]):
                out[mine] = self._lazy[episode][wanted[mine] - self._starts[episode]]
        return torch.from_numpy(out).reshape(*rows.shape, *self.spec.shape)


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
        names = [view.stream for view in window.inputs]
        streams: dict[str, list[Stream]] = {name: [] for name in [*names, window.action]}
        moments: list[NDArray[np.float64]] = []
        for episode in episodes:
            for name, kept in streams.items():
                kept.append(checked_stream(episode, name, like=kept[0].spec if kept else None))
            moments.append(streams[window.action][-1].times_s)
            self.keys.append(episode.key)
            self.instructions.append(episode.instruction)
        if not self.keys:
            raise ConfigError("no episodes to take windows from (were all filtered out?)")
        self.specs: dict[str, StreamSpec] = {name: kept[0].spec for name, kept in streams.items()}
        self.now_s = np.concatenate(moments)
        self.episode_of = np.repeat(np.arange(len(moments)), [len(m) for m in moments])
        self._columns = {
            view.stream: _Column(
                streams[view.stream],
                [
                    plan_input(view, self.specs[view.stream], s.times_s, s.usable_s(), now)
                    for s, now in zip(streams[view.stream], moments, strict=True)
                ],
                (view.alignment or self.specs[view.stream].alignment).method,
            )
            for view in window.inputs
        }
        self._actions = _Column(
            streams[window.action],
            [
                plan_actions(window, s, now)
                for s, now in zip(streams[window.action], moments, strict=True)
            ],
            action_alignment(window).method,
        )

    def __len__(self) -> int:
        return len(self.now_s)

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """The windows in these rows."""
        index = torch.from_numpy(rows)
        return Batch(
            values={name: column.read(index) for name, column in self._columns.items()},
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

    def __init__(
        self, table: WindowTable, batch_size: int, seed: int, shuffle: bool = True
    ) -> None:
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
        return generator(self.seed, "window-order", self._epoch).permutation(len(self.table))
