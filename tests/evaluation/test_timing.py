"""Ratios of seconds: against tests of scipy, by hand, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, permutation_test

from robocache.core.errors import ConfigError, DataError
from robocache.evaluation.timing import TimeRatio, paired_ratio, unpaired_ratio

ROUNDS = 7
EFFECT = 0.02
SIMULATED = 1000
Array = NDArray[np.float64]


def machine(random: np.random.Generator, rounds: int) -> tuple[Array, Array]:
    """Two sides that take equally long, in turns on a machine whose speed drifts and that is
    sometimes disturbed."""
    drift = np.cumsum(random.normal(0, 0.05, rounds))
    noise = random.normal(0, 0.03, (2, rounds)) + 0.3 * (random.random((2, rounds)) < 0.03)
    old, new = np.exp(drift + noise)
    return old, new


def test_nothing_changed_is_noise() -> None:
    random = np.random.default_rng(1)
    ratios = [paired_ratio(*machine(random, ROUNDS)) for _ in range(SIMULATED)]
    noise = [ratio.change(EFFECT) == "noise" for ratio in ratios]
    covered = [ratio.low <= 1 <= ratio.high for ratio in ratios]
    assert np.mean(noise) >= 0.95
    assert 0.93 <= np.mean(covered) <= 0.98  # 122 / 128 by construction


def test_ten_percent_is_found() -> None:
    random = np.random.default_rng(2)
    verdicts = []
    for _ in range(SIMULATED):
        old, new = machine(random, ROUNDS)
        verdicts.append(paired_ratio(old, 1.1 * new).change(EFFECT))
    assert verdicts.count("slower") > 0.75 * SIMULATED
    assert verdicts.count("faster") == 0


def test_unpaired_nothing_changed_is_noise_and_ten_percent_is_found() -> None:
    random = np.random.default_rng(3)
    calm = np.exp(random.normal(0, 0.03, (SIMULATED, 2, ROUNDS)))
    same = [unpaired_ratio(old, new).change(EFFECT) for old, new in calm]
    slower = [unpaired_ratio(old, 1.1 * new).change(EFFECT) for old, new in calm]
    assert same.count("noise") >= 0.95 * SIMULATED
    assert slower.count("slower") > 0.9 * SIMULATED


@pytest.mark.parametrize("rounds", [6, 7, 10])
def test_paired_interval_is_where_the_sign_flip_test_changes_its_mind(rounds: int) -> None:
    random = np.random.default_rng(rounds)
    old, new = machine(random, rounds)
    differences = np.log(new / old)
    interval = paired_ratio(old, new)

    def p_value(truth: float) -> float:
        tested = permutation_test(
            (differences - truth,),
            lambda x, axis: np.mean(x, axis=axis),
            permutation_type="samples",
            n_resamples=np.inf,
            vectorized=True,
        )
        return float(tested.pvalue)

    for end, outwards in ((interval.low, -1), (interval.high, 1)):
        assert p_value(math.log(end) - outwards * 1e-6) > 0.05
        assert p_value(math.log(end) + outwards * 1e-6) <= 0.05


@pytest.mark.parametrize(("n", "m"), [(4, 4), (7, 7), (9, 5)])
def test_unpaired_interval_is_where_the_mann_whitney_test_changes_its_mind(n: int, m: int) -> None:
    random = np.random.default_rng(n)
    old, new = np.exp(random.normal(0, 0.1, n)), np.exp(random.normal(0.1, 0.1, m))
    interval = unpaired_ratio(old, new)

    def p_value(truth: float) -> float:
        return float(mannwhitneyu(np.log(new) - truth, np.log(old), method="exact").pvalue)

    for end, outwards in ((interval.low, -1), (interval.high, 1)):
        assert p_value(math.log(end) - outwards * 1e-6) > 0.05
        assert p_value(math.log(end) + outwards * 1e-6) <= 0.05


def test_paired_by_hand() -> None:
    """Six pairs allow one subset mean on either side: the smallest and the largest difference."""
    factors = [1.10, 1.05, 1.20, 1.15, 1.08, 1.12]
    found = paired_ratio([2.0] * 6, [2.0 * factor for factor in factors])
    assert (found.low, found.high) == pytest.approx((1.05, 1.20))
    assert found.ratio == pytest.approx(math.prod(factors) ** (1 / 6))


def test_unpaired_by_hand() -> None:
    """Of two samples of four, the smallest and the largest of the 16 ratios are the ends."""
    found = unpaired_ratio([1.0, 2.0, 3.0, 4.0], [6.0, 8.0, 10.0, 12.0])
    assert (found.low, found.high) == pytest.approx((6 / 4, 12 / 1))


def test_a_drift_of_the_machine_does_not_widen_the_paired_interval() -> None:
    old = np.array([1.0, 1.5, 2.0, 4.0, 3.0, 2.5, 1.2])
    found = paired_ratio(old, 1.1 * old)
    assert (found.low, found.high) == pytest.approx((1.1, 1.1))
    assert found.change(EFFECT) == "slower"


def test_many_rounds_draw_subsets_and_agree_with_the_normal_interval() -> None:
    random = np.random.default_rng(5)
    differences = random.normal(0.0, 0.1, 200)
    found = paired_ratio(np.ones(200), np.exp(differences))
    half = 1.96 * differences.std(ddof=1) / math.sqrt(200)
    mean = differences.mean()
    assert math.log(found.low) == pytest.approx(mean - half, abs=0.15 * half)
    assert math.log(found.high) == pytest.approx(mean + half, abs=0.15 * half)
    assert found == paired_ratio(np.ones(200), np.exp(differences))


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.021, 1.3, "slower"),
        (1.019, 1.3, "noise"),
        (0.7, 0.979, "faster"),
        (0.7, 0.981, "noise"),
        (0.7, 1.3, "noise"),
    ],
)
def test_the_whole_interval_must_lie_beyond_the_minimal_effect(
    low: float, high: float, verdict: str
) -> None:
    assert TimeRatio(1.0, low, high).change(EFFECT) == verdict


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(ConfigError, match="5 pairs of rounds are too few"):
        paired_ratio([1.0] * 5, [1.0] * 5)
    with pytest.raises(ConfigError, match="3 and 3 rounds are too few"):
        unpaired_ratio([1.0] * 3, [1.0] * 3)
    with pytest.raises(DataError, match="7 old and 6 new"):
        paired_ratio([1.0] * 7, [1.0] * 6)
    for wrong in ([1.0, 0.0], [1.0, math.nan], [], [[1.0]]):
        with pytest.raises(DataError, match="positive seconds"):
            unpaired_ratio([1.0] * 7, wrong)
