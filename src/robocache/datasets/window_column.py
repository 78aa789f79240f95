"""One stream over all windows of a table: in memory, or as frames that are decoded when read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.errors import ConfigError
from robocache.core.stream import FrameArray, Method, Stream, StreamSpec
from robocache.datasets.alignment import mask_invalid
from robocache.ops.resample import ResamplePlan, apply_plan


class Column:
    """One input over all windows: the samples of every episode, and which of them are read.

    Attributes:
        frames: the samples, where they are decoded when read; None where they are in memory.
    """

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
        self.frames: FrameColumn | None = None
        if any(not isinstance(stream.values, np.ndarray) for stream in streams):
            if method not in ("previous", "nearest"):
                raise ConfigError(f"frames cannot be interpolated; {method!r} was asked for")
            values = [stream.values for stream in streams]
            self.frames = FrameColumn(self.spec, values, self.left.numpy(), self.valid.numpy())
            return
        # One spare row of zeros: an empty last stream still has a row to point at.
        spare = np.zeros((1, *self.spec.shape), self.spec.dtype)
        arrays = [np.asarray(stream.values) for stream in streams]
        self._values = torch.from_numpy(np.concatenate([*arrays, spare]))

    def read(self, rows: torch.Tensor) -> torch.Tensor:
        """(B, O, ...) aligned values of these windows, zeros where invalid."""
        if self.frames is not None:
            return self.frames.read(rows.numpy())
        valid = self.valid[rows]
        plan = ResamplePlan(
            self.left[rows], self.right[rows], self.weight[rows], valid, self.age_s[rows]
        )
        return mask_invalid(apply_plan(self._values, plan, method=self.method), valid)


class FrameColumn:
    """The frames of one input over all windows; can be sent to another process and read there.

    Args:
        spec: of every episode's stream.
        frames: those of each episode.
        samples: (N, O) which frame a window reads, counted over all episodes.
        valid: (N, O) whether there is one.
    """

    def __init__(
        self,
        spec: StreamSpec,
        frames: Sequence[FrameArray],
        samples: NDArray[np.int64],
        valid: NDArray[np.bool_],
    ) -> None:
        self._spec, self._frames, self._samples, self._valid = spec, frames, samples, valid
        self._starts = np.cumsum([0, *(len(array) for array in frames)])

    def read(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """(B, O, ...) decoded frames of these windows, zeros where invalid."""
        samples = self._samples[rows]
        wanted = samples.reshape(-1)
        episodes = np.searchsorted(self._starts, wanted, side="right") - 1
        out = np.empty((len(wanted), *self._spec.shape), self._spec.dtype)
        for episode in np.unique(episodes):
            mine = np.flatnonzero(episodes == episode)
            if episode < len(self._frames) and len(self._frames[episode]):
                out[mine] = self._frames[episode][wanted[mine] - self._starts[episode]]
        values = torch.from_numpy(out).reshape(*samples.shape, *self._spec.shape)
        return mask_invalid(values, torch.from_numpy(self._valid[rows]))


class FrameColumns:
    """Every stream of a table that is decoded when read: name -> its column."""

    def __init__(self, columns: dict[str, FrameColumn]) -> None:
        self._columns = columns

    def read(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """Stream -> (B, O, ...) frames of these windows."""
        return {name: column.read(rows) for name, column in self._columns.items()}
