"""Sensors with clocks of their own, sampled between physics ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.env import Samples
from robocache.core.seeding import generator
from robocache.core.stream import StreamSpec
from robocache.envs.metaworld.simulation import PHYSICS_RATE_HZ

_MOST_DEVIATIONS = 4.0


@dataclass(frozen=True, eq=False)
class Sensor:
    """One device: one clock, one capture, one or more streams.

    Attributes:
        name: name of its clock.
        rate_hz: nominal rate.
        streams: name -> StreamSpec of what one capture gives.
        capture: writes one sample into the given rows, one array per stream in their order.
        needs_positions: whether capturing reads body positions.
    """

    name: str
    rate_hz: float
    streams: Mapping[str, StreamSpec]
    capture: Callable[..., None]
    needs_positions: bool = True


def firing_ticks(
    rate_hz: float, last_tick: int, jitter_s: float, clock: np.random.Generator
) -> NDArray[np.int64]:
    """(n,) strictly increasing physics ticks in [0, last_tick] at which a sensor fires.

    Sample i is due at `i / rate_hz` plus a normal deviation of `jitter_s` seconds (at most four
    times that) and is taken at the first tick at or after; sample 0 is taken at tick 0. A longer
    episode begins with the same ticks.
    """
    ahead = math.ceil(_MOST_DEVIATIONS * jitter_s * rate_hz)
    count = int(last_tick * rate_hz / PHYSICS_RATE_HZ) + 1 + ahead
    due = np.arange(count) * (PHYSICS_RATE_HZ / rate_hz)
    if jitter_s > 0:
        deviations = clock.standard_normal(count - 1).clip(-_MOST_DEVIATIONS, _MOST_DEVIATIONS)
        due[1:] += jitter_s * PHYSICS_RATE_HZ * deviations
    order = np.arange(count)
    ticks = np.maximum(np.ceil(due).astype(np.int64), order)
    ticks = np.maximum.accumulate(ticks - order) + order
    return ticks[ticks <= last_tick]


class _Track:
    """The samples of one sensor in one episode; rows are written once and never again."""

    def __init__(self, sensor: Sensor, ticks: NDArray[np.int64], never: int) -> None:
        self.needs_positions = sensor.needs_positions
        self.names = tuple(sensor.streams)
        self.times_s = ticks / PHYSICS_RATE_HZ
        self.buffers = [
            np.empty((len(ticks), *spec.shape), spec.dtype) for spec in sensor.streams.values()
        ]
        self._capture = sensor.capture
        self._ticks = [*ticks.tolist(), never]
        self.next_tick = self._ticks[0]
        self.taken = self.reported = 0

    def capture(self) -> None:
        row = self.taken
        self._capture(*[buffer[row] for buffer in self.buffers])
        self.taken = row = row + 1
        self.next_tick = self._ticks[row]

    def report(self, samples: dict[str, Samples]) -> None:
        first, end = self.reported, self.taken
        self.reported = end
        times = self.times_s[first:end]
        for name, buffer in zip(self.names, self.buffers):
            samples[name] = Samples(buffer[first:end], times)


class Sampler:
    """Takes every sensor's samples at its own physics ticks.

    Args:
        sensors: the devices.
        last_tick: end of the longest episode, in physics ticks.
        jitter_s: standard deviation of each firing time in seconds.
        update_positions: makes body positions those of the present tick.
    """

    def __init__(
        self,
        sensors: Sequence[Sensor],
        last_tick: int,
        jitter_s: float,
        update_positions: Callable[[], Any],
    ) -> None:
        self._sensors = sensors
        self._last_tick = last_tick
        self._jitter_s = jitter_s
        self._update_positions = update_positions
        self._tracks: list[_Track] = []
        self._next_tick = self._never = last_tick + 1

    def reset(self, seed: int) -> None:
        """Forget the last episode and take every sensor's sample at tick 0."""
        self._tracks = []
        for sensor in self._sensors:
            clock = generator(seed, f"clock/{sensor.name}")
            ticks = firing_ticks(sensor.rate_hz, self._last_tick, self._jitter_s, clock)
            self._tracks.append(_Track(sensor, ticks, self._never))
        self._next_tick = 0 if self._tracks else self._never
        self.sample(0)

    def next_tick(self) -> int:
        """The next physics tick at which a sensor fires."""
        return self._next_tick

    def sample(self, tick: int) -> None:
        """Take the samples due at this tick."""
        if tick < self._next_tick:
            return
        positions_known = False
        upcoming = self._never
        for track in self._tracks:
            if track.next_tick == tick:
                if track.needs_positions and not positions_known:
                    self._update_positions()
                    positions_known = True
                track.capture()
            if track.next_tick < upcoming:
                upcoming = track.next_tick
        self._next_tick = upcoming

    def report(self) -> dict[str, Samples]:
        """Samples taken since the last report; sensors without any are absent."""
        samples: dict[str, Samples] = {}
        for track in self._tracks:
            if track.taken > track.reported:
                track.report(samples)
        return samples
