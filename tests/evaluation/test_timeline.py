"""Clocks measured on streams whose answer is known."""

from __future__ import annotations

import re

import numpy as np
import pytest

from robocache.core import Episode, Stream, StreamSpec
from robocache.core.errors import DataError
from robocache.evaluation.timeline import ages_at, stream_timeline


def stream(times_s: list[float], latency_s: float | None = None, **spec: object) -> Stream:
    times = np.array(times_s, dtype=np.float64)
    return Stream(
        values=np.zeros((len(times), 2), np.float32),
        times_s=times,
        spec=StreamSpec((2,), **spec),  # type: ignore[arg-type]
        available_s=None if latency_s is None else times + latency_s,
    )


def xs(path: str) -> list[float]:
    return [float(x) for x in re.findall(r"M([\d.-]+) ", path)]


def test_a_clock_with_a_gap() -> None:
    camera = stream([0.0, 0.1, 0.2, 0.5, 0.6], latency_s=0.04, rate_hz=10.0)
    (clock,) = stream_timeline(Episode("e", {"camera": camera})).clocks
    assert clock.nominal_hz == 10.0
    assert clock.measured_hz == pytest.approx(10.0)
    assert clock.samples == 5
    assert clock.longest_gap_s == pytest.approx(0.3)
    assert clock.latency_s == pytest.approx(0.04)
    assert clock.dropped == 2


def test_a_slow_clock_has_dropped_nothing() -> None:
    slow = stream([0.0, 0.011, 0.022, 0.033], rate_hz=100.0)
    (clock,) = stream_timeline(Episode("e", {"slow": slow})).clocks
    assert clock.dropped == 0
    assert clock.measured_hz == pytest.approx(1 / 0.011)


def test_the_drawing_shows_capture_and_delivery_of_the_first_part() -> None:
    late = stream([0.0, 0.25, 0.75], latency_s=0.05)
    (clock,) = stream_timeline(Episode("e", {"late": late}), span_s=0.5).clocks
    assert xs(clock.captured) == [0.0, 500.0]
    assert re.findall(r"L([\d.]+) ", clock.delivered) == ["100.0", "600.0"]


def test_streams_share_one_time_axis() -> None:
    episode = Episode("e", {"b": stream([-0.1, 0.0]), "a": stream([0.15])})
    timeline = stream_timeline(episode, span_s=0.5)
    assert timeline.start_s == -0.1
    assert [c.name for c in timeline.clocks] == ["a", "b"]
    assert xs(timeline.clocks[0].captured) == [500.0]


def test_flags_and_what_cannot_be_known() -> None:
    episode = Episode(
        "e",
        {"goal": stream([0.0], clock="synthetic", privileged=True), "silent": stream([])},
    )
    goal, silent = stream_timeline(episode).clocks
    assert goal.synthetic and goal.privileged and not silent.synthetic
    assert goal.nominal_hz is goal.measured_hz is goal.longest_gap_s is goal.dropped is None
    assert silent.samples == 0 and silent.latency_s is None and silent.captured == ""


def test_an_empty_episode_is_refused() -> None:
    with pytest.raises(DataError, match=r"episode e: there are no samples to draw"):
        stream_timeline(Episode("e", {"silent": stream([])}))


def test_ages_are_those_of_the_newest_sample_that_could_be_used():
    late = Stream(
        values=np.zeros((3, 2), np.float32),
        times_s=np.array([0.0, 0.1, 0.2]),
        spec=StreamSpec((2,), rate_hz=10.0),
        available_s=np.array([0.05, 0.35, 0.25]),  # the second arrives after the third
    )
    now_s = np.array([0.0, 0.05, 0.24, 0.25, 0.36])
    expected = [np.nan, 0.05, 0.24, 0.05, 0.16]
    np.testing.assert_allclose(ages_at(late, now_s), expected)
    for moment, age in zip(now_s, ages_at(late, now_s), strict=True):
        usable = late.times_s[late.usable_s() <= moment]
        if len(usable):
            assert age == pytest.approx(moment - usable.max())
        else:
            assert np.isnan(age)


def test_skew_is_the_spread_of_ages_over_periodic_streams():
    streams = {
        "action": stream([0.1, 0.2, 0.3], rate_hz=10.0),
        "fast": stream([0.0, 0.1, 0.2, 0.3], rate_hz=10.0),
        "slow": stream([0.15], rate_hz=1.0),
        "goal": stream([0.0]),
    }
    timeline = stream_timeline(Episode("e", streams))
    clocks = {clock.name: clock for clock in timeline.clocks}
    assert timeline.decisions == 3
    assert clocks["action"].age is None and clocks["goal"].age is None
    assert clocks["fast"].age is not None and clocks["fast"].age.largest_s == pytest.approx(0)
    slow = clocks["slow"].age
    assert slow is not None and slow.missing == 1
    assert (slow.median_s, slow.largest_s) == (pytest.approx(0.1), pytest.approx(0.15))
    assert timeline.spread is not None and timeline.spread.missing == 1
    assert timeline.spread.largest_s == pytest.approx(0.15)


def test_without_decisions_there_are_no_ages():
    timeline = stream_timeline(Episode("e", {"a": stream([0.0, 0.1], rate_hz=10.0)}))
    assert timeline.decisions == 0 and timeline.spread is None
    assert timeline.clocks[0].age is None
