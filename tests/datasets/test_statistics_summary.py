"""Summaries of episodes, merged: against numpy on all samples at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robocache.core.errors import NonFiniteError
from robocache.core.statistics import StreamStatistics
from robocache.datasets.statistics_summary import merge, most_kept, summarise


def parts_of(values: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(values, sorted(cuts))


@given(
    count=st.integers(1, 400),
    cuts=st.lists(st.integers(0, 400), max_size=6),
    seed=st.integers(0, 99),
    dtype=st.sampled_from(["float64", "float32", "uint8", "int64", "bool"]),
)
@settings(max_examples=60, deadline=None)
def test_any_parting_gives_what_numpy_gives(
    count: int, cuts: list[int], seed: int, dtype: str
) -> None:
    random = np.random.default_rng(seed)
    values = (random.normal(3, 40, (count, 2, 3)) % 250).astype(dtype)
    found = merge([summarise(part, most=400) for part in parts_of(values, cuts)])
    exact = values.astype(np.float64)
    assert found.count == count
    np.testing.assert_allclose(found.mean, exact.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.std, exact.std(0), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found.minimum, exact.min(0))
    np.testing.assert_array_equal(found.maximum, exact.max(0))
    np.testing.assert_allclose(found.q01, np.quantile(exact, 0.01, axis=0), atol=1e-9)
    np.testing.assert_allclose(found.q99, np.quantile(exact, 0.99, axis=0), atol=1e-9)


def test_by_hand() -> None:
    found = merge([summarise(np.array([[1.0], [3.0]]), 256), summarise(np.array([[8.0]]), 256)])
    assert found.mean.tolist() == [4.0] and found.count == 3
    assert found.std.tolist() == [np.sqrt(26 / 3)]
    assert (found.minimum.tolist(), found.maximum.tolist()) == ([1.0], [8.0])
    assert found.q01.tolist() == [pytest.approx(1 + 0.02 * 2)]
    assert found.q99.tolist() == [pytest.approx(3 + 0.98 * 5)]


@pytest.mark.parametrize("draw", ["normal", "exponential", "two", "sorted"])
def test_ranks_of_quantiles_of_long_episodes(draw: str) -> None:
    """Within what `summarise` promises, and so closer at the ends than evenly spaced samples."""
    random = np.random.default_rng(5)
    parts = []
    for number in range(8):
        values = {
            "normal": random.normal(number, 1 + number, 3000),
            "exponential": random.exponential(1.0, 3000) ** 3,
            "two": random.normal(100 * (number % 2), 1.0, 3000),
            "sorted": np.arange(3000.0) + 10_000 * number,
        }[draw]
        parts.append(values[:, None])
    exact = np.concatenate(parts)[:, 0]
    found = merge([summarise(part, 256) for part in parts])
    promised = np.pi / (2 * 256) * np.sqrt(0.01 * 0.99) + 2 / 3000
    for p, value in ((0.01, found.q01), (0.99, found.q99)):
        assert abs((exact <= value[0]).mean() - p) <= promised
    np.testing.assert_allclose(found.mean, exact.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.std, exact.std(), rtol=1e-12)


def test_every_kept_sample_stands_for_its_neighbours() -> None:
    values = np.random.default_rng(0).permutation(5000).astype(np.float32)[:, None]
    summary = summarise(values, 256)
    assert len(summary.kept) <= 256 and summary.weights.sum() == 5000
    ends = np.cumsum(summary.weights)
    ranks = summary.kept[:, 0]  # the sorted samples are 0, 1, 2, ...
    assert ((ranks >= ends - summary.weights) & (ranks < ends)).all()
    share = (ends - summary.weights / 2) / 5000
    allowed = np.pi / 256 * np.sqrt(share * (1 - share)) * 5000 + 2
    assert (summary.weights <= allowed).all()


def test_kept_samples_keep_their_dtype() -> None:
    for dtype, kept in {"uint8": "uint8", "float32": "float32", "int64": "float64"}.items():
        assert summarise(np.ones((3, 2), dtype), 8).kept.dtype == kept


def test_nothing_at_all() -> None:
    empty = summarise(np.zeros((0, 3), np.float32), 256)
    found = merge([empty, empty])
    assert found.count == 0
    assert found.mean.tolist() == [0, 0, 0] and found.std.tolist() == [1, 1, 1]
    both = merge([empty, summarise(np.full((2, 3), 5.0), 256), empty])
    assert both.count == 2 and both.mean.tolist() == [5, 5, 5] and both.minimum.tolist() == [5] * 3


def test_numbers_that_cannot_be_squared_are_refused() -> None:
    with pytest.raises(NonFiniteError, match="up to 1e\\+200: too large"):
        summarise(np.array([[1e200], [-1e200]]), 256)


def test_wide_samples_keep_fewer() -> None:
    assert [most_kept(n) for n in (0, 1, 32, 44, 64, 256, 4096)] == [
        256,
        256,
        256,
        186,
        128,
        32,
        32,
    ]


def test_statistics_of_old_checkpoints_are_read() -> None:
    kept = {"mean": [1.0], "std": [2.0], "minimum": [0.0], "maximum": [3.0]}
    found = StreamStatistics.from_json({**kept, "q01": [0.1], "q99": [2.9], "count": 12})
    assert found.count == 12 and found.q99.tolist() == [2.9]
