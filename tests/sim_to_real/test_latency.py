"""Latency: never early, in order unless told otherwise, and the same however it is called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robocache.core.errors import ConfigError, TimesError
from robocache.core.stream import Stream, StreamSpec
from robocache.sim_to_real import LatencyConfig, LatencySimulator

NOISY = LatencyConfig(mean_s=0.02, jitter_s=0.02, drop_probability=0.3)


@settings(max_examples=60, deadline=None)
@given(
    mean=st.floats(0, 0.5),
    jitter=st.floats(0, 0.5),
    drop=st.floats(0, 1),
    reorder=st.booleans(),
    seed=st.integers(0, 2**40),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_any_split_gives_the_same_bits_and_nothing_arrives_early(
    mean: float, jitter: float, drop: float, reorder: bool, seed: int, cuts: list[int]
) -> None:
    config = LatencyConfig(mean, jitter, drop, reorder)
    times = np.cumsum(np.random.default_rng(seed).uniform(1e-3, 2e-2, 60))
    kept, available = LatencySimulator(config, seed, "joints").deliver(times)
    assert (available >= times).all()
    if not reorder:
        assert (np.diff(available[kept]) >= 0).all()

    link = LatencySimulator(config, seed, "joints")
    parts = [link.deliver(part) for part in np.split(times, sorted(cuts))]
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), kept)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), available)

    link = LatencySimulator(config, seed, "joints")
    one_by_one = [link.deliver(times[index : index + 1]) for index in range(60)]
    np.testing.assert_array_equal(np.concatenate([part[1] for part in one_by_one]), available)


def test_constant_latency_by_hand() -> None:
    kept, available = LatencySimulator(LatencyConfig(mean_s=0.1), 0, "x").deliver(
        np.array([0.0, 0.5, 1.0])
    )
    assert kept.all()
    np.testing.assert_allclose(available, [0.1, 0.6, 1.1])


def test_mean_spread_and_losses_are_as_configured() -> None:
    times = np.arange(20_000) * 1.0
    config = LatencyConfig(mean_s=0.2, jitter_s=0.02, drop_probability=0.25)
    kept, available = LatencySimulator(config, 5, "x").deliver(times)
    assert np.mean(kept) == pytest.approx(0.75, abs=0.015)
    assert np.mean(available - times) == pytest.approx(0.2, abs=0.001)
    assert np.std(available - times) == pytest.approx(0.02, rel=0.03)


def test_a_link_without_reordering_holds_back_what_would_overtake() -> None:
    times = np.arange(400) * 0.001
    fifo = LatencySimulator(LatencyConfig(0.05, 0.02), 1, "x").deliver(times)[1]
    free = LatencySimulator(LatencyConfig(0.05, 0.02, reorder=True), 1, "x").deliver(times)[1]
    assert (np.diff(free) < 0).any()
    np.testing.assert_array_equal(fifo, np.maximum.accumulate(free))


def test_a_lost_sample_delays_nobody() -> None:
    config = LatencyConfig(0.05, 0.05, drop_probability=0.5)
    times = np.arange(300) * 0.001
    kept, available = LatencySimulator(config, 2, "x").deliver(times)
    free = LatencySimulator(
        LatencyConfig(0.05, 0.05, drop_probability=0.5, reorder=True), 2, "x"
    ).deliver(times)[1]
    np.testing.assert_array_equal(available[kept], np.maximum.accumulate(free[kept]))


def test_streams_and_seeds_are_independent() -> None:
    times = np.arange(50) * 0.01
    base = LatencySimulator(NOISY, 0, "joints").deliver(times)[1]
    assert not np.array_equal(base, LatencySimulator(NOISY, 0, "camera").deliver(times)[1])
    assert not np.array_equal(base, LatencySimulator(NOISY, 1, "joints").deliver(times)[1])


def test_drops_do_not_shift_the_delays_of_others() -> None:
    times = np.arange(100) * 1.0
    none = LatencySimulator(LatencyConfig(0.1, 0.01), 3, "x").deliver(times)[1]
    some = LatencySimulator(LatencyConfig(0.1, 0.01, 0.5), 3, "x").deliver(times)[1]
    np.testing.assert_array_equal(none, some)


@pytest.mark.parametrize(
    "options",
    [
        {"mean_s": -0.1},
        {"jitter_s": float("nan")},
        {"mean_s": float("inf")},
        {"drop_probability": 1.5},
        {"mean_s": "0.1"},
        {"drop_probability": None},
    ],
)
def test_bad_numbers_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        LatencyConfig(**options)


def test_bad_times_are_refused() -> None:
    with pytest.raises(TimesError, match="finite"):
        LatencySimulator(NOISY, 0, "x").deliver(np.array([0.0, np.nan]))


class CountedFrames:
    """Frames that count how many of them were decoded."""

    shape, dtype = (50, 2, 2, 3), np.dtype(np.uint8)

    def __init__(self) -> None:
        self.decoded = 0

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: Any, /) -> Any:
        numbers = np.arange(50)[index]
        self.decoded += numbers.size
        return np.broadcast_to(numbers[..., None, None, None], (*numbers.shape, 2, 2, 3))


def test_a_recorded_stream_arrives_as_it_would_have_while_it_was_taken() -> None:
    times = np.arange(50) * 0.05
    frames = CountedFrames()
    spec = StreamSpec((2, 2, 3), "uint8", 20.0)
    late = LatencySimulator(NOISY, 4, "camera").delayed(Stream(frames, times, spec))
    kept, available = LatencySimulator(NOISY, 4, "camera").deliver(times)
    assert 0 < len(late) < 50 and frames.decoded == 0
    np.testing.assert_array_equal(late.times_s, times[kept])
    np.testing.assert_array_equal(late.available_s, available[kept])
    np.testing.assert_array_equal(late.values[:2][:, 0, 0, 0], np.flatnonzero(kept)[:2])
    late.check()

    sent = Stream(np.zeros((50, 2, 2, 3), np.uint8), times, spec, times + 0.2)
    twice = LatencySimulator(LatencyConfig(0.1), 0, "camera").delayed(sent)
    np.testing.assert_allclose(twice.available_s, times + 0.3)
