"""Statistics of a mixture against those of samples drawn by weight."""

from __future__ import annotations

import numpy as np
import pytest

from robocache.core.statistics import Statistics, StreamStatistics
from robocache.datasets.mixed_statistics import mix_statistics, mix_streams


def described(values: np.ndarray) -> StreamStatistics:
    low, high = np.quantile(values, [0.01, 0.99], axis=0)
    return StreamStatistics(
        values.mean(0), values.std(0), values.min(0), values.max(0), low, high, len(values)
    )


def test_each_dataset_counts_by_its_weight_not_by_its_size():
    random = np.random.default_rng(0)
    few, many = random.normal(3, 2, (500, 2)), random.normal(-1, 0.5, (2000, 2))
    mixed = mix_streams([described(few), described(many)], [3, 1])
    drawn = np.concatenate([np.repeat(few, 12, axis=0), many])  # 6000 and 2000
    np.testing.assert_allclose(mixed.mean, drawn.mean(0))
    np.testing.assert_allclose(mixed.std, drawn.std(0))
    np.testing.assert_array_equal(mixed.minimum, drawn.min(0))
    np.testing.assert_array_equal(mixed.maximum, drawn.max(0))
    assert mixed.count == 2500
    for low, high, column in zip(mixed.q01, mixed.q99, drawn.T, strict=True):
        assert (column < low).mean() <= 0.0101 and (column > high).mean() <= 0.0101


def test_a_dataset_without_samples_does_not_count():
    zero, one = np.zeros(2), np.ones(2)
    none = StreamStatistics(zero, one, zero, zero, zero, zero, 0)
    some = described(np.array([[4.0, 5.0], [6.0, 9.0]]))
    mixed = mix_streams([none, some], [9, 1])
    np.testing.assert_array_equal(mixed.mean, [5, 7])
    np.testing.assert_array_equal(mixed.minimum, [4, 5])
    assert mix_streams([none, none], [1, 1]).count == 0


def test_streams_that_all_have():
    part = described(np.array([[1.0], [3.0]]))
    parts = {
        "a": Statistics({"state": part, "action": part}, "A"),
        "b": Statistics({"action": part}, "B"),
    }
    mixed = mix_statistics(parts, {"a": 1, "b": 2}, "AB")
    assert set(mixed.streams) == {"action"} and mixed.fingerprint == "AB"
    assert mixed["action"].mean == pytest.approx(2) and mixed["action"].std == pytest.approx(1)
