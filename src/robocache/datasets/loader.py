"""Batches of training windows, read ahead by worker processes, resumed exactly.

The order is settled here, in the parent, and follows from (seed, epoch) alone; workers only decode
the frames of the rows they are given. What is in memory anyway is gathered in the parent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.errors import ConfigError
from robocache.datasets.frame_workers import FramesUnderWay, FrameWorkers
from robocache.datasets.origin import Origin
from robocache.datasets.sampler import WindowSampler
from robocache.datasets.windows import Batch, Windows


@dataclass(frozen=True)
class _Ordered:
    """A batch under way: its rows, where the sampler stood after it, and its frames if read."""

    rows: NDArray[np.int64]
    state: dict[str, Any]
    frames: FramesUnderWay | None


class Loader:
    """An endless stream of batches, the same for every number of workers.

    Its state is where the batches handed out end; what was read ahead does not count, so it may be
    loaded with another number of workers or another world size. A batch that failed is tried again
    by the next `next`, never skipped.

    Args:
        windows: a `WindowTable` or a `Mixture`.
        batch_size: windows per batch, of all ranks together; an epoch's last, smaller batch is left
            out unless there are fewer windows than one batch.
        seed: root seed of the order.
        workers: processes that decode frames; 0: they are decoded here. None are started where
            everything is in memory.
        prefetch: batches per worker that are under way or wait to be handed out, at most.
        pin_memory: hand out page-locked tensors, for copies to a CUDA device.
        on_device: applied to each batch here before it is handed out: to a device, voxels,
            augmentation.
        shuffle: False: every window in the order of the table, whatever a mixture's weights.
        rank, world_size: this process gets part `rank` of each batch; the order of the batches does
            not depend on them.

    Raises:
        ConfigError: a number that cannot be, or page-locked memory without a CUDA device.
    """

    def __init__(
        self,
        windows: Windows,
        batch_size: int,
        seed: int,
        *,
        workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        on_device: Callable[[Batch], Batch] | None = None,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if workers < 0 or prefetch < 1:
            raise ConfigError(
                f"workers must be at least 0 and prefetch at least 1, got {workers} and {prefetch}"
            )
        if pin_memory and not torch.cuda.is_available():
            raise ConfigError("pin_memory was asked for, but torch sees no CUDA device")
        self.windows = windows
        self._sampler = WindowSampler(windows, batch_size, seed, shuffle)
        _require_parts(self._sampler.batch_size, rank, world_size)
        self._rank, self._world_size = rank, world_size
        self._pin_memory, self._on_device = pin_memory, on_device
        reader = windows.frame_reader() if workers else None
        self._ahead = 1 if reader is None else workers * prefetch
        self._workers = None if reader is None else FrameWorkers(reader, workers, self._ahead)
        self._ordered: deque[_Ordered] = deque()
        self._samples = windows.digest()
        self._state = self._sampler.state_dict()

    @property
    def batch_size(self) -> int:
        """Windows per batch, of all ranks together."""
        return self._sampler.batch_size

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.windows) // self.batch_size

    def __iter__(self) -> Loader:
        return self

    def __next__(self) -> Batch:
        """The next batch.

        Raises:
            DataError: a frame cannot be decoded; names file and episode.
            StorageError: a worker process was killed.
        """
        self._order()
        first = self._ordered[0]
        frames = None if first.frames is None else first.frames.result()
        batch = self.windows.batch(first.rows, frames=frames)
        if self._pin_memory:
            batch = batch.pinned()
        if self._on_device is not None:
            batch = self._on_device(batch)
        self._ordered.popleft()
        self._state = first.state
        if self._workers is not None:
            self._order()
        return batch

    def provenance(self, index: NDArray[np.int64]) -> list[Origin]:
        """Dataset, episode and time of the samples of a batch, by its `index`."""
        return self.windows.origins(index)

    def state_dict(self) -> dict[str, Any]:
        """Where the batches handed out end, as JSON, with what it must be loaded into."""
        return {**self._state, "shuffle": self._sampler.shuffle, "samples": self._samples}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, also one of a `WindowSampler`.

        Raises:
            ConfigError: the state belongs to other samples, another seed, order or batch size.
        """
        here = self.state_dict()
        for name in ("shuffle", "samples"):
            if name in state and state[name] != here[name]:
                raise ConfigError(
                    f"cannot resume the loader: {name} was {state[name]}, is {here[name]}"
                )
        self._sampler.load_state_dict(state)
        self._state = self._sampler.state_dict()
        for ordered in self._ordered:
            if ordered.frames is not None:
                ordered.frames.cancel()
        self._ordered.clear()

    def close(self) -> None:
        """End the worker processes; they end with this one, too."""
        if self._workers is not None:
            self._workers.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _order(self) -> None:
        """Fill up what is under way."""
        while len(self._ordered) < self._ahead:
            rows = np.array_split(self._sampler.next_rows(), self._world_size)[self._rank]
            frames = None if self._workers is None else self._workers.submit(rows)
            self._ordered.append(_Ordered(rows, self._sampler.state_dict(), frames))


def _require_parts(batch_size: int, rank: int, world_size: int) -> None:
    if world_size < 1 or not 0 <= rank < world_size:
        raise ConfigError(f"rank must be in 0..world_size-1, got {rank} of {world_size}")
    if batch_size % world_size:
        raise ConfigError(
            f"a batch of {batch_size} windows cannot be shared equally by {world_size} processes: "
            f"batch_size must be a multiple of world_size"
        )
