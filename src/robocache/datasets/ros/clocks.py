"""The clocks of a bag: when samples were captured, when they could be used, and how regularly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import TimesError

OTHER_CLOCK_S = 60.0
"""Stamps that are, in the median, further from the recorder's clock belong to another clock."""
REGULAR = 0.5
"""A stream is periodic if half of its steps are within this share of the median step."""
GAP_PERIODS = 3.0

Source = Literal["header", "publish", "log"]
Nanoseconds = NDArray[np.int64]


@dataclass(frozen=True)
class Times:
    """Times of T messages (or of the samples in them), in the order of the file.

    Attributes:
        stamp_ns: (T,) header stamps; 0 where there is none.
        publish_ns: (T,) when they were published.
        log_ns: (T,) when they arrived at the recorder.
    """

    stamp_ns: Nanoseconds
    publish_ns: Nanoseconds
    log_ns: Nanoseconds

    def of(self, source: Source) -> Nanoseconds:
        return {"header": self.stamp_ns, "publish": self.publish_ns, "log": self.log_ns}[source]


@dataclass(frozen=True)
class Timeline:
    """Samples in order of capture.

    Attributes:
        order: (S,) numbers of the samples that are kept, in order of capture.
        capture_ns: (S,) strictly increasing.
        available_ns: (S,) arrival, never before capture.
        late: samples captured before one that had arrived earlier.
        dropped: samples left out, because another one has their capture time.
    """

    order: NDArray[np.int64]
    capture_ns: Nanoseconds
    available_ns: Nanoseconds
    late: int
    dropped: int


def choose_clock(times: Times) -> tuple[Source, list[TimesError]]:
    """Which clock gives the capture times of a topic, one for all of its messages.

    The header's stamp where every message has one, else the publisher's time, else the arrival. A
    clock far from the recorder's (`OTHER_CLOCK_S`) cannot be compared with it and is not used.
    """
    wrong = []
    stamped = int(np.count_nonzero(times.stamp_ns))
    if 0 < stamped < len(times.stamp_ns):
        wrong.append(
            TimesError(
                f"only {stamped} of {len(times.stamp_ns)} messages have a header stamp: "
                f"the stamps are not used"
            )
        )
    elif stamped:
        if not (far := _far(times.stamp_ns, times.log_ns)):
            return "header", wrong
        wrong.append(TimesError(f"header stamps are of another clock ({far}): they are not used"))
    different = bool((times.publish_ns != times.log_ns).any())
    if different and times.publish_ns.all():
        if not (far := _far(times.publish_ns, times.log_ns)):
            return "publish", wrong
        wrong.append(TimesError(f"publish times are of another clock ({far}): they are not used"))
    return "log", wrong


def make_timeline(times: Times, source: Source) -> Timeline:
    """Samples sorted by their capture; of equal captures the first to arrive is kept."""
    capture = times.of(source)
    arrival = np.argsort(times.log_ns, kind="stable")
    behind = np.maximum.accumulate(capture[arrival])[:-1] > capture[arrival][1:]
    order = arrival[np.argsort(capture[arrival], kind="stable")]
    kept = order[np.diff(capture[order], prepend=capture[order][:1] - 1) != 0]
    return Timeline(
        order=kept,
        capture_ns=capture[kept],
        available_ns=np.maximum(capture[kept], times.log_ns[kept]),
        late=int(np.count_nonzero(behind)),
        dropped=len(order) - len(kept),
    )


def skew_problem(times: Times, source: Source) -> TimesError | None:
    """Captures that lie after their arrival, with their number and size; None: there are none."""
    ahead = times.of(source) - times.log_ns
    count = int(np.count_nonzero(ahead > 0))
    if not count:
        return None
    return TimesError(
        f"clock skew: {count} of {len(ahead)} messages say that they were captured after they "
        f"arrived, by up to {ahead.max() / 1e6:.3f} ms; they count as available at their capture"
    )


def measure(timeline: Timeline) -> dict[str, Any]:
    """Rate, jitter, gaps and latency of a stream, as measured.

    Returns:
        `samples`; `rate_hz`, over the whole stream with its missing samples, to three digits
        (None: not periodic); `jitter_s`, the 95th percentile of how far steps are from the
        median, gaps left out;
        `longest_gap_s`; `gaps`, steps above three periods; `missing`, samples that would
        fill all steps; `latency_s`, arrival after capture: median and 99th percentile.
    """
    steps = np.diff(timeline.capture_ns) / 1e9
    latency = (timeline.available_ns - timeline.capture_ns) / 1e9
    found: dict[str, Any] = {
        "samples": len(timeline.order),
        "rate_hz": None,
        "jitter_s": None,
        "longest_gap_s": float(steps.max()) if len(steps) else None,
        "gaps": 0,
        "missing": 0,
        "latency_s": {
            "median": float(np.median(latency)),
            "p99": float(np.percentile(latency, 99)),
        }
        if len(latency)
        else None,
    }
    period = float(np.median(steps)) if len(steps) else 0.0
    if len(steps) < 2 or np.median(np.abs(steps - period)) > REGULAR * period:
        return found
    usual = steps[steps < 1.5 * period]
    periods = np.maximum(np.rint(steps / period), 1)
    found["rate_hz"] = float(f"{periods.sum() / steps.sum():.3g}")
    found["jitter_s"] = float(np.percentile(np.abs(usual - period), 95))
    found["gaps"] = int(np.count_nonzero(steps > GAP_PERIODS * period))
    found["missing"] = int((periods - 1).sum())
    return found


def _far(one: Nanoseconds, other: Nanoseconds) -> str:
    """How far two clocks are apart, in words, if that is further than `OTHER_CLOCK_S`."""
    apart_s = float(np.median(one - other)) / 1e9
    return f"{apart_s:+.3f} s from the recorder's" if abs(apart_s) > OTHER_CLOCK_S else ""
