"""The clocks of an episode: how fast, how late and how gappy each of its streams is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robocache.core import Episode, Stream
from robocache.core.errors import DataError

WIDTH, CAPTURED_Y, USABLE_Y, HEIGHT = 1000, 13, 23, 36


@dataclass(frozen=True)
class StreamClock:
    """The clock of one stream.

    Attributes:
        name: name of the stream.
        nominal_hz: declared rate; None when it is not periodic.
        measured_hz: one over the median time between samples; None below two samples.
        samples: number of samples.
        longest_gap_s: longest time between two samples; None below two samples.
        latency_s: mean of availability minus capture; None without samples.
        dropped: samples missing from the gaps at the nominal rate, estimated; None without one.
        synthetic: times were made from a rate, not measured.
        privileged: known only in simulation.
        captured, delivered: SVG paths, `WIDTH` x `HEIGHT`: a tick per capture, and a line from
            it to the moment it could be used.
    """

    name: str
    nominal_hz: float | None
    measured_hz: float | None
    samples: int
    longest_gap_s: float | None
    latency_s: float | None
    dropped: int | None
    synthetic: bool
    privileged: bool
    captured: str
    delivered: str


@dataclass(frozen=True)
class StreamTimeline:
    """The clocks of one episode, drawn from `start_s` for `span_s` seconds."""

    episode: str
    start_s: float
    span_s: float
    clocks: tuple[StreamClock, ...]


def stream_timeline(episode: Episode, *, span_s: float = 0.5) -> StreamTimeline:
    """Measure every clock of `episode` and draw its first `span_s` seconds.

    Raises:
        DataError: the episode holds no samples.
    """
    starts = [float(s.times_s[0]) for s in episode.streams.values() if len(s)]
    if not starts:
        raise DataError("there are no samples to draw", episode=episode.key)
    start_s = min(starts)
    clocks = tuple(
        _clock(name, stream, start_s, span_s) for name, stream in sorted(episode.streams.items())
    )
    return StreamTimeline(episode.key, start_s, span_s, clocks)


def _clock(name: str, stream: Stream, start_s: float, span_s: float) -> StreamClock:
    gaps_s = np.diff(stream.times_s)
    several, nominal_hz = len(gaps_s) > 0, stream.spec.rate_hz
    shown = (stream.times_s >= start_s) & (stream.times_s <= start_s + span_s)
    captured_x = (stream.times_s[shown] - start_s) * WIDTH / span_s
    usable_x = (stream.usable_s()[shown] - start_s) * WIDTH / span_s
    return StreamClock(
        name=name,
        nominal_hz=nominal_hz,
        measured_hz=1 / float(np.median(gaps_s)) if several else None,
        samples=len(stream),
        longest_gap_s=float(gaps_s.max()) if several else None,
        latency_s=float(np.mean(stream.usable_s() - stream.times_s)) if len(stream) else None,
        dropped=None if nominal_hz is None else _dropped(gaps_s, nominal_hz),
        synthetic=stream.spec.clock == "synthetic",
        privileged=stream.spec.privileged,
        captured=" ".join(f"M{x:.1f} 2V{CAPTURED_Y}" for x in captured_x),
        delivered=" ".join(
            f"M{x:.1f} {CAPTURED_Y}L{u:.1f} {USABLE_Y}V{HEIGHT - 2}"
            for x, u in zip(captured_x, usable_x)
        ),
    )


def _dropped(gaps_s: NDArray[np.float64], nominal_hz: float) -> int:
    """Samples that would have filled the gaps (T - 1,) at `nominal_hz`."""
    return int(np.maximum(np.rint(gaps_s * nominal_hz) - 1, 0).sum())
