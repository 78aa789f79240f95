"""A stream in numbers: its true rate, jitter and gaps, and the range of its values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robocache.core import Stream
from robocache.evaluation.stream_chart import flat, is_low

GAP_PERIODS = 1.5
"""A longer time between two samples, in periods (the median), is a gap."""


@dataclass(frozen=True)
class Figures:
    """A stream in numbers, of one episode or of several; None where they are not defined.

    Attributes:
        name, dtype, unit, clock, privileged: as declared.
        shape: e.g. "64×96×3"; "number" for scalars, "varies" where episodes differ.
        nominal_hz: declared rate; None: not periodic, or another one in each episode.
        samples: number of samples.
        steps, span_s: times between two samples, their number and sum.
        jitter_s: standard deviation of the times between samples, gaps left out; of several
            episodes the largest.
        gaps: number of gaps (see `GAP_PERIODS`); None for a stream that is not periodic.
        longest_s: longest time between two samples.
        low, mean, high: of the finite values; None for pictures.
        numbers: how many finite values there are.
    """

    name: str
    shape: str
    dtype: str
    unit: str
    clock: str
    privileged: bool
    nominal_hz: float | None
    samples: int
    steps: int
    span_s: float
    jitter_s: float | None
    gaps: int | None
    longest_s: float | None
    low: float | None = None
    mean: float | None = None
    high: float | None = None
    numbers: int = 0

    @property
    def rate_hz(self) -> float | None:
        """One over the mean time between samples."""
        return self.steps / self.span_s if self.span_s > 0 else None

    def to_json(self) -> dict[str, Any]:
        left_out = ("name", "steps", "span_s", "numbers")
        told = {name: value for name, value in vars(self).items() if name not in left_out}
        return {**told, "rate_hz": self.rate_hz}


def stream_figures(name: str, stream: Stream) -> Figures:
    """A stream in numbers; pictures are not decoded."""
    spec, steps_s = stream.spec, np.diff(stream.times_s)
    known = flat(stream) if is_low(stream) else np.empty(0)
    known = known[np.isfinite(known)]
    gap = steps_s > GAP_PERIODS * float(np.median(steps_s)) if len(steps_s) else np.empty(0, bool)
    periodic = spec.rate_hz is not None
    usual_s = steps_s[~gap] if periodic else steps_s
    return Figures(
        name=name,
        shape="×".join(str(n) for n in spec.shape) or "number",
        dtype=spec.dtype,
        unit=spec.unit,
        clock=spec.clock,
        privileged=spec.privileged,
        nominal_hz=spec.rate_hz,
        samples=len(stream),
        steps=len(steps_s),
        span_s=float(steps_s.sum()),
        jitter_s=round(float(usual_s.std()), 9) if len(usual_s) else None,
        gaps=int(np.count_nonzero(gap)) if periodic else None,
        longest_s=float(steps_s.max()) if len(steps_s) else None,
        low=float(known.min()) if len(known) else None,
        mean=float(known.mean()) if len(known) else None,
        high=float(known.max()) if len(known) else None,
        numbers=len(known),
    )


def together(one: Figures, other: Figures) -> Figures:
    """The same stream of two episodes, or of two groups of them."""
    return replace(
        one,
        shape=one.shape if one.shape == other.shape else "varies",
        dtype=one.dtype if one.dtype == other.dtype else "varies",
        nominal_hz=one.nominal_hz if one.nominal_hz == other.nominal_hz else None,
        samples=one.samples + other.samples,
        steps=one.steps + other.steps,
        span_s=one.span_s + other.span_s,
        jitter_s=_known(max, one.jitter_s, other.jitter_s),
        gaps=_known(sum, one.gaps, other.gaps),
        longest_s=_known(max, one.longest_s, other.longest_s),
        low=_known(min, one.low, other.low),
        mean=_mean(one, other),
        high=_known(max, one.high, other.high),
        numbers=one.numbers + other.numbers,
    )


def _known(fold: Any, *values: float | None) -> Any:
    known = [value for value in values if value is not None]
    return fold(known) if known else None


def _mean(one: Figures, other: Figures) -> float | None:
    if one.mean is None or other.mean is None:
        return other.mean if one.mean is None else one.mean
    share = other.numbers / (one.numbers + other.numbers)
    return one.mean + (other.mean - one.mean) * share
