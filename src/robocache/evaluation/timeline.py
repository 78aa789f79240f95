"""The clocks of an episode: how fast, late and gappy each of its streams is, and how old what was
known when an action was decided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robocache.core import Episode, Stream
from robocache.core.errors import DataError

WIDTH, CAPTURED_Y, USABLE_Y, HEIGHT = 1000, 13, 23, 36
DECISIONS, LABEL = "action", "expert_action"
"""The stream whose capture times are the moments of decision, and the one that is no input."""


@dataclass(frozen=True)
class Ages:
    """How old something was at the moments of decision.

    Attributes:
        median_s, largest_s: over the moments at which it was defined; None: at none of them.
        missing: moments at which it was not.
    """

    median_s: float | None
    largest_s: float | None
    missing: int


@dataclass(frozen=True)
class StreamClock:
    """The clock of one stream.

    Attributes:
        name: name of the stream.
        nominal_hz: declared rate; None when it is not periodic.
        measured_hz: one over the median time between samples; None below two samples.
        samples: number of samples.
        longest_gap_s: longest time between two samples; None below two samples.
        latency_s: mean of availability minus capture, and `largest_latency_s` the most; None
            without samples.
        dropped: samples missing from the gaps at the nominal rate, estimated; None without one.
        synthetic: times were made from a rate, not measured.
        privileged: known only in simulation.
        age: of the newest sample that was available at each decision; None for actions,
            for streams that are not periodic, and where there are no decisions.
        captured, delivered: SVG paths, `WIDTH` x `HEIGHT`: a tick per capture, and a line from
            it to the moment it could be used.
    """

    name: str
    nominal_hz: float | None
    measured_hz: float | None
    samples: int
    longest_gap_s: float | None
    latency_s: float | None
    largest_latency_s: float | None
    dropped: int | None
    synthetic: bool
    privileged: bool
    age: Ages | None
    captured: str
    delivered: str


@dataclass(frozen=True)
class StreamTimeline:
    """The clocks of one episode, drawn from `start_s` for `span_s` seconds.

    Attributes:
        decisions: at how many moments an action was decided.
        spread: at each of them, age of the oldest of the streams that have an age minus that of
            the newest: how far apart in time lies what a policy takes for one moment. None with
            fewer than two such streams.
    """

    episode: str
    start_s: float
    span_s: float
    clocks: tuple[StreamClock, ...]
    decisions: int
    spread: Ages | None


def stream_timeline(episode: Episode, *, span_s: float = 0.5) -> StreamTimeline:
    """Measure every clock of `episode` and draw its first `span_s` seconds.

    An episode without a stream called "action" has no decisions, and so no ages.

    Raises:
        DataError: the episode holds no samples.
    """
    starts = [float(s.times_s[0]) for s in episode.streams.values() if len(s)]
    if not starts:
        raise DataError("there are no samples to draw", episode=episode.key)
    start_s = min(starts)
    now_s = episode.streams[DECISIONS].times_s if DECISIONS in episode.streams else np.empty(0)
    ages_s = {
        name: ages_at(stream, now_s)
        for name, stream in sorted(episode.streams.items())
        if name not in (DECISIONS, LABEL) and stream.spec.rate_hz is not None and len(now_s)
    }
    clocks = tuple(
        _clock(name, stream, start_s, span_s, ages_s.get(name))
        for name, stream in sorted(episode.streams.items())
    )
    spread = None
    if len(ages_s) > 1:
        together = np.array(list(ages_s.values()))
        spread = _summary(together.max(axis=0) - together.min(axis=0))
    return StreamTimeline(episode.key, start_s, span_s, clocks, len(now_s), spread)


def ages_at(stream: Stream, now_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) age in seconds of the newest sample available at each moment; NaN where there is none.

    Args:
        stream: samples, which may have become available in another order than they were captured.
        now_s: (N,) moments of decision.
    """
    usable_s = stream.usable_s()
    order = np.argsort(usable_s, kind="stable")
    newest_s = np.append(np.nan, np.fmax.accumulate(stream.times_s[order]))
    known = np.searchsorted(usable_s[order], now_s, side="right")
    return np.asarray(now_s - newest_s[known])


def _summary(ages_s: NDArray[np.float64]) -> Ages:
    known = ages_s[np.isfinite(ages_s)]
    missing = len(ages_s) - len(known)
    if not len(known):
        return Ages(None, None, missing)
    return Ages(float(np.median(known)), float(known.max()), missing)


def _clock(
    name: str,
    stream: Stream,
    start_s: float,
    span_s: float,
    ages_s: NDArray[np.float64] | None,
) -> StreamClock:
    gaps_s = np.diff(stream.times_s)
    several, nominal_hz = len(gaps_s) > 0, stream.spec.rate_hz
    latency_s = stream.usable_s() - stream.times_s
    shown = (stream.times_s >= start_s) & (stream.times_s <= start_s + span_s)
    captured_x = (stream.times_s[shown] - start_s) * WIDTH / span_s
    usable_x = (stream.usable_s()[shown] - start_s) * WIDTH / span_s
    return StreamClock(
        name=name,
        nominal_hz=nominal_hz,
        measured_hz=1 / float(np.median(gaps_s)) if several else None,
        samples=len(stream),
        longest_gap_s=float(gaps_s.max()) if several else None,
        latency_s=float(latency_s.mean()) if len(stream) else None,
        largest_latency_s=float(latency_s.max()) if len(stream) else None,
        dropped=None if nominal_hz is None else _dropped(gaps_s, nominal_hz),
        synthetic=stream.spec.clock == "synthetic",
        privileged=stream.spec.privileged,
        age=None if ages_s is None else _summary(ages_s),
        captured=" ".join(f"M{x:.1f} 2V{CAPTURED_Y}" for x in captured_x),
        delivered=" ".join(
            f"M{x:.1f} {CAPTURED_Y}L{u:.1f} {USABLE_Y}V{HEIGHT - 2}"
            for x, u in zip(captured_x, usable_x)
        ),
    )


def _dropped(gaps_s: NDArray[np.float64], nominal_hz: float) -> int:
    """Samples that would have filled the gaps (T - 1,) at `nominal_hz`."""
    return int(np.maximum(np.rint(gaps_s * nominal_hz) - 1, 0).sum())
