"""One stream over all windows of a table: in memory, or as frames that are decoded when read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.errors import ConfigError
from robocache.core.stream import FrameArray, Method, Stream, StreamSpec
from robocache.datasets.alignment import mask_invalid
from robocache.ops.resample import ResamplePlan, apply_plan


@dataclass(frozen=True, eq=False)
class Column:
    """One stream over all windows: which samples each reads, and the samples or where they are.

    Attributes:
        spec: the stream as it is read.
        method: how samples become a value.
        plan: which samples the windows read, (N, O) each, counted over all episodes.
        values: (S, ...) samples of all episodes; None where they are decoded when read.
        frames: the samples, where they are decoded when read.
    """

    spec: StreamSpec
    method: Method
    plan: ResamplePlan
    values: torch.Tensor | None
    frames: FrameColumn | None

    @staticmethod
    def over(streams: list[Stream], plans: list[ResamplePlan], method: Method) -> Column:
        """The column of a stream in several episodes, with the plan of each.

        Raises:
            ConfigError: frames would have to be interpolated.
        """
        spec = streams[0].spec
        plan = _joined(plans, [len(stream) for stream in streams])
        if any(not isinstance(stream.values, np.ndarray) for stream in streams):
            if method not in ("previous", "nearest"):
                raise ConfigError(f"frames cannot be interpolated; {method!r} was asked for")
            values = [stream.values for stream in streams]
            frames = FrameColumn(spec, values, plan.left.numpy(), plan.valid.numpy())
            return Column(spec, method, plan, None, frames)
        # One spare row of zeros: an empty last stream still has a row to point at.
        spare = np.zeros((1, *spec.shape), spec.dtype)
        arrays = [np.asarray(stream.values) for stream in streams]
        return Column(spec, method, plan, torch.from_numpy(np.concatenate([*arrays, spare])), None)

    def only(self, rows: NDArray[np.int64]) -> Column:
        """The column over these windows."""
        plan = _of_rows(self.plan, torch.from_numpy(rows))
        frames = None if self.frames is None else self.frames.only(rows)
        return replace(self, plan=plan, frames=frames)

    def read(self, rows: torch.Tensor) -> torch.Tensor:
        """(B, O, ...) aligned values of these windows, zeros where invalid."""
        if self.frames is not None:
            return self.frames.read(rows.numpy())
        assert self.values is not None
        plan = _of_rows(self.plan, rows)
        return mask_invalid(apply_plan(self.values, plan, method=self.method), plan.valid)


def _joined(plans: Sequence[ResamplePlan], samples: Sequence[int]) -> ResamplePlan:
    """The plans of several episodes as one, samples counted over all of them."""
    starts = np.cumsum([0, *samples]).tolist()
    parts = [
        (p.left + start, p.right + start, p.weight, p.valid, p.age_s)
        for p, start in zip(plans, starts[:-1], strict=True)
    ]
    return ResamplePlan(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _of_rows(plan: ResamplePlan, rows: torch.Tensor) -> ResamplePlan:
    return ResamplePlan(
        plan.left[rows], plan.right[rows], plan.weight[rows], plan.valid[rows], plan.age_s[rows]
    )


class FrameColumn:
    """The frames of one input over all windows; can be sent to another process and read there.

    Args:
        spec: of every episode's stream.
        frames: those of each episode.
        samples: (N, O) which frame a window reads, counted over all episodes.
        valid: (N, O) whether there is one.
    """

    decodes = True
    """Whether reading takes time, so that other processes may do it."""

    def __init__(
        self,
        spec: StreamSpec,
        frames: Sequence[FrameArray],
        samples: NDArray[np.int64],
        valid: NDArray[np.bool_],
    ) -> None:
        self._spec, self.frames, self.samples, self.valid = spec, frames, samples, valid
        self._starts = np.cumsum([0, *(len(array) for array in frames)])

    def unread(self) -> FrameColumn:
        """The same column, whose frames are not read."""
        return UnreadFrames(self._spec, self.frames, self.samples, self.valid)

    def only(self, rows: NDArray[np.int64]) -> FrameColumn:
        """The frames of these windows."""
        return FrameColumn(self._spec, self.frames, self.samples[rows], self.valid[rows])

    def read(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """(B, O, ...) decoded frames of these windows, zeros where invalid."""
        samples = self.samples[rows]
        wanted = samples.reshape(-1)
        episodes = np.searchsorted(self._starts, wanted, side="right") - 1
        out = np.empty((len(wanted), *self._spec.shape), self._spec.dtype)
        for episode in np.unique(episodes):
            mine = np.flatnonzero(episodes == episode)
            if episode < len(self.frames) and len(self.frames[episode]):
                out[mine] = self.frames[episode][wanted[mine] - self._starts[episode]]
        out[~self.valid[rows].reshape(-1)] = 0
        return torch.from_numpy(out).reshape(*samples.shape, *self._spec.shape)


class UnreadFrames(FrameColumn):
    """Frames of no pixels in place of those of a column."""

    decodes = False

    def read(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """(B, O, 0) uint8."""
        return torch.empty(*self.samples[rows].shape, 0, dtype=torch.uint8)


class FrameColumns:
    """Every stream of a table that is decoded when read: name -> its column."""

    def __init__(self, columns: dict[str, FrameColumn]) -> None:
        self._columns = columns

    def read(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """Stream -> (B, O, ...) frames of these windows."""
        return {name: column.read(rows) for name, column in self._columns.items()}
