"""Streams brought to a policy's clock: the one rule used offline for training and live on a robot.

At time `now` an input may use a sample only if it was available by then, and reads it at
`now + offset` with the alignment policy declared by the stream or overridden by the reader.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.env import Samples
from robocache.core.errors import ConfigError, MissingStreamError
from robocache.core.stream import AlignmentPolicy, Stream, StreamSpec
from robocache.core.window import Observation, StreamInput, Window
from robocache.datasets.resize import resize
from robocache.ops.resample import ResamplePlan, apply_plan, plan_resample


def plan_input(
    view: StreamInput,
    spec: StreamSpec,
    times_s: NDArray[np.float64],
    usable_s: NDArray[np.float64],
    now_s: NDArray[np.float64],
) -> ResamplePlan:
    """Which samples an input reads at each moment.

    Args:
        view: the stream's name, offsets and alignment.
        spec: the stream's own declaration.
        times_s: (S,) capture times.
        usable_s: (S,) availability times.
        now_s: (N,) moments of decision.

    Returns:
        A plan of shape (N, O), O offsets.
    """
    policy = view.alignment or spec.alignment
    now = torch.from_numpy(np.asarray(now_s, dtype=np.float64))[:, None]
    targets = now + torch.tensor(view.offsets_s, dtype=torch.float64)
    return plan_resample(
        torch.from_numpy(times_s),
        targets,
        method=policy.method,
        max_gap_s=policy.max_gap_s,
        available_times=torch.from_numpy(usable_s),
        now=now,
    )


def plan_actions(window: Window, stream: Stream, now_s: NDArray[np.float64]) -> ResamplePlan:
    """Which recorded actions a window predicts; a plan of shape (N, H)."""
    policy = action_alignment(window)
    offsets = torch.from_numpy(window.action_offsets_s())
    return plan_resample(
        torch.from_numpy(stream.times_s),
        torch.from_numpy(np.asarray(now_s, dtype=np.float64))[:, None] + offsets,
        method=policy.method,
        max_gap_s=policy.max_gap_s,
    )


def action_alignment(window: Window) -> AlignmentPolicy:
    """The alignment of the predicted actions."""
    return window.action_alignment or AlignmentPolicy("nearest", max_gap_s=0.5 / window.rate_hz)


def mask_invalid(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Zeros where `valid` (N, O) is False, so that nothing unusable can be read by mistake."""
    if bool(valid.all()):
        return values
    shape = valid.shape + (1,) * (values.ndim - valid.ndim)
    return torch.where(valid.reshape(shape), values, torch.zeros((), dtype=values.dtype))


def check_inputs(inputs: Sequence[StreamInput]) -> None:
    """Raise ConfigError if two inputs read one stream: observations are named by stream."""
    names = [view.stream for view in inputs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"stream {name!r} is read twice; give one input all its offsets_s")


class LiveAligner:
    """Samples in as they come, observations out: the aligner that runs beside a robot.

    Args:
        inputs: what the policy reads.
        specs: stream name -> declaration, for every stream the policy reads.

    Raises:
        MissingStreamError: an input is not among `specs`.
        ConfigError: a stream is read by two inputs, or what is no picture at another size.
    """

    def __init__(self, inputs: Sequence[StreamInput], specs: dict[str, StreamSpec]) -> None:
        check_inputs(inputs)
        for view in inputs:
            if view.stream not in specs:
                have = ", ".join(sorted(specs))
                raise MissingStreamError(f"not offered (streams: {have})", stream=view.stream)
            view.seen(specs[view.stream])
        self._inputs = tuple(inputs)
        self._specs = specs
        self._buffers = {view.stream: _Buffer(specs[view.stream]) for view in inputs}

    def push(self, stream: str, samples: Samples) -> None:
        """Add samples of one stream, in any order of capture; streams nobody reads are ignored."""
        if stream in self._buffers:
            self._buffers[stream].add(samples)

    def observe(self, now_s: float, instruction: str) -> Observation:
        """What the policy may know at `now_s`."""
        values, valid, age = {}, {}, {}
        moment = np.array([now_s])
        for view in self._inputs:
            buffer = self._buffers[view.stream]
            spec = self._specs[view.stream]
            plan = plan_input(view, spec, buffer.times_s, buffer.usable_s, moment)
            method = (view.alignment or spec.alignment).method
            read = apply_plan(torch.from_numpy(buffer.values), plan, method=method)
            aligned = mask_invalid(read, plan.valid)[0].numpy()
            values[view.stream] = aligned if view.size is None else resize(aligned, view.size)
            valid[view.stream] = plan.valid[0].numpy()
            age[view.stream] = plan.age_s[0].numpy()
        return Observation(values, valid, age, instruction, now_s)


class _Buffer:
    """Samples of one stream in order of capture; grows by doubling."""

    def __init__(self, spec: StreamSpec) -> None:
        self._values = np.zeros((16, *spec.shape), spec.dtype)
        self._times = np.zeros((2, 16), np.float64)
        self._count = 0

    @property
    def values(self) -> NDArray[np.generic]:
        return self._values[: self._count]

    @property
    def times_s(self) -> NDArray[np.float64]:
        return self._times[0, : self._count]

    @property
    def usable_s(self) -> NDArray[np.float64]:
        return self._times[1, : self._count]

    def add(self, samples: Samples) -> None:
        values, times, available = samples
        total = self._count + len(times)
        while total > len(self._values):
            self._values = np.concatenate([self._values, np.zeros_like(self._values)])
            self._times = np.concatenate([self._times, np.zeros_like(self._times)], axis=1)
        first = max(self._count - 1, 0)
        self._values[self._count : total] = values
        self._times[0, self._count : total] = times
        self._times[1, self._count : total] = times if available is None else available
        self._count = total
        if (np.diff(self._times[0, first:total]) < 0).any():
            order = np.argsort(self.times_s, kind="stable")
            self._values[:total] = self._values[:total][order]
            self._times[:, :total] = self._times[:, :total][:, order]
