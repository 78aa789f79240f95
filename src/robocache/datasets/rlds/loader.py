"""Batches of whole episodes of an RLDS dataset, filtered, padded, and resumed exactly."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, DataError, ShapeError, unknown_name
from robocache.core.seeding import generator
from robocache.datasets.reused_memory import ReusedMemory
from robocache.datasets.rlds.padded import PaddedStreams
from robocache.datasets.rlds.rtx import RTXDataset


@dataclass(frozen=True, eq=False)
class RTXBatch:
    """B episodes, padded with zeros to L steps.

    Attributes:
        keys: B names.
        instructions: B texts.
        success: B outcomes; None where the dataset does not say.
        lengths: (B,) int64, steps of each episode.
        valid: (B, L) bool, False where padded.
        times_s: (B, L) float64, seconds from each episode's start.
        values: stream -> (B, L, ...).
    """

    keys: list[str]
    instructions: list[str]
    success: list[bool | None]
    lengths: torch.Tensor
    valid: torch.Tensor
    times_s: torch.Tensor
    values: Mapping[str, torch.Tensor]


_Made = tuple[RTXBatch | None, list[DataError]]


class RTXDataLoader:
    """Batches of episodes; one `for` loop is one epoch, or what is left of it after a restart.

    The order of epoch e is drawn from (seed, e) alone, so the batch after any state is the same in
    every process.

    Args:
        dataset: where the episodes are.
        batch_size: episodes a batch.
        streams: names of the streams without pictures; None: all.
        cameras: names of the streams of pictures; None: all, (): none.
        success: keep only episodes with this outcome; None: all.
        language: regular expression that the instruction must contain, in any case of letters;
            r"\\S" keeps those that have one.
        min_length, max_length: keep only episodes of so many steps.
        pad_to: steps of every batch; None: those of its longest episode.
        seed: root seed of the order.
        shuffle: another order in each epoch; otherwise that of the dataset.
        drop_last: leave out an epoch's last, smaller batch.
        on_error: `raise` at an episode that cannot be read, or `skip` it, with a warning, counted
            in `skipped`.
        threads: threads that read ahead, each a batch of its own; at most `threads` + 1 batches
            wait or are being read. 0: none, a batch is read when it is asked for.

    Raises:
        ConfigError: no episode is left, an unknown stream or camera, or a wrong number.
    """

    def __init__(
        self,
        dataset: RTXDataset,
        batch_size: int,
        *,
        streams: Sequence[str] | None = None,
        cameras: Sequence[str] | None = None,
        success: bool | None = None,
        language: str | None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        pad_to: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        on_error: Literal["raise", "skip"] = "raise",
        threads: int = 2,
    ) -> None:
        if batch_size < 1 or threads < 0 or (pad_to is not None and pad_to < 1):
            raise ConfigError(
                f"batch_size and pad_to must be at least 1, threads at least 0; got {batch_size}, "
                f"{pad_to}, {threads}"
            )
        if on_error not in ("raise", "skip"):
            raise unknown_name("on_error", on_error, ("raise", "skip"))
        self.dataset, self.batch_size, self.pad_to = dataset, batch_size, pad_to
        self.seed, self.shuffle, self.drop_last = seed, shuffle, drop_last
        self.on_error, self.threads = on_error, threads
        self.skipped = 0
        self.keys = self._selected(success, language, min_length, max_length)
        self.names = self._names(streams, cameras)
        self._epoch = self._position = 0
        pictures = len(set(self.names) & set(dataset.cameras))
        self._memory = ReusedMemory(spare=pictures * (threads + 2))  # what is under way at once

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        whole, rest = divmod(len(self.keys), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[RTXBatch]:
        for rows, made in self._read_ahead():
            self._position += len(rows)
            batch, unread = made()
            for error in unread:
                self._skip_or_raise(error)
            if batch is not None:
                yield batch
        self._epoch, self._position = self._epoch + 1, 0

    def _read_ahead(self) -> Iterator[tuple[NDArray[np.int64], Callable[[], _Made]]]:
        """The rows of each batch that is left of this epoch, and what waits for the batch."""
        order = self._order()
        end = min(len(self) * self.batch_size, len(order))
        starts = range(self._position, end, self.batch_size)
        batches = [order[start : start + self.batch_size] for start in starts]
        if not self.threads:
            yield from ((rows, partial(self._make, rows)) for rows in batches)
            return
        pool = ThreadPoolExecutor(self.threads)
        under_way: deque[Future[_Made]] = deque()
        try:
            for number, rows in enumerate(batches):
                for ahead in batches[number + len(under_way) : number + self.threads + 1]:
                    under_way.append(pool.submit(self._make, ahead))
                yield rows, under_way.popleft().result
        finally:
            pool.shutdown(cancel_futures=True)

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, with what it must be loaded into."""
        return {"epoch": self._epoch, "position": self._position, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ConfigError: the state belongs to other data or other settings.
        """
        for name, here in self._identity().items():
            if state.get(name) != here:
                raise ConfigError(
                    f"cannot resume the loader: {name} was {state.get(name)}, is {here}"
                )
        self._epoch, self._position = int(state["epoch"]), int(state["position"])

    def _identity(self) -> dict[str, Any]:
        episodes = hashlib.sha256("\n".join(self.keys).encode()).hexdigest()[:16]
        return {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
            "episodes": f"{len(self.keys)} ({episodes})",
        }

    def _order(self) -> NDArray[np.int64]:
        if not self.shuffle:
            return np.arange(len(self.keys))
        return generator(self.seed, "rtx-order", self._epoch).permutation(len(self.keys))

    def _selected(
        self,
        success: bool | None,
        language: str | None,
        min_length: int | None,
        max_length: int | None,
    ) -> list[str]:
        keys = self.dataset.keys()
        if any(limit is not None for limit in (success, language, min_length, max_length)):
            summaries, wrong = self.dataset.summaries
            for error in wrong:
                self._skip_or_raise(error)
            try:
                words = re.compile(language or "", re.IGNORECASE)
            except re.error as error:
                raise ConfigError(f"language {language!r} is no pattern: {error}") from error
            keys = [
                key
                for key, summary in summaries.items()
                if (success is None or summary.success is success)
                and words.search(summary.instruction)
                and summary.length >= (min_length or 0)
                and (max_length is None or summary.length <= max_length)
            ]
        if not keys:
            raise ConfigError(
                f"none of {len(self.dataset)} episodes is left: success={success}, "
                f"language={language!r}, min_length={min_length}, max_length={max_length}"
            )
        return keys

    def _names(self, streams: Sequence[str] | None, cameras: Sequence[str] | None) -> list[str]:
        """The streams of a batch; by default those of the first episode that can be read."""
        known = self.dataset.cameras
        for camera in cameras or ():
            if camera not in known:
                raise unknown_name("camera", camera, known)
        for stream in streams or ():
            if stream not in self.dataset.reader.features.steps:
                raise unknown_name("stream", stream, self.dataset.reader.features.steps)
        first = self._first() if streams is None or cameras is None else []
        chosen = [name for name in first if name not in known] if streams is None else streams
        pictures = [name for name in first if name in known] if cameras is None else cameras
        return list(dict.fromkeys([*chosen, *pictures]))

    def _first(self) -> list[str]:
        for key in self.keys:
            try:
                return list(self.dataset[key].streams)
            except DataError:
                if self.on_error == "raise":
                    raise
        raise ConfigError("no episode can be read")

    def _make(self, rows: NDArray[np.int64]) -> _Made:
        """A batch, None where no episode is left, and the errors of episodes that are left out."""
        keys = [self.keys[row] for row in rows]
        unread: dict[str, DataError] = {}
        batch = None
        while batch is None and (left := [key for key in keys if key not in unread]):
            batch = self._batch(left, unread)
        return batch, [unread[key] for key in keys if key in unread]

    def _episode(self, key: str) -> Episode:
        episode = self.dataset.reader.read(key, in_memory=True)
        if self.pad_to is not None and episode.outcome.steps > self.pad_to:
            raise ShapeError(
                f"{episode.outcome.steps} steps do not fit into pad_to={self.pad_to}; give "
                f"max_length as well",
                episode=key,
            )
        for name in self.names:
            episode.stream(name)  # is it there?
        return episode

    def _skip_or_raise(self, error: DataError) -> None:
        if self.on_error == "raise":
            raise error
        self.skipped += 1
        warnings.warn(f"episode skipped: {error}", stacklevel=3)

    def _batch(self, keys: list[str], unread: dict[str, DataError]) -> RTXBatch | None:
        """The episodes that can be read; None: try again without those that are in `unread` now."""
        episodes = []
        for key in keys:
            try:
                episodes.append(self._episode(key))
            except DataError as error:
                unread[key] = error
        if not episodes:
            return None
        lengths = [episode.outcome.steps for episode in episodes]
        steps = self.pad_to or max(lengths)
        streams = PaddedStreams(episodes, steps, self._memory.empty)
        damaged = False
        for row, episode in enumerate(episodes):
            try:
                for name in self.names:
                    streams.fill(row, name)
            except DataError as error:
                unread[episode.key], damaged = error, True
        if damaged:
            return None
        clock = self.dataset.reader.clock.rate_hz
        times = np.tile(np.arange(steps, dtype=np.float64) / clock, (len(episodes), 1))
        return RTXBatch(
            keys=[episode.key for episode in episodes],
            instructions=[episode.instruction for episode in episodes],
            success=[episode.outcome.success for episode in episodes],
            lengths=torch.tensor(lengths),
            valid=torch.arange(steps) < torch.tensor(lengths)[:, None],
            times_s=torch.from_numpy(times),
            values=streams.tensors(),
        )
