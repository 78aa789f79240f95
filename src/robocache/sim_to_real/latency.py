"""When a captured sample reaches the policy, if it does."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, TimesError
from robocache.core.seeding import generator
from robocache.core.stream import SelectedFrames, Stream


@dataclass(frozen=True)
class LatencyConfig:
    """Delay and loss of one stream.

    Attributes:
        mean_s: mean delay in seconds.
        jitter_s: standard deviation of the delay in seconds; delays are clipped at zero.
        drop_probability: share of samples that never arrive.
        reorder: samples may overtake each other; otherwise the link delivers in order (FIFO).

    Raises:
        ConfigError: a value is negative, not finite, or no probability.
    """

    mean_s: float = 0.0
    jitter_s: float = 0.0
    drop_probability: float = 0.0
    reorder: bool = False

    def __post_init__(self) -> None:
        for name, seconds in (("mean_s", self.mean_s), ("jitter_s", self.jitter_s)):
            if not (isinstance(seconds, Real) and math.isfinite(seconds) and seconds >= 0):
                raise ConfigError(f"latency {name} must be seconds >= 0, got {seconds!r}")
        share = self.drop_probability
        if not (isinstance(share, Real) and 0 <= share <= 1):
            raise ConfigError(f"latency drop_probability must lie in [0, 1], got {share!r}")

    def scaled(self, share: float) -> LatencyConfig:
        """The same link with this share of its delay, jitter and losses."""
        return replace(
            self,
            mean_s=share * self.mean_s,
            jitter_s=share * self.jitter_s,
            drop_probability=share * self.drop_probability,
        )


class LatencySimulator:
    """Delays and drops the samples of one stream in one episode: `deliver` while they are taken,
    `delayed` of what was recorded.

    Every sample takes one normal and one uniform draw, each from a generator of its own, so
    delivering samples one by one or all at once gives identical bits.

    Args:
        config: delay and loss.
        seed: seed of the episode.
        stream: name of the stream; streams are independent of each other.
    """

    def __init__(self, config: LatencyConfig, seed: int, stream: str) -> None:
        self.config = config
        self._delay_draws = generator(seed, f"latency/{stream}")
        self._drop_draws = generator(seed, f"latency/{stream}", step=1)
        self._last_arrival_s = -math.inf

    def deliver(
        self, times_s: NDArray[np.float64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Send the next samples, in order of capture.

        Args:
            times_s: (n,) capture times in seconds.

        Returns:
            (kept (n,) bool, available_s (n,) float64). `available_s >= times_s`; without
            `reorder` it never decreases over the kept samples, also across calls.

        Raises:
            TimesError: `times_s` is not (n,) and finite.
        """
        times = np.asarray(times_s, dtype=np.float64)
        if times.ndim != 1 or not np.isfinite(times).all():
            raise TimesError(f"capture times must be (n,) finite seconds, got {times_s!r}")
        config = self.config
        delays = config.mean_s + config.jitter_s * self._delay_draws.standard_normal(len(times))
        kept = self._drop_draws.random(len(times)) >= config.drop_probability
        arrivals = times + np.maximum(delays, 0.0)
        if config.reorder or not len(times):
            return kept, arrivals
        queue = np.where(kept, arrivals, -np.inf)
        queue[0] = max(queue[0], self._last_arrival_s)
        latest = np.maximum.accumulate(queue)
        self._last_arrival_s = float(latest[-1])
        return kept, np.maximum(arrivals, latest)

    def delayed(self, stream: Stream) -> Stream:
        """A recorded stream as it would have arrived: dropped samples are absent, `available_s`
        says when each of the others could first be used.

        Samples that have an arrival already are sent on from there.
        """
        sent = stream.usable_s()
        kept, available = self.deliver(sent)
        rows = np.flatnonzero(kept)
        values = stream.values
        if len(rows) < len(stream):
            in_memory = isinstance(values, np.ndarray)
            values = values[rows] if in_memory else SelectedFrames(values, rows)
        return Stream(values, stream.times_s[rows], stream.spec, available[rows])
