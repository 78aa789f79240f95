"""The streams of an episode as rows at one rate, which is what LeRobot holds.

Streams that share one regular clock at that rate are taken row for row, as captured. Otherwise row
k is what was known at its moment: `datasets.alignment` reads every stream there, actions (and what
answers them, `next.*`) by the time they were given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, TimesError
from robocache.core.stream import FrameArray, Method, Stream
from robocache.core.window import StreamInput, Window
from robocache.datasets.alignment import action_alignment, plan_actions, plan_input
from robocache.datasets.lerobot.episode import KNOWN_LATER
from robocache.ops.resample import ResamplePlan, apply_plan

ON_TIME = 1e-4  # part of a period that a regular clock may be off
ROUNDING_S = 1e-9  # a sample stamped this much after a moment is still of that moment


@dataclass(frozen=True, eq=False)
class Row:
    """One stream at the moments of an episode.

    Attributes:
        values: samples, or encoded frames.
        index: (N,) sample of each row; None: row k is sample k.
    """

    values: FrameArray
    index: NDArray[np.int64] | None = None

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """Rows [start, stop) as (stop - start, ...)."""
        chosen = slice(start, stop) if self.index is None else self.index[start:stop]
        return np.asarray(self.values[chosen])


@dataclass(frozen=True, eq=False)
class Rows:
    """An episode at one rate.

    Attributes:
        count: number of rows.
        start_s: moment of row 0 on the episode's clock.
        streams: stream name -> Row.
        resampled: stream name -> method, of those that were not taken row for row.
    """

    count: int
    start_s: float
    streams: Mapping[str, Row]
    resampled: Mapping[str, str] = field(default_factory=dict)


def common_rate(episode: Episode, names: Sequence[str]) -> float:
    """The one rate of these streams; those given once do not count.

    Raises:
        ConfigError: they have several rates, or none; the message lists them.
    """
    rates = {name: episode.stream(name).spec.rate_hz for name in names}
    found = {rate for rate in rates.values() if rate is not None}
    if len(found) != 1:
        listed = ", ".join(f"{n} {'once' if r is None else f'{r:g} Hz'}" for n, r in rates.items())
        raise ConfigError(
            f"its streams have no common rate ({listed}): say at how many frames per second they "
            f"are to be written (fps)"
        )
    return found.pop()


def at_rate(episode: Episode, names: Sequence[str], rate_hz: float) -> Rows:
    """The named streams of an episode at one rate.

    Raises:
        MissingStreamError: one is not there.
        TimesError: there is no moment, or a gap between moments, at which all are known.
    """
    streams = {name: episode.stream(name) for name in names}
    clocks = [_regular_start(stream, rate_hz) for stream in streams.values()]
    first, count = clocks[0], len(next(iter(streams.values())))
    alike = all(len(stream) == count for stream in streams.values())
    if alike and first is not None and all(_same(clock, first, rate_hz) for clock in clocks):
        return Rows(count, first, {name: Row(s.values) for name, s in streams.items()})
    return _resampled(episode, streams, rate_hz)


def _regular_start(stream: Stream, rate_hz: float) -> float | None:
    """The first time of a stream whose samples lie at first + k / rate_hz; None: they do not."""
    if not len(stream):
        return None
    off = stream.times_s - stream.times_s[0] - np.arange(len(stream)) / rate_hz
    return float(stream.times_s[0]) if np.abs(off).max() <= ON_TIME / rate_hz else None


def _same(clock: float | None, first: float, rate_hz: float) -> bool:
    return clock is not None and abs(clock - first) <= ON_TIME / rate_hz


def _resampled(episode: Episode, streams: Mapping[str, Stream], rate_hz: float) -> Rows:
    times = [stream.times_s for stream in streams.values() if len(stream)]
    begin = max((float(t[0]) for t in times), default=0.0)  # before, one is not known yet
    end = max((float(t[-1]) for t in times), default=0.0)
    moments = begin + np.arange(int((end - begin) * rate_hz + ON_TIME) + 1) / rate_hz
    rows, methods, known = {}, {}, np.ones(len(moments), bool)
    for name, stream in streams.items():
        plan, method = _plan(name, stream, moments, rate_hz)
        valid = plan.valid[:, 0].numpy()
        known &= valid
        methods[name] = method
        if method in ("previous", "nearest"):
            rows[name] = Row(stream.values, plan.left[:, 0].numpy())
        else:
            values = torch.from_numpy(np.ascontiguousarray(stream.values[:]))
            rows[name] = Row(apply_plan(values, plan, method=method)[:, 0].numpy())
    found = np.flatnonzero(known)
    if not len(found):
        raise TimesError("no moment at which all of its streams are known", episode=episode.key)
    low, high = int(found[0]), int(found[-1]) + 1
    if len(found) != high - low:
        at = low + int(np.argmin(known[low:high]))
        raise TimesError(
            f"not all of its streams are known at {moments[at]:.3f} s (a gap, or an alignment with "
            f"a short max_gap_s); LeRobot has no place for missing samples: trim the episode",
            episode=episode.key,
        )
    cut = {name: _cut(row, low, high) for name, row in rows.items()}
    return Rows(high - low, float(moments[low]), cut, methods)


def _plan(
    name: str, stream: Stream, moments: NDArray[np.float64], rate_hz: float
) -> tuple[ResamplePlan, Method]:
    if name.startswith(KNOWN_LATER):
        window = Window(inputs=(), action=name, rate_hz=rate_hz, horizon=1)
        return plan_actions(window, stream, moments), action_alignment(window).method
    policy = stream.spec.alignment
    view = StreamInput(name, alignment=policy)
    now = moments + ROUNDING_S if policy.method == "previous" else moments
    return plan_input(view, stream.spec, stream.times_s, stream.usable_s(), now), policy.method


def _cut(row: Row, low: int, high: int) -> Row:
    if row.index is None:
        return Row(row.values[low:high])
    return Row(row.values, row.index[low:high])
